"""One attack on one network: the images, a verdict for each of them, and how far they are."""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from robench.api import html
from robench.api.benchmark_inputs import check_radius
from robench.api.makers import Network, columns_of, make_attack, wrap
from robench.api.strongest_verdicts import SourceVerdicts, strongest
from robench.attack.craft import Crafted, check_attack
from robench.attack.norms import norm_named
from robench.attack.protocol import Attack
from robench.attack.threat import Goal, ThreatModel
from robench.data.arrays import own_array
from robench.data.images import ImageSet, image_set
from robench.data.pixels import read_images
from robench.errors import InputError, JobError
from robench.judge.verdict import landing
from robench.model.function_network import as_network
from robench.model.interface import Coupling, Model
from robench.plan.radius import radius
from robench.plurals import counted
from robench.record.curves import size_column
from robench.record.draws import MeanStood, mean_stood
from robench.record.frame import frame_of
from robench.record.fresh_outcomes import outcomes
from robench.record.schema import Finding, Record, Status
from robench.record.statistics import wilson
from robench.record.threat_summary import ThreatSummary
from robench.run.evaluate import evaluate
from robench.run.evaluated_model import EvaluatedModel
from robench.run.jobs import Board
from robench.run.keeper import Memory, last_line
from robench.run.settings import Settings
from robench.run.work import Work
from robench.types import Images, Labels, Mask, PerSample

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd
    from numpy.typing import NDArray


@dataclass(frozen=True, slots=True, kw_only=True, repr=False, eq=False)
class Attacked:
    """What an attack did to some images, judged afresh: image by image the worst over gradient sources.

    Of several sources that broke an image the first counts, or the smallest change where the attack looks for
    it. Of a random model verdicts and images are of the one draw that was attacked, and `robust_accuracy` is
    over fresh draws.

    Attributes:
        attack: its name.
        norm: name of the norm.
        eps: the radius as it was written.
        x: the clean images (B, C, H, W), on the CPU.
        images: the adversarial images (B, C, H, W) as they were judged: inside ball and box.
        labels: (B,) the true classes.
        clean: (B,) predicted classes of the clean images; -1 for no number, -2 for a tie.
        adversarial: (B,) predicted classes of the adversarial images.
        status: a verdict for each image: `robust`, `broken`, `misclassified` before the attack, or `failed`.
        distance: (B,) size of each change in the norm, float64.
        linf: (B,) largest change of a pixel.
        l2: (B,) Euclidean size of the change.
        findings: reasons to doubt the model or the attack.
        records: what was measured, as `benchmark` gives it.
        stood: of a random model, for each image a 1 (stood) or 0 (fell) for each fresh draw, at the worst of
            its points; empty for any other.
    """

    attack: str
    norm: str
    eps: str
    x: Images
    images: Images
    labels: Labels
    clean: Labels
    adversarial: Labels
    status: tuple[Status, ...]
    distance: PerSample
    linf: PerSample
    l2: PerSample
    findings: tuple[Finding, ...]
    records: tuple[Record, ...]
    stood: tuple[str, ...] = ()

    def __len__(self) -> int:
        """Return how many images there are."""
        return len(self.status)

    @property
    def broken(self) -> Mask:
        """Which images (B,) were classified right before, and not any more."""
        return torch.tensor([status is Status.BROKEN for status in self.status])

    @property
    def robust(self) -> Mask:
        """Which images (B,) are still classified right."""
        return torch.tensor([status is Status.ROBUST for status in self.status])

    @property
    def robust_accuracy(self) -> float:
        """The share of all images that are still classified right; of a random model over fresh draws.

        It is the worst case of the leaderboard of the same records.
        """
        return mean_stood(self.stood).mean if self.stood else self.one_draw_accuracy

    @property
    def one_draw_accuracy(self) -> float:
        """The share of images that are still right in the draw that was attacked, as `robust` counts them."""
        return sum(status is Status.ROBUST for status in self.status) / len(self)

    def to_frame(self) -> pd.DataFrame:
        """Return a tidy table, a line for each image and gradient source; see `Results.to_frame`."""
        return frame_of(self.records)

    def __repr__(self) -> str:
        """Return one line: the attack, and how many images stand."""
        return f"Attacked({self._summary()})"

    def _summary(self) -> str:
        count = {status: self.status.count(status) for status in Status}
        others = [f"{count[s]} {s}" for s in Status if count[s] and s is not Status.ROBUST]
        codes = sorted({finding.code for finding in self.findings})
        threat = ThreatSummary(self.norm, radius(self.eps)[0])
        if math.isinf(threat.eps) and count[Status.BROKEN]:
            others.append(f"median {statistics.median(self.distance[self.broken].tolist()):.4g}")
        return (
            f"{self.attack}, {threat.power(self.eps)}: {self._robust_share(count[Status.ROBUST])}"
            f"{''.join(f', {text}' for text in others)}"
            f"{'; findings: ' + ', '.join(codes) if codes else ''}"
        )

    def _robust_share(self, robust: int) -> str:
        """Say how many images stand: in the one draw there is, or over fresh ones and in the attacked one."""
        total = counted(len(self), "image")
        one_draw = f"{robust} of {total} robust"
        if not self.stood:
            low, high = wilson(robust, len(self))
            return f"{one_draw} {_percent(low, high)}"
        over: MeanStood = mean_stood(self.stood)
        return (
            f"{100 * over.mean:.1f} % robust {_percent(over.low, over.high)} over "
            f"{counted(len(self.stood[0]), 'fresh draw')}; in the attacked draw {one_draw}"
        )

    def _repr_html_(self) -> str:
        positions = [i for i, s in enumerate(self.status) if s is Status.BROKEN][: html.MOST_PICTURES]
        positions = positions or list(range(min(len(self), html.MOST_PICTURES)))
        rows = [
            [
                html.picture(self.x[i].numpy()),
                html.picture(self.images[i].numpy()),
                int(self.labels[i]),
                f"{int(self.clean[i])} → {int(self.adversarial[i])}",
                str(self.status[i]),
                f"{float(self.distance[i]):.4g}",
            ]
            for i in positions
        ]
        header = ["Clean", "Adversarial", "Label", "Predicted", "Verdict", f"{self.norm} distance"]
        return html.table(self._summary(), header, rows)


