"""Turns of a conversation under any of the usual names, with calls of tools and what they gave back.

It knows the shapes that datasets use; how a template writes them is `render`'s and `tokenizer`'s matter.
"""

from __future__ import annotations

from typing import Any

import orjson

from lorasmith.data.examples import Message, Role, RowProblem, as_text, kind_of, names_of

ROLES: dict[str, Role] = {
    "system": "system",
    "developer": "system",
    "user": "user",
    "human": "user",
    "prompter": "user",
    "assistant": "assistant",
    "gpt": "assistant",
    "bot": "assistant",
    "model": "assistant",
    "chatgpt": "assistant",
    "function_call": "assistant",
    "tool": "tool",
    "function": "tool",
    "observation": "tool",
    "function_response": "tool",
    "ipython": "tool",
}
PLACEHOLDERS = {"images": "<image>", "audio": "<audio>"}
_MEDIA_PARTS = {
    "image": "images", "image_url": "images", "input_image": "images",
    "audio": "audio", "audio_url": "audio", "input_audio": "audio",
}  # fmt: skip
Media = dict[str, list[str]]


def messages_of(value: Any, *, media: Media | None = None, need_answer: bool = True) -> list[Message]:
    """A list of turns as `role`/`content` or `from`/`value`.

    Pictures and recordings in them go into `media` by name, those without one as "". Raises RowProblem for unknown roles,
    empty conversations and turns without text.
    """
    if not isinstance(value, list):
        raise RowProblem(f"the conversation must be a list of turns, found {kind_of(value)}")
    messages = [_plain(turn) or _message(turn, number, media) for number, turn in enumerate(value, 1)]
    if need_answer and not any(message["role"] == "assistant" for message in messages):
        raise RowProblem("there is no answer: no turn of the assistant" if messages else "the conversation is empty")
    return messages


def _plain(turn: Any) -> Message | None:
    """A turn of a role and a text, which nearly all are: the quick way."""
    if isinstance(turn, dict) and len(turn) == 2:
        name, content = turn.get("role", turn.get("from")), turn.get("content", turn.get("value"))
        if isinstance(content, str) and isinstance(name, str) and name != "function_call" and name in ROLES:
            return {"role": ROLES[name], "content": content}
    return None


def _message(turn: Any, number: int, media: Media | None) -> Message:
    if not isinstance(turn, dict):
        raise RowProblem(f"turn {number} must be an object with 'role' and 'content', found {kind_of(turn)}")
    name = turn.get("role", turn.get("from"))
    if name is None:
        raise RowProblem(f"turn {number} must be an object with 'role' and 'content', found {names_of(turn)}")
    role = ROLES.get(name.lower()) if isinstance(name, str) else None
    if role is None:
        raise RowProblem(f"turn {number} has the unknown role '{str(name)[:60]}'; known: {', '.join(sorted(ROLES))}")
    content = turn.get("content", turn.get("value"))
    calls = _calls(turn, number)
    if name.lower() == "function_call" and not calls:
        calls, content = _calls({"tool_calls": _call_text(content, number)}, number), None
    message: Message = {"role": role, "content": _content(content, number, role, bool(calls), media)}
    if calls:
        if role != "assistant":
            raise RowProblem(f"turn {number} calls a tool, but is not the assistant's")
        message["tool_calls"] = calls
    _carry(turn, message, number)
    return message


def _carry(turn: dict[str, Any], message: Message, number: int) -> None:
    """Fields that templates know are handed through."""
    keys = ("tool_call_id", "name") if message["role"] == "tool" else ()
    for key in keys or (("reasoning_content", "thinking") if message["role"] == "assistant" else ()):
        if turn.get(key):
            message[key] = as_text(turn[key], f"{key}' of turn '{number}")


def _call_text(value: Any, number: int) -> list[Any]:
    """ShareGPT's function_call: one call or several, mostly as JSON in a string."""
    calls = _json(value) if isinstance(value, str) else value
    if isinstance(calls, dict):
        return [calls]
    if isinstance(calls, list) and calls:
        return calls
    raise RowProblem(f"turn {number} must call a function by name and arguments in JSON, found: {str(value)[:60]}")


def _json(text: str) -> Any:
    try:
        return orjson.loads(text)
    except orjson.JSONDecodeError:
        return None


