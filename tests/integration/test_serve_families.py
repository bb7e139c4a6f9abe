"""Every family behind the same server: tiny real models, over HTTP as clients call them (SRV-3 … SRV-6)."""

from __future__ import annotations

import base64
import io
import wave
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tests.servers import Server, serving

from lorasmith.testing import tiny


def picture() -> str:
    from lorasmith.families._probes import picture as made

    file = io.BytesIO()
    made().save(file, "PNG")
    return "data:image/png;base64," + base64.b64encode(file.getvalue()).decode()


def sound() -> bytes:
    from lorasmith.families._probes import sound as made

    file = io.BytesIO()
    with wave.open(file, "wb") as out:
        out.setparams((1, 2, 16_000, 0, "NONE", ""))
        out.writeframes((made(16_000) * 32_000).astype("<i2").tobytes())
    return file.getvalue()


def ask(server: Server, **call: Any) -> Any:
    answer = server.post("/generate", call)
    assert answer.status == 200, answer.body
    return answer.body


def embeds(server: Server) -> None:
    """SRV-4: vectors, their likeness, a plane."""
    assert server.get("/info").body["capabilities"]["images"] is False
    vectors = ask(server, texts=["a red fox", "two?", "a red fox"])["embeddings"]
    assert vectors[0] == pytest.approx(vectors[2], abs=1e-5)
    assert sum(x * x for x in vectors[0]) == pytest.approx(1, abs=1e-5)
    found = server.post("/similarity", {"query": "a red fox", "texts": ["two?", "a red fox"], "top_k": 1}).body[
        "results"
    ]
    assert (found[0]["index"], round(found[0]["score"], 4)) == (1, 1.0)
    points = server.post("/project", {"texts": ["a red fox", "two?", "dog", "the"]}).body["points"]
    assert [len(point) for point in points] == [2] * 4
    assert server.post("/project", {"vectors": [[1.0], [1.0, 2.0]]}).status == 400
    refused = server.post("/generate/stream", {"prompt": "x"})
    assert refused.status == 400


def classifies(server: Server) -> None:
    """SRV-6"""
    labels = ask(server, texts=["a red fox"])["results"][0]["labels"]
    assert sum(label["score"] for label in labels) == pytest.approx(1, abs=1e-3)


def sees(server: Server) -> None:
    """SRV-6, SEC-4: labels of a picture; what is no picture, or one of 100 megapixels, is refused."""
    assert ask(server, images=[picture()])["results"][0]["labels"]
    id_ = post_form(server, "/uploads", "file", base64.b64decode(picture().split(",")[1])).body["id"]
    assert ask(server, images=[f"upload:{id_}"])["results"][0]["labels"]
    for wrong in ("data:image/png;base64,AAAA", "upload:none", "http://127.0.0.1/a.png", "?", _large()):
        answer = server.post("/generate", {"images": [wrong]})
        assert answer.status == 400, answer.body
        assert answer.body["error"]["message"]


def _large() -> str:
    """A PNG whose header says 10,000 × 10,000 points."""
    import struct
    import zlib

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack("!I", len(data)) + kind + data + struct.pack("!I", zlib.crc32(kind + data))

    head = chunk(b"IHDR", struct.pack("!IIBBBBB", 10_000, 10_000, 8, 2, 0, 0, 0))
    data = b"\x89PNG\r\n\x1a\n" + head + chunk(b"IDAT", zlib.compress(b"\0" * 1000)) + chunk(b"IEND", b"")
    return base64.b64encode(data).decode()


def reads(server: Server) -> None:
    """SRV-6"""
    assert "text" in ask(server, images=[picture()], max_tokens=5)["results"][0]


def post_form(server: Server, path: str, name: str, data: bytes, call: str = "") -> Any:
    """A form with one file, and perhaps a field `call`."""
    parts = [f'Content-Disposition: form-data; name="{name}"; filename="f"\r\n\r\n'.encode() + data]
    parts += [b'Content-Disposition: form-data; name="call"\r\n\r\n' + call.encode()] if call else []
    body = b"".join(b"--x\r\n" + part + b"\r\n" for part in parts) + b"--x--\r\n"
    return server.request("POST", path, body, {"Content-Type": "multipart/form-data; boundary=x"})


def hears(server: Server) -> None:
    """SRV-6: as base64 and as a form with a file."""
    encoded = base64.b64encode(sound()).decode()
    text = ask(server, audio=encoded, max_tokens=5, timestamps="none")
    assert text["duration"] == pytest.approx(1, abs=0.01)
    form = post_form(server, "/generate", "audio", sound(), '{"max_tokens": 5, "timestamps": "none"}')
    assert form.status == 200, form.body
    assert form.body["text"] == text["text"]
    assert server.post("/generate", {"audio": base64.b64encode(b"no sound").decode()}).status == 400


def draws(server: Server) -> None:
    """SRV-3: the same seed, the same picture; progress with previews; a client that goes away interrupts."""
    call = {"prompt": "a fox", "steps": 3, "width": 64, "height": 64, "seed": 5, "preview_every": 1}
    first, second = (ask(server, **call)["images"][0] for _ in range(2))
    assert first["data"] == second["data"]
    assert base64.b64decode(first["data"]).startswith(b"\x89PNG")
    events = list(server.events("/generate/stream", call))
    last = [event["progress"] for event in events if "progress" in event][-1]
    assert last["done"] == last["total"] > 0
    assert any("preview" in event for event in events)
    assert events[-1]["finished"]
    assert events[-1]["result"]["images"][0]["data"] == first["data"]


def writes(server: Server) -> None:
    """SRV-2: models that are answered one after the other stream all the same."""
    call = {"prompt": "the quick brown fox", "max_tokens": 8, "temperature": 0}
    whole = ask(server, **call)
    events = list(server.events("/generate/stream", call))
    assert "".join(event["token"] for event in events) == whole["text"]
    assert whole["finish_reason"] in ("stop", "length")
    assert not server.get("/info").body["capabilities"]["batches"]


def sees_and_writes(server: Server) -> None:
    """SRV-5: several pictures and a text, inside messages and beside them; no picture is fetched unasked."""
    content = [{"type": "image_url", "image_url": {"url": picture()}}, {"type": "text", "text": "What is this?"}]
    inside = ask(server, messages=[{"role": "user", "content": content}], max_tokens=4, temperature=0)
    beside = ask(server, prompt="What is this?", images=[picture()], max_tokens=4, temperature=0)
    assert inside["text"] == beside["text"]
    assert inside["usage"]["prompt_tokens"] > 4
    content[0]["image_url"] = {"url": "http://169.254.169.254/latest"}
    assert server.post("/generate", {"messages": [{"role": "user", "content": content}]}).status == 400


@pytest.mark.parametrize(
    ("name", "check"),
    [
        ("bert", embeds), ("bert_sequence", classifies), ("vit", sees), ("donut", reads), ("whisper", hears),
        ("stable_diffusion", draws), ("t5", writes), ("mamba", writes), ("llava", sees_and_writes),
    ],
)  # fmt: skip
def test_a_family_is_served(name: str, check: Callable[[Server], None], tmp_path: Path) -> None:
    """SRV-1, and what each check names."""
    with serving(tiny.build(name, tmp_path / "model"), tmp_path / "home") as server:
        check(server)
        assert server.get("/health").body["busy"] == 0
