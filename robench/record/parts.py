"""The parts of a record: model judged, model attacked, attack, threat, images, and how it was made."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from robench.record.strict_json import Part, Radius

CLEAN = "clean"
"""Label of the attack of a record without one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordedTarget(Part):
    """The model that was judged.

    Attributes:
        name: its name.
        fingerprint: hash of its weights and details.
        output: kind of its output, such as `logits`.
        coupling: `joint` if images of one batch influence each other, else `independent`.
        sources: gradient sources it offers.
        details: description by its builder: architecture, head, training and more.
        recipe: hash of its description in the run's plan, if the plan was read too; not stored in a file.
    """

    name: str
    fingerprint: str = ""
    output: str = ""
    coupling: str = ""
    sources: tuple[str, ...] = ()
    details: Mapping[str, Any] = field(default_factory=dict)
    recipe: str = ""

    @property
    def joint(self) -> bool:
        """Whether images of one batch influence each other."""
        return self.coupling == "joint"

    def detail(self, name: str) -> str:
        """Return a detail as text, empty if the record does not have it."""
        return str(self.details.get(name) or "")


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordedSource(Part):
    """The model that was attacked.

    Attributes:
        name: equal to the target's for white-box; empty for the clean evaluation.
        fingerprint: hash of its weights and details.
        gradient_source: name of the gradient source; empty for none.
        gradients: most gradients computed for one image; 0 if unknown.
        stand_in: fingerprint of the model that was really attacked, if the template is withheld.
    """

    name: str
    fingerprint: str = ""
    gradient_source: str = ""
    gradients: int = 0
    stand_in: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordedAttack(Part):
    """The attack.

    Attributes:
        label: its name in the plan; `clean` for no attack.
        name: identity of the plugin, `module:class`.
        title: its full name.
        options: of the recipe.
        library: distribution that implements it.
        library_version: its version; empty if only `provenance` has it.
        minimises: whether it searches the smallest perturbation.
        needs: what it must know of the model; `gradient` for an old record without this field.
        control: whether it is a control, such as random noise, and not an attack.
        revision: of the implementation; raised when its numbers change.
        code_sha256: hash of the source code, for an attack of a user's file.
    """

    label: str
    name: str = ""
    title: str = ""
    options: Mapping[str, Any] = field(default_factory=dict)
    library: str = ""
    library_version: str = ""
    minimises: bool = False
    needs: str = "gradient"
    control: bool = False
    revision: int = 1
    code_sha256: str = ""

    @property
    def is_clean(self) -> bool:
        """Whether there was no attack."""
        return self.label == CLEAN


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordedThreat(Part):
    """The threat model; all defaults if nothing was attacked.

    Attributes:
        norm: `Linf`, `L2`, `L1` or `L0`; empty for no attack.
        eps: radius in input units; infinity for none.
        bounds: smallest and largest pixel value; None if unknown.
        goal: `untargeted` or `targeted`.
        knowledge: what the attacker knows beside the model's outputs; None if unknown.
        budget: most passes on one image; None for no limit.
        eps_text: the radius as the user wrote it.
    """

    norm: str = ""
    eps: Radius = math.inf
    bounds: tuple[float, float] | None = None
    goal: str = ""
    knowledge: tuple[str, ...] | None = None
    budget: int | None = None
    eps_text: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordedDataset(Part):
    """The images.

    Attributes:
        name: title of the data set.
        split: which part of it.
        digest: hash of the shard.
        set: hash of all images of the evaluation; empty if unknown.
        n: how many they are; 0 if unknown.
        classes: names of the classes.
    """

    name: str
    split: str
    digest: str = ""
    set: str = ""
    n: int = 0
    classes: tuple[str, ...] = ()

    def class_name(self, label: int) -> str:
        """Return the name of a class, or `rejected` or `no answer` for labels with these meanings."""
        if label < 0:
            return "no answer"
        names = (*self.classes, "rejected") if self.classes else ()  # one past the last: by a detector
        return names[label] if label < len(names) else str(label)


@dataclass(frozen=True, slots=True, kw_only=True)
class Engine(Part):
    """Which copy of the network was attacked.

    Attributes:
        used: the copy, or the network itself.
        not_used: faster copies that were not used, each with the reason.
        proof: how far the copy was from the network where they were compared: `outputs` relative to the
            largest, `gradients` (median) to their length; None for the network itself, and in records of
            version 0.2.0 and before.
    """

    used: str = ""
    not_used: Mapping[str, str] = field(default_factory=dict)
    proof: Mapping[str, float] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Provenance(Part):
    """How a record was made.

    Attributes:
        versions: of the packages that can change a number.
        device: such as `cpu` or `cuda:0`.
        machine: kind of the processor.
        cores: how many it has; None if unknown.
        threads: how many were used; 0 if unknown.
        gpu: name of the accelerator.
        batch_size: images judged at once; 0 if unknown.
        micro_batch: smallest batch to which crafting or judging was reduced because memory ran out; 0 if it
            never did.
        seconds: duration of the attack.
        images_sha256: hash of the adversarial images.
        engine: which copy of the network was attacked; None if unknown.
        shard: requested images per shard, for joint models; None for others.
        crafted: key of the adversarial images.
        failed_jobs: titles of failed jobs whose results the model's row lacks, noted when a run folder is
            read; not stored in a file.
    """

    versions: Mapping[str, str] = field(default_factory=dict)
    device: str = ""
    machine: str = ""
    cores: int | None = None
    threads: int = 0
    gpu: str = ""
    batch_size: int = 0
    micro_batch: int = 0
    seconds: float = 0.0
    images_sha256: str = ""
    engine: Engine | None = None
    shard: int | None = None
    crafted: str = ""
    failed_jobs: tuple[str, ...] = ()


OWN = ("crafted", "images_sha256", "seconds")
"""Fields of a provenance that differ in every record."""
