"""The laws of every model that a plugin makes, by a head or by a defense in front of another model.

Rows are compared to within 1e-4: a matrix product sums in another order if the number of rows differs.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, ClassVar, TypeVar, cast

import torch
from torch import Tensor, nn

from robench.conformance.isolation import lent_generators
from robench.conformance.result import InapplicableError, require
from robench.conformance.toys import toy_data
from robench.data.images import ImageSet
from robench.model.batch_identity import batch_of
from robench.model.evaluation import evaluation_mode
from robench.model.interface import NOT_FINITE, Coupling, GradientSource, Model, OutputKind, predictions
from robench.recipe import Info
from robench.types import Images, Outputs

T = TypeVar("T", bound="ModelTrial")
TOLERANCE = 1e-4
CLASSES = 4
TRAINING = 640
"""Number of training images, for plugins that draw a template."""


@dataclass(slots=True)
class ModelTrial(ABC):
    """A plugin under test that makes models; the model that most laws use is made once.

    Attributes:
        recipe: the plugin, with its options.
        moved: the global generators whose state changed while it made the last model.
    """

    info_type: ClassVar[type[Info]]
    """What kind of `info` its kind of plugin has."""
    recipe: Any
    moved: list[str] = field(default_factory=list)
    _plain: Model | None = field(default=None, init=False)

    @property
    def plain(self) -> Model:
        """The model that most laws use."""
        if self._plain is None:
            self._plain = self.again()
        return self._plain

    @abstractmethod
    def again(self, global_seed: int = 0) -> Model:
        """Make the same model once more, with the global generators in a given state."""

    def checked(self, global_seed: int, make: Callable[[], Any]) -> Model:
        """Return the model that the plugin makes, with the global generators in a given state.

        Raises:
            BrokenLawError: the plugin made something else.
        """
        with lent_generators(global_seed) as self.moved:
            model = make()
        require(isinstance(model, Model), f"it makes a {type(model).__name__}, not a Model")
        return cast("Model", model)


def laws_with(
    offers: Callable[[T], str], network: Callable[[T], str], details: Callable[[T], str]
) -> list[Callable[[T], str]]:
    """Return the laws after the first ones, in order, with the special laws of each kind of plugin."""
    return [kind, offers, coupling, own_outputs, gradients, seed, chance, network, details]


def training_data() -> ImageSet:
    """Return the training split of the toy data."""
    return toy_data(TRAINING, CLASSES, channels=3)


def unseen_images() -> Images:
    """Return test images (B, 3, 8, 8)."""
    return toy_data(9, CLASSES, channels=3, split="test").batch(slice(None))[0]


def builds(trial: ModelTrial) -> str:
    """It makes a model with a finite row of outputs for every image."""
    outputs = rows(trial.plain, unseen_images())
    shape = (len(unseen_images()), trial.plain.columns)
    require(tuple(outputs.shape) == shape, f"outputs {tuple(outputs.shape)}, not {shape}")
    bad = int((predictions(outputs) == NOT_FINITE).sum())
    require(bad == 0, f"{bad} rows have NaN or infinite outputs")
    require(trial.plain.classes == CLASSES, f"the model says {trial.plain.classes} classes, not {CLASSES}")
    return f"{outputs.shape[0]} rows of {outputs.shape[1]}"


def kind(trial: ModelTrial) -> str:
    """Its rows are what the model declares: logits, log-probabilities or points of the simplex."""
    claim, outputs = trial.plain.output, rows(trial.plain, unseen_images()).double()
    if claim == OutputKind.SIMPLEX:
        low = float(outputs.min())
        require(low >= -TOLERANCE, f"a simplex row has the entry {low:.3g}")
    if claim != OutputKind.LOGITS:
        total = outputs.exp().sum(dim=1) if claim == OutputKind.LOG_PROBABILITIES else outputs.sum(dim=1)
        worst = float((total - 1).abs().max())
        require(worst <= TOLERANCE, f"declared {claim}, but a row sums to 1 with an error of {worst:.3g}")
    return str(claim)


def coupling(trial: ModelTrial) -> str:
    """A model that calls itself independent gives an image the same row alone and in another order."""
    if trial.plain.coupling == Coupling.JOINT:
        raise InapplicableError("It declares that images in a batch influence each other")
    x = unseen_images()
    whole = rows(trial.plain, x)
    order = torch.randperm(len(x), generator=torch.Generator().manual_seed(0))
    alone = torch.cat([rows(trial.plain, x[i : i + 1]) for i in range(len(x))])
    for what, outputs_again in (
        ("in another order", rows(trial.plain, x[order])[order.argsort()]),
        ("alone", alone),
    ):
        _close(outputs_again, whole, what)
    return f"to within {TOLERANCE:g}"


def own_outputs(trial: ModelTrial) -> str:
    """Every gradient source gives the model's own outputs beside its surrogate."""
    x = unseen_images()
    whole = rows(trial.plain, x)
    for name, source in trial.plain.sources.items():
        with _asked(trial.plain, x):
            surrogate, own = source.surrogate(x.clone().requires_grad_(True))
        _close(own.detach(), whole, f"the own outputs of {name!r}")
        # The score for rejection is not always differentiated.
        widths = {trial.plain.classes, trial.plain.columns}
        fits = len(surrogate) == len(x) and surrogate.shape[1] in widths
        require(fits, f"{name!r}: surrogate {tuple(surrogate.shape)}")
    return ", ".join(trial.plain.sources)


