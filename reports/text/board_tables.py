"""Boards as rows of texts, for screen and Markdown, and the notes under them.

The table of the page has columns of its own: `reports.html.leaderboard_table`.
"""

from __future__ import annotations

from collections.abc import Callable

from reports.board.board_types import Board, Measurement, Row
from reports.board.over_seeds import SeedBoard
from reports.board.size_ranks import is_by_size, median_of
from reports.text.escape import NOTHING, number, over_batches, percent, with_interval

ONE_DRAW = "One draw (attacked)"
"""Header of the worst case of a random model in the draw of noise that was attacked."""

CERTIFIED = "Certified [95% CI]"
"""Header of the share of images that no attack can break, as a bound proves."""

FRESH = (
    "A random model's shares are means over fresh draws of its noise, which no attack has seen: an attacker "
    'chooses an image before the noise is drawn. "One draw (attacked)" is the worst case in the very draw '
    "that the attacks asked about, where asking again until a draw falls counts as success."
)
"""The remark for a board with a random model."""


def leaderboard_table(board: Board) -> tuple[list[str], list[list[str]]]:
    """Return the header and the rows of a board, as the screen and Markdown show them; names still raw."""
    columns = board_columns(board)
    return [title for title, _ in columns], [[text(row) for _, text in columns] for row in board.rows]


def board_columns(board: Board) -> list[tuple[str, Callable[[Row], str]]]:
    """Return the columns of a board: the title of each, and its text in a row."""
    has_attack, certificates = bool(board.norm), board.certificates
    several = certificates if len(certificates) > 1 else ()
    sizes = size_columns(board)
    return [
        ("Rank", lambda row: str(row.rank) if row.rank else NOTHING),
        ("Model", lambda row: row.model),
        ("Clean [95% CI]", lambda row: with_interval(row.clean)),
        *((label, _of_attack(label)) for label in board.attacks if has_attack),
        *([("White-box", lambda row: percent(row.white_box))] if has_attack else []),
        *([("Worst case [95% CI]", lambda row: with_interval(row.worst_case))] if has_attack else []),
        *([(CERTIFIED, lambda row: with_interval(row.certified))] if certificates else []),
        *((label, _of_certificate(label)) for label in several),
        *([("Gap", lambda row: percent(row.gap))] if certificates else []),
        *([(ONE_DRAW, lambda row: percent(row.one_draw))] if board.random else []),
        ("n", lambda row: str(row.n)),
        *((title, _text_of(size)) for title, size in sizes),
        *([("Passes/image", lambda row: number(row.passes))] if has_attack else []),
        ("Findings", lambda row: ", ".join(row.remarks) or NOTHING),
    ]


def _of_attack(label: str) -> Callable[[Row], str]:
    return lambda row: percent(row.attacks.get(label))


def _of_certificate(label: str) -> Callable[[Row], str]:
    return lambda row: percent(row.certified_by.get(label))


def size_columns(board: Board) -> list[tuple[str, Callable[[Row], float | None]]]:
    """Return the columns of median sizes: the title of each, and its value in a row.

    On a board that is ordered by size the first one is over all images, and those over the broken images say
    so: the latter are larger for a model that is wrong more often.
    """
    if not any(row.median_l2 is not None or row.median_size is not None for row in board.rows):
        return []
    titles = median_titles(board.norm)
    if not is_by_size(board):
        return [(title, _size_at(place, board.norm)) for place, title in enumerate(titles)]
    of_broken = [(f"{title}, broken", _size_at(place, board.norm)) for place, title in enumerate(titles)]
    return [(f"Median {board.norm}", lambda row: median_of(row, board.norm)), *of_broken]


def _size_at(place: int, norm: str) -> Callable[[Row], float | None]:
    return lambda row: medians(row, norm)[place]


def _text_of(size: Callable[[Row], float | None]) -> Callable[[Row], str]:
    return lambda row: number(size(row))


def median_titles(norm: str) -> list[str]:
    """Return the titles of the columns of median sizes: that of an L1 or L0 board, L2, Linf."""
    own = [f"Median {norm}"] if norm not in {"", "L2", "Linf"} else []
    return [*own, "Median L2", "Median Linf"]


