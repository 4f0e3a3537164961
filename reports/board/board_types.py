"""Leaderboards as frozen plain data: every share with its interval, every row with its doubts."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property

from reports.board.lazy_sequence import Lazily
from reports.board.shares import Share
from robench.plan.data_title import images_title
from robench.plan.spec import KNOWN, TEMPLATE
from robench.record.measures.statistics import ENOUGH_TO_RANK
from robench.record.threat_summary import ThreatSummary, listed

MOST_LACKS = 3
"""Most missing parts of a partial row that its remarks name; the rest is counted."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One model on one board.

    Attributes:
        rank: shared with the first row that is not significantly better; None if partial, doubted, n small.
        model: its name; if two models share it, with the seed or the start of the fingerprint.
        fingerprint: hash of its weights and details.
        head: its head, if known.
        clean: accuracy on the clean images.
        attacks: white-box robust accuracy by attack, image by image worst over the gradient sources.
        worst_case: robust against everything tried, including transferred images, image by image.
        white_box: robust against everything crafted on this model itself, image by image.
        n: images judged.
        median_l2: median smallest successful L2 perturbation, for minimising attacks.
        median_linf: the same in Linf.
        median_own: the same in the norm of the threat, if that is L1 or L0.
        median_size: on a board without a radius the median over all images of the smallest change, in its
            norm: 0 for an image that was wrong before, infinite for one that nothing broke. It orders rows.
        passes: forwards plus backwards per image, summed over white-box attacks and gradient sources.
        findings: codes of the reasons to doubt the row.
        partial: whether units are missing; `missing` names them.
        doubted: whether the findings leave the row unproven.
        unlifted: codes of findings that do so; the others are lifted by another attack or source.
        joint: whether its images share graphs, and so are not independent of each other.
        draws: for a random model, the number of fresh draws of noise per image; 0 for any other. Its shares
            are means over them.
        missing: missing parts of the row, in words: columns, gradient sources, and numbers of images.
        one_draw: for a random model, the worst case in the attacked draw of noise: the success of an attack
            that may repeat until it is lucky. Without an attack, the clean accuracy in that draw.
        certified: images that no attack can break, by any bounding method; None if none was used.
        certified_by: the same by each bounding method.
        gap: images that are neither certified nor broken by anything tried.
    """

    rank: int | None = None
    model: str
    fingerprint: str
    head: str
    clean: Share | None
    attacks: dict[str, Share]
    worst_case: Share | None
    white_box: Share | None
    n: int
    median_l2: float | None
    median_linf: float | None
    passes: float | None
    findings: tuple[str, ...]
    partial: bool
    doubted: bool
    unlifted: tuple[str, ...] = ()
    joint: bool = False
    draws: int = 0
    missing: tuple[str, ...] = ()
    one_draw: Share | None = None
    certified: Share | None = None
    certified_by: dict[str, Share] = field(default_factory=dict)
    gap: Share | None = None
    median_own: float | None = None
    median_size: float | None = None

    @property
    def lifted(self) -> tuple[str, ...]:
        """Codes of findings that do not put the row in doubt."""
        return tuple(code for code in self.findings if code not in self.unlifted)

    @property
    def absent(self) -> bool:
        """Whether it is the row of a planned model without any record."""
        return self.clean is None and self.n == 0

    @property
    def lacks(self) -> str:
        """Missing parts of a partial row, such as `: pgd 100 of 200 images`; at most the first three."""
        more = f" and {len(self.missing) - MOST_LACKS} more" if len(self.missing) > MOST_LACKS else ""
        return f": {'; '.join(self.missing[:MOST_LACKS])}{more}" if self.missing else ""

    @property
    def remarks(self) -> tuple[str, ...]:
        """Remarks on the row for readers: first its doubts, then the rest in brackets."""
        partial = (f"partial{self.lacks}",) if self.partial else ()
        codes = (f"({', '.join(self.lifted)})",) if self.lifted else ()
        return (*partial, *self.unlifted, *codes)


def may_have_rank(row: Row, images: int) -> bool:
    """Tell whether a row may have a rank: it is complete, has no unlifted doubt and enough images.

    Args:
        row: of a board.
        images: number of images of the board.
    """
    return not row.partial and not row.doubted and images >= ENOUGH_TO_RANK


@dataclass(frozen=True, slots=True, kw_only=True)
class Measurement:
    """One (target, source, attack, gradient source) of a board, all its shards together.

    For a random model `broken`, `misclassified`, `failed`, the medians and `one_draw` are about the attacked
    draw.
    """

    target: str
    target_fingerprint: str
    source: str
    source_fingerprint: str
    white_box: bool
    attack: str
    plugin: str
    library: str
    gradient_source: str
    robust: Share
    broken: int
    misclassified: int
    failed: int
    median_l2: float | None
    median_linf: float | None
    forwards: float
    backwards: float
    findings: tuple[str, ...]
    draws: int = 0
    one_draw: Share | None = None
    median_own: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Transfer:
    """Robust accuracy of a target on images crafted on a source, worst over its gradient sources.

    `attack` is empty for the worst case over all attacks.
    """

    source: str
    target: str
    attack: str
    robust: Share


class Transfers(Lazily[Transfer, str]):
    """The transfers of a board; those over all attacks together are used most often.

    Args:
        parts: see `Lazily`; the mark of each is the label of its attack.
        combined: returns those over all attacks together.
        some: see `Lazily`.
    """

    def __init__(
        self,
        parts: Callable[[], Sequence[tuple[str, Callable[[], Transfer]]]],
        combined: Callable[[], Sequence[Transfer]],
        *,
        some: bool,
    ) -> None:
        super().__init__(parts, some=some)
        self._combine = combined

    @cached_property
    def combined(self) -> Sequence[Transfer]:
        """Those over all attacks together."""
        return self._combine()


@dataclass(frozen=True, slots=True, kw_only=True)
class Doubt:
    """One finding about one model: its count, the first evidence, and whether it puts the model in doubt."""

    model: str
    code: str
    count: int
    evidence: str
    remedy: str
    unlifted: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Heading:
    """The images and the threat of all numbers of a board. Without a norm nothing was attacked.

    `images` is the start of the images' hash, where a board beside it has the same title for other images.
    """

    dataset: str
    split: str
    digest: str
    n: int
    norm: str
    eps: float
    eps_text: str
    goal: str
    bounds: tuple[float, float] | None = None
    knowledge: tuple[str, ...] | None = None
    budget: int | None = None
    images: str = ""

    @property
    def threat(self) -> ThreatSummary:
        """The threat."""
        return ThreatSummary(self.norm, self.eps, self.goal, self.bounds, self.knowledge, self.budget)

    @property
    def title(self) -> str:
        """The board in one line.

        For example `digits test, 300 images, Linf 8/255, untargeted`; it includes the attacker's knowledge if
        that matters.
        """
        count = f"{self.n} images ({self.images})" if self.images else f"{self.n} images"
        if not self.norm:
            return f"{images_title(self.dataset, self.split)}, {count}, no attack"
        parts = [
            f"{images_title(self.dataset, self.split)}",
            count,
            self.threat.power(self.eps_text),
        ]
        return ", ".join(part for part in (*parts, self.goal, *self.conditions) if part)

    @property
    def conditions(self) -> list[str]:
        """The other conditions: the knowledge if it matters, the budget, an unusual box."""
        knowledge = self.known
        return [*([] if knowledge is None else [f"{listed(knowledge)} known"]), *self.threat.limits()]

    @property
    def known(self) -> tuple[str, ...] | None:
        """The attacker's knowledge; None if it is the usual one."""
        return None if self.knowledge == KNOWN else self.knowledge


