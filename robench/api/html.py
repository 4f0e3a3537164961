"""What notebooks show: small tables and pictures, escaped, without a style of their own. No torch here."""

from __future__ import annotations

import base64
import io
from collections.abc import Iterable, Sequence
from html import escape
from typing import TYPE_CHECKING, Any

from robench.visible_text import visible

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

MOST_PICTURES = 8
ENLARGED = 64
"""Least width of a picture on the screen, in pixels."""


def text(value: object) -> str:
    """Return a value as text that is safe in HTML."""
    return escape(visible(str(value)))


def table(caption: str, header: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """Return an HTML table; cells that begin with `<img` are pictures of ours, all others are escaped."""
    head = "".join(f"<th>{text(name)}</th>" for name in header)
    lines = "".join(f"<tr>{''.join(f'<td>{_cell(cell)}</td>' for cell in row)}</tr>" for row in rows)
    top = f"<thead><tr>{head}</tr></thead>" if header else ""
    return f"<table><caption>{text(caption)}</caption>{top}<tbody>{lines}</tbody></table>"


class Picture(str):
    """HTML of a picture."""

    __slots__ = ()


def _cell(value: object) -> str:
    return str(value) if isinstance(value, Picture) else text(value)


def picture(image: NDArray[np.floating[Any]], title: str = "") -> Picture:
    """Return an image (C, H, W) in [0, 1] of one or three channels as HTML; other images as their shape."""
    import numpy as np
    from PIL import Image

    channels, _, width = image.shape
    if channels not in (1, 3):
        return Picture(text(image.shape))
    pixels = (np.nan_to_num(np.clip(image, 0, 1)) * 255).round().astype("uint8")
    bitmap = Image.fromarray(pixels[0] if channels == 1 else pixels.transpose(1, 2, 0))
    stream = io.BytesIO()
    bitmap.save(stream, format="PNG")
    code = base64.b64encode(stream.getvalue()).decode()
    pixel_width = max(ENLARGED, width)
    return Picture(
        f'<img src="data:image/png;base64,{code}" width="{pixel_width}" title="{text(title)}" '
        'style="image-rendering: pixelated">'
    )
