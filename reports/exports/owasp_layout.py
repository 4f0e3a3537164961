"""The layout of owasp.json. It is robench's own: the draft names its fields in words and fixes no file."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

SCHEMA = "robench-owasp-evasion-1"
SOURCE = (
    "OWASP AI Exchange, testing of evasion: draft 'Expand evasion testing with adaptive attacks and "
    "evaluation diagnostics', pull request 214 of OWASP/www-project-ai-security-and-privacy-guide, "
    "2026-08-30, open"
)
LAYOUT = "The fields are the draft's; names of keys, units and this file's layout are robench's own."
Status = Literal["raised", "not raised", "not tested"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Diagnostic:
    """One of the draft's three signs that gradients are masked.

    Attributes:
        status: `not tested` where no two measurements could be compared for it.
        evidence: what was seen, or why it was not tested; empty for nothing.
        findings: codes of robench's findings that stand for it.
        comparisons: how many pairs of measurements were compared.
    """

    status: Status
    evidence: str
    findings: tuple[str, ...]
    comparisons: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Diagnostics:
    """The three signs of masked gradients that the draft asks for.

    Attributes:
        black_box_beats_white_box: images of another model, or an attack without gradients, broke more.
        non_monotonic_in_budget: more steps or a larger radius broke fewer.
        random_noise_succeeds: random noise broke more than an attack.
    """

    black_box_beats_white_box: Diagnostic
    non_monotonic_in_budget: Diagnostic
    random_noise_succeeds: Diagnostic


@dataclass(frozen=True, slots=True, kw_only=True)
class PerturbationBudget:
    """How far an image may be changed.

    Attributes:
        norm: `Linf`, `L2` or `L1`.
        eps: radius in pixel units; None for any size, where the smallest is looked for.
        eps_text: the radius as it was written.
    """

    norm: str
    eps: float | None
    eps_text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Threat:
    """The draft's seven fields of a threat model.

    Attributes:
        knowledge: what the attacker knows beside answers; None if a record does not contain it.
        access: what attacks used of the model: `gradients`, `scores` or `labels`.
        input_control: which part of the input the attacker controls.
        goal: `untargeted` or `targeted`.
        perturbation_budget: how far an image may be changed.
        query_budget: most passes on one image, in each attempt; None for no limit.
        timing: when the attacker acts.
    """

    knowledge: tuple[str, ...] | None
    access: tuple[str, ...]
    input_control: str
    goal: str
    perturbation_budget: PerturbationBudget
    query_budget: int | None
    timing: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Proportion:
    """A share of all images with its 95 % interval, as fractions."""

    value: float
    low: float
    high: float
    n: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Evaluation:
    """One model under one threat.

    Attributes:
        model: its name.
        fingerprint: hash of its weights and details.
        dataset: title of the images.
        split: which part.
        digest: hash of all images.
        threat: the draft's fields.
        attacks: share that stands, by attack, white-box.
        clean: accuracy on clean images.
        worst_case: share that stands against everything.
        passes_per_image: forwards and backwards that all attacks together took of one image.
        diagnostics: the draft's three.
        doubted: whether findings leave the number unproven.
        findings: codes of all findings met.
        partial: whether units are missing.
    """

    model: str
    fingerprint: str
    dataset: str
    split: str
    digest: str
    threat: Threat
    attacks: dict[str, Proportion]
    clean: Proportion | None
    worst_case: Proportion | None
    passes_per_image: float | None
    diagnostics: Diagnostics
    doubted: bool
    findings: tuple[str, ...]
    partial: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Document:
    """All of owasp.json.

    Attributes:
        schema: name and version of the layout.
        source: the draft.
        layout: whose layout it is.
        robench: version that wrote it.
        evaluations: one for each model and threat.
    """

    schema: str = SCHEMA
    source: str = SOURCE
    layout: str = LAYOUT
    robench: str
    evaluations: tuple[Evaluation, ...]
