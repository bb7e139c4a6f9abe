"""How near an answer's JSON is to the wanted one as a tree: 1 - edits / edits from nothing, as Donut is measured.

The tree edit distance is Zhang and Shasha's (SIAM J. Comput. 18, 1989), by the library zss; the normalisation is that of
Donut's own code (arXiv 2111.15664, section 4.1: "TED based accuracy").
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from lorasmith.evaluation._base import Answered, Metric, Parts, sums
from lorasmith.evaluation._json import read_json
from lorasmith.evaluation._libraries import need

_MOST_NODES = 2000  # the distance takes the square of them


class JsonTree(Metric):
    """Rows whose wanted answer is no JSON object or list say nothing; an answer that is no JSON is as good as none."""

    name = "json_tree"
    title = "JSON tree accuracy"

    def parts(self, row: Answered) -> Parts | None:
        wanted, given = read_json(row.wanted), read_json(row.answer)
        if not isinstance(wanted, dict | list):
            return None
        zss = need("zss")
        tree = _tree(zss, wanted)
        other = _tree(zss, given if isinstance(given, dict | list) else {})
        size = _size(tree)
        if size > _MOST_NODES or _size(other) > _MOST_NODES:
            return (0.0,)
        distance = zss.distance(tree, other, zss.Node.get_children, _one, _one, _renamed)
        return (max(0.0, 1 - distance / max(1, size - 1)),)

    def total(self, parts: Sequence[Parts]) -> dict[str, float]:
        return {self.name: sums(parts)[0] / len(parts)}


def _tree(zss: Any, value: Any, name: str = "") -> Any:
    """Keys in the order of their names; entries of a list in their own."""
    node = zss.Node(name)
    if isinstance(value, dict):
        for key in sorted(value):
            node.addkid(_tree(zss, value[key], f"key:{key}"))
    elif isinstance(value, list):
        for one in value:
            node.addkid(_tree(zss, one, "entry"))
    else:
        node.addkid(zss.Node(f"value:{str(value).strip()}"))
    return node


def _size(node: Any) -> int:
    return 1 + sum(_size(child) for child in node.children)


def _one(_: Any) -> int:
    return 1


def _renamed(one: Any, other: Any) -> int:
    return int(one.label != other.label)


plugin = JsonTree()
