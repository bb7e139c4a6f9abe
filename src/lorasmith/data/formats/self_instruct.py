"""Self-Instruct: one instruction and several instances of it, each with an input and an output."""

from __future__ import annotations

from typing import Any

from lorasmith.data.examples import Example, Format, RowProblem, kind_of, pair, text_of


class SelfInstruct(Format):
    name = "self-instruct"
    title = "JSON or JSONL with instruction and instances of input/output; every instance is an example"
    example = '{"instruction": "Add up.", "instances": [{"input": "2 and 2", "output": "4"}]}'

    def claims(self, row: dict[str, Any]) -> bool:
        return "instruction" in row and "instances" in row

    def read(self, line: int, row: dict[str, Any]) -> list[Example]:
        instruction = text_of(row, "instruction")
        instances = row.get("instances")
        if not isinstance(instances, list) or not instances:
            found = "an empty list" if instances == [] else kind_of(instances)
            raise RowProblem(f"'instances' must be a list of objects with input and output, found {found}")
        return [Example(line, pair(*_turns(instruction, entry))) for entry in instances]


def _turns(instruction: str, instance: Any) -> tuple[str, str]:
    if not isinstance(instance, dict):
        raise RowProblem(f"'instances' must hold objects with input and output, found {kind_of(instance)}")
    extra = text_of(instance, "input", required=False)
    return f"{instruction}\n\n{extra}" if extra else instruction, text_of(instance, "output")


plugin = SelfInstruct()