def gradients(trial: ModelTrial) -> str:
    """Every gradient source has a finite gradient with respect to the images."""
    for source in trial.plain.sources.values():
        _check_gradient(trial.plain, source)
    return ", ".join(trial.plain.sources)


def seed(trial: ModelTrial) -> str:
    """The same seed gives the same outputs and the same fingerprint."""
    again = trial.again()
    same = torch.equal(rows(trial.plain, unseen_images()), rows(again, unseen_images()))
    require(same, "two models of one seed differ in their outputs")
    require(trial.plain.fingerprint() == again.fingerprint(), "two models of one seed differ in fingerprint")
    return ""


def chance(trial: ModelTrial) -> str:
    """The global generators of torch, NumPy and Python are neither moved nor used."""
    other = trial.again(global_seed=1)
    require(not trial.moved, f"moved: {', '.join(trial.moved)}; derive everything from the seed")
    same = torch.equal(rows(trial.plain, unseen_images()), rows(other, unseen_images()))
    require(same, "two states of the global generators give different outputs")
    return ""


@torch.no_grad()
def rows(model: Model, x: Images) -> Outputs:
    """Return the outputs (B, K) on images, evaluated as in a run."""
    with _asked(model, x):
        outputs: Outputs = model.net(x)
    return outputs


def check_offered(claim: set[str], names: set[str]) -> None:
    """Break the law unless the claimed gradient sources are exactly the existing ones.

    Raises:
        BrokenLawError: names the others.
    """
    missing, extra = sorted(claim - names), sorted(names - claim)
    require(not missing and not extra, f"offered but absent: {missing}; there but not offered: {extra}")


def _state_of(net: nn.Module) -> dict[str, Tensor]:
    """Return a copy of all weights and buffers."""
    return {name: value.clone() for name, value in net.state_dict().items()}


def _modes_of(net: nn.Module) -> dict[str, Any]:
    """Return mode of every part and requires_grad of every parameter."""
    modes: dict[str, Any] = {name or "network": part.training for name, part in net.named_modules()}
    modes |= {f"{name}.requires_grad": p.requires_grad for name, p in net.named_parameters()}
    return modes


def check_untouched(net: nn.Module, make: Callable[[], Model]) -> None:
    """Break the law if weights, keys or modes change while a model is made from a network and evaluated.

    Raises:
        BrokenLawError: names what changed.
    """
    before, modes = _state_of(net), _modes_of(net)
    rows(make(), unseen_images())
    after = net.state_dict()
    require(list(before) == list(after), f"keys: {sorted(before.keys() ^ after.keys())}")
    wrong = [name for name, value in before.items() if not torch.equal(value, after[name])]
    require(not wrong, f"weights changed: {', '.join(wrong[:3])}")
    now = _modes_of(net)
    wrong = [name for name, value in modes.items() if now.get(name) != value]
    require(not wrong, f"modes changed: {', '.join(wrong[:3])}")


@contextmanager
def _asked(model: Model, x: Images) -> Iterator[None]:
    """Put the model into evaluation mode and set the identity of the batch, as a run does."""
    with evaluation_mode(model.net), batch_of(torch.arange(len(x))), lent_generators(3):
        yield


def _check_gradient(model: Model, source: GradientSource) -> None:
    name, x = source.name, unseen_images().requires_grad_(True)
    with _asked(model, x):
        outputs, _ = source.surrogate(x)
        require(outputs.requires_grad, f"{name!r}: its surrogate does not depend on the input for autograd")
        (gradient,) = torch.autograd.grad(outputs.square().sum(), x, allow_unused=True)
    require(gradient is not None, f"{name!r}: its surrogate does not depend on the input for autograd")
    require(gradient.shape == x.shape, f"{name!r}: gradient {tuple(gradient.shape)}, not {tuple(x.shape)}")
    bad = int((~torch.isfinite(gradient.flatten(1)).all(dim=1)).sum())
    require(bad == 0, f"{name!r}: the gradient of {bad} of {len(x)} images is NaN or infinite")


def _close(outputs_again: Outputs, whole: Outputs, what: str) -> None:
    scale = max(float(whole.abs().max()), 1.0)
    worst = float((outputs_again - whole).abs().max()) / scale
    require(worst <= TOLERANCE, f"{what}: rows differ by {worst:.3g}")
