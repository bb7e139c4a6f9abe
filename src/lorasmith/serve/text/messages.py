"""A request's conversation in the words of chat templates: roles, parts of contents, thoughts, calls of tools and their results.

It takes what clients of OpenAI's API send, and says of anything else where it stands and what is wrong with it.
"""

from __future__ import annotations

import json
from hashlib import blake2b
from typing import Any, cast

from lorasmith.core.errors import UsageProblem
from lorasmith.data.examples import Message, Role, kind_of
from lorasmith.families._calls import TextCall
from lorasmith.serve.nesting import is_too_deep

_ROLES: dict[str, Role] = {
    "system": "system", "developer": "system", "user": "user", "assistant": "assistant", "tool": "tool", "function": "tool",
}  # fmt: skip
_TEXT_PARTS = ("text", "input_text", "output_text", "refusal")
_MEDIA_PARTS = {
    "image": "image", "image_url": "image", "input_image": "image", "audio": "audio", "input_audio": "audio",
    "audio_url": "audio",
}  # fmt: skip
_TOOLS_RIGHT = (
    '{"type": "function", "function": {"name": "weather", "parameters": {"type": "object", "properties": {}}}}'
)


def messages_of(call: TextCall, *, reads_parts: bool, needs_parts: bool) -> list[Message]:
    """The conversation, the system's words first. Raises UsageProblem, with the index of the message.

    Contents are texts, or lists of parts where the template needs them or where a picture stands among them.
    """
    if call.prompt:
        messages: list[Message] = [{"role": "user", "content": call.prompt}]
    else:
        messages = [_message(given, index) for index, given in enumerate(call.messages)]
    if call.system:
        messages = _with_system(messages, call.system)
    _name_results(messages)
    for index, message in enumerate(messages):
        _set_content(message, index, reads_parts=reads_parts, needs_parts=needs_parts)
    return messages


def _with_system(messages: list[Message], system: str) -> list[Message]:
    """One system turn, for most templates know no second one."""
    if not messages or messages[0]["role"] != "system":
        return [{"role": "system", "content": system}, *messages]
    parts: Any = messages[0]["content"]
    joined: Any = [{"type": "text", "text": f"{system}\n\n"}, *cast(list[Any], parts)]
    return [{**messages[0], "content": joined}, *messages[1:]]


def _message(given: dict[str, Any], index: int) -> Message:
    """One turn, its content as a list of parts."""
    name = given.get("role")
    role = _ROLES.get(name) if isinstance(name, str) else None
    if role is None:
        said = f"the unknown role '{str(name)[:60]}'" if name is not None else "no role"
        raise _wrong(index, f"has {said}", fix=f"Known roles: {', '.join(_ROLES)}.", param=f"messages.{index}.role")
    message: Any = {"role": role, "content": _parts(given.get("content"), index, role)}
    if role == "assistant":
        if calls := _calls(given, index):
            message["tool_calls"] = calls
        thought = given.get("reasoning_content") or given.get("reasoning")
        if isinstance(thought, str):
            message["reasoning_content"] = thought
    for key in ("tool_call_id", "name") if role == "tool" else ():
        if isinstance(given.get(key), str):
            message[key] = given[key]
    return message


def _parts(content: Any, index: int, role: Role) -> list[dict[str, Any]]:
    if isinstance(content, str):
        return [{"type": "text", "text": content}]
    if isinstance(content, list):
        return [_part(part, index) for part in content]
    if content is None and role == "assistant":
        return []
    if role == "tool" and isinstance(content, (dict, int, float)):
        return [{"type": "text", "text": json.dumps(content, ensure_ascii=False)}]
    said = "has no content" if content is None else f"has {kind_of(content)} for a content"
    raise _wrong(index, said, fix='{"role": "user", "content": "Hello"}', param=f"messages.{index}.content")


def _part(part: Any, index: int) -> dict[str, Any]:
    kind = part.get("type") if isinstance(part, dict) else None
    if isinstance(part, str):
        return {"type": "text", "text": part}
    if kind in _TEXT_PARTS and isinstance(text := part.get("text", part.get("refusal")), str):
        return {"type": "text", "text": text}
    if isinstance(kind, str) and kind in _MEDIA_PARTS:
        return {"type": _MEDIA_PARTS[kind]}
    known = ", ".join([*_TEXT_PARTS, *_MEDIA_PARTS])
    said = (
        f"holds a part of the unknown type '{str(kind)[:60]}'"
        if kind not in _TEXT_PARTS
        else "holds a text part without text"
    )
    raise _wrong(index, said, fix=f"Known types: {known}.", param=f"messages.{index}.content")


