"""The few calls a Python user needs: wrap a network, name an attack, evaluate, read the leaderboard."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

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
from robench.plan.spec import DRAWS, KNOWN, PRECISIONS, Choice, DataSpec
from robench.record.schema import Record, noting_failed
from robench.run.evaluate import Memory, Silent, Watcher, Work, evaluate
from robench.run.evaluated_model import Subject, stand_in_for
from robench.run.units import Board


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
    made: Attack = recipe.build(plugins.find("attacks", name), options, where=name)
    return made


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
        chosen = formats or ("csv", "markdown")
        return [
            path for name in chosen for path in plugins.find("reports", name)()(self.records, Path(folder))
        ]


def benchmark(
    models: Sequence[Model],
    images: ImageSet,
    *,
    attacks: Mapping[str, Attack],
    norm: str = "Linf",
    eps: float,
    targeted: bool = False,
    knowledge: Sequence[str] = KNOWN,
    budget: int | None = None,
    sources: Mapping[str, Sequence[str]] | None = None,
    stand_ins: Mapping[str, Model] | None = None,
    transfer: bool = True,
    seed: int = 0,
    shard: int = 500,
    batch_size: int = 250,
    eager: bool = False,
    draws: int = DRAWS,
    watcher: Watcher | None = None,
) -> Evaluation:
    """Evaluate models against attacks under one threat model, white-box and by transfer.

    Args:
        models: the models; their names must differ.
        images: what to evaluate on.
        attacks: column label to recipe.
        norm: `Linf` or `L2`.
        eps: radius in input units; `inf` for the smallest perturbation.
        targeted: aim at the class after the true one instead of at any other.
        knowledge: what attackers know beside answers: some of `weights`, `template`, `randomness`.
        budget: most passes, forwards and backwards together, on one image; None for no limit.
        sources: per model name the gradient sources to attack through; all it offers by default.
        stand_ins: per model name the same network with another template, attacked in its place where the
            template is not known.
        transfer: judge crafted images on every model.
        seed: source of all chance.
        shard: most images per unit, and per graph of a joint model.
        batch_size: most images per pass.
        eager: ask every network as it is, not by a faster copy that was proven equal.
        draws: how often the judge asks a random model about each image, at least 2.
        watcher: who is told how it goes on.

    Raises:
        ConfigError: an attack cannot play under this threat, or would need what it withholds; too few draws.
        InputError: models and data do not fit, or the images are no ImageSet.
    """
    given: object = images
    if not isinstance(given, ImageSet):
        do = "Make one with `robench.image_set(images, labels)`"
        raise InputError(where="images", expected="an ImageSet", got=f"a {type(given).__name__}", do=do)
    goal = Goal.TARGETED if targeted else Goal.UNTARGETED
    threat = ThreatModel(norm=norm_named(norm), eps=eps, goal=goal, knowledge=tuple(knowledge), budget=budget)
    work = Work(
        subjects=[_subject(m, tuple((sources or {}).get(m.name, ())), stand_ins or {}) for m in models],
        data=images,
        boards=[Board(threat=threat, eps_text=f"{eps:g}", attacks=dict(attacks))],
        transfer=transfer,
        seed=seed,
        shard=shard,
        batch_size=batch_size,
        eager=eager,
        draws=draws,
    )
    memory = Memory()
    keys = list(evaluate(work, memory, watcher or Silent()))
    records = noting_failed([memory.records[k] for k in keys], memory.failed_jobs)
    return Evaluation(records=tuple(records), failures=tuple(memory.failures.values()))


def _subject(model: Model, sources: tuple[str, ...], stand_ins: Mapping[str, Model]) -> Subject:
    subject = Subject(model=model, fingerprint=model.fingerprint(), sources=sources)
    if model.name not in stand_ins:
        return subject
    other = stand_ins[model.name]
    return replace(
        subject, stand_in=stand_in_for(subject, Subject(model=other, fingerprint=other.fingerprint()))
    )
