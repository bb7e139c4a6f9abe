"""A conversation with a judge about many questions: side by side, with patience, within limits, in bounded time."""

from __future__ import annotations

import asyncio
import itertools
import random
import time
from collections.abc import Callable, Iterator, Mapping, Sequence

from lorasmith.evaluation.judges._base import Judge, Judgement, JudgeTrouble, Limits, Message, Question, Reply
from lorasmith.evaluation.judges._purse import OverLimit, Purse
from lorasmith.evaluation.judges._rubric import SCHEMA, Unreadable, messages_for, parsed, repaired

GIVE_UP_AFTER = 8
"""So many questions in a row without any answer, and the judge is taken to be out of order."""
Settled = Callable[[str, Judgement | str], None]


class Session:
    """`hold` asks. `over` is the limit that was reached, empty where none was."""

    def __init__(self, judge: Judge, limits: Limits):
        self._judge, self._limits = judge, limits
        self.purse = Purse(limits)
        self.over = ""
        self._end: JudgeTrouble | None = None  # nobody else need be asked
        self._unanswered_in_a_row = 0
        self._not_before = 0.0  # a provider that puts one request off puts all off
        self._begun = time.monotonic()
        self._num_settled = 0

    @property
    def rate(self) -> float | None:
        """Questions a second."""
        seconds = time.monotonic() - self._begun
        return self._num_settled / seconds if self._num_settled and seconds > 0 else None

    async def hold(self, questions: Mapping[str, Question], settled: Settled) -> None:
        """Tell `settled` the judgement on each question, or the reason why there is none; nothing of those beyond a limit.

        An error that is not the judge's ends all and is raised as it is; so is what keeps the judge from being opened.
        """
        async with self._judge:
            self._begun = time.monotonic()
            todo = iter(questions.items())
            tasks = [asyncio.create_task(self._ask_on(todo, settled)) for _ in range(max(1, self._limits.concurrency))]
            try:
                await asyncio.gather(*tasks)
            finally:
                for task in tasks:
                    task.cancel()
                await asyncio.gather(*tasks, return_exceptions=True)

    async def _ask_on(self, todo: Iterator[tuple[str, Question]], settled: Settled) -> None:
        """One of those that ask: as many as may ask at the same time."""
        for key, question in todo:
            if not self.over and self._end is None and self._seconds_left() <= 0:
                self.over = f"{self._limits.total_seconds:g} seconds"
            if self.over:
                return
            try:
                outcome = await self._judgement(question)
            except OverLimit as limit:
                self.over = str(limit)
                return
            except (JudgeTrouble, Unreadable) as problem:
                outcome = str(problem)
            self._num_settled += 1
            settled(key, outcome)

    async def _judgement(self, question: Question) -> Judgement:
        """Raises JudgeTrouble, Unreadable; OverLimit where nothing has been asked."""
        messages = messages_for(question)
        said = (await self._reply(messages)).text
        try:
            return parsed(said)
        except Unreadable as problem:
            why = str(problem)
        try:
            return parsed((await self._reply(repaired(messages, said, why))).text)
        except Unreadable as problem:
            raise Unreadable(f"The judge's answer is no judgement: {problem}") from None
        except OverLimit as limit:
            self.over = str(limit)
            raise Unreadable(f"The judge's answer is no judgement: {why}") from None

    async def _reply(self, messages: Sequence[Message]) -> Reply:
        """One answer, with as many tries as allowed. Raises JudgeTrouble; OverLimit before the first try."""
        trouble: JudgeTrouble | None = None
        for tried in itertools.count(1):
            await self._turn()
            try:
                return await self._one_try(messages)
            except OverLimit as limit:
                if trouble is None:
                    raise
                self.over = str(limit)
                raise trouble from None
            except JudgeTrouble as problem:
                trouble = problem
            await asyncio.sleep(self._patience_with(trouble, tried))
        raise AssertionError("unreachable")

    async def _turn(self) -> None:
        """Wait as long as the provider wants everybody to. Raises JudgeTrouble where it was given up."""
        while self._end is None and (wait := self._not_before - time.monotonic()) > 0:
            await asyncio.sleep(wait)
        if self._end is not None:
            raise self._end

    async def _one_try(self, messages: Sequence[Message]) -> Reply:
        """Raises JudgeTrouble, OverLimit."""
        share = self.purse.take(messages)
        seconds = max(0.01, min(self._limits.answer_seconds, self._seconds_left()))
        try:
            async with asyncio.timeout(seconds):
                reply = await self._judge.ask(messages, SCHEMA)
        except TimeoutError:
            self.purse.settle(share, None)
            raise JudgeTrouble(f"The judge did not answer within {seconds:.3g} seconds", is_passing=True) from None
        except BaseException:
            self.purse.give_back(share)
            raise
        self.purse.settle(share, reply)
        self._unanswered_in_a_row = 0
        return reply

    def _patience_with(self, trouble: JudgeTrouble, tried: int) -> float:
        """Seconds to wait before the next try: what the provider asks for, else twice as long each time, by chance a little
        less, so that those who were refused together do not come back together. Raises `trouble` where there is no next try."""
        if trouble.is_final:
            self._end = self._end or trouble
        if not trouble.is_passing:
            raise trouble
        left, asked_for = self._seconds_left(), trouble.retry_after
        if asked_for is not None and asked_for > left:
            self._end = JudgeTrouble(f"{trouble} (it asks for {asked_for:.0f} seconds of rest, more than are left)")
            raise self._end
        step = min(self._limits.longest_wait_seconds, self._limits.first_wait_seconds * 2.0 ** (tried - 1))
        wait = asked_for if asked_for is not None else step * random.uniform(0.5, 1)
        if tried >= self._limits.tries or wait > left:
            self._count_unanswered(trouble)
            raise trouble
        if asked_for:
            self._not_before = max(self._not_before, time.monotonic() + asked_for)
        return wait

    def _count_unanswered(self, trouble: JudgeTrouble) -> None:
        self._unanswered_in_a_row += 1
        if self._unanswered_in_a_row >= GIVE_UP_AFTER and self._end is None:
            self._end = JudgeTrouble(f"The judge was given up after {GIVE_UP_AFTER} failures in a row: {trouble}")

    def _seconds_left(self) -> float:
        return self._begun + self._limits.total_seconds - time.monotonic()
