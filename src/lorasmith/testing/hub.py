"""A Hub for tests: speaks the Hugging Face Hub's HTTP API over a folder of repositories, on loopback (TST-2).

    with HubServer(folder) as hub:              # folder/<owner>/<name>/config.json …
        hub.rules["owner/name"] = Rules(gated="manual")
        # HF_ENDPOINT=hub.url  →  the real huggingface_hub client

Spoken: search, model info (with `blobs`), tree (in pages), resolve by HEAD and GET with ranges, ETag, commit and linked-size
headers, the redirect of large files to another path, errors by `X-Error-Code`; and uploads (`uploads.py`), where the client does
without Xet (HF_HUB_DISABLE_XET=1). Large files may be sparse: `sparse` makes one.
"""

from __future__ import annotations

import hashlib
import json
import threading
import time
from dataclasses import dataclass, field
from functools import lru_cache
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Self
from urllib.parse import parse_qs, quote, unquote, urlsplit

from lorasmith.testing.uploads import uploaded

TOKEN = "hf_for_tests_only"  # noqa: S105  a token that opens nothing
_LFS_SUFFIXES = {".safetensors", ".bin", ".gguf", ".pt", ".pth", ".onnx", ".h5", ".msgpack", ".ckpt", ".model", ".npz"}
_HASHED_BYTES = 2**30  # larger (sparse) files get a digest of their name and size
_PIECE = 2**16


@dataclass
class Rules:
    """How one repository behaves."""

    tags: list[str] = field(default_factory=list)
    pipeline_tag: str | None = None
    made_with: str | None = None
    """The `library_name` on its page."""
    card: dict[str, Any] = field(default_factory=dict)
    gated: str | bool = False
    """`"auto"` or `"manual"`: listed for everybody, files only with the token."""
    private: bool = False
    """Without the token it does not exist."""
    delay: float = 0.0
    """Seconds that each answer waits."""
    failures: int = 0
    """So many requests fail before one succeeds; −1: all."""
    fail_with: HTTPStatus = HTTPStatus.INTERNAL_SERVER_ERROR
    html: bool = False
    """A page in place of every answer, with status 200: what captive portals do."""
    ignores_ranges: bool = False
    cut_at: float | None = None
    """The connection drops after this share of a file's bytes."""
    cut_after: int = 0
    """Each connection drops after so many bytes of a file."""
    cut_times: int = -1
    """So many connections drop before one holds; −1: all."""
    pause: float = 0.0
    """Seconds between two pieces of a file (64 KiB)."""
    retry_after: str = ""
    """The header of this name in failures."""
    cdn: str = ""
    """The URL of another server of this kind, which large files are fetched from."""
    false_hash: bool = False
    """Large files are announced with another content's SHA-256, small ones with another's git id."""
    fails_commits: bool = False
    """What is uploaded is not taken in."""
    extra_files: dict[str, int] = field(default_factory=dict)
    """Listed names with sizes that are no files: for names that no folder could hold."""


@dataclass(frozen=True)
class Asked:
    """One request, and the bytes of its answer's body."""

    method: str
    path: str
    status: int
    sent: int
    token: bool = False
    """Whether it carried any token."""


def sparse(path: Path, size: int, start: bytes = b"") -> Path:
    """A file of `size` bytes that takes no room on disk but for `start`."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("wb") as file:
        file.write(start)
        file.truncate(size)
    return path


@lru_cache(maxsize=4096)
def _digest(path: Path, size: int, changed: int, kind: str) -> str:
    """SHA-256 of a file, or by the kind `sha1` git's id of it."""
    digest = hashlib.new(kind, b"" if kind == "sha256" else f"blob {size}\0".encode(), usedforsecurity=False)
    if size > _HASHED_BYTES:
        digest.update(f"{path}\0{size}\0{changed}".encode())
    else:
        with path.open("rb") as file:
            while piece := file.read(2**20):
                digest.update(piece)
    return digest.hexdigest()


