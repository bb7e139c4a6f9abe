"""Pictures from outside: read within limits, upright and in plain colours; masks and depth written as PNG.

Pillow alone, no torch. Worker plane only.
"""

from __future__ import annotations

import io
import warnings
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from PIL import Image, ImageOps

from lorasmith.core.errors import DataProblem, EnvironmentProblem
from lorasmith.families._calls import blob

FORMATS = ("PNG", "JPEG", "WEBP", "GIF", "TIFF", "BMP")
MOST_PIXELS = 50_000_000
MOST_PIXELS_TOGETHER = 400_000_000
MOST_PAGES = 64
PAGE_DPI = 150
_OPAQUE = 255
_TIFF = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")  # in either order of bytes, and with places of 64 bits
_SUBFILE = (
    254  # TIFF 6.0, NewSubfileType: 1 a smaller copy of another frame, 2 one page of several, 4 a mask for another
)
_NO_PAGE = 1 | 4
_SAME_GREYS = 8
_DEEP = ("I", "F")  # first letters of the modes with more than eight bits


def picture_of(data: bytes, *, what: str) -> Image.Image:
    """The first frame of a picture file as RGB, turned as its EXIF data say. `what` names it in messages: "Image 2".

    Raises DataProblem for what is no picture, is damaged, or has more than 50 megapixels; the last is known from the header,
    before anything is decoded.
    """
    return _plain(_decoded(data, what))


def sole_picture(data: bytes, *, what: str) -> Image.Image:
    """`picture_of` for what is learnt: of a file of several pages the others would silently be nothing.

    Raises DataProblem as `picture_of`, and for such a file.
    """
    frames = _frames(data, what)
    if len(frames) > 1:
        raise DataProblem(
            f"{what} has {len(frames)} pages", why="A row is one picture: the others would not be learnt.",
            fix="Save each page as a file, and give it a row.",
        )  # fmt: skip
    return frames[0][0]


def mask_of(data: bytes, *, what: str) -> Image.Image:
    """A mask in grey, white where it is to be drawn anew: that is where the file is white, or, as OpenAI's clients send it, where
    it is transparent. Raises DataProblem as `picture_of`."""
    opened = _decoded(data, what)
    if opened.has_transparency_data:
        opacity = opened.convert("RGBA").getchannel("A")
        if np.asarray(opacity).min() < _OPAQUE:
            return ImageOps.invert(opacity)
    return _plain(opened).convert("L")


def _decoded(data: bytes, what: str) -> Image.Image:
    """The first frame, upright, in its own colours."""
    with warnings.catch_warnings():
        warnings.simplefilter(
            "ignore"
        )  # Pillow's own limit warns first; metadata are often not quite as they should be
        return _loaded(_opened(data, what), what)


def _loaded(opened: Image.Image, what: str) -> Image.Image:
    """The frame that stands in `opened`, upright."""
    width, height = opened.size
    if width * height > MOST_PIXELS:
        raise _too_large(what, f"It has {width} × {height} pixels")
    try:
        opened.load()
    except MemoryError:
        raise
    except Exception as error:  # damaged files make the decoders raise all sorts
        raise _damaged(what, error) from error
    return _upright(opened)


def pictures_of(files: Sequence[bytes]) -> list[Image.Image]:
    """Pictures that are looked at together. Raises DataProblem as `picture_of`, and for more than 400 megapixels in all."""
    pictures: list[Image.Image] = []
    for number, data in enumerate(files, 1):
        pictures.append(picture_of(data, what=f"Image {number}"))
        if sum(one.width * one.height for one in pictures) > MOST_PIXELS_TOGETHER:
            raise DataProblem(
                f"The first {number} images have more than 400 megapixels together", fix="Make them smaller first."
            )
    return pictures


