"""Load images and evaluate models against attacks, in memory."""

from __future__ import annotations

import math
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypedDict, Unpack

import torch

from robench.api.benchmark_inputs import (
    AttackLike,
    ModelLike,
    attacks_from,
    check_radius,
    images_from,
    missing_radius,
    models_from,
)
from robench.api.learned import seen_by
from robench.api.results import Results
from robench.attack.norms import norm_named
from robench.attack.threat import Goal, ThreatModel
from robench.data.images import ImageSet
from robench.data.loading import load_data as load_selection
from robench.engines import Engine
from robench.errors import ConfigError, InputError, nearest
from robench.model.interface import Model
from robench.plan.norm_names import proper_norm
from robench.plan.radius import radius
from robench.plan.spec import KNOWN, Choice, DataSpec
from robench.record.completeness import noting_failed
from robench.run.crafting import Board
from robench.run.evaluate import evaluate
from robench.run.evaluated_model import EvaluatedModel, with_stand_in
from robench.run.keeper import Memory
from robench.run.progress import QUIET, Reporter
from robench.run.settings import Settings
from robench.run.work import Work


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

    Files are searched in the folder `root`, or without it in the folder named by the environment variable
    `ROBENCH_DATA_ROOT`, as on the command line.

    Raises:
        PluginError: no data set has that name.
        InputError: files missing or unreadable, or a limit that is not an integer.
        ConfigError: an option that the data set does not have.
    """
    if "data_root" in options:
        raise ConfigError(where="load_data", expected="root=DIR", got="data_root")
    if limit is not None and (isinstance(limit, bool) or not isinstance(limit, int)):
        raise InputError(where="load_data", expected="limit as a whole number, or None", got=repr(limit))
    spec = DataSpec(dataset=Choice(name=name, options=options), split=split, limit=limit, subset=subset)
    try:
        folder = root or os.environ.get("ROBENCH_DATA_ROOT")
        return load_selection(spec, root=Path(folder) if folder else None, download=download, seed=seed)
    except InputError as error:
        do = error.do
        for option, parameter in PARAMETERS.items():
            do = do.replace(option, parameter)
        raise InputError(where=error.where, expected=error.expected, got=error.got, do=do) from None


PARAMETERS = {"--data-root DIR": "root=DIR", "--download": "download=True"}
"""The names that options of the command line have here, for messages."""


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class Evaluation(Results):
    """What `benchmark` measured."""


THREAT_OPTIONS = ("norm", "targeted", "knowledge", "budget")


class Options(TypedDict, total=False):
    """Options of `benchmark` beside models, images, attacks and radius."""

    norm: str
    targeted: bool
    knowledge: Sequence[str]
    budget: int | None
    transfer: bool
    seed: int
    shard: int
    batch_size: int
    engine: Engine
    draws: int


def benchmark(
    models: Mapping[str, ModelLike] | Sequence[ModelLike] | ModelLike,
    images: ImageSet | tuple[Any, Any],
    *,
    attacks: Mapping[str, AttackLike] | Sequence[AttackLike] | AttackLike,
    eps: float | str | Sequence[float | str] | None = None,
    sources: Mapping[str, Sequence[str]] | None = None,
    stand_ins: Mapping[str, Model] | None = None,
    reporter: Reporter = QUIET,
    **options: Unpack[Options],
) -> Evaluation:
    """Evaluate models against attacks under one norm, at one radius or several, white-box and by transfer.

    Args:
        models: one model or several; their names must differ. A plain module or function is accepted too, and
            gets the name of its class; a mapping gives each model its own name.
        images: what to evaluate on: a set, or images and labels.
        attacks: column label to attack. An attack is a name, a function `(model, x, y, eps)` or an object
            from `make_attack`. One attack or a list such as `["pgd", mine]` needs no labels. A preset,
            `"quick"`, `"standard"` or `"full"`, is several attacks.
        eps: radius in input units, a number or text such as `8/255`, or a list of them; `inf` for the
            smallest perturbation. It must be given.
        sources: per model name the gradient sources to attack through; by default all that the model offers.
        stand_ins: per model name the same network with another template, attacked instead of the model if
            the template is not known.
        reporter: shows progress.
        options: any of

            - `norm`: `Linf` (the default), `L2`, `L1` or `L0`;
            - `targeted`: aim at the class after the true one instead of at any other;
            - `knowledge`: what attackers know beside answers: some of `weights`, `template`, `randomness`,
              all by default;
            - `budget`: most passes, forwards and backwards together, on one image; None, the default, for no
              limit;
            - `transfer`, `seed`, `shard`, `batch_size`, `engine`, `draws`: see `robench.run.Settings`.

    Raises:
        ConfigError: an attack does not support this threat or needs knowledge that it withholds; too few
            draws; an unknown option.
        PluginError: no attack has that name.
        InputError: models and data do not fit together, or an argument has a wrong type.
    """
    option_names = [*Options.__annotations__, "sources", "stand_ins", "reporter"]
    for name in options:
        if name not in option_names:
            do = nearest(name, option_names)
            raise ConfigError(where="benchmark", expected="an option of benchmark", got=repr(name), do=do)
    if eps is None:
        raise missing_radius()
    data = images_from(images)
    every = models_from(models, data)
    radii = [*eps] if isinstance(eps, Sequence) and not isinstance(eps, str) else [eps]
    boards = [_board(one, attacks, options) for one in radii]
    sizes = [board.threat.eps for board in boards]
    if not sizes or len(set(sizes)) < len(sizes):
        raise ConfigError(where="eps", expected="a radius, or a list of unlike ones", got=repr(eps))
    settings = {name: value for name, value in options.items() if name not in THREAT_OPTIONS}
    work = Work(
        models=[_evaluated(m, tuple((sources or {}).get(m.name, ())), stand_ins or {}) for m in every],
        data=data,
        boards=boards,
        settings=Settings(**settings),  # type: ignore[arg-type]
    )
    memory = Memory()
    with torch.inference_mode(False):  # attacks take gradients, wherever they are called
        results = [unit.record for unit in evaluate(work, memory, reporter)]
    records = noting_failed(results, memory.failed_jobs)
    return Evaluation(records=tuple(records), failures=tuple(memory.failures.values()))


def _board(
    eps: float | str, attacks: Mapping[str, AttackLike] | Sequence[AttackLike] | AttackLike, options: Options
) -> Board:
    """Return the attacks under the threat of one radius, checked."""
    number, text = radius(eps)
    norm = proper_norm(options.get("norm", "Linf"))
    recipes = attacks_from(attacks, norm=norm, smallest=number == math.inf)
    threat = ThreatModel(
        norm=norm_named(norm),
        eps=number,
        goal=Goal.TARGETED if options.get("targeted") else Goal.UNTARGETED,
        knowledge=tuple(options.get("knowledge", KNOWN)),
        budget=options.get("budget"),
    )
    check_radius(threat)
    return Board(threat=threat, eps_text=text, attacks=recipes)


def _evaluated(model: Model, sources: tuple[str, ...], stand_ins: Mapping[str, Model]) -> EvaluatedModel:
    entry = EvaluatedModel(
        model=model, fingerprint=model.fingerprint(), sources=sources, seen_images=seen_by(model)
    )
    if model.name not in stand_ins:
        return entry
    other = stand_ins[model.name]
    return with_stand_in(entry, EvaluatedModel(model=other, fingerprint=other.fingerprint()))
