"""Many questions to one judge, and what came of them (EVA-3). It knows no provider."""

from __future__ import annotations

import asyncio
import random
import threading
from collections.abc import Callable, Coroutine, Sequence
from typing import Any

from lorasmith.core.errors import LorasmithError
from lorasmith.core.events import Progress
from lorasmith.evaluation.judges._base import Judge, Judgement, Limits, Question
from lorasmith.evaluation.judges._cache import Cache
from lorasmith.evaluation.judges._judgements import Failure, Judgements
from lorasmith.evaluation.judges._session import Session

OnProgress = Callable[[Progress], None]


def judged(
    judge: Judge, questions: Sequence[Question], *, on_progress: OnProgress = lambda _: None,
    limits: Limits | None = None, seed: int = 0, cache: Cache | None = None,
) -> Judgements:  # fmt: skip
    """Mark all answers; row i of what comes back belongs to question i. It ends after `limits.total_seconds`, whatever the judge
    does.

    Give the answers of all models in one call: they are asked in an order that `seed` shuffles, those to one question near each
    other, so that a limit cuts the same rows of every model. Equal questions are asked once. Without `limits` the judge's own
    hold. What goes wrong with the judge becomes failures in what is returned, never a score and never an error.
    """
    return _run(judged_async(judge, questions, on_progress=on_progress, limits=limits, seed=seed, cache=cache))


async def judged_async(
    judge: Judge, questions: Sequence[Question], *, on_progress: OnProgress = lambda _: None,
    limits: Limits | None = None, seed: int = 0, cache: Cache | None = None,
) -> Judgements:  # fmt: skip
    """`judged`, for those who have an event loop."""
    cache = cache or Cache()
    keys = [cache.key(judge, question) for question in questions]
    known = {key: judgement for key in dict.fromkeys(keys) if (judgement := cache.get(key))}
    found: dict[str, Judgement | str] = dict(known)
    todo = {keys[row]: questions[row] for row in order_of(questions, seed) if keys[row] not in found}
    session = Session(judge, limits or judge.spec.limits)

    def settled(key: str, outcome: Judgement | str) -> None:
        found[key] = outcome
        if isinstance(outcome, Judgement):
            cache.put(key, outcome)
        on_progress(_progress(sum(key in found for key in keys), len(keys), session.rate))

    try:
        if todo:
            await session.hold(todo, settled)
    except LorasmithError as problem:  # the judge could not be opened, or not be asked at all
        for key in [key for key in todo if key not in found]:
            settled(key, f"The judge could not be asked: {' '.join(str(problem).split())}")
    if keys and (len(found) < len(set(keys)) or not todo):
        on_progress(_progress(len(keys), len(keys), session.rate))  # nobody else is asked
    return _outcome(keys, found, todo, session)


def order_of(questions: Sequence[Question], seed: int) -> list[int]:
    """Rows in the order in which they are asked: those to one question together; both groups and rows in them shuffled."""
    rng = random.Random(seed)
    groups: dict[tuple[str, str], list[int]] = {}
    for row, question in enumerate(questions):
        groups.setdefault((question.prompt, question.wanted), []).append(row)
    shuffled = list(groups.values())
    rng.shuffle(shuffled)
    for group in shuffled:
        rng.shuffle(group)
    return [row for group in shuffled for row in group]


def _progress(done: int, total: int, rate: float | None) -> Progress:
    left = (total - done) / rate if rate else None
    return Progress(stage="judge", done=done, total=total, unit="answers", rate=rate, seconds_left=left)


def _outcome(
    keys: list[str], found: dict[str, Judgement | str], todo: dict[str, Question], session: Session
) -> Judgements:
    outcomes = [found.get(key) for key in keys]
    rows = tuple(outcome if isinstance(outcome, Judgement) else None for outcome in outcomes)
    num_judged_now = sum(isinstance(found.get(key), Judgement) for key in todo)
    spent = session.purse.spent
    return Judgements(
        rows=rows,
        failures=tuple(Failure(row, outcome) for row, outcome in enumerate(outcomes) if isinstance(outcome, str)),
        not_asked=tuple(row for row, outcome in enumerate(outcomes) if outcome is None), limit=session.over,
        calls=spent.calls, input_tokens=spent.input_tokens, output_tokens=spent.output_tokens,
        cost=session.purse.cost, cached=sum(row is not None for row in rows) - num_judged_now,
    )  # fmt: skip


def _run(work: Coroutine[Any, Any, Judgements]) -> Judgements:
    """Runs it to its end; in a thread of its own where this one has an event loop already, as notebooks have."""
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return asyncio.run(work)
    done: list[Judgements | BaseException] = []

    def inside() -> None:
        try:
            done.append(asyncio.run(work))
        except BaseException as error:  # noqa: BLE001  raised again where it was asked for
            done.append(error)

    thread = threading.Thread(target=inside, name="judge")
    thread.start()
    thread.join()
    if isinstance(done[0], BaseException):
        raise done[0]
    return done[0]