@dataclass(frozen=True, slots=True, kw_only=True)
class Board(Heading):
    """Rows that may be compared: same images, same threat. Without a norm it shows clean accuracy only.

    `certificates` are the labels of the bounding methods, `attacks` those of the attacks.
    """

    attacks: tuple[str, ...]
    rows: tuple[Row, ...]
    cells: Sequence[Measurement]
    transfers: Sequence[Transfer]
    doubts: tuple[Doubt, ...]
    certificates: tuple[str, ...] = ()

    def white_box(self, model: str = "") -> Iterator[Measurement]:
        """Yield the white-box measurements, of one model if it is named."""
        if isinstance(self.cells, Lazily):  # the others need not be computed
            yield from self.cells.chosen(lambda mark: mark[0] and model in {"", mark[1]})
            return
        yield from (cell for cell in self.cells if cell.white_box and model in {"", cell.target})

    def combined_transfers(self) -> Iterator[Transfer]:
        """Yield the transfers over all attacks together."""
        if isinstance(self.transfers, Transfers):  # the others need not be computed
            yield from self.transfers.combined
            return
        yield from (one for one in self.transfers if not one.attack)

    @property
    def known(self) -> tuple[str, ...] | None:
        """The attacker's knowledge; None for the usual one of plain networks, which have no template."""
        if any(row.head not in {"", "linear"} for row in self.rows):
            return self.knowledge
        plain = tuple(word for word in self.knowledge or () if word != TEMPLATE)
        return None if self.knowledge in {None, KNOWN} else plain

    @property
    def random(self) -> bool:
        """Whether any of the models is random."""
        return any(row.draws for row in self.rows)