def _calls(turn: dict[str, Any], number: int) -> list[dict[str, Any]]:
    """The turn's calls in the form that chat templates take: arguments as an object."""
    calls = turn.get("tool_calls")
    if not calls and turn.get("function_call"):
        calls = [turn["function_call"]]
    if not calls:
        return []
    if isinstance(calls, str):
        calls = _json(calls)
    if not isinstance(calls, list):
        raise RowProblem(f"'tool_calls' of turn {number} must be a list, found {kind_of(calls)}")
    return [_call(call, number) for call in calls]


def _call(call: Any, number: int) -> dict[str, Any]:
    function = call.get("function", call) if isinstance(call, dict) else None
    name = function.get("name") if isinstance(function, dict) else None
    if not isinstance(function, dict) or not isinstance(name, str) or not name:
        raise RowProblem(f"a tool call in turn {number} has no name; it is an object with 'name' and 'arguments'")
    arguments = function.get("arguments", function.get("parameters"))
    if isinstance(arguments, str) and arguments.strip():
        arguments = _json(arguments)
    elif not arguments:
        arguments = {}
    if not isinstance(arguments, dict):
        raise RowProblem(f"the arguments of '{name[:60]}' in turn {number} must be a JSON object")
    made: dict[str, Any] = {"type": "function", "function": {"name": name, "arguments": arguments}}
    if isinstance(call, dict) and isinstance(call.get("id"), str):
        made["id"] = call["id"]
    return plain_json(made, f"a tool call in turn {number}")


def plain_json(value: Any, name: str) -> Any:
    """`value`, if it can be written as JSON: tables may hold dates and bytes. Raises RowProblem."""
    try:
        orjson.dumps(value)
    except (TypeError, ValueError) as error:
        raise RowProblem(f"{name} cannot be written as JSON: {error}") from error
    return value


def tools_of(row: dict[str, Any]) -> list[dict[str, Any]]:
    """The functions that a row declares under `tools`, as JSON schemas; they may stand in a string. Raises RowProblem."""
    tools = row.get("tools") or row.get("functions")
    if isinstance(tools, str):
        tools = _json(tools) if tools.strip() else []
        if tools is None:
            raise RowProblem("'tools' is no JSON")
    if not tools:
        return []
    if not isinstance(tools, list):
        raise RowProblem(f"'tools' must be a list of functions, found {kind_of(tools)}")
    return [_tool(tool) for tool in tools]


def _tool(tool: Any) -> dict[str, Any]:
    function = tool.get("function", tool) if isinstance(tool, dict) else None
    if not isinstance(function, dict) or not isinstance(function.get("name"), str):
        raise RowProblem("each of 'tools' must be an object with a 'name'")
    return plain_json(tool if function is not tool else {"type": "function", "function": function}, "a tool")


def _content(value: Any, number: int, role: Role, calls: bool, media: Media | None) -> str:
    if isinstance(value, str):
        return value
    if value is None and calls:
        return ""
    if isinstance(value, list) and value:
        return "".join(_part(part, number, media) for part in value)
    if role == "tool" and isinstance(value, (dict, list, int, float)):
        return orjson.dumps(plain_json(value, f"turn {number}")).decode()
    raise RowProblem(f"turn {number} has no text" + ("" if value is None else f", but {kind_of(value)}"))


def _part(part: Any, number: int, media: Media | None) -> str:
    if isinstance(part, str):
        return part
    kind = part.get("type") if isinstance(part, dict) else None
    if kind in ("text", "input_text", "output_text"):
        return as_text(part.get("text"), f"text' of turn '{number}")
    group = _MEDIA_PARTS.get(kind) if isinstance(kind, str) else None
    if group is None or not isinstance(part, dict):
        raise RowProblem(f"turn {number} holds a part of the unknown type '{str(kind)[:60]}'")
    found = next((part[key] for key in (kind, "image", "audio", "path", "url", "file") if part.get(key)), None)
    if isinstance(found, dict):
        found = next((found[key] for key in ("url", "path", "data") if found.get(key)), None)
    if found is not None and not isinstance(found, str):
        raise RowProblem(f"the part of type '{kind}' in turn {number} must name a file, found {kind_of(found)}")
    if media is not None:
        media.setdefault(group, []).append(found or "")
    return PLACEHOLDERS[group]
