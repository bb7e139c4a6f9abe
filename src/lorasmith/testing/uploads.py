"""What the Hub for tests takes: repositories made, files uploaded, commits; by the routes that the real client uses.

Large files come as Git LFS objects, before the commit that names them; a commit is seen whole or not at all.
"""

from __future__ import annotations

import base64
import hashlib
import json
from http import HTTPStatus
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from lorasmith.testing.hub import HubServer

Answer = tuple[HTTPStatus, Any]
_BY_LFS = (".safetensors", ".gguf", ".bin")


def uploaded(hub: HubServer, method: str, steps: list[str], body: bytes, *, is_known: bool) -> Answer | None:
    """The answer to a request that brings something, or asks who asks; None where it is of another kind."""
    is_asked = steps[:2] == ["api", "whoami-v2"]
    if not is_asked and method not in ("POST", "PUT"):
        return None
    if method == "PUT":  # its address is the permission
        return _object(hub, steps[1], body)
    if not is_known:
        return HTTPStatus.UNAUTHORIZED, {"error": "Invalid username or password."}
    if is_asked:
        return HTTPStatus.OK, {"type": "user", "name": hub.user, "auth": {"type": "access_token"}}
    return _posted(hub, steps, body)


def _posted(hub: HubServer, steps: list[str], body: bytes) -> Answer:
    if steps[:2] == ["api", "validate-yaml"]:
        return HTTPStatus.OK, {"errors": [], "warnings": []}
    if steps[:3] == ["api", "repos", "create"]:
        return _create(hub, json.loads(body))
    if steps[-1] == "batch":
        return _batch(hub, json.loads(body))
    repository = "/".join(steps[2:4])
    if not (hub.root / repository).is_dir():
        return HTTPStatus.NOT_FOUND, {"error": "Repository not found"}
    return _preupload(json.loads(body)) if steps[4] == "preupload" else _commit(hub, repository, body)


def _create(hub: HubServer, asked: dict[str, Any]) -> Answer:
    from lorasmith.testing.hub import Rules

    repository = f"{asked.get('organization') or hub.user}/{asked['name']}"
    if not repository.startswith(f"{hub.user}/"):
        return HTTPStatus.FORBIDDEN, {"error": f"You don't have the rights to create a model under {repository}"}
    folder = hub.root / repository
    url = f"{hub.url}/{repository}"
    if folder.is_dir():
        return HTTPStatus.CONFLICT, {"error": "You already created this model repo", "url": url}
    folder.mkdir(parents=True)
    hub.rules[repository] = Rules(private=asked.get("visibility") == "private" or bool(asked.get("private")))
    return HTTPStatus.OK, {"url": url, "id": repository, "name": repository}


def _preupload(asked: dict[str, Any]) -> Answer:
    said = [
        {"path": one["path"], "uploadMode": "lfs" if one["path"].endswith(_BY_LFS) else "regular", "shouldIgnore": False}
        for one in asked["files"]
    ]  # fmt: skip
    return HTTPStatus.OK, {"files": said}


def _batch(hub: HubServer, asked: dict[str, Any]) -> Answer:
    objects = [
        one | {"actions": {"upload": {"href": f"{hub.url}/lfs/{one['oid']}"}}}
        for one in asked["objects"]
    ]  # fmt: skip
    return HTTPStatus.OK, {"transfer": "basic", "objects": objects}


def _object(hub: HubServer, oid: str, body: bytes) -> Answer:
    if hashlib.sha256(body).hexdigest() != oid:
        return HTTPStatus.BAD_REQUEST, {"error": "another content"}
    hub.objects[oid] = body
    return HTTPStatus.OK, {}


def _commit(hub: HubServer, repository: str, body: bytes) -> Answer:
    """All of it, or an error and nothing."""
    if hub.rules[repository].fails_commits:
        return HTTPStatus.INTERNAL_SERVER_ERROR, {"error": "the Hub has a bad day"}
    files: dict[str, bytes] = {}
    for line in body.splitlines():
        told = json.loads(line)
        value = told["value"]
        if told["key"] == "file":
            files[value["path"]] = base64.b64decode(value["content"])
        elif told["key"] == "lfsFile":
            files[value["path"]] = hub.objects[value["oid"]]
    folder: Path = hub.root / repository
    for name, content in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)
    commit = hub.commit(repository)
    url = f"{hub.url}/{repository}/commit/{commit}"
    return HTTPStatus.OK, {"success": True, "commitOid": commit, "commitUrl": url}