def medians(measured: Row | Measurement, norm: str) -> list[float | None]:
    """Return the median sizes of a row or cell, one for each of `median_titles`."""
    own = [measured.median_own] if len(median_titles(norm)) > 2 else []
    return [*own, measured.median_l2, measured.median_linf]


def joint_note(board: Board) -> str:
    """Return what a reader must know of the intervals of joint models, empty where there are none; raw."""
    joint = [row for row in board.rows if row.joint]
    if not joint:
        return ""
    note = (
        f"Joint graph: {', '.join(row.model for row in joint)}. Images of one graph are not independent, so "
        "intervals and ranks, which take them for such, may be too sure."
    )
    wide_rows = [row for row in joint if (headline := row.worst_case or row.clean) and headline.batches]
    if wide_rows:
        names = "" if len(wide_rows) == len(joint) else f" of {', '.join(row.model for row in wide_rows)}"
        note += f" The intervals{names} also hold Student's t interval over batches."
    return note


def goal_note(board: Board) -> str:
    """Return what counts as robust where it is not staying right, empty where it is; raw."""
    if board.goal != "targeted":
        return ""
    return (
        "Targeted: an image that was right counts as robust unless the answer is its target, also where the "
        "attack made it another wrong class."
    )


def certified_note(board: Board) -> str:
    """Return what a reader must know of certified shares, empty where bounds were not asked for; raw."""
    if not board.certificates:
        return ""
    return (
        f"Certified: no image within the radius changes the prediction, as a bound proves "
        f"({', '.join(board.certificates)}). Certified <= truth <= worst case, image by image; the gap holds "
        "the images that are neither certified nor broken. Where a search for a bound broke an image, it "
        "counts as broken in the worst case."
    )


def transfer_table(board: Board) -> tuple[list[str], list[list[str]]]:
    """Return the source x target table of a board: robust accuracy of targets, worst over all attacks."""
    shares = {(t.source, t.target): t.robust for t in board.combined_transfers()}
    sources = list(dict.fromkeys(source for source, _ in shares))
    targets = list(dict.fromkeys(target for _, target in shares))
    header = ["Crafted on \\ judged on", *targets]
    return header, [[source, *(percent(shares.get((source, t))) for t in targets)] for source in sources]


def detail_table(board: Board) -> tuple[list[str], list[list[str]]]:
    """Return the white-box cells of a board: one row per model, attack and gradient source."""
    header = ["Model", "Attack", "Gradient source", "Robust [95% CI]", "n", "Failed"]
    header += [*median_titles(board.norm), "Forwards", "Backwards", "Findings"]
    white_box = list(board.white_box())
    has_batches = any(cell.robust.batches for cell in white_box)
    header += ["Batches", "Over batches [95% CI]"] if has_batches else []
    rows = [
        [
            cell.target,
            cell.attack,
            cell.gradient_source or NOTHING,
            with_interval(cell.robust),
            str(cell.robust.n),
            str(cell.failed),
            *(number(size) for size in medians(cell, board.norm)),
            number(cell.forwards),
            number(cell.backwards),
            ", ".join(cell.findings) or NOTHING,
            *(over_batches(cell.robust) if has_batches else ()),
        ]
        for cell in white_box
    ]
    return header, rows


def seed_table(board: SeedBoard) -> tuple[list[str], list[list[str]]]:
    """Return the header and the rows of a board over seeds."""
    header = ["Model", "Accuracy", "Mean", "SD", "Min", "Max", "Seeds", "Seed: value"]
    doubts = any(row.doubted for row in board.rows)
    header += ["In doubt"] if doubts else []
    rows = []
    for row in board.rows:
        spread = row.spread
        deviation = NOTHING if spread.deviation is None else f"{100 * spread.deviation:.2f}"
        texts = [row.model, row.column]
        texts += [
            f"{100 * spread.mean:.2f}",
            deviation,
            f"{100 * spread.low:.1f}",
            f"{100 * spread.high:.1f}",
        ]
        values = zip(row.seeds, row.values, strict=True)
        texts += [str(spread.n), ", ".join(f"{seed}: {100 * value:.1f}" for seed, value in values)]
        texts += [", ".join(map(str, row.doubted)) or NOTHING] if doubts else []
        rows.append(texts)
    return header, rows
