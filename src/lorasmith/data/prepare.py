"""Examples rendered once into an Arrow file that training and evaluation read from disk, and the facts about them.

It streams: memory stays flat however long the file of examples is. Nothing is cut here; `render.truncate` does that later.
"""

from __future__ import annotations

import itertools
from array import array
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from hashlib import blake2b
from pathlib import Path
from typing import Any, Literal

import pyarrow as pa

from lorasmith.core.errors import DataProblem
from lorasmith.core.facts import PREFERENCES, DataFacts, Objective
from lorasmith.data.examples import Example
from lorasmith.data.load import Source
from lorasmith.data.pairs import Pairs
from lorasmith.data.render import Span, TokenRow, render_rows, require_template
from lorasmith.data.tokenizer import Tokenizer

BATCH_ROWS = 512
SCHEMA = pa.schema(
    [
        ("ids", pa.list_(pa.int32())),
        ("spans", pa.list_(pa.int32())),  # start, stop, start, stop …
        ("key", pa.uint64()),
    ]
)
# Preferences have a second answer beside the first, with its spans, and single judgements say which they are.
PAIR_SCHEMA = pa.schema(
    [*SCHEMA, ("rejected", pa.list_(pa.int32())), ("rejected_spans", pa.list_(pa.int32())), ("is_good", pa.bool_())]
)
_KEY_SPACE = 2**64
LAST_KEY = _KEY_SPACE - 1
"""Of a row that is never held out."""
Rendered = tuple[list[Example], list[TokenRow]]
OnRows = Callable[[list[Example], list[TokenRow]], None]


def prepare(
    source: Source, tokenizer: Tokenizer, out: Path, *, objective: Objective, eval_fraction: float, seed: int,
    learn_all: bool = False, on_rows: OnRows | None = None,
) -> DataFacts:  # fmt: skip
    """Render every example of `source` into the Arrow stream `out` and say what is in it.

    `on_rows`, if given, is called with some examples after another and their token rows. Raises DataProblem where no row can be
    used.
    """
    lengths, tokens, supervised, answers, largest_id = array("I"), 0, 0, 0, -1
    keys = array("Q")
    digest = blake2b(digest_size=32)
    schema = PAIR_SCHEMA if objective in PREFERENCES else SCHEMA
    with pa.OSFile(str(out), "wb") as file, pa.ipc.new_stream(file, schema) as writer:
        for examples, rows in _batches(source, tokenizer, objective, learn_all):
            if on_rows:
                on_rows(examples, rows)
            for row in rows:
                lengths.append(max(len(row.ids), len(row.rejected)))
                tokens += len(row.ids) + len(row.rejected)
                supervised += row.num_supervised + (row.num_rejected if objective != "kto" else 0)
                answers = max(answers, max((stop - start for start, stop in row.spans + row.rejected_spans), default=0))
                largest_id = max(largest_id, max(row.ids, default=-1), max(row.rejected, default=-1))
                keys.append(split_key(row.key, seed))
                digest.update(row.key.to_bytes(8, "big"))
            writer.write_batch(_arrow(rows, keys[-len(rows) :], schema))
    if not lengths:
        raise DataProblem(
            f"No row of '{source.path.name}' could be used", why=first_problems(source), fix="Repair the file."
        )
    threshold = threshold_of(keys, eval_fraction)
    num_validation = sum(key < threshold for key in keys)
    ordered = sorted(lengths)
    return DataFacts(
        format=source.format.name,
        objective=objective,
        num_rows=len(lengths),
        num_train=len(lengths) - num_validation,
        num_validation=num_validation,
        num_bad_rows=source.bad_rows.count,
        num_tokens=tokens,
        num_supervised_tokens=supervised,
        length_p50=quantile(ordered, 0.5),
        length_p995=quantile(ordered, 0.995),
        length_max=ordered[-1],
        max_answer_tokens=answers,
        largest_id=largest_id,
        threshold=threshold,
        sha256=digest.hexdigest(),
    )


def _batches(source: Source, tokenizer: Tokenizer, objective: Objective, learn_all: bool) -> Iterator[Rendered]:
    examples = iter(source)
    render = partial(render_rows, tokenizer=tokenizer, learn_all=learn_all or objective == "pretrain")
    if objective in PREFERENCES:
        render = Pairs(tokenizer, mismatched=objective == "kto").render
    while batch := list(itertools.islice(examples, BATCH_ROWS)):
        _check(batch, objective, source)
        if objective == "sft":  # what was disliked is nothing to imitate
            batch = [example for example in batch if example.is_good is not False]
        if batch:
            yield _rendered(batch, tokenizer, source, render)


