"""One attack on one network, in one call."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from robench.api.attacked import Attacked
from robench.api.benchmark_inputs import check_radius, missing_radius
from robench.api.makers import Network, check_outputs, columns_of, make_attack, wrap
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
from robench.plan.norm_names import proper_norm
from robench.plan.radius import radius
from robench.record.exchange.plain_boards import plain_tables
from robench.record.measures.curves import size_column
from robench.record.measures.fresh_outcomes import outcomes
from robench.record.schema import Finding, Record, Status
from robench.run.crafting import Board
from robench.run.evaluate import evaluate
from robench.run.evaluated_model import EvaluatedModel
from robench.run.keeper import Memory, last_line
from robench.run.settings import Settings
from robench.run.work import Work

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


ROW_CODES = frozenset({"low-clean", "weak-attacks-only"})
"""Findings of a board's row that are valid for one attack too; others need more attacks or images."""


@dataclass(slots=True)
class _Everything(Memory):
    """A keeper that stores everything."""

    images: dict[str, Crafted] = field(default_factory=dict)
    errors: dict[str, BaseException] = field(default_factory=dict)

    def failed(
        self, key: str, title: str, text: str, *, model: str = "", error: BaseException | None = None
    ) -> None:
        """Store the error, so that the caller can see where it happened."""
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
    eps: float | str | None = None,
    norm: str | float = "Linf",
    targeted: bool = False,
    output: str = "logits",
    source: str | None = None,
    seed: int = 0,
    batch_size: int = 250,
    until_broken: bool = False,
    **options: Any,
) -> Attacked:
    """Attack some images and judge the results; the network's state is restored.

    Args:
        net: a module, a function of images (B, C, H, W) in [0, 1], or a Model.
        x: images (B, C, H, W), floats in [0, 1] or uint8.
        y: their labels (B,), whole numbers from 0.
        attack: a name such as `pgd` or `art/pgd` (`robench list attacks`), `path/to/mine.py:NAME`, which is
            run, a function `(model, x, y, eps)`, or what `make_attack` returns.
        eps: radius in input units, a number or text such as `8/255`; `inf` for the smallest perturbation. It
            must be given.
        norm: `Linf`, `L2`, `L1` or `L0` (how many values change); `inf` and 2 are understood.
        targeted: aim at the class after the true one instead of at any other.
        output: what a row of the network's output is: `logits`, `log_probabilities` or `simplex`.
        source: the gradient source to attack through; by default all that the model offers.
        seed: seed of all random numbers.
        batch_size: most images in a pass.
        until_broken: leave an image alone once it is broken. Verdicts are the same for fewer passes, but
            images that are only just broken transfer less to other models.
        options: of the attack, such as `steps=40`.

    Raises:
        InputError: images, labels or network are refused, for example if the network has more outputs than
            many labels show classes; says why and what to do.
        PluginError: no attack has that name.
        ConfigError: an option, the radius or the norm is refused, or the attack does not support them.
        JobError: the network or the attack failed.
    """
    aim: object = targeted
    if not isinstance(aim, bool):
        do = "The class after the true one is aimed at; a class of your choice cannot be named"
        raise InputError(where="targeted", expected="True or False", got=f"a {type(aim).__name__}", do=do)
    if eps is None:
        raise missing_radius()
    number, text = radius(eps)
    label = attack if isinstance(attack, str) else str(getattr(attack, "__name__", type(attack).__name__))
    label = label.rpartition(":")[2] if label.rpartition(":")[0].endswith(".py") else label
    recipe = make_attack(attack, **options)
    goal = Goal.TARGETED if targeted else Goal.UNTARGETED
    threat = ThreatModel(norm=norm_named(proper_norm(norm)), eps=number, goal=goal)
    check_radius(threat)
    check_attack(recipe, threat, label=label)
    model, data = _model_and_images(net, x, y, output)
    if source is not None:
        model.source(source)
    keeper = _Everything()
    settings = Settings(transfer=False, seed=seed, batch_size=batch_size, to_the_end=not until_broken)
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
    with torch.inference_mode(False):  # attacks need gradients, also if the caller is in inference mode
        records = [unit.record for unit in evaluate(work, keeper)]
    if keeper.failures:
        key, why = next(iter(keeper.failures.items()))
        got = (last_line(why) or key).rstrip(".")
        error = keeper.errors.get(key)
        cause = error.__cause__ or error if error is not None else None
        raise JobError(expected="an attack that ends with images and verdicts", got=got) from cause
    return _judged(records, keeper, data, threat, label, text)


