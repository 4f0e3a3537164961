"""Many runs to a folder of pages: every board on one page, and a page for each model."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from reports.board.identities import model_of
from reports.board.joined_names import names_of_weights, one_fingerprint, under_first_names
from reports.board.leaderboard import boards_of
from reports.board.many_runs import boards_of_many_runs
from reports.board.run_folder import MOST_FAULTS, Run, read_trainings
from reports.board.samples import Samples
from reports.figures.palette import look_of
from reports.html.accuracy_curves import over_eps
from reports.html.background import Background, background_of
from reports.html.board_sections import BoardSection, board_sections, model_links
from reports.html.gallery import Guide
from reports.html.leaderboard_table import remarks
from reports.html.model_sections import ModelSection, Part, model_sections
from reports.html.pixels import Pixels
from reports.html.site.boards import (
    KnownModels,
    SiteBoard,
    same_but_for_images,
    site_board,
)
from reports.html.site.history import history, history_table
from reports.html.site.model_runs import judged_again, runs_of_models
from reports.html.site.published_table import covers, published_sections
from reports.html.table_values import Column, Entry, Table, number_entry, share, text_entry
from reports.html.template import page
from reports.text.board_tables import FRESH
from reports.text.escape import NOTHING
from reports.text.facts import Fact
from reports.text.sentences import summary
from robench.errors import ConfigError
from robench.plurals import counted
from robench.record.completeness import missing_rows
from robench.record.exchange.board_entry import BoardEntry
from robench.record.exchange.published_numbers import PublishedNumber
from robench.record.files import write_atomic
from robench.record.folder import Fault

INDEX, MODELS, PUBLISHED = "index.html", "models", "published.html"
GENERATOR = '<meta name="generator" content="robench board">'
"""A mark in the first page: a folder with this mark may be overwritten."""
_STYLES = ("style.css", "site.css")
_PLAIN = re.compile(r"[^0-9A-Za-z]+")


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelPage:
    """The content of a model's page beside the section of a report."""

    file: str
    section: ModelSection
    background: tuple[Fact, ...]
    history: Table
    again: str


def check_folder(folder: Path) -> None:
    """Refuse a folder that holds something else than a site, before any work.

    Raises:
        ConfigError: it is a file, or holds other files.
    """
    if not folder.exists():
        return
    index = folder / INDEX
    own = index.is_file() and GENERATOR in index.read_text("utf-8", "replace")[:2000]
    if folder.is_dir() and (own or not any(folder.iterdir())):
        return
    got = "a folder with other files" if folder.is_dir() else "a file"
    do = "Name another folder with -o"
    raise ConfigError(where=str(folder), expected="no such folder, an empty one, or a site", got=got, do=do)


def write_site(
    entries: Sequence[BoardEntry], folder: Path, *, title: str, published: Sequence[PublishedNumber] = ()
) -> list[Path]:
    """Write a site and return its first page and the others; pages of models that are gone are deleted.

    Args:
        entries: the runs.
        folder: where to.
        title: of the site.
        published: numbers measured by others, shown apart.

    Raises:
        ConfigError: the folder holds something else.
        StorageError: writing to disk failed.
    """
    check_folder(folder)
    pages = site_pages(entries, title=title, published=published)
    for name, text in pages.items():
        write_atomic(folder / name, text)
    for stale in sorted((folder / MODELS).glob("*.html")):
        if f"{MODELS}/{stale.name}" not in pages:
            stale.unlink()
    if PUBLISHED not in pages:
        (folder / PUBLISHED).unlink(missing_ok=True)
    return [folder / name for name in pages]


