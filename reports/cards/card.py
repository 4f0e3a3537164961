"""The plugin: a run to one Markdown card per model."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from reports.board.board_types import Board, Row
from reports.board.by_model import MeasuredModel, by_model
from reports.board.run_folder import Readable, Run, read_run
from reports.board.size_ranks import median_of
from reports.cards.limits import limits
from reports.text.escape import NOTHING, number, with_interval
from reports.text.facts import Fact, card, trained, without_folders
from reports.text.markdown import escape, table
from reports.text.sentences import threat_in_words
from robench.plan.data_title import images_title
from robench.recipe import Info
from robench.record.files import write_atomic
from robench.record.parts import RecordedTarget, RecordedThreat
from robench.record.schema import Record
from robench.record.threat_summary import threat_summary_of

FOLDER = "cards"


@dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    """One card: the name of its file, and its text."""

    file: str
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Cards:
    """One Markdown page per model, cards/MODEL.md: what it is, its training, results and limits."""

    info: ClassVar[Info] = Info(title="model cards", paper="Mitchell et al. 2019, arXiv:1810.03993")

    def render(self, records: Sequence[Record]) -> str:
        """Return the cards of some records, one after the other; trainings are in run folders only."""
        return "\n".join(page.text for page in pages(Run(records=tuple(records))))

    def __call__(self, records: Sequence[Record], folder: Path) -> list[Path]:
        """Write the cards of a run folder and return their folder, nothing if there is no model.

        Raises:
            StorageError: writing to disk failed; older files are intact.
        """
        return _write(pages(read_run(folder, (records, ()))), folder)

    def write_run(self, folder: Path, readable: Readable | None = None) -> list[Path]:
        """Write the cards of a run folder as it is; records that cannot be read are left out.

        Args:
            folder: the run folder.
            readable: what is in it, if it was read already.

        Raises:
            ConfigError: the folder is not the folder of a run.
            StorageError: writing to disk failed; older files are intact.
        """
        return _write(pages(read_run(folder, readable)), folder)


def _write(cards: Sequence[Page], folder: Path) -> list[Path]:
    for page in cards:
        write_atomic(folder / FOLDER / page.file, page.text)
    return [folder / FOLDER] if cards else []


def pages(run: Run) -> list[Page]:
    """Return a card for every model of a run, in the order of its boards."""
    return [Page(file=f"{one.file}.md", text=text_of(run, one)) for one in by_model(run.records)]


def text_of(run: Run, model: MeasuredModel) -> str:
    """Return the card of a model of a run."""
    records = model.records
    results = [(result.board, result.row) for result in model.results]
    row = results[0][1]
    target = records[0].target
    seeds = sorted({record.seed for record in records})
    training = trained(target, run.trainings)
    parts = [
        f"# Model card: {escape(row.model)}\n",
        f"{_sentence(target)} Made by robench from records; every number carries its interval "
        "(95 %, Wilson), its threat model and n.\n",
        "## What it is\n",
        _facts(card(target)),
        "## How it was trained\n",
        _aim(dict(training)),
        _facts(training) if training else f"{_untrained(target)}\n",
        "## What it stands\n",
        table(*_results(results)),
        *(_threat(board, records) for board, _ in results),
        "## Attack by attack, white-box\n",
        _attacks(results),
        "## Findings\n",
        *_findings(results),
        "## Limits\n",
        *(f"- {escape(line)}" for line in limits(target, results, seeds)),
    ]
    return "\n".join(parts) + "\n"


def _results(results: Sequence[tuple[Board, Row]]) -> tuple[list[str], list[list[str]]]:
    """Return header and rows: a board each, with what is certified where bounds were asked for."""
    bounds = any(board.certificates for board, _ in results)
    header = ["Images", "Threat", "n", "Clean", "White-box", "Worst case", *(["Certified"] if bounds else [])]
    header += ["Median change", "Rank", "Remarks"]
    rows = []
    for board, row in results:
        threat = f"{board.threat.power(board.eps_text)}, {board.goal}" if board.norm else "no attack"
        remarks = [*(["in doubt"] if row.doubted else []), *row.remarks]
        texts = [images_title(board.dataset, board.split), threat, str(row.n)]
        texts += [with_interval(share) for share in (row.clean, row.white_box, row.worst_case)]
        texts += [with_interval(row.certified)] if bounds else []
        median = median_of(row, board.norm)
        texts += [NOTHING if median is None else f"{number(median)} ({board.norm})"]
        texts += [str(row.rank or NOTHING), ", ".join(remarks) or NOTHING]
        rows.append(texts)
    return header, rows


def _attacks(results: Sequence[tuple[Board, Row]]) -> str:
    rows = [
        (board.threat.power(board.eps_text), label, with_interval(share), str(share.n))
        for board, row in results
        for label, share in row.attacks.items()
    ]
    return table(("Threat", "Attack", "Robust", "n"), rows) if rows else "None was run.\n"


def _threat(board: Board, records: Sequence[Record]) -> str:
    spec = next((r.threat for r in records if threat_summary_of(r.threat) == board.threat), RecordedThreat())
    return f"{escape(f'{board.title}: {threat_in_words(board, spec)}')}\n"


def _findings(results: Sequence[tuple[Board, Row]]) -> list[str]:
    lines = [
        f"- **{escape(doubt.code)}** ({escape(board.title)}): {escape(doubt.evidence)}. "
        f"{escape(doubt.remedy)}."
        for board, row in results
        for doubt in board.doubts
        if doubt.model == row.model
    ]
    return [*dict.fromkeys(lines or ["None."]), ""]


def _facts(facts: Sequence[Fact]) -> str:
    return table(("Fact", "Value"), facts)


def _sentence(target: RecordedTarget) -> str:
    network = str(without_folders(target.detail("architecture"))) or "A network"
    head = target.detail("head") or "unknown"
    return f"{escape(network)} with the head {escape(head)}, {_how(target)}."


def _how(target: RecordedTarget) -> str:
    training = target.detail("training")
    ways = {"": "of unknown training", "none": "not trained", "checkpoint": "trained elsewhere"}
    return ways.get(training) or f"trained by {escape(training)}"


def _aim(training: dict[str, str]) -> str:
    """Return the threat that a training defends against; empty if none is known."""
    if "eps" not in training:
        return ""
    steps = f", {escape(training['steps'])} steps" if "steps" in training else ""
    return f"Trained against: {escape(training.get('norm', 'Linf'))} {escape(training['eps'])}{steps}.\n"


def _untrained(target: RecordedTarget) -> str:
    return f"It was {_how(target)}; how in detail is not in what this card was made from."
