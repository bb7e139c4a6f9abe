"""LLM judge: marks from 0 to 100 that another model gives, the mean of correctness, completeness and style (EVA-3)."""

from __future__ import annotations

import random
from collections.abc import Sequence

from lorasmith.core.errors import UsageProblem
from lorasmith.evaluation._base import Answered, Columns, How, Metric, Parts


class JudgeMarks(Metric):
    """All models' answers to the same rows are marked in one call, so that nothing tells the judge whose they are. Rows that it
    failed on have no parts."""

    name = "judge"
    title = "LLM judge"
    is_share = False

    def parts(self, row: Answered) -> Parts | None:
        raise NotImplementedError("a judge is asked for all rows at once")

    def measured(self, columns: Columns, how: How) -> dict[str, list[Parts | None]]:
        """Raises UsageProblem where no judge is named, or the one named is unknown or lacks its key."""
        from lorasmith.evaluation.judges import Question, get_judge, judged

        if not how.judge:
            raise UsageProblem(
                "No judge is named for the metric 'judge'", fix="Name one:  --judge ID   (docs/how-to/judge.md)"
            )
        judge = get_judge(how.judge)
        count = len(next(iter(columns.values())))
        chosen = sorted(random.Random(how.seed).sample(range(count), min(how.judge_rows, count)))
        questions = [
            Question(rows[index].prompt, rows[index].wanted, rows[index].answer)
            for rows in columns.values()
            for index in chosen
        ]
        found = judged(judge, questions, on_progress=how.on_event, seed=how.seed)
        how.notes.extend(found.remarks())
        parts: dict[str, list[Parts | None]] = {}
        for number, name in enumerate(columns):
            own = found.part(number * len(chosen), (number + 1) * len(chosen))
            how.notes.append(f"{name}: {own.describe()}")
            marks = dict(zip(chosen, own.rows, strict=True))
            parts[name] = [
                (one.score, one.correctness, one.completeness, one.style) if (one := marks.get(index)) else None
                for index in range(count)
            ]
        return parts

    def total(self, parts: Sequence[Parts]) -> dict[str, float]:
        score, correctness, completeness, style = (sum(side) / len(parts) for side in zip(*parts, strict=True))
        return {
            self.name: score,
            "judge_correctness": correctness,
            "judge_completeness": completeness,
            "judge_style": style,
        }


plugin = JudgeMarks()