def _rendered(
    batch: list[Example], tokenizer: Tokenizer, source: Source, render: Callable[[list[Example]], list[TokenRow]]
) -> Rendered:
    """The batch with its token rows. Where a row cannot be rendered, that row is named, or left out if bad rows may be."""
    require_template(batch, source.format.name, tokenizer)
    try:
        return batch, render(batch)
    except DataProblem:
        rows: list[TokenRow] = []
        kept: list[Example] = []
        for example in batch:
            try:
                rows += render([example])
                kept.append(example)
            except DataProblem as problem:
                if not source.skip_bad_rows:
                    problem.what = f"{source.where(example)}: {problem.what}"
                    raise
                source.bad_rows.add(example.line, problem.what)
        return kept, rows


def _check(batch: list[Example], objective: Objective, source: Source) -> None:
    for example in batch:
        if example.needs or not source.format.objectives:
            raise _not_language(example, source)
    if objective == "sft" and batch[0].is_text:
        raise DataProblem(
            f"'{source.path.name}' holds texts without answers",
            why="Supervised training needs a question and an answer in every row.",
            fix="Use --objective pretrain to learn the texts themselves.",
        )


def _not_language(example: Example, source: Source) -> DataProblem:
    cures = "Give rows of questions and answers, or of text (see docs/how-to/data.md)."
    if source.format.name == "labelled" and example.text:
        cures = "To let it write the label as its answer: --columns prompt=text,completion=label"
    elif example.images or example.audio:
        cures += " To learn from their text alone: --columns text=… or prompt=…,completion=…"
    needed = example.needs or source.format.name
    return DataProblem(
        f"{source.where(example)} needs a model that knows {needed}; a language model reads text only",
        why=f"The data was read as {source.format.name}. Training on such rows is not built yet.",
        fix=cures,
        line=example.line,
    )


def first_problems(source: Source) -> str:
    return "; ".join(f"line {line}: {reason}" for line, reason in source.bad_rows.problems[:3])


def _arrow(rows: list[TokenRow], keys: Iterable[int], schema: pa.Schema) -> pa.RecordBatch:
    columns: list[list[Any]] = [[row.ids for row in rows], [_edges(row.spans) for row in rows], list(keys)]
    if "rejected" in schema.names:
        columns += [[row.rejected for row in rows], [_edges(row.rejected_spans) for row in rows]]
        columns += [[row.is_good for row in rows]]
    return pa.record_batch(columns, schema=schema)


def _edges(spans: list[Span]) -> list[int]:
    return [edge for span in spans for edge in span]


def split_key(key: int, seed: int) -> int:
    """A number that decides on which side of the split a row falls: by its content and the seed alone."""
    return int.from_bytes(blake2b(key.to_bytes(8, "big") + seed.to_bytes(8, "big"), digest_size=8).digest(), "big")


def threshold_of(keys: array[int], eval_fraction: float) -> int:
    """The key below which a row is for validation; with few rows, high enough that there is one of either kind."""
    threshold = int(eval_fraction * _KEY_SPACE)
    if not threshold or len(set(keys[:100])) < 2 or len(keys) < 5:
        return 0
    low, high = min(keys), max(keys)
    return min(max(threshold, low + 1), high)


def quantile(ordered: list[int], share: float) -> int:
    """The smallest value that at least `share` of the sorted values do not exceed."""
    return ordered[min(len(ordered) - 1, max(0, -int(-share * len(ordered) // 1) - 1))]


def read_rows(path: Path, threshold: int, part: Literal["train", "validation", "all"]) -> Iterator[TokenRow]:
    """The rows of one part, in file order, from the Arrow stream that `prepare` wrote."""
    with pa.memory_map(str(path)) as file, pa.ipc.open_stream(file) as reader:
        for batch in reader:
            columns = (batch.column(name).to_pylist() for name in SCHEMA.names)
            for ids, edges, key in zip(*columns, strict=True):
                if part == "all" or (key < threshold) == (part == "validation"):
                    yield TokenRow(ids, list(zip(edges[::2], edges[1::2], strict=True)), key)