def site_pages(
    entries: Sequence[BoardEntry], *, title: str, published: Sequence[PublishedNumber] = ()
) -> dict[str, str]:
    """Return the pages of a site by the names of their files, the first page first."""
    originals = one_fingerprint(entries)
    entries = under_first_names(originals, names_of_weights(originals))
    records = tuple(record for entry in entries for record in entry.records)
    run = Run(
        records=records, trainings=tuple(one for entry in entries for one in read_trainings(entry.root))
    )
    samples = boards_of_many_runs(records)
    every_board = boards_of(samples)
    losses = [Guide(own, Pixels(None)).lost() for own in samples]
    links = _links(samples)
    look = look_of(model_links(every_board), narrow=True)
    sections = board_sections(every_board, samples, links, losses, look=look)
    drawings = over_eps(every_board, samples, look)
    targets = {model_of(record.target): record.target for record in records}
    backgrounds = {identity: background_of(target, run.trainings) for identity, target in targets.items()}
    runs = runs_of_models(entries, originals)
    models = KnownModels(backgrounds=backgrounds, runs=runs)
    titles = {own.setting: board.title for own, board in zip(samples, every_board, strict=True)}
    groups: dict[object, list[BoardSection]] = {}
    for own, section in zip(samples, sections, strict=True):
        groups.setdefault(same_but_for_images(own.setting), []).append(section)
    board_pages = [
        site_board(
            board,
            own,
            section,
            models=models,
            others=[
                (one.title, f"#{one.name}")
                for one in groups[same_but_for_images(own.setting)]
                if one is not section
            ],
            published=any(covers(number, board) for number in published),
            drawings=drawings.get(at, ()),
        )
        for at, (board, own, section) in enumerate(zip(every_board, samples, sections, strict=True))
    ]
    faults = [
        Fault(f"{entry.title}: {fault.about}", fault.text) for entry in entries for fault in entry.faults
    ]
    has_certificates = any(board.certificates for board in every_board)
    fresh = FRESH if any(board.random for board in every_board) else ""
    pages = {
        INDEX: page(
            "site.html.jinja",
            styles=_STYLES,
            scripts=("script.js", "site.js"),
            title=title,
            summary=summary(run, every_board),
            boards=board_pages,
            filters=_filters(board_pages, backgrounds),
            runs=[(entry, len(entry.records), _plan_state(entry)) for entry in entries],
            published=len(published),
            unreadable=(faults[:MOST_FAULTS], max(0, len(faults) - MOST_FAULTS)),
            fresh=fresh,
            certified=has_certificates,
        )
    }
    lines = history(originals)
    identity_of = {name: identity for own in samples for identity, name in own.names.items()}
    for of_model in model_sections(run, every_board, samples, sections, losses, links):
        identity = identity_of[of_model.title]
        fingerprint = targets[identity].fingerprint
        mine = [
            line
            for line in lines
            if line.fingerprint == fingerprint and (fingerprint or line.name == targets[identity].name)
        ]
        model = ModelPage(
            file=links[of_model.title],
            section=of_model,
            background=_facts(backgrounds[identity], of_model),
            history=history_table(mine, titles, caption=f"Every measurement of {of_model.title}"),
            again=judged_again(targets[identity].name, runs.everywhere.get(identity, ())),
        )
        pages[model.file] = page(
            "site_model.html.jinja", styles=_STYLES, title=title, model=model, ranks=_ranks_of(of_model)
        )
    if published:
        pages[PUBLISHED] = page(
            "site_published.html.jinja",
            styles=_STYLES,
            title=title,
            sections=published_sections(published),
        )
    return pages


def _plan_state(entry: BoardEntry) -> str:
    """Say whether a run did all that its plan asks for; a dash where no plan is kept with it."""
    if not any(record.planned for record in entry.records):
        return NOTHING
    rows = len(missing_rows(entry.records))
    return f"not carried out: {counted(rows, 'row')} not complete" if rows else "carried out"


def _links(samples: Sequence[Samples]) -> dict[str, str]:
    names: dict[str, str] = {}
    for own in samples:
        for identity, name in own.names.items():
            names.setdefault(name, identity)
    return {name: model_file(identity, name) for name, identity in names.items() if identity[:1] != ":"}


def model_file(identity: str, name: str) -> str:
    """Return the name of a model's page: readable, safe in every file system, and of no two models alike."""
    plain = _PLAIN.sub("-", name)[:40].strip("-").lower() or "model"
    return f"{MODELS}/{plain}-{hashlib.sha256(identity.encode('utf-8', 'replace')).hexdigest()[:10]}.html"


def _filters(
    boards: Sequence[SiteBoard], backgrounds: dict[str, Background]
) -> list[tuple[str, str, list[str]]]:
    """Return the filters: the kind, its label and its values, if there are at least two values."""
    facts = backgrounds.values()
    choices = [
        ("norm", "Norm", {board.norm for board in boards}),
        ("dataset", "Data", {board.dataset for board in boards}),
        ("Architecture", "Architecture", {one.architecture for one in facts}),
        ("Defense", "Defense", {one.defense for one in facts}),
    ]
    return [(kind, label, sorted(values - {""})) for kind, label, values in choices if len(values - {""}) > 1]


def _facts(background: Background, section: ModelSection) -> tuple[Fact, ...]:
    facts = {
        "defense": background.defense,
        "architecture": background.architecture,
        "parameters": "" if background.parameters is None else f"{background.parameters:,}",
        "trained on": background.data,
        "paper": background.paper,
        "boards": str(len(section.parts)),
    }
    return tuple((name, value) for name, value in facts.items() if value)


def _ranks_of(section: ModelSection) -> Table:
    """Return the rank, the results and the remarks of a model: one row for each board."""
    titles = ("Board", "Rank", "Worst case, %", "Clean, %", "Remarks", "n")
    words = {"Board", "Remarks"}
    return Table(
        name="standing",
        caption=f"Where {section.title} stands",
        columns=tuple(Column(one, numeric=one not in words, head=one == "Board") for one in titles),
        rows=tuple(
            (
                text_entry(part.title, href=f"../{INDEX}{part.board_link}"),
                Entry(text=str(part.row.rank or NOTHING), order=part.row.rank),
                share(part.row.worst_case),
                share(part.row.clean),
                _remarks(part),
                number_entry(part.row.n),
            )
            for part in section.parts
        ),
    )


def _remarks(part: Part) -> Entry:
    """Return the remarks on a model's row as its board has them, with links to the board's page."""
    doubts = {one.doubt.code: (one.short, f"#{one.name}") for one in part.evidence}
    place = f"{part.board_link}-table-lifted"
    return remarks(part.row, doubts, lifted=place, page=f"../{INDEX}")
