"""The few calls a Python user needs: wrap a network, name an attack, evaluate, read the leaderboard."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from torch import nn

from robench import plugins, recipe
from robench.attack import Attack
from robench.data import ImageSet
from robench.evaluate import Memory, Silent, Watcher, Work, evaluate
from robench.jobs import Board
from robench.model import Model, OutputKind
from robench.norms import norm_named
from robench.plan import DRAWS, KNOWN, Choice, DataSpec
from robench.record import Record
from robench.selection import load_data as load_selection
from robench.subject import Subject, stand_in_for
from robench.threat import Goal, ThreatModel


def wrap(net: nn.Module, *, name: str, classes: int, output: str = "logits") -> Model:
    """Return any network as a model under test.

    Args:
        net: images (B, C, H, W) in [0, 1] to outputs (B, classes); normalisation belongs inside.
        name: the name of its row.
        classes: number of classes.
        output: what one row of its output is: `logits`, `log_probabilities` or `simplex`.
    """
    return Model(name=name, net=net, classes=classes, output=OutputKind(output))


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
        shard: images per unit, and per graph of a joint model.
        batch_size: most images per pass.
        draws: how often the judge asks a random model about each image, at least 2.
        watcher: who is told how it goes on.

    Raises:
        ConfigError: an attack cannot play under this threat, or would need what it withholds; too few draws.
        InputError: models and data do not fit.
    """
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
        draws=draws,
    )
    memory = Memory()
    keys = list(evaluate(work, memory, watcher or Silent()))
    return Evaluation(
        records=tuple(memory.records[k] for k in keys), failures=tuple(memory.failures.values())
    )


def _subject(model: Model, sources: tuple[str, ...], stand_ins: Mapping[str, Model]) -> Subject:
    subject = Subject(model=model, fingerprint=model.fingerprint(), sources=sources)
    if model.name not in stand_ins:
        return subject
    other = stand_ins[model.name]
    return replace(
        subject, stand_in=stand_in_for(subject, Subject(model=other, fingerprint=other.fingerprint()))
    )