def _set_content(message: Message, index: int, *, reads_parts: bool, needs_parts: bool) -> None:
    content: Any = message["content"]
    parts: list[dict[str, Any]] = [{"type": "text", "text": content}] if isinstance(content, str) else content
    media = next((part["type"] for part in parts if part["type"] != "text"), "")
    if media and not reads_parts:
        where = f"messages.{index}.content"
        raise _wrong(index, f"holds a part of the type '{media}'", fix="This model reads text only.", param=where)
    if media or needs_parts:
        message["content"] = cast(Any, parts)
    else:
        message["content"] = "".join(part["text"] for part in parts)


def _calls(given: dict[str, Any], index: int) -> list[dict[str, Any]]:
    """The turn's calls of tools, arguments as objects."""
    calls = given.get("tool_calls")
    if not calls and given.get("function_call"):
        calls = [{"function": given["function_call"]}]
    if not calls:
        return []
    if not isinstance(calls, list):
        raise _wrong(
            index, f"has {kind_of(calls)} for tool_calls", fix="They are a list.", param=f"messages.{index}.tool_calls"
        )
    return [_call(call, index) for call in calls]


def _call(call: Any, index: int) -> dict[str, Any]:
    function = call.get("function") if isinstance(call, dict) else None
    name = function.get("name") if isinstance(function, dict) else None
    arguments: Any = (function.get("arguments") if isinstance(function, dict) else None) or {}
    if isinstance(arguments, str):
        try:
            arguments = json.loads(arguments) if arguments.strip() else {}
        except (ValueError, RecursionError):
            arguments = None
    if not isinstance(name, str) or not isinstance(arguments, dict) or is_too_deep(arguments):
        raise _wrong(
            index, "holds a tool call that has no name, or whose arguments are no JSON object",
            fix='{"id": "call_1", "type": "function", "function": {"name": "weather", "arguments": "{\\"city\\": \\"Oslo\\"}"}}',
            param=f"messages.{index}.tool_calls",
        )  # fmt: skip
    made = {"type": "function", "function": {"name": name, "arguments": arguments}}
    return {"id": call["id"], **made} if isinstance(call.get("id"), str) else made


def _name_results(messages: list[Message]) -> None:
    """Some templates write the name of the function beside its result, which clients leave out: the call says it."""
    names: dict[str, str] = {}
    for message in messages:
        for call in message.get("tool_calls", ()):
            if "id" in call:
                names[call["id"]] = call["function"]["name"]
        if message["role"] == "tool" and "name" not in message and message.get("tool_call_id") in names:
            message["name"] = names[message.get("tool_call_id", "")]


def rename_thoughts(messages: list[Message], template: str) -> None:
    """What the assistant thought, under the name that the template reads."""
    if "reasoning_content" in template:
        return
    for message in messages:
        thought = message.pop("reasoning_content", "")
        if "tool_calls" in message and message["content"]:
            continue  # gpt-oss takes either words or thoughts beside a call
        if thought and "thinking" in template:
            message["thinking"] = thought


def shorten_ids(messages: list[Message]) -> None:
    """Ids of calls with nine letters or digits, which Mistral's templates insist on."""
    for message in messages:
        for call in message.get("tool_calls", ()):
            call["id"] = _nine(call.get("id", ""))
        if "tool_call_id" in message:
            message["tool_call_id"] = _nine(message["tool_call_id"])


def _nine(id_: str) -> str:
    if len(id_) == 9 and id_.isalnum():
        return id_
    return blake2b(id_.encode(), digest_size=8).hexdigest()[:9]


def tools_of(call: TextCall) -> list[dict[str, Any]]:
    """The functions that the model may call; none where the request forbids it. Raises UsageProblem."""
    names = [tool["function"]["name"] for tool in call.tools]
    if call.tool_choice not in ("auto", "none", "required", *names):
        raise UsageProblem(
            f"tool_choice names '{call.tool_choice[:60]}', which is none of the tools",
            fix=f"There are: {', '.join(names) or 'none'}.",
            param="tool_choice",
        )
    if call.tool_choice == "required" and not names:
        raise UsageProblem("tool_choice is 'required', and there are no tools", fix=_TOOLS_RIGHT, param="tool_choice")
    return [] if call.tool_choice == "none" else call.tools


def _wrong(index: int, said: str, *, fix: str, param: str) -> UsageProblem:
    return UsageProblem(f"Message {index} {said}", fix=fix, param=param)