@dataclass(slots=True)
class _Everything(Memory):
    """A keeper that forgets nothing."""

    images: dict[str, Crafted] = field(default_factory=dict)
    errors: dict[str, BaseException] = field(default_factory=dict)

    def failed(
        self, key: str, title: str, text: str, *, model: str = "", error: BaseException | None = None
    ) -> None:
        """Keep what was raised, so that whoever called sees where."""
        self.failures[key] = f"{title}: {text}"
        self.failed_jobs.setdefault(model, []).append(title)
        if error is not None:
            self.errors[key] = error

    def keep_crafted(self, key: str, crafted: Crafted) -> None:
        """Keep crafted images."""
        self.images[key] = crafted
        self._crafted = {key: crafted}


def attack(
    net: Model | Network,
    x: Tensor | NDArray[np.generic] | Sequence[Any],
    y: Tensor | NDArray[np.generic] | Sequence[Any],
    attack: str | Attack | Callable[..., Any] = "pgd",
    *,
    eps: float | str,
    norm: str = "Linf",
    targeted: bool = False,
    output: str = "logits",
    source: str | None = None,
    seed: int = 0,
    batch_size: int = 250,
    **options: Any,
) -> Attacked:
    """Attack some images and judge what comes out; the network is left as it was.

    Args:
        net: a module, a function of images (B, C, H, W) in [0, 1], or a Model.
        x: images (B, C, H, W), floats in [0, 1] or uint8.
        y: their labels (B,), whole numbers from 0.
        attack: a name such as `pgd` or `art/pgd` (`robench list attacks`), `path/to/mine.py:NAME`, which is
            run, a function `(model, x, y, eps)`, or what `make_attack` returns.
        eps: radius in input units, a number or text such as `8/255`; `inf` for the smallest perturbation.
        norm: `Linf`, `L2`, `L1` or `L0` (how many values change).
        targeted: aim at the class after the true one instead of at any other.
        output: what a row of the network's output is: `logits`, `log_probabilities` or `simplex`.
        source: the gradient source to attack through; every one that the model offers by default.
        seed: the only source of chance.
        batch_size: most images in a pass.
        options: of the attack, such as `steps=40`.

    Raises:
        InputError: images, labels or network will not do; says why and what to do.
        PluginError: no attack has that name.
        ConfigError: an option, the radius or the norm is refused, or the attack cannot play under them.
        JobError: the network or the attack failed on the way.
    """
    aim: object = targeted
    if not isinstance(aim, bool):
        do = "The class after the true one is aimed at; a class of your choice cannot be named"
        raise InputError(where="targeted", expected="True or False", got=f"a {type(aim).__name__}", do=do)
    number, text = radius(eps)
    label = attack if isinstance(attack, str) else str(getattr(attack, "__name__", type(attack).__name__))
    label = label.rpartition(":")[2] if label.rpartition(":")[0].endswith(".py") else label
    recipe = make_attack(attack, **options)
    goal = Goal.TARGETED if targeted else Goal.UNTARGETED
    threat = ThreatModel(norm=norm_named(norm), eps=number, goal=goal)
    check_radius(threat)
    check_attack(recipe, threat, label=label)
    model, data = _subject(net, x, y, output)
    if source is not None:
        model.source(source)
    keeper = _Everything()
    settings = Settings(transfer=False, seed=seed, batch_size=batch_size)
    work = Work(
        models=[
            EvaluatedModel(
                model=model, fingerprint=model.fingerprint(), sources=(source,) if source is not None else ()
            )
        ],
        data=data,
        boards=[Board(threat=threat, eps_text=text, attacks={label: recipe})],
        settings=replace(settings, shard=len(data)) if model.coupling is Coupling.JOINT else settings,
    )
    records = [unit.record for unit in evaluate(work, keeper)]
    if keeper.failures:
        key, why = next(iter(keeper.failures.items()))
        got = (last_line(why) or key).rstrip(".")
        error = keeper.errors.get(key)
        cause = error.__cause__ or error if error is not None else None
        raise JobError(expected="an attack that ends with images and verdicts", got=got) from cause
    return _judged(records, keeper, data, threat, label, text)


