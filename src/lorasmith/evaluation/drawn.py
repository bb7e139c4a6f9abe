"""Drawn pictures on an evaluation's page: small copies within the page, which stays one file."""

from __future__ import annotations

import base64
import io
from collections.abc import Mapping, Sequence
from pathlib import Path

from lorasmith.training.answers import text

_SIDE = 224
"""Pixels of a small copy's longer side."""


def pictures_html(folder: Path, rows: Sequence[tuple[str, Mapping[str, str]]]) -> str:
    """Each row's text, and beneath it pictures side by side: by what stands above each, its file's name below `folder`."""
    return "".join(
        f'<article><pre class="prompt">{text(said)}</pre><div class="sides">'
        f"{''.join(_side(side, folder / name) for side, name in sides.items())}</div></article>"
        for said, sides in rows
    )


def _side(side: str, file: Path) -> str:
    return f'<div class="side"><span class="tag">{text(side)}</span>{_small(file, side)}</div>'


def _small(file: Path, side: str) -> str:
    from PIL import Image

    try:
        with Image.open(file) as opened:
            opened.thumbnail((_SIDE, _SIDE))
            written = io.BytesIO()
            opened.convert("RGB").save(written, "JPEG", quality=85)
    except OSError:
        return "(nothing)"
    data = base64.b64encode(written.getvalue()).decode()
    return f'<img src="data:image/jpeg;base64,{data}" alt="{text(side)}">'
