"""The laws of architectures.

Outputs in different batches are compared to within 1e-4 of the largest one: a matrix product sums in another
order if the number of rows differs.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar

import torch
from torch import Tensor, nn

from robench import plugins
from robench.conformance.isolation import lent_generators
from robench.conformance.recipes import described, light
from robench.conformance.result import BrokenLawError, InapplicableError, Result, judged, require
from robench.errors import ConfigError
from robench.model.builder import Builder
from robench.plurals import counted
from robench.recipe import Info
from robench.types import Images, Outputs

TOLERANCE = 1e-4
SHAPES = ((1, 8, 8), (3, 32, 32), (1, 28, 28), (3, 64, 64), (3, 224, 224))
"""Shapes (C, H, W) of images to try; the first that a network accepts is used."""
CLASSES = 10


@dataclass(slots=True)
class ModelTrial:
    """One architecture under test.

    Attributes:
        recipe: channels, size and classes to a module.
        shape: (C, H, W) of the test images.
        refused: the shapes it refused before.
    """

    info_type: ClassVar[type[Info]] = Info
    recipe: Callable[..., nn.Module]
    shape: tuple[int, int, int] = SHAPES[0]
    refused: list[str] = field(default_factory=list)
    _plain: nn.Module | None = None

    @property
    def plain(self) -> nn.Module:
        """The network of seed 0, in evaluation mode."""
        if self._plain is None:
            self._plain = self.make().eval()
        return self._plain

    def make(self, seed: int = 0) -> nn.Module:
        """Return a network for `shape`, with weights drawn from a seed."""
        channels, height, width = self.shape
        with lent_generators(seed):
            network = self.recipe(channels=channels, size=(height, width), classes=CLASSES)
        require(isinstance(network, nn.Module), f"it makes a {type(network).__name__}, not an nn.Module")
        return network

    def images(self, count: int) -> Images:
        """Return images (B, C, H, W) in [0, 1]."""
        return torch.rand(count, *self.shape, generator=torch.Generator().manual_seed(0))


def model_laws(recipe: Callable[..., nn.Module]) -> Iterator[Result]:
    """Check every law of architectures on one recipe, one by one."""
    rest: list[Callable[[ModelTrial], str]] = [seed, feature_dim, batch, gradient, inputs, learns, weights]
    return judged(ModelTrial(recipe), first=[described, light], gate=builds, rest=rest)


def builds(trial: ModelTrial) -> str:
    """It gives finite rows for 1 and for 5 images, or refuses their shape with a ConfigError."""
    for shape in SHAPES:
        trial.shape = shape
        try:
            net = trial.plain
        except ConfigError as refusal:
            trial.refused.append(f"{shape} refused: {refusal}")
            continue
        for count in (1, 5):
            outputs = _outputs(net, trial.images(count))
            expected = f"(B, D) for {counted(count, 'image')} of shape {shape}"
            require(outputs.ndim == 2 and len(outputs) == count, f"{tuple(outputs.shape)}, not {expected}")
            require(bool(torch.isfinite(outputs).all()), f"NaN or infinite outputs for images {shape}")
        return f"images {shape} give rows of {outputs.shape[1]}"
    raise BrokenLawError("; ".join(trial.refused))


def seed(trial: ModelTrial) -> str:
    """The same state of torch's generator gives the same weights, bit for bit."""
    again = trial.make().state_dict()
    wrong = [name for name, value in trial.plain.state_dict().items() if not torch.equal(value, again[name])]
    require(not wrong, f"two networks of one seed differ in {', '.join(wrong[:3])}")
    return f"{sum(value.numel() for value in again.values())} numbers"


def feature_dim(trial: ModelTrial) -> str:
    """A backbone's rows are as wide as its `feature_dim`, a whole classifier's as there are classes."""
    claim = getattr(trial.plain, "feature_dim", None)
    width = _outputs(trial.plain, trial.images(2)).shape[1]
    if claim is None:
        require(width == CLASSES, f"no `feature_dim`, and rows of {width} for {CLASSES} classes")
        return "a whole classifier"
    require(claim == width, f"feature_dim is {claim}, the rows have {width}")
    return f"{width} features"


def batch(trial: ModelTrial) -> str:
    """In evaluation mode an image gives the same row alone, in another order, and asked twice."""
    x = trial.images(5)
    whole = _outputs(trial.plain, x)
    scale = max(float(whole.abs().max()), 1.0)
    order = torch.tensor([3, 0, 4, 2, 1])
    alone = torch.cat([_outputs(trial.plain, x[i : i + 1]) for i in range(5)])
    for what, again in (
        ("asked twice", _outputs(trial.plain, x)),
        ("in another order", _outputs(trial.plain, x[order])[order.argsort()]),
        ("alone", alone),
    ):
        worst = float((again - whole).abs().max()) / scale
        require(worst <= TOLERANCE, f"{what}: rows differ by {worst:.3g} of the largest")
    return f"to within {TOLERANCE:g}"


def gradient(trial: ModelTrial) -> str:
    """Gradients flow to the input, finite and not all zero."""
    x = trial.images(3).requires_grad_(True)
    outputs = trial.plain(x)
    require(outputs.requires_grad, "the outputs do not depend on the input for autograd: something detaches")
    (gradient,) = torch.autograd.grad(outputs.square().sum(), x, allow_unused=True)
    require(gradient is not None, "the outputs do not depend on the input for autograd")
    require(bool(torch.isfinite(gradient).all()), "NaN or infinite gradients")
    dead = (gradient.flatten(1).abs().amax(dim=1) == 0).nonzero().flatten().tolist()
    require(len(dead) < len(x), "the gradient of every image is zero")
    return f"{len(x) - len(dead)} of {counted(len(x), 'image')}"


def inputs(trial: ModelTrial) -> str:
    """The images it is given are not written to."""
    x = trial.images(2)
    with torch.no_grad():
        trial.plain(x)
    require(torch.equal(x, trial.images(2)), "the batch has changed in place")
    return ""


def learns(trial: ModelTrial) -> str:
    """In training mode a backward pass reaches a parameter, if there are any."""
    network = trial.make(seed=2).train()
    parameters = list(network.parameters())
    if not parameters:
        raise InapplicableError("It has no parameters")
    with lent_generators(0):
        network(trial.images(4)).square().sum().backward()
    learners = [p for p in parameters if p.grad is not None and bool(torch.isfinite(p.grad).all())]
    require(bool(learners), f"none of {counted(len(parameters), 'parameter')} gets a finite gradient")
    return f"{len(learners)} of {counted(len(parameters), 'parameter')}"


def weights(trial: ModelTrial) -> str:
    """Saved and loaded through the builder, another network gives the same rows, bit for bit."""
    builder: Builder = plugins.find("builders", "zoo")()
    other = trial.make(seed=1).eval()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "weights.safetensors"
        digest = builder.save(trial.plain, path, card={"name": "conformance"})
        digest_read = builder.load(other, path, sha256=digest)
    require(digest == digest_read, "the hashes of the file written and read differ")
    x = trial.images(3)
    different = not torch.equal(_outputs(trial.plain, x), _outputs(other, x))
    require(not different, "the loaded network's rows differ: something is not in its state_dict")
    return f"SHA-256 {digest[:12]}..."


@torch.no_grad()
def _outputs(net: nn.Module, x: Images) -> Outputs:
    with lent_generators(3):
        outputs = net(x.clone())
    require(isinstance(outputs, Tensor), f"its forward returns {type(outputs).__name__}, not a tensor")
    rows: Outputs = outputs
    return rows
