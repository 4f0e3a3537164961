"""Which images are worth looking at: those only the worst attack breaks, and those no model survives."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

from reports.board.identities import attack_of, model_of
from reports.board.paired_images import broken_on_all
from reports.board.samples import Samples, table_of
from reports.html.pixels import Pixels, magnified, png
from reports.text.escape import number
from robench.record.schema import Record, Status

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True, slots=True, kw_only=True)
class Exhibit:
    """One image before and after.

    Attributes:
        index: position in the full split.
        attack: what made it.
        truth: its class.
        before: the model's prediction on the clean image.
        after: its prediction on the adversarial image.
        size: the perturbation, in words.
        scale: how many times the noise is magnified, as text.
        clean: the clean image, as a `data:` address.
        adversarial: the adversarial image.
        noise: the difference, magnified around middle grey.
    """

    index: int
    attack: str
    truth: str
    before: str
    after: str
    size: str
    scale: str
    clean: str
    adversarial: str
    noise: str

    @property
    def weight(self) -> int:
        """Bytes of the three pictures."""
        return len(self.clean) + len(self.adversarial) + len(self.noise)


@dataclass(frozen=True, slots=True, kw_only=True)
class Strip:
    """Images of one kind: how many there are, and a few of them."""

    title: str
    total: int
    exhibits: tuple[Exhibit, ...]


@dataclass(frozen=True)
class Guide:
    """Chooses images of one board.

    Args:
        samples: the board's records.
        pixels: where the images are.
        each: most images of a kind.
    """

    samples: Samples
    pixels: Pixels
    each: int = 3

    def lost(self) -> set[int]:
        """Return the images that break every model of the board; none under an infinite radius."""
        return broken_on_all(self.samples)

    def strips(self, target: str, *, lost: set[int], budget: int) -> tuple[Strip, ...]:
        """Return the images to show of one model, within so many bytes; empty if no image can be read.

        Args:
            target: identity of the model.
            lost: the result of `lost`.
            budget: most bytes of pictures.
        """
        own = self.samples.white_box(target)
        if not own or not self.pixels.are_there:
            return ()
        white = table_of(own)
        breaks = white[(white["status"] == Status.BROKEN) & white["right"]]
        if breaks.empty:
            return ()
        every_strip: list[Strip] = []
        for title, indices in self._kinds(white, breaks, lost):
            rest = budget - sum(e.weight for strip in every_strip for e in strip.exhibits)
            exhibits = self._exhibits(breaks, indices, rest)
            if exhibits:
                every_strip.append(Strip(title=title, total=len(indices), exhibits=exhibits))
        return tuple(every_strip)

    def _kinds(
        self, white: pd.DataFrame, breaks: pd.DataFrame, losses: set[int]
    ) -> Iterable[tuple[str, list[int]]]:
        if math.isinf(
            self.samples.setting.threat.eps
        ):  # all images are broken: what matters is how small the change was
            smallest = breaks.groupby("index")["l2"].min().sort_values(kind="stable")
            yield "The smallest changes that break it", [int(i) for i in smallest.index]
            return
        import numpy as np

        # Of every attack and image: whether it was tried, whether it stood each time, whether it was broken.
        images, places = np.unique(white["index"].to_numpy(), return_inverse=True)
        attacks, codes = white["attack"].cat.categories, white["attack"].cat.codes.to_numpy()
        attempts, stands, fell = np.zeros((3, len(attacks), len(images)), dtype=bool)
        attempts[codes, places] = stands[codes, places] = True
        lost_it = ~white["robust"].to_numpy()
        stands[codes[lost_it], places[lost_it]] = False
        was_broken = breaks["attack"].cat.codes.to_numpy()
        fell[was_broken, np.searchsorted(images, breaks["index"].to_numpy())] = True
        attackers = np.flatnonzero(attempts.any(axis=1))
        victims = set(images[fell.any(axis=0)].tolist())
        if len(attackers) > 1:
            worst = attackers[stands[attackers].sum(axis=1).argmin()]
            alone = images[fell[worst] & (fell.sum(axis=0) == 1)].tolist()
            if alone:
                label = self.samples.labels[str(attacks[worst])]
                yield f"Only {label}, the strongest attack here, breaks these", alone
        if len(self.samples.names) > 1 and losses & victims:
            yield (
                "Broken on every model of this board; here they fell to white-box attacks",
                sorted(losses & victims),
            )
        elif victims:
            yield "Broken by at least one attack", sorted(victims)

    def _exhibits(self, breaks: pd.DataFrame, indices: list[int], budget: int) -> tuple[Exhibit, ...]:
        exhibits: list[Exhibit] = []
        for index in indices[: self.each]:
            exhibit = self.exhibit(breaks[breaks["index"] == index], index)
            if exhibit is None or exhibit.weight > budget:
                break
            budget -= exhibit.weight
            exhibits.append(exhibit)
        return tuple(exhibits)

    def exhibit(self, lines: pd.DataFrame, index: int) -> Exhibit | None:
        """Return the smallest perturbation of an image in some lines of the table; None if unreadable."""
        first = lines.sort_values(["l2", "attack", "gradient_source"])
        place = tuple(str(first[name].iloc[0]) for name in ("target", "source", "attack", "gradient_source"))
        record = next((r for r in self._places.get(place, ()) if index in r.columns.array("index")), None)
        if record is None:
            return None
        at = int((record.columns.array("index") == index).argmax())
        clean, adversarial = self.pixels.clean(record, at), self.pixels.adversarial(record, at)
        if clean is None or adversarial is None or clean.shape != adversarial.shape:
            return None
        noise, scale = magnified(adversarial - clean)
        names = ("label", "clean", "adversarial", "linf", "l2")
        label, before, after, linf, l2 = (column[at].item() for column in record.columns.arrays(*names))
        return Exhibit(
            index=index,
            attack=self.samples.labels[attack_of(record)],
            truth=record.dataset.class_name(label),
            before=record.dataset.class_name(before),
            after=record.dataset.class_name(after),
            size=f"Linf {number(linf)}, L2 {number(l2)}",
            scale=number(scale),
            clean=png(clean),
            adversarial=png(adversarial),
            noise=png(noise),
        )

    @cached_property
    def _places(self) -> dict[tuple[str, ...], list[Record]]:
        """The shards of every (target, source, attack, gradient source)."""
        places: dict[tuple[str, ...], list[Record]] = {}
        for record in self.samples.attacked:
            gradient_source = record.source.gradient_source
            place = (model_of(record.target), model_of(record.source), attack_of(record), gradient_source)
            places.setdefault(place, []).append(record)
        return places
