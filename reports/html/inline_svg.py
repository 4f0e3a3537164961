"""Figures inside a page: matplotlib's SVG without style attributes, in the colours of the page's theme."""

from __future__ import annotations

import re
import warnings
from io import BytesIO
from typing import TYPE_CHECKING
from xml.etree import ElementTree

from markupsafe import Markup

from reports.figures.palette import GREY, HOLLOW
from reports.figures.style import COLOURS, SOFT, clean_texts, styled
from robench.visible_text import visible

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_SVG = "http://www.w3.org/2000/svg"
_LINK = "http://www.w3.org/1999/xlink"
_KEPT = {"svg", "g", "path", "use", "defs", "clipPath", "rect", "text", "tspan", "circle", "line", "polygon"}
_INK = {"#000000", "black", "#000"}
_PAPER = {"#ffffff", "white", "#fff"}
_GRID = "#e5e5e5"
_THEME = {
    **{colour.lower(): f"var(--c{at}, {colour})" for at, colour in enumerate(COLOURS)},
    SOFT: f"var(--soft, {SOFT})",
    GREY: f"var(--other, {GREY})",
    HOLLOW: f"var(--card, {HOLLOW})",
}
"""Colours of figures that the page has its own of, in light and dark."""
_FONT = re.compile(r"(?P<weight>bold|[1-9]00)?\s*(?P<size>[\d.]+)(?:px|pt)?")
_PRECISE = re.compile(r"-?\d+\.\d{3,}")
_REFERENCE = re.compile(r"url\(#([^)]+)\)")


def inline_svg(figure: Figure, *, name: str, description: str, wide: bool = False) -> Markup:
    """Return a figure as an SVG element that a strict content-security policy lets through.

    Style attributes become presentation attributes, black becomes the colour of the page's text, white
    backgrounds go, and the colours of models become those of the page, so that the figure can be read in
    light and dark.

    Args:
        figure: what to draw; names in it may be anything.
        name: letters and digits that set its ids apart from those of other figures on the page.
        description: what a person who cannot see the figure should know.
        wide: whether a phone has to scroll it to have its text in a size that can be read.
    """
    content = BytesIO()
    clean_texts(figure)
    with styled(), warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # a sign of a name that the font lacks
        _lay_out(figure)
        figure.savefig(content, format="svg", metadata={"Date": None, "Creator": None})
    root = ElementTree.fromstring(content.getvalue())
    copy = _clean(root, name)
    copy.attrib = {
        "viewBox": root.get("viewBox", ""),
        "role": "img",
        "aria-label": visible(description),
        "class": "plot wide" if wide else "plot",
        "fill": "currentColor",
        "stroke-linejoin": "round",
        "stroke-linecap": "butt",
    }
    return Markup(ElementTree.tostring(copy, encoding="unicode"))


def _lay_out(figure: Figure) -> None:
    """Let the figure's engine place everything once, as `savefig` would, and be done with it.

    `savefig` draws a figure that has an engine twice, the first time for its places alone; that took a fifth
    of a page.
    """
    from matplotlib.backends.backend_svg import FigureCanvasSVG

    engine = figure.get_layout_engine()
    if engine is not None:
        FigureCanvasSVG(figure)  # texts are measured as they will be drawn
        engine.execute(figure)
        figure.set_layout_engine(None)


def _clean(element: ElementTree.Element, name: str) -> ElementTree.Element:
    copy = ElementTree.Element(_local(element.tag))
    copy.text = element.text if element.text and element.text.strip() else None
    for key, value in element.attrib.items():
        if key == "style":
            for attribute, plain in _declarations(value):
                copy.set(attribute, _renamed(plain, name))
        elif key == "id":
            copy.set("id", f"{name}-{value}")
        elif key == f"{{{_LINK}}}href":
            copy.set("href", value.replace("#", f"#{name}-", 1))
        elif key == "d":
            copy.set("d", _PRECISE.sub(_hundredths, value))
        elif not key.startswith("{"):
            copy.set(key, _renamed(value, name))
    for child in element:
        if isinstance(child.tag, str) and _local(child.tag) in _KEPT:
            copy.append(_clean(child, name))
    return copy


def _hundredths(match: re.Match[str]) -> str:
    """Return a coordinate with the digits that can be seen: a hundredth of a point is less than a pixel."""
    return f"{float(match[0]):.2f}".rstrip("0").rstrip(".")


def _local(tag: str) -> str:
    return tag.removeprefix(f"{{{_SVG}}}")


def _renamed(value: str, name: str) -> str:
    return _REFERENCE.sub(rf"url(#{name}-\1)", value)


def _declarations(style: str) -> list[tuple[str, str]]:
    pairs: list[tuple[str, str]] = []
    for declaration in style.split(";"):
        key, _, value = (part.strip() for part in declaration.partition(":"))
        if key == "font":
            pairs += _font(value)
        elif key in {"fill", "stroke"}:
            pairs += _colour(key, value)
        elif key:
            pairs.append((key, value))
    return pairs


def _font(value: str) -> list[tuple[str, str]]:
    match = _FONT.search(value)
    if not match:
        return []
    weight = [("font-weight", match["weight"])] if match["weight"] else []
    return [("font-size", match["size"]), *weight]


def _colour(key: str, value: str) -> list[tuple[str, str]]:
    low = value.lower()
    if low in _INK:
        return [(key, "currentColor")]
    if low in _PAPER:
        return [(key, "none")]
    if low == _GRID:
        return [(key, "currentColor"), (f"{key}-opacity", "0.14")]
    return [(key, _THEME.get(low, value))]
