"""The plugin: a run folder, or records alone, to one HTML file.

The first screen is `templates/page.html.jinja`: questions and answers (`reports.text.answers`), one sentence
(`reports.text.sentences.summary`), and the first table (`reports.html.leaderboard_table`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from reports.board.grouping import split_into_boards
from reports.board.identities import model_of
from reports.board.leaderboard import boards_of
from reports.board.run_folder import MOST_FAULTS, Readable, Run, read_run
from reports.figures.palette import look_of
from reports.html.accuracy_curves import CurveSections
from reports.html.background import background_of
from reports.html.board_sections import board_sections, model_links
from reports.html.gallery import Guide
from reports.html.model_sections import model_sections
from reports.html.pixels import Pixels
from reports.html.side_by_side import comparisons
from reports.html.site.site import check_folder, write_site
from reports.html.template import page
from reports.html.training_sections import curves
from reports.text.board_tables import FRESH
from reports.text.facts import provenance
from reports.text.sentences import summary
from robench.errors import ConfigError
from robench.recipe import Info
from robench.record.exchange.board_entry import BoardEntry
from robench.record.exchange.published_numbers import PublishedNumber
from robench.record.files import write_atomic
from robench.record.schema import Record
from robench.record.store import Fault

FILE = "report.html"


@dataclass(frozen=True, slots=True, kw_only=True)
class HTML:
    """One self-contained page, report.html: boards, findings, models, images, trainings, provenance."""

    info: ClassVar[Info] = Info(title="HTML", paper="none; HTML Living Standard, CSP Level 3")

    def render(self, records: Sequence[Record]) -> str:
        """Return the page of some records, without the parts that need a run folder."""
        return page_of(Run(records=tuple(records)))

    def render_run(self, folder: Path, readable: Readable | None = None) -> str:
        """Return the page of a run folder; damaged files are listed on it.

        Args:
            folder: the run folder.
            readable: what is in it, if it was read already.

        Raises:
            ConfigError: the folder is not the folder of a run, or there is nothing in it to show.
        """
        run = read_run(folder, readable)
        if not (run.records or run.failures or run.unreadable or run.trainings):
            do = "Give the command again that began it, which goes on where it stopped"
            raise ConfigError(where=str(folder), expected="at least one finished unit", got="none", do=do)
        return page_of(run)

    def check_site(self, folder: Path) -> None:
        """Refuse a folder for a site that holds something else.

        Raises:
            ConfigError: it does.
        """
        check_folder(folder)

    def write_site(
        self,
        entries: Sequence[BoardEntry],
        folder: Path,
        *,
        title: str,
        published: Sequence[PublishedNumber] = (),
    ) -> list[Path]:
        """Write a site of many runs, and return its pages, the first page first.

        Args:
            entries: the runs.
            folder: where to.
            title: of the site.
            published: numbers measured by others, shown apart.

        Raises:
            ConfigError: the folder holds something else.
            StorageError: writing to disk failed.
        """
        return write_site(entries, folder, title=title, published=published)

    def __call__(self, records: Sequence[Record], folder: Path) -> list[Path]:
        """Write the page of a run folder, with these records, and return its path.

        Raises:
            StorageError: writing to disk failed; an older page is intact.
        """
        path = folder / FILE
        write_atomic(path, page_of(read_run(folder, (records, ()))))
        return [path]


def page_of(run: Run) -> str:
    """Return the page of a run as HTML; the same run gives the same text."""
    samples = split_into_boards(run.records)
    every_board = boards_of(samples)
    guides = [Guide(own, Pixels(run.root)) for own in samples]
    losses = [guide.lost() for guide in guides]
    links = model_links(every_board)
    look = look_of(links, narrow=True)
    targets = {model_of(record.target): record.target for record in run.records}
    backgrounds = {identity: background_of(target, run.trainings) for identity, target in targets.items()}
    sections = board_sections(every_board, samples, links, losses, look=look, known=backgrounds)
    accuracy_curves = CurveSections(every_board, samples, look)
    models = model_sections(run, every_board, samples, sections, losses, links, accuracy_curves)
    return page(
        title=str(run.facts.get("name") or (run.root.name if run.root else "") or "robench"),
        summary=summary(run, every_board),
        boards=sections,
        side_by_side=comparisons(every_board, guides, links),
        accuracy_curves=accuracy_curves.sections,
        models=models,
        curves=curves(run),
        provenance=provenance(run),
        config=run.config.splitlines(),
        fresh=FRESH if any(board.random for board in every_board) else "",
        certified=any(board.certificates for board in every_board),
        failures=_first(run.failures),
        unreadable=_first(run.unreadable),
    )


def _first(faults: Sequence[Fault]) -> tuple[Sequence[Fault], int]:
    """Return as many faults as a page lists, and how many more there are."""
    return faults[:MOST_FAULTS], max(0, len(faults) - MOST_FAULTS)
