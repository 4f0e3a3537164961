"""A model under test: a network, what its output means, and what an attacker may differentiate."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum
from html import escape
from typing import Any

import torch
from torch import Tensor, nn

from robench.errors import ConfigError, InputError, nearest
from robench.model.fingerprint import network_digest
from robench.model.out_of_memory import FittingBatches
from robench.model.tested_network import TestedNetwork
from robench.types import Images, Labels, Outputs


class OutputKind(StrEnum):
    """Kind of a row of a model's outputs."""

    LOGITS = "logits"
    LOG_PROBABILITIES = "log_probabilities"
    SIMPLEX = "simplex"


class Coupling(StrEnum):
    """Whether the prediction of an image depends on the other images in its batch."""

    INDEPENDENT = "independent"
    JOINT = "joint"


Surrogate = Callable[[Images], tuple[Outputs, Outputs]]
"""Images (B, C, H, W) to (differentiable surrogate outputs, the model's own outputs), both (B, K)."""


@dataclass(frozen=True, slots=True)
class GradientSource:
    """The function that a white-box attacker differentiates: the model or a surrogate (docs/wnll-attacks.md).

    Attributes:
        name: `exact`, `linear`, `straight_through`, `kernel`, ...
        surrogate: one pass that gives both the surrogate's output (with a gradient) and the model's own.
        output: kind of the surrogate's output; the model's own output keeps the model's kind.
        forwards: forward passes of the network per call, including the model's own output.
        backwards: backward passes per gradient.
        template_free: whether it does not use the template of a graph head.
        unseen: whether it never uses the noise with which a random model classifies (draw 0).
    """

    name: str
    surrogate: Surrogate
    output: OutputKind
    forwards: int = 1
    backwards: int = 1
    template_free: bool = False
    unseen: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Memory:
    """The training images that a neighbour classifier stores for the current batch.

    Attributes:
        images: (T, C, H, W) clean, on the model's device.
        points: (T, D) their features, without gradient.
        labels: (T,) their classes.
    """

    images: Images = field(repr=False)
    points: Tensor = field(repr=False)
    labels: Labels = field(repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Neighbourhood:
    """What an attacker with full knowledge sees of a neighbour classifier, beside its gradient sources.

    Attributes:
        features: images (B, C, H, W) to features (B, D), differentiable.
        classify: features (B, D), and features (T, D) that replace the stored ones (None: the stored ones),
            to the model's outputs (B, K).
        density: features (B, D) and a temperature to class scores (B, K), logits: the kernel density of every
            class over all stored images; differentiable.
        linear: features (B, D) to the logits (B, K) of the linear branch; None without a trained one.
        memory: returns the stored images; called again for each batch.
        reach: number of neighbours that decide about an image.
    """

    features: Callable[[Images], Tensor]
    classify: Callable[[Tensor, Tensor | None], Outputs]
    density: Callable[[Tensor, float], Outputs]
    linear: Callable[[Tensor], Outputs] | None
    memory: Callable[[], Memory]
    reach: int


@dataclass(frozen=True, kw_only=True)
class Model:
    """A model to evaluate. Normalisation is its first layer, so inputs are always in `bounds`.

    Attributes:
        name: the name of its row in every table.
        net: images (B, C, H, W) to outputs (B, columns) of kind `output`; a plain network is wrapped in a
            `TestedNetwork`, which protects the images from it.
        classes: number of classes K.
        output: logits, log-probabilities or simplex.
        coupling: joint if an image's prediction depends on its batch.
        bounds: the box of valid inputs.
        sources: the gradient sources it offers; a plain network offers `exact`, itself.
        details: plain JSON facts that identify it (architecture, head, protocol, template, checkpoint hash).
        neighbourhood: for a neighbour classifier, the inputs of attacks on neighbourhoods.
        features: for a model without neighbourhood, images (B, C, H, W) to the inputs of the last layer (B,
            D); None if these do not describe the model, as behind a random defense. For figures.
        rejects: whether it may reject an image: its outputs are then (B, classes + 1), and a prediction of
            the last column, `classes`, is a rejection.
        forwards: forward passes of the network per prediction, such as votes or squeezed versions.
        template: whether its outputs depend on training images drawn for it, which an attacker may not know.
        random: whether its outputs contain noise (`robench.model.noise`).
    """

    name: str
    net: nn.Module
    classes: int
    output: OutputKind = OutputKind.LOGITS
    coupling: Coupling = Coupling.INDEPENDENT
    bounds: tuple[float, float] = (0.0, 1.0)
    sources: Mapping[str, GradientSource] = field(default_factory=dict)
    details: Mapping[str, Any] = field(default_factory=dict)
    neighbourhood: Neighbourhood | None = None
    features: Callable[[Images], Tensor] | None = None
    rejects: bool = False
    forwards: int = 1
    template: bool = False
    random: bool = False

    def __post_init__(self) -> None:
        """Wrap a plain network and add its only gradient source."""
        if not self.sources:
            if not isinstance(self.net, TestedNetwork):
                object.__setattr__(self, "net", TestedNetwork(self.net, kind=self.output))
            exact = GradientSource("exact", self._itself, self.output)
            object.__setattr__(self, "sources", {"exact": exact})

    def _itself(self, x: Images) -> tuple[Outputs, Outputs]:
        outputs = self.net(x)
        return outputs, outputs

    def __call__(self, x: Images) -> Outputs:
        """Return the outputs (B, columns) for images (B, C, H, W), in evaluation mode and exact float32.

        The images are moved to the model's device. Gradients with respect to them flow; the network's state
        is restored.

        Raises:
            InputError: they are not a tensor with four axes.
        """
        from robench.model.evaluation import evaluation_mode

        images: object = x
        if not isinstance(images, Tensor) or images.ndim != 4:
            got = (
                f"a tensor of shape {tuple(images.shape)}"
                if isinstance(images, Tensor)
                else type(images).__name__
            )
            expected, do = (
                "images as a tensor (B, C, H, W) of floats",
                "Use torch.as_tensor, and x[None] for one",
            )
            raise InputError(where=f"model {self.name!r}", expected=expected, got=got, do=do)
        with evaluation_mode(self.net):
            outputs: Outputs = self.net(x.to(self.device))
        return outputs

    def __repr__(self) -> str:
        """Return one line: name, network, classes, output, and gradient sources."""
        network = getattr(self.net, "module", self.net)
        random = ", random" if self.random else ""
        return (
            f"Model({self.name!r}: {type(network).__name__}, {self.classes} classes, {self.output}, "
            f"{self.coupling}{random}, sources {', '.join(self.sources)})"
        )

    def _repr_html_(self) -> str:
        network = getattr(self.net, "module", self.net)
        facts = {
            "network": type(network).__name__,
            "parameters": f"{sum(p.numel() for p in self.net.parameters()):,}",
            "classes": self.classes,
            "output": self.output,
            "coupling": self.coupling,
            "gradient sources": ", ".join(self.sources),
            "device": self.device,
        }
        rows = "".join(
            f"<tr><th>{key}</th><td>{escape(str(value))}</td></tr>" for key, value in facts.items()
        )
        return f"<table><caption>{escape(self.name)}</caption><tbody>{rows}</tbody></table>"

    @property
    def columns(self) -> int:
        """Number of outputs per image: one per class, and one more if the model may reject it."""
        return self.classes + self.rejects

    @property
    def device(self) -> torch.device:
        """The device of the first parameter or buffer, the CPU if there is none."""
        for tensor in (*self.net.parameters(), *self.net.buffers()):
            return tensor.device
        return torch.device("cpu")

    def fitting_batches(self, images: int) -> FittingBatches:
        """Return the batches for work on so many images; the batch of a joint model cannot be split."""
        whole = f"a joint batch of {images} images" if self.coupling is Coupling.JOINT else ""
        return FittingBatches(images=images, where=f"model {self.name!r}", whole=whole)

    def source(self, name: str) -> GradientSource:
        """Return the gradient source of that name.

        Raises:
            ConfigError: the model does not offer it; the nearest names are given.
        """
        if name not in self.sources:
            raise ConfigError(
                where=f"model {self.name!r}",
                expected="the name of a gradient source it offers",
                got=repr(name),
                do=nearest(name, self.sources),
            )
        return self.sources[name]

    def fingerprint(self) -> str:
        """Return the SHA-256 over the network's contents (`robench.model.fingerprint`) and the details."""
        return self.contents()

    def contents(self, *, without: Collection[str] = ()) -> str:
        """Return the fingerprint without some details, such as whence the weights came.

        The other details count: our own modules are known by them, and need not hold their options openly.
        """
        details = [item for item in self.details.items() if item[0] not in without]
        digest = hashlib.sha256(repr(sorted(details, key=str)).encode())
        digest.update(network_digest(self.net))
        digest.update(f"{self.classes}:{self.output}:{self.coupling}:{self.bounds}".encode())
        if self.rejects:  # only added if true, so that the fingerprints of all other models stay the same
            digest.update(b"rejects")
        return digest.hexdigest()

    def renamed(self, name: str) -> Model:
        """Return the same model under another name."""
        return replace(self, name=name)


NOT_FINITE, TIED = -1, -2
"""Codes instead of a class: for a row with NaN or infinity, and for a row whose maximum is not unique."""

UNIFORM = 1e-6
"""Largest spread of a simplex row that counts as uniform, so that a solver's rounding decides nothing."""


def predictions(outputs: Outputs, kind: OutputKind | None = None) -> Labels:
    """Return the predicted class of each row of outputs (B, columns), (B,), or a negative code for no class.

    The class of the largest entry, if only one class has it. If two or more classes share the largest entry,
    as in a uniform row, the row is `TIED`. A class masked by -inf counts like any other. `NOT_FINITE` where
    an entry is NaN or +inf, or all are -inf. For a simplex, rows that are uniform up to `UNIFORM` are `TIED`
    too: a graph head gives such a row where no path leads from an image to the template.
    """
    top = outputs.amax(dim=1, keepdim=True)  # NaN where any entry is
    alone = (outputs == top).sum(dim=1) == 1
    if kind is OutputKind.SIMPLEX:
        alone &= (top[:, 0] - outputs.amin(dim=1) > UNIFORM) | (outputs.shape[1] == 1)
    answer = outputs.argmax(dim=1).where(alone, TIED)
    return answer.where(torch.isfinite(top[:, 0]), NOT_FINITE)
