"""Figures of results, drawn on request. No torch here, and matplotlib only when a figure is drawn."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from robench import plugins
from robench.errors import ConfigError
from robench.record.schema import Record


@dataclass(frozen=True, slots=True, repr=False, eq=False)
class Drawing:
    """A figure: a notebook shows it, and `save` writes it to a file.

    Attributes:
        name: name of the figure, as in `robench list figures`.
        svg: the picture.
    """

    name: str
    svg: str
    _recipe: Any = field(repr=False)
    _records: Sequence[Record] = field(repr=False)
    _board: str | None = field(repr=False)

    def save(self, path: str | Path) -> Path:
        """Write the figure and return its path; the suffix chooses among .svg, .png and .pdf.

        Raises:
            ConfigError: another suffix.
            StorageError: writing to disk failed; an older file is intact.
        """
        file: Path = self._recipe(self._records, Path(path), board=self._board)
        return file

    def __repr__(self) -> str:
        """Return one line."""
        return f"Drawing({self.name}, {len(self.svg)} bytes of SVG; .save('{self.name}.png') writes it)"

    def _repr_svg_(self) -> str:
        return self.svg


@dataclass(frozen=True, slots=True, repr=False, eq=False)
class Plots:
    """The figures of some results: `result.plot.tradeoff()`, or any by its name: `result.plot("steps")`."""

    records: Sequence[Record]

    def __call__(self, figure: str = "", board: str | None = None) -> Drawing:
        """Draw a figure.

        Args:
            figure: its name, as in `robench list figures`. There is no default.
            board: text in the title of the board to show, such as `Linf 0.3`; needed if there are several.

        Raises:
            PluginError: no figure has that name.
            ConfigError: no figure is named; nothing was measured yet; the text fits no board or several, or
                the figure cannot show the board.
        """
        if not self.records:
            do = "Give the same command again to let the run go on"
            raise ConfigError(where="plot", expected="at least one finished unit", got="none", do=do)
        if not figure:
            choices = ", ".join(plugins.names("figures"))
            raise ConfigError(
                where="plot", expected="the name of a figure", got="none", do=f"One of: {choices}"
            )
        recipe = plugins.find("figures", figure, where="plot")()
        try:
            with tempfile.TemporaryDirectory() as folder:
                svg = recipe(self.records, Path(folder) / "figure.svg", board=board).read_text("utf-8")
        except ConfigError as error:  # figures speak of the option of `robench plot`
            do = error.do.replace("--board TEXT", f'plot("{figure}", board="TEXT")')
            if do == error.do:
                raise
            raise ConfigError(where=error.where, expected=error.expected, got=error.got, do=do) from None
        return Drawing(figure, svg, recipe, self.records, board)

    def tradeoff(self, board: str | None = None) -> Drawing:
        """Draw clean against robust accuracy, one point for each model; see `Plots`."""
        return self("tradeoff", board)

    def transfer(self, board: str | None = None) -> Drawing:
        """Draw the accuracy on images crafted on other models; see `Plots`."""
        return self("transfer", board)

    def __repr__(self) -> str:
        """Return one line."""
        return f"Plots({', '.join(plugins.names('figures'))})"