class Sheet(NamedTuple):
    """A page as a picture."""

    picture: Image.Image
    file: int
    """Which of the files it is of, from 0."""
    is_drawn: bool
    """Whether nobody has seen it as a picture yet: a page of a PDF, or of a TIFF of several."""

    def told(self, blobs: list[bytes]) -> dict[str, Any]:
        """What an answer says of the page itself: its file, and the picture that was read where it was drawn."""
        if not self.is_drawn:
            return {"file": self.file}
        written = io.BytesIO()
        self.picture.save(written, "PNG")
        return {"file": self.file, "picture": blob(blobs, written.getvalue(), "image/png")}


def pages_of(files: Sequence[bytes]) -> list[Sheet]:
    """Pages: picture files as they are, TIFF and PDF files page by page, the latter as they would be printed at 150 dots an inch.

    Raises DataProblem as `picture_of`, for more than 64 pages or 400 megapixels in all, and for a PDF that is damaged, locked or
    without pages; EnvironmentProblem where nothing is installed that can draw one.
    """
    pages: list[Sheet] = []
    for number, data in enumerate(files):
        what = f"Image {number + 1}"
        if data[:1024].lstrip().startswith(b"%PDF-"):
            pages += [Sheet(picture, number, True) for picture in _drawn(data, what)]
        else:
            pages += [Sheet(picture, number, is_one_of_many) for picture, is_one_of_many in _frames(data, what)]
        if len(pages) > MOST_PAGES:
            raise DataProblem(f"There are more than {MOST_PAGES} pages", fix="Send them in parts.")
    return pages


def _frames(data: bytes, what: str) -> list[tuple[Image.Image, bool]]:
    """The pages of a picture file, each with whether it has others beside it. Frames of a TIFF are pages, but for small copies
    and masks of others; in other files they are a movement, of which the first is read."""
    if not data.startswith(_TIFF):
        return [(picture_of(data, what=what), False)]
    pictures: list[Image.Image] = []
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # as in `_decoded`
        opened: Any = _opened(data, what)
        for at in _whole_frames(opened, what):
            opened.seek(at)
            pictures.append(_plain(_loaded(opened, f"Page {at + 1} of {what}" if at else what)))
            if sum(one.width * one.height for one in pictures) > MOST_PIXELS_TOGETHER:
                raise DataProblem(
                    f"The first {len(pictures)} pages of {what} have more than 400 megapixels together",
                    fix="Make them smaller, or send them in parts.",
                )
    return [(one, len(pictures) > 1) for one in pictures]


def _whole_frames(opened: Any, what: str) -> list[int]:
    """Numbers of a TIFF's frames that are pages. Raises DataProblem for too many, and where what leads to them is damaged."""
    try:
        if opened.n_frames > MOST_PAGES:
            raise DataProblem(
                f"{what} is a TIFF of {opened.n_frames} pages; 1 to {MOST_PAGES} are read", fix="Send it in parts."
            )
        found: list[int] = []
        for at in range(opened.n_frames):
            opened.seek(at)
            if not int(opened.tag_v2.get(_SUBFILE, 0)) & _NO_PAGE:
                found.append(at)
    except (MemoryError, DataProblem):
        raise
    except Exception as error:  # as in `_loaded`
        raise _damaged(what, error) from error
    return found or [0]


def is_blank(picture: Image.Image) -> bool:
    """Whether nothing stands on a page: its greys are all the same, but for what JPEG makes of them."""
    low, high = picture.convert("L").getextrema()
    return int(high) - int(low) <= _SAME_GREYS  # type: ignore[arg-type]


def _drawn(data: bytes, what: str) -> list[Image.Image]:
    try:
        import pypdfium2
    except ModuleNotFoundError as error:
        raise EnvironmentProblem(
            f"{what} is a PDF, and a package is missing that can draw its pages: pypdfium2", fix="pip install pypdfium2"
        ) from error
    try:
        document = pypdfium2.PdfDocument(data)
    except pypdfium2.PdfiumError as error:
        if b"/Encrypt" in data:  # what pdfium says may be of the file before
            raise DataProblem(
                f"{what} is a PDF that is locked with a password",
                fix="Save it without one, or send pictures of its pages.",
            ) from error
        raise DataProblem(f"{what} is a PDF that cannot be read", why=f"{error}.", fix="Save it again.") from error
    try:
        if not 0 < len(document) <= MOST_PAGES:
            raise DataProblem(
                f"{what} is a PDF of {len(document)} pages; 1 to {MOST_PAGES} are read", fix="Send it in parts."
            )
        return [_page(document[at], what, at + 1) for at in range(len(document))]
    finally:
        document.close()


