"""What a leaderboard is, as frozen plain data: every share with its interval, every row with its doubts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from robench.record.draws import stood_of
from robench.record.statistics import wilson
from robench.record.threat_summary import Terms


@dataclass(frozen=True, slots=True)
class Batches:
    """How the accuracy of a joint model varies over its batches, each of them a graph of its own.

    Attributes:
        n: how many batches.
        low: lower end of Student's 95 % t interval over their accuracies.
        high: upper end of it.
    """

    n: int
    low: float
    high: float


@dataclass(frozen=True, slots=True)
class Share:
    """A proportion of images with its 95 % interval: Wilson's, widened where images are not independent.

    Attributes:
        count: how many of the n.
        n: how many images; always all of them, misclassified and failed ones included.
        batches: of a joint model with enough batches, the interval over them; the interval holds it too, for
            Wilson's takes the images of one graph as independent, and few batches may agree by luck.
        low: lower end of the interval.
        high: upper end of the interval.
    """

    count: float
    n: int
    batches: Batches | None = None
    low: float = field(init=False)
    high: float = field(init=False)

    def __post_init__(self) -> None:
        """Compute the interval once."""
        low, high = wilson(int(self.count), self.n)
        if self.batches:
            low, high = min(low, self.batches.low), max(high, self.batches.high)
        object.__setattr__(self, "low", low)
        object.__setattr__(self, "high", high)

    @property
    def value(self) -> float | None:
        """The proportion, None for no images."""
        return self.count / self.n if self.n else None

    @property
    def rest(self) -> Share:
        """The share of the other images."""
        return Share(self.n - self.count, self.n)


@dataclass(frozen=True, slots=True)
class DrawnShare(Share):
    """How often images stood on average over fresh draws of a model's noise; see `robench.record.draws`.

    `count` is the sum over images of the share of draws in which each stood, and the interval is that of
    `robench.record.stood_of`.

    Attributes:
        draws: how often each image was asked about.
    """

    draws: int = 0

    def __post_init__(self) -> None:
        """Know nothing; `of` knows the interval."""
        self._between(0.0, 1.0)

    @classmethod
    def of(cls, images: Sequence[str]) -> DrawnShare:
        """Return the share of images given as one 0 (fell) or 1 (stood) for each draw."""
        found = stood_of(images)
        made = cls(found.mean * len(images), len(images), draws=len(images[0]))
        made._between(found.low, found.high)
        return made

    @property
    def rest(self) -> Share:
        """The share of draws in which images fell."""
        made = DrawnShare(self.n - self.count, self.n, draws=self.draws)
        made._between(1 - self.high, 1 - self.low)
        return made

    def _between(self, low: float, high: float) -> None:
        object.__setattr__(self, "low", low)
        object.__setattr__(self, "high", high)


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One model on one board.

    Attributes:
        rank: shared with the first row it cannot be told apart from; None if partial, doubted, or n small.
        model: its name; where two share one, with the seed or the start of the fingerprint.
        fingerprint: hash of its weights and details.
        head: its head, if the record tells.
        clean: accuracy on the clean images.
        attacks: white-box robust accuracy by attack, image by image worst over the gradient sources.
        worst_case: robust against everything tried, transferred images included, image by image.
        white_box: robust against everything crafted on this very model, image by image.
        n: images judged.
        median_l2: median smallest successful L2 perturbation, for minimising attacks.
        median_linf: the same in Linf.
        passes: forwards plus backwards per image, summed over white-box attacks and gradient sources.
        findings: codes of the reasons to doubt the row.
        partial: whether units are missing.
        doubted: whether the findings leave the row unproven.
        standing: codes of those that do; the others are lifted by another attack or source.
        joint: whether its images share graphs, and so are not independent of each other.
        draws: of a random model, under how many fresh draws of noise each image was judged; 0 for any other.
            Its shares are means over them.
        one_draw: of a random model, the worst case in the one draw of noise that was attacked: how far an
            attack gets that may ask until it is lucky. Without an attack, the clean accuracy in that draw.
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
    standing: tuple[str, ...] = ()
    joint: bool = False
    draws: int = 0
    one_draw: Share | None = None

    @property
    def lifted(self) -> tuple[str, ...]:
        """Codes of findings that were met and do not put the row in doubt."""
        return tuple(code for code in self.findings if code not in self.standing)

    @property
    def remarks(self) -> tuple[str, ...]:
        """What a reader must know of the row: what stands first, then in brackets what does not."""
        partial = ("partial",) if self.partial else ()
        lifted = (f"({', '.join(self.lifted)})",) if self.lifted else ()
        return (*partial, *self.standing, *lifted)


@dataclass(frozen=True, slots=True, kw_only=True)
class Cell:
    """One (target, source, attack, gradient source) of a board, all its shards together.

    Of a random model `broken`, `misclassified`, `failed` and the medians are of the draw that was attacked,
    as is `one_draw`.
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


@dataclass(frozen=True, slots=True, kw_only=True)
class Transfer:
    """Robust accuracy of a target on images crafted on a source, worst over its gradient sources.

    `attack` is empty for the worst case over all attacks.
    """

    source: str
    target: str
    attack: str
    robust: Share


@dataclass(frozen=True, slots=True, kw_only=True)
class Doubt:
    """One finding about one model: how often it was met, the first evidence, whether it puts it in doubt."""

    model: str
    code: str
    count: int
    evidence: str
    remedy: str
    stands: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Heading:
    """What all numbers of a board share: images and threat. Without a norm nothing was attacked."""

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

    @property
    def terms(self) -> Terms:
        """The threat."""
        return Terms(self.norm, self.eps, self.goal, self.bounds, self.knowledge, self.budget)

    @property
    def title(self) -> str:
        """The board in one line.

        Such as `digits test, 300 images, Linf 8/255, untargeted, weights and template known`.
        """
        return f"{self.dataset} {self.split}, {self.n} images, {self.terms.words(self.eps_text)}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Board(Heading):
    """Rows that may be compared: same images, same threat. Without a norm it shows clean accuracy only."""

    attacks: tuple[str, ...]
    rows: tuple[Row, ...]
    cells: tuple[Cell, ...]
    transfers: tuple[Transfer, ...]
    doubts: tuple[Doubt, ...]

    @property
    def drawn(self) -> bool:
        """Whether any of the models is random."""
        return any(row.draws for row in self.rows)
