"""The few calls a Python user needs: wrap a network, name an attack, evaluate, read the leaderboard."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypedDict, Unpack

from torch import nn

from robench import plugins, recipe
from robench.attack.norms import norm_named
from robench.attack.protocol import Attack
from robench.attack.threat import Goal, ThreatModel
from robench.data.images import ImageSet
from robench.data.loading import load_data as load_selection
from robench.errors import InputError
from robench.model.interface import Model, OutputKind
from robench.model.tested_network import TestedNetwork
from robench.plan.spec import KNOWN, PRECISIONS, Choice, DataSpec
from robench.record.schema import Record, noting_failed
from robench.run.evaluate import evaluate
from robench.run.evaluated_model import EvaluatedModel, with_stand_in
from robench.run.jobs import Board
from robench.run.keeper import Memory
from robench.run.progress import QUIET, Reporter
from robench.run.settings import Settings
from robench.run.work import Work


def wrap(
    net: nn.Module,
    *,
    name: str,
    classes: int,
    output: str = "logits",
    class_map: Sequence[int] | None = None,
    precision: str = "float32",
) -> Model:
    """Return any network as a model under test; the network itself is never altered.

    Args:
        net: images (B, C, H, W) in [0, 1] to outputs (B, classes); normalisation belongs inside. A tuple, a
            mapping or an object with `.logits` will do where one can tell which of its tensors is meant.
        name: the name of its row.
        classes: number of classes of the data.
        output: what one row of its output is: `logits`, `log_probabilities` or `simplex`.
        class_map: for each class the number of the output that stands for it, where the network has more.
        precision: `float32`, computed as such, or `as_set`: as torch's flags say, such as TF32 on a GPU.

    Raises:
        InputError: no `nn.Module`, a kind of output that does not exist, or a class map of another length.
    """
    where = f"model {name!r}"
    given: object = net
    if not isinstance(given, nn.Module):
        got = f"the class {given.__name__}" if isinstance(given, type) else f"a {type(given).__name__}"
        do = "Make an instance of it" if isinstance(given, type) else "Call it in the forward of a module"
        raise InputError(where=where, expected="a torch.nn.Module", got=got, do=do)
    if output not in list(OutputKind):
        raise InputError(where=where, expected=f"output as one of {', '.join(OutputKind)}", got=repr(output))
    if precision not in PRECISIONS:
        known = ", ".join(PRECISIONS)
        raise InputError(where=where, expected=f"precision as one of {known}", got=repr(precision))
    if class_map is not None and (len(class_map) != classes or len(set(class_map)) != classes):
        raise InputError(
            where=where,
            expected=f"a class_map of {classes} different outputs",
            got=f"{len(class_map)}, {len(set(class_map))} of them different",
        )
    tested = TestedNetwork(net, class_map=class_map, kind=output, precision=precision)
    details = {} if precision == PRECISIONS[0] else {"precision": precision}
    return Model(name=name, net=tested, classes=classes, output=OutputKind(output), details=details)


def make_attack(name: str, **options: Any) -> Attack:
    """Return an attack by its plugin name, such as `pgd` or `art/pgd`, with options.

    Raises:
        PluginError: no attack has that name.
        ConfigError: an option is unknown or refused.
    """
    attack: Attack = recipe.build(plugins.find("attacks", name), options, where=name)
    return attack


def load_data(
    name: str,
    *,
    split: str = "test",
    limit: int | None = None,
    subset: str = "first",
    root: str | Path | None = None,
    download: bool = False,
    seed: int = 0,
    **options: Any,
) -> ImageSet:
    """Return images by the data set's plugin name, such as `digits` or `mnist`.

    Raises:
        PluginError: no data set has that name.
        InputError: files missing or unreadable.
    """
    spec = DataSpec(dataset=Choice(name=name, options=options), split=split, limit=limit, subset=subset)
    return load_selection(spec, root=Path(root) if root else None, download=download, seed=seed)


@dataclass(frozen=True, slots=True, kw_only=True)
class Evaluation:
    """The records of an evaluation and the jobs that failed, by title."""

    records: tuple[Record, ...]
    failures: tuple[str, ...]

    def write(self, folder: str | Path, *formats: str) -> list[Path]:
        """Write report files (`csv`, `markdown`) into a folder and return their paths."""
        names = formats or ("csv", "markdown")
        return [
            path for name in names for path in plugins.find("reports", name)()(self.records, Path(folder))
        ]


THREAT_OPTIONS = ("norm", "targeted", "knowledge", "budget")


class Options(TypedDict, total=False):
    """What `benchmark` may be told beside models, images, attacks and radius."""

    norm: str
    targeted: bool
    knowledge: Sequence[str]
    budget: int | None
    transfer: bool
    seed: int
    shard: int
    batch_size: int
    eager: bool
    draws: int


def benchmark(
    models: Sequence[Model],
    images: ImageSet,
    *,
    attacks: Mapping[str, Attack],
    eps: float,
    sources: Mapping[str, Sequence[str]] | None = None,
    stand_ins: Mapping[str, Model] | None = None,
    reporter: Reporter = QUIET,
    **options: Unpack[Options],
) -> Evaluation:
    """Evaluate models against attacks under one threat model, white-box and by transfer.

    Args:
        models: the models; their names must differ.
        images: what to evaluate on.
        attacks: column label to recipe.
        eps: radius in input units; `inf` for the smallest perturbation.
        sources: per model name the gradient sources to attack through; all it offers by default.
        stand_ins: per model name the same network with another template, attacked in its place where the
            template is not known.
        reporter: who is told how it goes on.
        options: any of

            - `norm`: `Linf` (the default) or `L2`;
            - `targeted`: aim at the class after the true one instead of at any other;
            - `knowledge`: what attackers know beside answers: some of `weights`, `template`, `randomness`,
              all by default;
            - `budget`: most passes, forwards and backwards together, on one image; None, the default, for no
              limit;
            - `transfer`, `seed`, `shard`, `batch_size`, `eager`, `draws`: see `robench.run.Settings`.

    Raises:
        ConfigError: an attack cannot play under this threat, or would need what it withholds; too few draws.
        InputError: models and data do not fit, or the images are no ImageSet.
        TypeError: there is no option of that name.
    """
    given: object = images
    if not isinstance(given, ImageSet):
        do = "Make one with `robench.image_set(images, labels)`"
        raise InputError(where="images", expected="an ImageSet", got=f"a {type(given).__name__}", do=do)
    threat = ThreatModel(
        norm=norm_named(options.get("norm", "Linf")),
        eps=eps,
        goal=Goal.TARGETED if options.get("targeted") else Goal.UNTARGETED,
        knowledge=tuple(options.get("knowledge", KNOWN)),
        budget=options.get("budget"),
    )
    settings = {name: value for name, value in options.items() if name not in THREAT_OPTIONS}
    work = Work(
        models=[_evaluated(m, tuple((sources or {}).get(m.name, ())), stand_ins or {}) for m in models],
        data=images,
        boards=[Board(threat=threat, eps_text=f"{eps:g}", attacks=dict(attacks))],
        settings=Settings(**settings),  # type: ignore[arg-type]
    )
    memory = Memory()
    finished = [unit.record for unit in evaluate(work, memory, reporter)]
    records = noting_failed(finished, memory.failed_jobs)
    return Evaluation(records=tuple(records), failures=tuple(memory.failures.values()))


def _evaluated(model: Model, sources: tuple[str, ...], stand_ins: Mapping[str, Model]) -> EvaluatedModel:
    evaluated = EvaluatedModel(model=model, fingerprint=model.fingerprint(), sources=sources)
    if model.name not in stand_ins:
        return evaluated
    other = stand_ins[model.name]
    return with_stand_in(evaluated, EvaluatedModel(model=other, fingerprint=other.fingerprint()))