def _subject(net: Model | Network, x: Any, y: Any, output: str) -> tuple[Model, ImageSet]:
    """Return a model and checked images."""
    if isinstance(net, Model):
        return net, image_set(x, y, name="images", classes=net.classes)
    module = as_network(net, "attack")
    with torch.inference_mode(False):  # else no gradient could be taken at them
        pixels = read_images(x, where="images", labels=own_array(y, where="images", what="labels").size)
    first = pixels[:2].float() / (255 if pixels.dtype == torch.uint8 else 1)
    columns = columns_of(module, first, where="attack", output=output)
    if columns < 2:
        do = "For two classes return two scores, such as `torch.cat([-score, score], 1)`"
        expected = "a network with one output for each class"
        raise InputError(where="attack", expected=expected, got="one output in all", do=do)
    data = image_set(pixels, y, name="images", classes=columns)
    name = type(module).__name__ if isinstance(net, torch.nn.Module) else getattr(net, "__name__", "function")
    return wrap(module, name=name, classes=columns, output=output), data


def _judged(
    records: Sequence[Record],
    keeper: _Everything,
    data: ImageSet,
    threat: ThreatModel,
    label: str,
    eps_text: str,
) -> Attacked:
    """Return, image by image, the worst of what came out through each gradient source."""
    sources = list(dict.fromkeys(r.source.gradient_source for r in records if not r.attack.is_clean))
    x, labels = data.batch(slice(None))
    clean = _column(records, "", "clean")
    columns: list[dict[str, list[Any]]] = []
    for name in sources:
        mine = [r for r in records if not r.attack.is_clean and r.source.gradient_source == name]
        columns.append({key: [v for r in mine for v in getattr(r.columns, key)] for key in _KEYS})
        points = torch.cat([keeper.images[r.provenance.crafted].x_adv for r in mine])
        columns[-1]["images"] = list(landing(x, points, threat).point)
    attacks = [record for record in records if not record.attack.is_clean]
    minimises, size = attacks[0].attack.minimises, size_column(attacks[0])
    every = [SourceVerdicts(status=one["status"], distance=one[size]) for one in columns]
    rows = list(enumerate(strongest(every, minimises=minimises)))
    best = {key: [columns[at][key][i] for i, at in rows] for key in (*_KEYS, "images")}
    images = torch.stack(best["images"])
    return Attacked(
        attack=label,
        norm=threat.norm.name,
        eps=eps_text,
        x=x,
        images=images,
        labels=labels,
        clean=torch.tensor(clean),
        adversarial=torch.tensor(best["adversarial"]),
        status=tuple(Status(status) for status in best["status"]),
        distance=threat.norm.size(images.double() - x.double()),
        linf=torch.tensor(best["linf"], dtype=torch.float64),
        l2=torch.tensor(best["l2"], dtype=torch.float64),
        findings=tuple({f.code: f for r in records for f in r.findings}.values()),
        records=tuple(records),
        stood=tuple(outcomes(attacks, [r for r in records if r.attack.is_clean]).values()),
    )


_KEYS = ("adversarial", "status", "linf", "l2", "distance")


def _percent(low: float, high: float) -> str:
    return f"[{100 * low:.1f}, {100 * high:.1f}] %"


def _column(records: Sequence[Record], source: str, name: str) -> list[Any]:
    mine = [r for r in records if r.attack.is_clean and r.source.gradient_source == source]
    return [value for record in mine for value in getattr(record.columns, name)]
