"""One image under every attack and head side by side (Wang & Osher 2019, Fig. 5 and 6)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from reports.board.board_types import Board
from reports.board.identities import attack_of, model_of
from reports.board.samples import Samples, table_of
from reports.html.gallery import Exhibit, Guide
from robench.record.schema import Record, Status

if TYPE_CHECKING:
    import pandas as pd

MOST_BYTES = 400_000
"""Bytes of these pictures on one page; the first boards come first."""

MOST_IMAGES, MOST_HEADS, MOST_ATTACKS = 2, 3, 4


@dataclass(frozen=True, slots=True, kw_only=True)
class Lane:
    """One model: what each attack made of the image, None where none of its images can be read."""

    model: str
    link: str
    before: str
    cells: tuple[Exhibit | None, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """One image: clean, and under every attack on every model.

    Attributes:
        index: position in the full split.
        truth: its class.
        clean: the clean image, as a `data:` address.
        attacks: the columns.
        lanes: the rows.
    """

    index: int
    truth: str
    clean: str
    attacks: tuple[str, ...]
    lanes: tuple[Lane, ...]

    @property
    def weight(self) -> int:
        """Bytes of its pictures."""
        exhibits = (cell for lane in self.lanes for cell in lane.cells if cell)
        return len(self.clean) + sum(len(one.adversarial) + len(one.noise) for one in exhibits)


def comparisons(
    boards: Sequence[Board], guides: Sequence[Guide], links: dict[str, str]
) -> list[tuple[Comparison, ...]]:
    """Return a few images of every board; none where no image can be read or the page would grow too large.

    Args:
        boards: the boards.
        guides: reads the images of each.
        links: address of a model's section, by shown name.
    """
    room = MOST_BYTES
    per_board = []
    for board, guide in zip(boards, guides, strict=True):
        fitting = []
        for one in (
            _of_board(board, guide, links) if board.norm and guide.pixels.are_there and room > 0 else ()
        ):
            if one.weight > room:
                break
            room -= one.weight
            fitting.append(one)
        per_board.append(tuple(fitting))
    return per_board


def heads(board: Board, samples: Samples) -> list[str]:
    """Return identities of the models to compare, best first: heads on one network if there are such."""
    identity = {name: target for target, name in samples.names.items()}
    order = [identity[row.model] for row in board.rows if row.worst_case]
    details = {model_of(r.target): r for r in (*samples.clean, *samples.attacked)}
    networks: dict[str, list[str]] = {}
    for target in order:
        networks.setdefault(_network(details[target]), []).append(target)
    rivals = next((group for group in networks.values() if len(group) > 1), order[:2])
    return rivals[:MOST_HEADS]


def _network(record: Record) -> str:
    """Return the name of the model whose features a model has: another's, or its own."""
    return record.target.detail("features_of") or record.target.name


def _of_board(board: Board, guide: Guide, links: dict[str, str]) -> list[Comparison]:
    samples = guide.samples
    targets = heads(board, samples)
    attacks = list(samples.labels)[:MOST_ATTACKS]
    own = [r for target in targets for r in samples.white_box(target) if attack_of(r) in attacks]
    if not own:
        return []
    white = table_of(own)
    every_image: list[Comparison] = []
    for index in _telling(white, len(targets)):
        of_image = white[white["index"] == index]
        lanes = tuple(_lane(guide, of_image, target, attacks, index, links) for target in targets)
        exhibit = next((cell for lane in lanes for cell in lane.cells if cell), None)
        if exhibit is None:
            break  # the run folder does not hold its images
        labels = tuple(samples.labels[attack] for attack in attacks)
        every_image.append(
            Comparison(index=index, truth=exhibit.truth, clean=exhibit.clean, attacks=labels, lanes=lanes)
        )
        if len(every_image) == MOST_IMAGES:
            break
    return every_image


def _telling(white: pd.DataFrame, count: int) -> list[int]:
    """Return images that every model had right, those first that most attacks break on most models."""
    right = white[white["right"]]
    models = right.groupby("index")["target"].nunique()
    fit = right[right["index"].isin(models.index[models == count])]
    fell = fit.assign(fell=fit["status"] == Status.BROKEN)
    pairs = fell.groupby(["index", "target", "attack"], observed=True)["fell"].any()
    falls = pairs.groupby("index").sum().sort_values(ascending=False, kind="stable")
    return [int(index) for index in falls.index[falls > 0]]


def _lane(
    guide: Guide,
    of_image: pd.DataFrame,
    target: str,
    attacks: Sequence[str],
    index: int,
    links: dict[str, str],
) -> Lane:
    exhibits = []
    for attack in attacks:
        lines = of_image[(of_image["target"] == target) & (of_image["attack"] == attack)]
        breaks = lines[lines["status"] == Status.BROKEN]
        # An image that stands is shown as the attack changed it.
        selection = lines if breaks.empty else breaks
        exhibits.append(None if selection.empty else guide.exhibit(selection, index))
    model = guide.samples.names[target]
    before = next((cell.before for cell in exhibits if cell), "")
    return Lane(model=model, link=links.get(model, ""), before=before, cells=tuple(exhibits))
