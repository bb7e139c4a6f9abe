"""Files from outside to pages, and pages to fields in one call (DOC-4): PDF, TIFF, empty ones, damaged ones."""

from __future__ import annotations

import base64
import shutil
import zlib
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from PIL.TiffImagePlugin import ImageFileDirectory_v2
from tests.integration.test_documents import trained

import lorasmith
from lorasmith.core.errors import DataProblem, EnvironmentProblem
from lorasmith.families._pictures import pages_of
from lorasmith.serve.extract import Extractor
from lorasmith.testing import tiny

pytestmark = pytest.mark.usefixtures("one_thread")

# A page that is locked with a password, by pypdf.
LOCKED = zlib.decompress(
    base64.b64decode(
        "eJyNUU2P0zAQvftXzKVH1t92IkU9sLuVEKCtugsXtAfHHpeiKlm5rrTLn+TAP4A/wjTAElEORInkzLz35nneYn21eiEvNFt8+/7lK5MgYOw/sa"
        "5jfF3GdIxYoPO21ahakfOSLZcMh3TCqBn27ukBga/DFg+MX47HoYJk/PUuHeADGAJu4H5G1WfUy1DDftyynxpw0t7MCOafsxjf4GE8lkgM6hCc"
        "v8W0Cy/HRxorLsT0mem9P0kXJGN/a9uZ9ntQJAqa8Tc4bOtHkKohIhjVmtZ51VJ7tdtX2gq/rWFIoSTGb6ATaBV1bdBosPEm6phD7DFbKYPXIR"
        "qMqk+NsykmnYxT3knTSh/6nDwasv4OOi2ii960KokmqRaRYDEn1MqTA+FU02eDlkZ42wQjnRGC/l3OOQgpmnk8jwUzE+CYeH7AWastZHiuSbr8"
        "1Bn+1Gx7VpOyOa85f1ZTc24tYbfHMu31dvcZyQrfjGMFPQXAXw15BPnrfEWBdRqFDiIJQ0twdD9H/nLTtCYYlMmn5f9AKOjrIZanhwr2d9KHGk"
        "qdFmK8YYvF9c2K/QDeu8KN"
    )
)


def test_pages_of_a_pdf_are_pictures(tmp_path: Path) -> None:
    """DOC-4: drawn by pypdfium2."""
    Image.new("RGB", (100, 50), "red").save(
        tmp_path / "two.pdf", save_all=True, append_images=[Image.new("RGB", (60, 120), "blue")]
    )
    both = pages_of([(tmp_path / "two.pdf").read_bytes()])
    assert [round(page.picture.width / page.picture.height, 1) for page in both] == [2.0, 0.5]
    red, blue = (page.picture.getpixel((5, 5)) for page in both)
    assert isinstance(red, tuple)
    assert isinstance(blue, tuple)
    assert (red[0] > 240, blue[2] > 240) == (True, True)
    assert [(page.file, page.is_drawn) for page in both] == [(0, True), (0, True)]


@pytest.mark.parametrize(
    ("data", "what"), [(LOCKED, "locked with a password"), (b"%PDF-1.4\nnothing", "cannot be read")]
)
def test_a_pdf_that_cannot_be_drawn_is_refused(data: bytes, what: str) -> None:
    """DOC-4"""
    with pytest.raises(DataProblem, match=what):
        pages_of([data])


def tiff_pages(file: Path) -> Path:
    """A TIFF of three pages, the second turned by 90 degrees, with a smaller copy of the first between them."""
    sizes, kinds, turns = ((64, 48), (16, 12), (48, 64), (80, 40)), (2, 1, 2, 2), (1, 1, 6, 1)
    frames: list[Image.Image] = []
    for number, (size, kind, turn) in enumerate(zip(sizes, kinds, turns, strict=True)):
        frame = Image.new("RGB", size, "white")
        frame.paste((40 * number, 0, 0), (2, 2, 8, 8))
        told = ImageFileDirectory_v2()
        told[254], told[274] = kind, turn
        frame.encoderinfo = {"tiffinfo": told}
        frames.append(frame)
    frames[0].save(file, save_all=True, append_images=frames[1:], tiffinfo=frames[0].encoderinfo["tiffinfo"])
    return file


