"""JSON as a row of tags and texts, and back: how Donut writes what it reads off a page (DOC-1).

`{"total": "3", "items": [{"name": "a"}, {"name": "b"}]}` is
`<s_total>3</s_total><s_items><s_name>a</s_name><sep/><s_name>b</s_name></s_items>`. The form is that of Donut's own code
(arXiv 2111.15664, section 3.1); numbers are written as their digits, and all that is read back is text. Control plane.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

SEPARATOR = "<sep/>"
_TAG = re.compile(r"<(/?)s_([^<>\s]+)>|(<sep/>)")
_MARKS = re.compile(r"</?s_[^<>\s]*>|<sep/>")
_KEY = re.compile(r"[^<>\s/]+")
_DEEPEST = 20


def to_tags(value: Any) -> str:
    """`value` as tagged text.

    Raises ValueError, with the reason, for what could not be read back: lists in lists, keys that make no tag or the same one,
    texts that hold one.
    """
    return _written(value, in_list=False, depth=0)


def _written(value: Any, *, in_list: bool, depth: int) -> str:
    if depth > _DEEPEST:
        raise ValueError(f"it is nested more than {_DEEPEST} deep")
    if isinstance(value, dict):
        pieces = [f"<s_{key}>{_written(one, in_list=False, depth=depth + 1)}</s_{key}>" for key, one in _checked(value)]
        return "".join(pieces)
    if isinstance(value, list):
        if in_list:
            raise ValueError("it has a list inside a list; give the inner one a name")
        return SEPARATOR.join(_written(one, in_list=True, depth=depth + 1) for one in value)
    text = _as_text(value)
    if found := _MARKS.search(text):
        raise ValueError(f"a value holds the mark '{found.group()}'")
    return text


def _checked(value: dict[Any, Any]) -> Iterator[tuple[str, Any]]:
    seen: dict[str, str] = {}
    for key, one in value.items():
        name = _name(key)
        if not _KEY.fullmatch(name):
            raise ValueError(f"the key '{str(key)[:40]}' cannot be written as a tag: no < > or / in it, and not empty")
        if name in seen:  # what is read back would be a list under one key
            raise ValueError(
                f"the keys '{seen[name][:40]}' and '{str(key)[:40]}' are both written as <s_{name[:40]}>; call one of them"
                " something else, or leave it out"
            )
        seen[name] = str(key)
        yield name, one


def _name(key: Any) -> str:
    """What a key is called in its tags."""
    return str(key).replace(" ", "_")


def _as_text(value: Any) -> str:
    if value is None:
        return ""
    return str(value).lower() if isinstance(value, bool) else str(value)


def as_read(value: Any) -> Any:
    """`value` as it comes back from its tags: leaves as text, keys without blanks."""
    if isinstance(value, dict):
        return {_name(key): as_read(one) for key, one in value.items()}
    if isinstance(value, list):
        return [as_read(one) for one in value]
    return _as_text(value).strip()


def keys_of(value: Any) -> tuple[set[str], set[str]]:
    """All keys in `value`, and those of them that hold a list."""
    keys: set[str] = set()
    lists: set[str] = set()
    waiting = [value]
    while waiting:
        one = waiting.pop()
        if isinstance(one, dict):
            for key, inner in one.items():
                name = _name(key)
                keys.add(name)
                if isinstance(inner, list):
                    lists.add(name)
                waiting.append(inner)
        elif isinstance(one, list):
            waiting += one
    return keys, lists


def tags_for(keys: set[str]) -> list[str]:
    """The tokens that a tokenizer needs to know for these keys."""
    return [*(f"<{slash}s_{key}>" for key in sorted(keys) for slash in ("", "/")), SEPARATOR]


def to_json(text: str, lists: frozenset[str] | tuple[str, ...] = ()) -> Any:
    """What tagged text says. Tags that are not closed end where the text around them ends, closing ones that close nothing are
    left out: what a model writes half is read as far as it goes. Values of the keys in `lists` are lists, whatever their number.
    """
    tokens = _TAG.split(text)
    # split gives: text, slash, name, separator, text, slash, …
    items: list[tuple[str, str]] = []
    for place in range(0, len(tokens), 4):
        if tokens[place].strip():
            items.append(("text", tokens[place]))
        if place + 3 < len(tokens):
            slash, name, separator = tokens[place + 1 : place + 4]
            items.append(("separator", "") if separator else ("close" if slash else "open", name))
    value, _ = _parsed(items, 0, (), lists)
    return value


def _parsed(items: list[tuple[str, str]], at: int, inside: tuple[str, ...], lists: Any) -> tuple[Any, int]:
    """The value that begins at `at`, up to the tag that closes what it stands in."""
    entries: list[Any] = []
    fields: dict[str, Any] = {}
    texts: list[str] = []
    parted = False
    while at < len(items):
        kind, name = items[at]
        if kind == "close" and name in inside:
            break
        at += 1
        if kind == "text":
            texts.append(name)
        elif kind == "separator":
            entries.append(_value(fields, texts))
            fields, texts, parted = {}, [], True
        elif kind == "open" and len(inside) < _DEEPEST:
            inner, at = _parsed(items, at, (*inside, name), lists)
            if at < len(items) and items[at] == ("close", name):
                at += 1
            fields[name] = _joined(fields.get(name), _as_list(inner, name, lists))
    last = _value(fields, texts)
    return ([*entries, last] if parted else last), at


def _value(fields: dict[str, Any], texts: list[str]) -> Any:
    return fields or "".join(texts).strip()


def _as_list(value: Any, name: str, lists: Any) -> Any:
    return value if isinstance(value, list) or name not in lists else [value] if value != "" else []


def _joined(before: Any, value: Any) -> Any:
    """A key that comes twice holds both."""
    if before is None:
        return value
    return [*(before if isinstance(before, list) else [before]), *(value if isinstance(value, list) else [value])]
