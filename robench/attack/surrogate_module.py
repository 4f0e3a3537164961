"""A model lent as a plain module: any head and gradient source, as scores that any library understands."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Literal

import torch
from torch import Tensor, nn

from robench.attack.losses import log_probabilities
from robench.errors import ConfigError
from robench.model.interface import Coupling, GradientSource, Model, OutputKind
from robench.model.tested_network import networks_under_test
from robench.types import Images, Outputs

Form = Literal["scores", "positive", "probabilities"]
"""What a library expects a network's answers to be: scores like logits, positive numbers, probabilities."""


class SurrogateModule(nn.Module):
    """A model and one of its gradient sources as a module that gives scores like logits.

    If the input requires a gradient, the scores are the surrogate's; otherwise they are the model's own,
    which is what a black-box attack may see. Logits and log-probabilities are not changed; for a simplex its
    logarithm is used, so that softmax gives the simplex again and a library's cross-entropy is -log u_y.

    The network is not a child of this module: if a library changes modes, devices or parameters of this
    module, the network does not change. Passes run in eval mode and restore the mode of every part; a
    backward pass goes to the input only and fills no parameter's `.grad`.

    Attributes:
        rows_forward: rows sent forward so far.
        rows_backward: rows sent backward so far.
        listener: called with all evaluated points, the model's own outputs there (B, columns), and the scores
            if a gradient may follow; None for no call.
        gradient_listener: called with every gradient (B, C, H, W) that was sent back, and its points.
        error: the network's last error on images of the right shape, so that it is not mistaken for an error
            of the library.
        odd_shape: shape of images that the network was given and refused, if it is not the right shape.

    Args:
        model: the model that is lent.
        source: the gradient source to differentiate; the model's first by default.
        batch: size of the batch that a joint model must always see whole; None if unknown.
        shape: (C, H, W) of the images; None if unknown.
        form: `positive` shifts each row of scores so that its smallest is 0, which changes neither softmax
            nor differences; `probabilities` returns the softmax of the scores.
    """

    def __init__(
        self,
        model: Model,
        source: GradientSource | None = None,
        *,
        batch: int | None = None,
        shape: tuple[int, ...] | None = None,
        form: Form = "scores",
    ) -> None:
        super().__init__()
        source = source or next(iter(model.sources.values()))
        # Not registered in nn.Module, see above; the empty parameter only states device and dtype.
        self.__dict__.update(_model=model, _source=source)
        # Libraries cast images to the type of the module's parameters. The model's wrapper of its network
        # accepts float32, whatever the type of the network is.
        tensors = () if networks_under_test(model.net) else (*model.net.parameters(), *model.net.buffers())
        dtype = next((t.dtype for t in tensors if t.is_floating_point()), torch.float32)
        self.anchor = nn.Parameter(torch.empty(0, device=model.device, dtype=dtype), requires_grad=False)
        self.batch = batch
        self.form = form
        self.shape = shape
        self.error: Exception | None = None
        self.odd_shape: tuple[int, ...] | None = None
        self.rows_forward = 0
        self.rows_backward = 0
        self.listener: Callable[[Images, Outputs, Outputs | None], None] | None = None
        self.gradient_listener: Callable[[Images, Images], None] | None = None

    def forward(self, x: Images) -> Outputs:
        """Return scores (B, K).

        Raises:
            ConfigError: a library splits the batch of a joint model, so that the answers would be wrong.
        """
        model: Model = self.__dict__["_model"]
        if model.coupling is Coupling.JOINT and self.batch not in (None, len(x)):
            raise ConfigError(
                where=f"model {model.name!r}",
                expected=f"an attack that keeps the joint batch of {self.batch} images whole",
                got=f"a query with {len(x)}",
                do="Use an attack that moves the whole batch at once, or the independent protocol",
            )
        x = x.to(self.anchor.dtype)  # some attacks of ART pass float64
        try:
            scores = self.answer(x)
        except Exception as error:
            if self.shape in {None, tuple(x.shape[1:])}:
                self.error = error
            else:
                self.odd_shape = tuple(x.shape[1:])
            raise
        if self.form == "probabilities":
            return scores.softmax(dim=1)
        return scores - scores.detach().amin(dim=1, keepdim=True) if self.form == "positive" else scores

    def answer(self, x: Images) -> Outputs:
        """Return scores (B, K), with a gradient if x requires one."""
        if torch.is_grad_enabled() and x.requires_grad:
            scores: Outputs = _Pass.apply(x, self)
            return scores
        return self.own(x)

    def own(self, x: Images) -> Outputs:
        """Return the scores of the model itself, without a gradient."""
        model: Model = self.__dict__["_model"]
        with torch.no_grad(), _evaluating(model.net):
            outputs = model.net(x)
        self.rows_forward += len(x) * model.forwards
        if self.listener is not None:
            self.listener(x, outputs, None)
        return _scores(outputs, model.output)

    @property
    def backwards(self) -> int:
        """How many backward passes of the network one gradient takes."""
        source: GradientSource = self.__dict__["_source"]
        return source.backwards

    def surrogate(self, x: Images) -> Outputs:
        """Return the scores of the gradient source, with a gradient with respect to x."""
        model, source = self.__dict__["_model"], self.__dict__["_source"]
        with torch.enable_grad(), _evaluating(model.net):
            outputs, own = source.surrogate(x)
            scores = _scores(outputs, source.output)
        self.rows_forward += len(x) * source.forwards
        if self.listener is not None:
            self.listener(x.detach(), own, scores)
        return scores


class _Pass(torch.autograd.Function):
    """A pass of which the library sees only input and output; its graph stays inside."""

    @staticmethod
    def forward(ctx: Any, x: Images, module: SurrogateModule) -> Outputs:
        """Run the surrogate on a new leaf tensor."""
        ctx.module = module
        ctx.point = x.detach().requires_grad_(True)
        ctx.scores = module.surrogate(ctx.point)
        scores: Outputs = ctx.scores.detach()
        return scores

    @staticmethod
    def backward(ctx: Any, *gradients: Any) -> tuple[Tensor, None]:
        """Send a gradient to the input and count it; zero where the scores do not depend on it."""
        ctx.module.rows_backward += len(ctx.point) * ctx.module.backwards
        gradient = None
        if ctx.scores.requires_grad:
            (gradient,) = torch.autograd.grad(
                ctx.scores, ctx.point, gradients[0], retain_graph=True, allow_unused=True
            )
        # Gradients of a channels-last copy are channels-last too; libraries need views of the plain layout.
        gradient = torch.zeros_like(ctx.point) if gradient is None else gradient.contiguous()
        if ctx.module.gradient_listener is not None:
            ctx.module.gradient_listener(ctx.point.detach(), gradient)
        return gradient, None


def _scores(outputs: Outputs, kind: OutputKind) -> Outputs:
    return log_probabilities(outputs, kind) if kind is OutputKind.SIMPLEX else outputs


@contextmanager
def _evaluating(net: nn.Module) -> Iterator[None]:
    """Run in eval mode; the mode of each part is restored."""
    training = [part for part in net.modules() if part.training]
    for part in training:
        part.training = False
    try:
        yield
    finally:
        for part in training:
            part.training = True