class HubServer:
    """Runs from `with` to its end, in threads of this process."""

    def __init__(self, root: Path, *, token: str = TOKEN, delay: float = 0.0):
        self.root = root
        self.token = token
        self.user = "tester"
        """Whose token it is."""
        self.objects: dict[str, bytes] = {}
        """Large files that were uploaded, by SHA-256; a commit names them."""
        self.delay = delay
        self.rules: dict[str, Rules] = {}
        self._asked: list[Asked] = []
        self._busy: set[int] = set()  # threads that answer
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), type("Handler", (_Handler,), {"hub": self}))
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_port}"

    @property
    def asked(self) -> list[Asked]:
        """Every request so far. Waits for answers that are going out: a client has the last byte before it is noted here."""
        until = time.monotonic() + 1.0
        while self._busy and time.monotonic() < until:
            time.sleep(0.005)
        return self._asked

    @property
    def bytes_sent(self) -> int:
        return sum(asked.sent for asked in self.asked)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def files(self, repository: str) -> dict[str, dict[str, Any]]:
        """Every file of a repository as the tree route lists it, by name."""
        folder = self.root / repository
        rules = self.rules.get(repository, Rules())
        found: dict[str, dict[str, Any]] = {}
        for path in sorted(folder.rglob("*")):
            if path.is_file():
                name = path.relative_to(folder).as_posix()
                status = path.stat()
                entry = {"type": "file", "path": name, "size": status.st_size}
                entry["oid"] = _digest(path, status.st_size, status.st_mtime_ns, "sha1")
                if rules.false_hash:
                    entry["oid"] = hashlib.sha256(entry["oid"].encode()).hexdigest()[:40]
                if path.suffix in _LFS_SUFFIXES or status.st_size > 10 * 2**20:
                    sha256 = _digest(path, status.st_size, status.st_mtime_ns, "sha256")
                    sha256 = hashlib.sha256(sha256.encode()).hexdigest() if rules.false_hash else sha256
                    entry["lfs"] = {"oid": sha256, "size": status.st_size, "pointerSize": 134}
                found[name] = entry
        for name, size in rules.extra_files.items():
            found[name] = {
                "type": "file",
                "path": name,
                "size": size,
                "oid": hashlib.sha256(name.encode()).hexdigest()[:40],
            }
        return found

    def commit(self, repository: str) -> str:
        listing = json.dumps(self.files(repository), sort_keys=True)
        return hashlib.sha256(listing.encode()).hexdigest()[:40]