def _page(page: Any, what: str, number: int) -> Image.Image:
    width, height = page.get_size()
    scale = PAGE_DPI / 72  # a PDF's points
    if width * height * scale**2 > MOST_PIXELS:
        raise _too_large(f"Page {number} of {what}", f"It would have {width * scale:.0f} × {height * scale:.0f} pixels")
    return page.render(scale=scale).to_pil().convert("RGB")


def png(pixels: Any) -> bytes:
    """A PNG of 8-bit numbers, or of one bit each where they are true or false; `pixels` are of shape (height, width)."""
    array = np.asarray(pixels)
    image = Image.fromarray(array.astype("uint8") * 255 if array.dtype == bool else array)
    file = io.BytesIO()
    (image.convert("1") if array.dtype == bool else image).save(file, "PNG")
    return file.getvalue()


def _opened(data: bytes, what: str) -> Image.Image:
    """The file with its header read."""
    try:
        return Image.open(io.BytesIO(data), formats=FORMATS)
    except MemoryError:
        raise
    except Image.DecompressionBombError as error:
        raise _too_large(what, f"It has more than {2 * (Image.MAX_IMAGE_PIXELS or 0) // 10**6} megapixels") from error
    except Exception as error:  # as above
        raise DataProblem(
            f"{what} is no picture that can be read",
            why=f"Its {len(data)} bytes are no whole PNG, JPEG, WebP, GIF, TIFF or BMP.",
            fix="Send it in one of these formats.",
        ) from error


def _damaged(what: str, error: Exception) -> DataProblem:
    return DataProblem(
        f"{what} cannot be read", why=f"The file is damaged or cut off: {error}", fix="Save the picture again."
    )


def _too_large(what: str, why: str) -> DataProblem:
    return DataProblem(f"{what} is too large", why=f"{why}; the limit is 50 megapixels.", fix="Make it smaller first.")


def _upright(image: Image.Image) -> Image.Image:
    try:
        return ImageOps.exif_transpose(image)
    except Exception:  # noqa: BLE001  unreadable metadata: the picture is good as it lies
        return image


def _plain(image: Image.Image) -> Image.Image:
    """RGB of any mode: what is transparent lies on white."""
    if image.mode[0] in _DEEP:
        return Image.fromarray(_eight_bits(np.asarray(image))).convert("RGB")
    if image.mode in ("RGBA", "LA", "PA", "RGBa", "La") or "transparency" in image.info:
        layers = image.convert("RGBA")
        return Image.alpha_composite(Image.new("RGBA", image.size, "white"), layers).convert("RGB")
    return image.convert("RGB")


def _eight_bits(numbers: Any) -> Any:
    """Grey levels 0 to 255 of numbers of a wider range: 0 to 1, to 255 or to 65535, or else from the lowest to the highest."""
    values = np.nan_to_num(np.asarray(numbers, dtype="float32"))
    low, high = float(values.min()), float(values.max())
    if np.issubdtype(np.asarray(numbers).dtype, np.unsignedinteger):
        low, high = 0.0, 65535.0
    elif low >= 0 and high <= 65535:
        is_share = high <= 1 and np.issubdtype(np.asarray(numbers).dtype, np.floating)
        low, high = 0.0, next(top for top in (1.0 if is_share else 255.0, 255.0, 65535.0) if high <= top)
    return np.rint((values - low) * (255 / max(high - low, 1e-12))).clip(0, 255).astype("uint8")