def _model_and_images(net: Model | Network, x: Any, y: Any, output: str) -> tuple[Model, ImageSet]:
    """Return a model and checked images."""
    if isinstance(net, Model):
        return net, image_set(x, y, name="images", classes=net.classes)
    module = as_network(net, "attack")
    with torch.inference_mode(False):  # otherwise gradients at these images could not be computed
        pixels = read_images(x, where="images", labels=own_array(y, where="images", what="labels").size)
    first = pixels[:2].float() / (255 if pixels.dtype == torch.uint8 else 1)
    columns = columns_of(module, first, where="attack", output=output)
    if columns < 2:
        do = "For two classes return two scores, such as `torch.cat([-score, score], 1)`"
        expected = "a network with one output for each class"
        raise InputError(where="attack", expected=expected, got="one output in all", do=do)
    data = image_set(pixels, y, name="images", classes=columns)
    check_outputs(data.labels, columns, where="attack")
    name = type(module).__name__ if isinstance(net, torch.nn.Module) else getattr(net, "__name__", "function")
    return wrap(module, name=name, classes=columns, output=output), data


def _row_findings(records: Sequence[Record]) -> tuple[list[Finding], frozenset[str]]:
    """Return a board's doubts about clean images and attack, and the codes that put no row in doubt."""
    boards = plain_tables(records)["boards"]
    doubts = [doubt for board in boards for doubt in board["doubts"]]
    findings = [
        Finding(code=doubt["code"], evidence=doubt["evidence"], remedy=doubt["remedy"])
        for doubt in doubts
        if doubt["code"] in ROW_CODES
    ]
    doubtful = {code for board in boards for row in board["rows"] for code in row["standing"]}
    return findings, frozenset({doubt["code"] for doubt in doubts} - doubtful)


def _judged(
    records: Sequence[Record],
    keeper: _Everything,
    data: ImageSet,
    threat: ThreatModel,
    label: str,
    eps_text: str,
) -> Attacked:
    """Return, image by image, the worst result over all gradient sources."""
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
    of_row, calm = _row_findings(records)
    findings = [*(f for r in records for f in r.findings), *of_row]
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
        findings=tuple({f.code: f for f in findings}.values()),
        lifted=calm,
        records=tuple(records),
        stood=tuple(outcomes(attacks, [r for r in records if r.attack.is_clean]).values()),
    )


CLAIMS = (Status.ROBUST, Status.FAILED, Status.BROKEN, Status.MISCLASSIFIED)
"""Verdicts, the weakest claim first: nothing was found, every answer was NaN, a success was found."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceVerdicts:
    """The result of an attack through one gradient source, image by image.

    Attributes:
        status: a verdict for each image.
        distance: size of each change in the norm of the threat.
    """

    status: Sequence[str]
    distance: Sequence[float]


def strongest(sources: Sequence[SourceVerdicts], *, minimises: bool) -> list[int]:
    """Return for each image the number of the source whose verdict counts; of equal ones the first.

    Args:
        sources: at least one, all of the same images.
        minimises: whether the attack searches the smallest perturbation, so that among sources that broke an
            image the smallest counts.
    """
    places = range(len(sources))

    def strength(place: int, image: int) -> tuple[int, float]:
        status = Status(sources[place].status[image])
        size = sources[place].distance[image] if minimises and status is Status.BROKEN else math.inf
        return CLAIMS.index(status), -size

    return [max(places, key=lambda at: strength(at, image)) for image in range(len(sources[0].status))]


_KEYS = ("adversarial", "status", "linf", "l2", "distance")


def _column(records: Sequence[Record], source: str, name: str) -> list[Any]:
    mine = [r for r in records if r.attack.is_clean and r.source.gradient_source == source]
    return [value for record in mine for value in getattr(record.columns, name)]