class _Handler(BaseHTTPRequestHandler):
    """Routes of the Hub. `hub` is set by the server."""

    hub: HubServer
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002  the base class's name
        """Tests read `HubServer.asked`."""

    def do_GET(self) -> None:
        self.hub._busy.add(threading.get_ident())
        try:
            self._answer()
        finally:
            self.hub._busy.discard(threading.get_ident())

    def do_HEAD(self) -> None:
        self.do_GET()

    def do_POST(self) -> None:
        self.do_GET()

    def do_PUT(self) -> None:
        self.do_GET()

    def _answer(self) -> None:
        parts = urlsplit(self.path)
        steps = [unquote(step) for step in parts.path.split("/")[1:]]
        self.query = {key: values[-1] for key, values in parse_qs(parts.query).items()}
        if found := uploaded(self.hub, self.command, steps, self._body(), is_known=self._knows_token()):
            said = {"X-Error-Message": found[1]["error"]} if "error" in found[1] else None
            self._send(found[0], json.dumps(found[1]).encode(), said)
            return
        is_api = steps[:2] == ["api", "models"]
        steps = steps[2:] if is_api else steps
        if is_api and not steps:
            self._listed(self.query.get("search", ""))
            return
        if steps[0] == "cdn":
            steps = steps[1:]
        repository, rest = "/".join(steps[:2]), steps[2:]
        rules = self.hub.rules.get(repository, Rules())
        time.sleep(self.hub.delay + rules.delay)
        if rules.failures:
            rules.failures -= 1
            headers = {"Retry-After": rules.retry_after} if rules.retry_after else None
            self._send(rules.fail_with, b"the Hub has a bad day", headers, kind="text/plain")
        elif rules.html:
            self._send(HTTPStatus.OK, b"<html><body>Sign in to this network</body></html>", kind="text/html")
        elif not (self.hub.root / repository).is_dir() or (rules.private and not self._knows_token()):
            self._refuse(HTTPStatus.UNAUTHORIZED, "RepoNotFound", "Repository not found")
        elif is_api:
            self._api(repository, rules, rest)
        elif rest[:1] == ["resolve"]:
            self._resolve(repository, rules, rest[1], "/".join(rest[2:]))
        else:
            self._refuse(HTTPStatus.NOT_FOUND, "", "Not found")

    def _body(self) -> bytes:
        """What came with the request, by its length or in pieces."""
        if self.headers.get("Transfer-Encoding") != "chunked":
            return self.rfile.read(int(self.headers.get("Content-Length") or 0))
        pieces: list[bytes] = []
        while size := int(self.rfile.readline(), 16):
            pieces.append(self.rfile.read(size))
            self.rfile.readline()
        self.rfile.readline()
        return b"".join(pieces)

    def _listed(self, text: str) -> None:
        """What a search finds: names that hold the text, without those that are private."""
        found = [
            f"{folder.parent.name}/{folder.name}"
            for folder in sorted(self.hub.root.glob("*/*"))
            if folder.is_dir() and text.lower() in f"{folder.parent.name}/{folder.name}".lower()
        ]
        rules = {name: self.hub.rules.get(name, Rules()) for name in found}
        said = [
            {"id": name, "downloads": 1, "likes": 0, "pipeline_tag": rule.pipeline_tag, "gated": rule.gated}
            for name, rule in rules.items()
            if not rule.private
        ]
        self._send_json(said)

    def _knows_token(self) -> bool:
        return self.headers.get("Authorization") == f"Bearer {self.hub.token}"

    def _api(self, repository: str, rules: Rules, rest: list[str]) -> None:
        revision = rest[1] if len(rest) > 1 else "main"
        if revision not in ("main", self.hub.commit(repository)):
            self._refuse(HTTPStatus.NOT_FOUND, "RevisionNotFound", f"Invalid rev id: {revision}")
        elif rest[:1] == ["tree"]:
            self._tree(repository, rest)
        else:
            self._info(repository, rules)

    def _info(self, repository: str, rules: Rules) -> None:
        with_blobs = self.query.get("blobs", "").lower() == "true"
        siblings: list[dict[str, Any]] = []
        for name, entry in self.hub.files(repository).items():
            sibling: dict[str, Any] = {"rfilename": name}
            if with_blobs:
                sibling |= {"size": entry["size"], "blobId": entry["oid"]}
                if "lfs" in entry:
                    sibling["lfs"] = {"sha256": entry["lfs"]["oid"], "size": entry["size"], "pointerSize": 134}
            siblings.append(sibling)
        self._send_json(
            {
                "_id": "0" * 24, "id": repository, "modelId": repository, "sha": self.hub.commit(repository),
                "private": rules.private, "gated": rules.gated, "disabled": False, "tags": rules.tags,
                "pipeline_tag": rules.pipeline_tag, "library_name": rules.made_with, "cardData": rules.card,
                "lastModified": "2026-01-01T00:00:00.000Z", "createdAt": "2026-01-01T00:00:00.000Z", "siblings": siblings,
            }
        )  # fmt: skip

    def _tree(self, repository: str, rest: list[str]) -> None:
        under = "/".join(rest[2:])
        entries = [entry for name, entry in self.hub.files(repository).items() if name.startswith(under)]
        start, most = int(self.query.get("cursor", 0)), int(self.query.get("limit", 1000))
        headers = {}
        if start + most < len(entries):
            page = f"{self.hub.url}{urlsplit(self.path).path}?recursive=true&limit={most}&cursor={start + most}"
            headers["Link"] = f'<{page}>; rel="next"'
        self._send_json(entries[start : start + most], headers)

    def _resolve(self, repository: str, rules: Rules, revision: str, name: str) -> None:
        commit = self.hub.commit(repository)
        if rules.gated and not self._knows_token():
            self._refuse(HTTPStatus.UNAUTHORIZED, "GatedRepo", f"Access to model {repository} is restricted.")
            return
        if revision not in ("main", commit):
            self._refuse(HTTPStatus.NOT_FOUND, "RevisionNotFound", f"Invalid rev id: {revision}")
            return
        path, entry = self.hub.root / repository / name, self.hub.files(repository).get(name)
        if entry is None or not path.is_file():
            self._refuse(HTTPStatus.NOT_FOUND, "EntryNotFound", "Entry not found")
            return
        lfs = entry.get("lfs")
        headers = {
            "X-Repo-Commit": commit,
            "Accept-Ranges": "bytes",
            "ETag": f'"{lfs["oid"] if lfs else entry["oid"]}"',
        }
        if lfs and not self.path.startswith("/cdn/"):
            headers |= {"X-Linked-Size": str(entry["size"]), "X-Linked-ETag": headers["ETag"]}
            headers["Location"] = f"{rules.cdn}/cdn/{repository}/resolve/{commit}/{quote(name)}"
            self._send(HTTPStatus.FOUND, b"", headers)
        else:
            self._send_file(path, entry["size"], headers, rules)

    def _send_file(self, path: Path, size: int, headers: dict[str, str], rules: Rules) -> None:
        start, stop, status = 0, size, HTTPStatus.OK
        asked = self.headers.get("Range", "")
        if asked.startswith("bytes=") and not rules.ignores_ranges:
            first, _, last = asked.removeprefix("bytes=").partition("-")
            start, stop = (
                (int(first), min(size, int(last) + 1 if last else size)) if first else (size - int(last), size)
            )
            if start >= size:
                self._send(HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE, b"", {"Content-Range": f"bytes */{size}"})
                return
            status = HTTPStatus.PARTIAL_CONTENT
            headers["Content-Range"] = f"bytes {start}-{stop - 1}/{size}"
        self.send_response(status)
        for key, value in headers.items():
            self.send_header(key, value)
        self.send_header("Content-Length", str(stop - start))
        self.end_headers()
        sent = 0 if self.command == "HEAD" else self._pour(path, start, stop, size, rules)
        self._note(status, sent)

    def _pour(self, path: Path, start: int, stop: int, size: int, rules: Rules) -> int:
        """The file's bytes from `start` to `stop`, or until the connection is cut; how many went out."""
        limit = stop
        if rules.cut_times and rules.cut_at is not None:
            limit = max(start, int(size * rules.cut_at))
        elif rules.cut_times and rules.cut_after:
            limit = start + rules.cut_after
        sent = 0
        with path.open("rb") as file:
            file.seek(start)
            while start + sent < min(stop, limit):
                piece = file.read(min(_PIECE, min(stop, limit) - start - sent))
                try:
                    self.wfile.write(piece)
                except OSError:  # the client has what it wanted
                    self.close_connection = True
                    return sent
                sent += len(piece)
                if rules.pause:
                    time.sleep(rules.pause)
        if start + sent < stop:
            rules.cut_times -= 1
            self.close_connection = True
            self.connection.shutdown(2)
        return sent

    def _refuse(self, status: HTTPStatus, code: str, message: str) -> None:
        self._send(status, json.dumps({"error": message}).encode(), {"X-Error-Code": code, "X-Error-Message": message})

    def _send_json(self, value: Any, headers: dict[str, str] | None = None) -> None:
        self._send(HTTPStatus.OK, json.dumps(value).encode(), headers)

    def _send(
        self, status: HTTPStatus, body: bytes, headers: dict[str, str] | None = None, *, kind: str = "application/json"
    ) -> None:
        self.send_response(status)
        for key, value in (headers or {}).items():
            self.send_header(key, value)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        body = b"" if self.command == "HEAD" else body
        self.wfile.write(body)
        self._note(status, len(body))

    def _note(self, status: HTTPStatus, sent: int) -> None:
        self.hub._asked.append(Asked(self.command, self.path, status, sent, "Authorization" in self.headers))