def test_frames_of_a_tiff_are_pages(tmp_path: Path) -> None:
    """DOC-4: all of them, upright; small copies that some programs put in are none, nor are the steps of a movement."""
    pages = pages_of([tiff_pages(tmp_path / "scan.tiff").read_bytes()])
    assert [page.picture.size for page in pages] == [(64, 48), (64, 48), (80, 40)]
    assert [(page.file, page.is_drawn) for page in pages] == [(0, True)] * 3
    moving = Image.new("RGB", (20, 10), "red")
    moving.save(tmp_path / "moving.gif", save_all=True, append_images=[Image.new("RGB", (20, 10), "blue")])
    moving.save(tmp_path / "one.tiff")
    for name in ("moving.gif", "one.tiff"):
        assert [page.is_drawn for page in pages_of([(tmp_path / name).read_bytes()])] == [False]


def test_a_tiff_of_too_many_or_damaged_pages_is_refused(tmp_path: Path) -> None:
    """DOC-4: by its page; known before all are read."""
    many = [Image.new("L", (4, 4), number) for number in range(65)]
    many[0].save(tmp_path / "many.tiff", save_all=True, append_images=many[1:])
    with pytest.raises(DataProblem, match="a TIFF of 65 pages; 1 to 64 are read"):
        pages_of([(tmp_path / "many.tiff").read_bytes()])
    noise = [Image.effect_noise((60, 60), 50) for _ in range(2)]
    noise[0].save(tmp_path / "two.tiff", save_all=True, append_images=noise[1:], compression="tiff_lzw")
    whole = bytearray((tmp_path / "two.tiff").read_bytes())
    with Image.open(tmp_path / "two.tiff") as opened:
        opened.seek(1)
        at = opened.tag_v2[273][0]  # type: ignore[attr-defined]  # where the strips of the second page begin
    whole[at : at + 60] = b"\xff" * 60
    with pytest.raises(DataProblem, match="Page 2 of Image 1 cannot be read"):
        pages_of([bytes(whole)])


@pytest.mark.parametrize("model", ["donut", "trocr", "layoutlm"])
def test_nothing_is_read_off_an_empty_page(model: str, tmp_path: Path) -> None:
    """DOC-4: of a blank page and a blank picture no fields, no boxes, and no confidence; a page of a scan after another."""
    base = tiny.build(model, tmp_path / "base")
    Image.new("RGB", (100, 140), "white").save(tmp_path / "blank.pdf")
    Image.new("RGB", (100, 140), (250, 248, 244)).save(tmp_path / "blank.jpg")
    empty = {"page": 1, "fields": {}, "text": "", "boxes": [], "confidence": 0.0}
    with Extractor(str(base)) as extractor:
        for name in ("blank.pdf", "blank.jpg"):
            assert extractor.read(tmp_path / name) == [empty], name
        if model != "layoutlm":  # which needs a program that finds words
            pages = extractor.read(tiff_pages(tmp_path / "scan.tiff"))
            assert [page["page"] for page in pages] == [1, 2, 3]
            assert all(page["confidence"] > 0 for page in pages)


@pytest.mark.parametrize("model", ["donut", "layoutlm"])
def test_one_call_reads_a_page_whatever_the_model(model: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """DOC-4: fields, boxes, confidence; of a PDF each page."""
    monkeypatch.setenv("LORASMITH_HOME", str(tmp_path / "home"))
    spec = trained(model, "donut" if model == "donut" else "layout", tmp_path)
    Image.open(tmp_path / "data" / "1.png").convert("RGB").save(tmp_path / "page.pdf")
    asked: dict[str, Any] = {"adapter": str(spec.run_folder)}
    if model == "layoutlm" and not shutil.which("tesseract"):
        with pytest.raises(EnvironmentProblem, match="none were given"):
            lorasmith.extract(str(spec.model_folder), tmp_path / "page.pdf", **asked)
        return
    (page,) = lorasmith.extract(str(spec.model_folder), tmp_path / "page.pdf", **asked)
    assert set(page) == {"file", "page", "fields", "text", "boxes", "confidence"}
    assert page["page"] == 1
    assert 0 <= page["confidence"] <= 1
