"""The one style of all figures: colours that colour-blind readers can tell apart, thin lines."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Any

from robench.errors import ConfigError
from robench.record.files import write_atomic
from robench.visible_text import visible

if TYPE_CHECKING:
    from matplotlib.artist import Artist
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000", "#8C6D31")
"""Okabe and Ito (2008), without the yellow that vanishes on white, and a brown."""

INK, SOFT = "#000000", "#666666"
"""Colours of text and of remarks; a page replaces them by its own."""

NARROW = 4.6
"""Width in inches of a figure that a phone shows whole, with text of the size of the page's."""

MARKERS = ("o", "s", "^", "D", "v", "P", "X", "*")
SUFFIXES = (".svg", ".png", ".pdf")
LONGEST = 28
"""Most characters of a name in a picture."""

_SETTINGS: Any = {
    "font.family": "DejaVu Sans",
    "font.size": 9.0,
    "axes.titlesize": 10.0,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": "#E5E5E5",
    "grid.linewidth": 0.6,
    "figure.facecolor": "white",
    "savefig.dpi": 160,
    # Text stays text, and the same figure has the same bytes.
    "svg.fonttype": "none",
    "svg.hashsalt": "robench",
    # A model may be called `$x$`: that is a name, not mathematics.
    "text.parse_math": False,
}


@contextmanager
def styled() -> Iterator[None]:
    """Inside the block matplotlib draws in our style; its settings are as before afterwards."""
    import matplotlib as mpl

    with mpl.rc_context(_SETTINGS):
        yield


def blank(width: float = 6.4, height: float = 4.0) -> tuple[Figure, Axes]:
    """Return an empty figure of a size in inches with one set of axes; call it inside `styled`."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), layout="constrained")
    return figure, figure.add_subplot()


def shown(name: str) -> str:
    """Return a model's name as a picture can hold it: visible, and not longer than `LONGEST`."""
    clean = visible(name)
    return clean if len(clean) <= LONGEST else f"{clean[: LONGEST - 3]}..."


def clean_texts(figure: Figure) -> None:
    """Make invisible characters visible in all texts of a figure; line breaks are kept."""
    from matplotlib.axis import Axis
    from matplotlib.text import Text
    from matplotlib.ticker import FixedFormatter

    waiting: list[Artist] = [figure]
    while waiting:
        artist = waiting.pop()
        if isinstance(artist, Text):
            artist.set_text(visible(artist.get_text(), keep="\n"))
        if not isinstance(artist, Axis):
            waiting += artist.get_children()
            continue
        # Not its ticks, which are costly to make: a formatter writes their texts when they are drawn.
        waiting += [artist.label, artist.offsetText]
        for formatter in (artist.get_major_formatter(), artist.get_minor_formatter()):
            if isinstance(formatter, FixedFormatter):
                formatter.seq = [visible(str(text), keep="\n") for text in formatter.seq]


def check_suffix(path: Path) -> str:
    """Return the suffix of a picture's file in lower case.

    Raises:
        ConfigError: another suffix than .svg, .png or .pdf.
    """
    suffix = path.suffix.lower()
    if suffix not in SUFFIXES:
        expected = f"a file that ends in {', '.join(SUFFIXES)}"
        raise ConfigError(where=str(path), expected=expected, got=suffix or "no suffix")
    return suffix


def save(figure: Figure, path: Path) -> None:
    """Write a figure atomically, in the format its suffix names.

    Raises:
        ConfigError: another suffix than .svg, .png or .pdf.
        StorageError: writing to disk failed; an older file is intact.
    """
    suffix = check_suffix(path)
    metadata = {".svg": {"Date": None}, ".pdf": {"CreationDate": None}}.get(suffix)
    content = BytesIO()
    clean_texts(figure)
    with styled():
        figure.savefig(content, format=suffix[1:], metadata=metadata)
    write_atomic(path, content.getvalue())
