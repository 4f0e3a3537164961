"""Certify the images of a plan on one of its models, and keep the result in the run folder."""

from __future__ import annotations

import csv
import io
import time
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import torch

from robench.audit.certificate_file import write_certificates
from robench.errors import ConfigError, JobError, nearest
from robench.judge.certification import Certificate, certify, smoothed_network
from robench.model.interface import Model
from robench.model.out_of_memory import FittingBatches
from robench.plan.spec import Plan
from robench.plurals import counted
from robench.record.new_folder import prepared
from robench.record.store import Store
from robench.run.models.preparation import Workshop
from robench.run.progress import QUIET, Reporter
from robench.run.settings import Environment
from robench.run.workers.leases import Leases
from robench.types import Images

COLUMNS = ("index", "label", "prediction", "radius", "correct")
MANY = 1_000_000
"""With at least so many passes of a network, their number is printed before they start."""
TOGETHER = 16
"""Least number of images certified together: fewer would not use a GPU well."""

ABSTAINED = "abstain"
"""The prediction of an image for which nothing could be certified."""


@dataclass(frozen=True, slots=True)
class Certified:
    """One image: its index in the full split, its label, and its certificate."""

    index: int
    label: int
    certificate: Certificate

    @property
    def correct(self) -> bool:
        """Whether the certified class is the label."""
        return self.certificate.prediction == self.label


def certified_at(images: list[Certified], radius: float) -> int:
    """Return how many images have the right class everywhere within an L2 distance of `radius`."""
    return sum(image.correct and image.certificate.radius >= radius for image in images)


def narrowed(plan: Plan, name: str) -> Plan:
    """Return the plan with one model, and the one whose network it shares, and without attacks.

    Raises:
        ConfigError: the plan has no model of that name, or nothing is put in front of it.
    """
    specs = {spec.name: spec for spec in plan.models}
    if name not in specs:
        expected = "the name of a model of the configuration"
        raise ConfigError(where="MODEL", expected=expected, got=repr(name), do=nearest(name, specs))
    if not specs[name].inference:
        raise ConfigError(
            where=specs[name].where or f"model {name!r}",
            expected="a model with `inference: smoothing`, listed first",
            got="one without inference defenses",
            do="Only a smoothed model has a certificate",
        )
    names = {name, specs[name].features_of}
    return replace(plan, models=tuple(spec for spec in plan.models if spec.name in names), threats=())


def certify_plan(
    plan: Plan,
    name: str,
    out: Path,
    *,
    n0: int,
    n: int,
    alpha: float,
    environment: Environment,
    reporter: Reporter = QUIET,
) -> tuple[list[Certified], Path, float]:
    """Train or load one model of a plan and certify its evaluation images.

    Args:
        plan: the validated plan.
        name: name of the model.
        out: the run folder; trained weights there are used, as `robench run` does.
        n0: number of noisy copies from which the class is guessed.
        n: number of noisy copies that bound the probability of the class.
        alpha: probability that a certificate is wrong.
        environment: where the work is done, and what it may do there.
        reporter: shows progress.

    Returns:
        The certified images, the CSV file they were written to, and the seconds it took.

    Raises:
        ConfigError: no such model, or it cannot be certified.
        JobError: its training failed.
    """
    begin = time.perf_counter()
    store = Store(out, told=reporter.finding)
    plan = narrowed(plan, name)
    with prepared(store), Leases(store.root / "leases").joined("", alone=True):
        workshop = Workshop(plan, store.root / "models", environment, reporter)
        data = workshop.load(plan.data)
        models = {m.model.name: m.model for m in workshop.models(data.shape, len(data.classes))}
        if name in workshop.failures:
            raise JobError(where=f"model {name!r}", expected="a model", got=workshop.failures[name])
        model = models[name]
        smoothed_network(model)
        at_once = min(plan.batch_size, max(TOGETHER, MANY // (n0 + n)))  # small enough for regular progress
        pieces = range(0, len(data), at_once)
        if (copies := len(data) * (n0 + n)) >= MANY:
            each = f"{n0 + n:,} noisy copies of {counted(len(data), 'image')}"
            faster = "a smaller --n is faster, and certifies smaller radii"
            reporter.stage(f"{copies:,} passes: {each}; {faster}")
        reporter.start(len(pieces))
        images: list[Certified] = []
        for start in pieces:
            part = data.subset(slice(start, start + at_once))
            x, y = part.batch(slice(None))
            batches = FittingBatches(images=len(x), where=f"model {model.name!r}")
            some = partial(_certificates, model, x.to(model.device), n0=n0, n=n, alpha=alpha)
            certificates = batches.do(lambda size: some(batch_size=size), most=len(x))  # noqa: B023 - called here
            images += map(Certified, part.indices.tolist(), y.tolist(), certificates)
            reporter.advance(f"{len(images)} of {counted(len(data), 'image')} certified")
        path = write_certificates(store, name, as_csv(images), reporter)
    return images, path, time.perf_counter() - begin


def _certificates(
    model: Model, x: Images, *, n0: int, n: int, alpha: float, batch_size: int
) -> list[Certificate]:
    parts = torch.split(x, batch_size)
    return [one for part in parts for one in certify(model, part, n0=n0, n=n, alpha=alpha)]


def as_csv(images: list[Certified]) -> str:
    """Return one line per image, after a line with the names of the columns."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(COLUMNS)
    for image in images:
        certificate = image.certificate
        prediction = ABSTAINED if certificate.prediction < 0 else str(certificate.prediction)
        correct = "true" if image.correct else "false"
        writer.writerow([image.index, image.label, prediction, f"{certificate.radius:.6g}", correct])
    return text.getvalue()
