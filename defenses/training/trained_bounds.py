"""Bounds of a network in training: intervals of every value, and linear bounds propagated from margins.

Interval bounds: Gowal et al. 2018 (arXiv:1810.12715, section 3). Linear bounds through intervals: CROWN-IBP,
Zhang et al. 2020 (arXiv:1906.06316, section 3). They are differentiable and used in losses; certificates,
with rounding errors subtracted, come from `robench.bounds`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, fx, nn

from defenses.training.interval_layers import (
    MONOTONE_FUNCTIONS,
    POSITIVE_FUNCTIONS,
    POSITIVE_METHODS,
    Rule,
    rule_of_function,
    rule_of_layer,
)
from robench.errors import ConfigError
from robench.types import Images, Labels, Outputs


@dataclass(frozen=True, slots=True, eq=False)
class Enclosed:
    """The values of a step on the images, and an interval of its values on the whole region.

    Attributes:
        number: of the step.
        value: (B, ...) on the images themselves.
        low: (B, ...) lower ends.
        high: (B, ...) upper ends.
    """

    number: int
    value: Tensor
    low: Tensor
    high: Tensor


@dataclass(frozen=True, slots=True, eq=False)
class Step:
    """One step of a network: its rule and its inputs; the images have no rule."""

    rule: Rule | None
    inputs: tuple[Enclosed, ...]
    output: Enclosed


class TrainedBounds:
    """Bounds of one network in training or evaluation mode.

    Args:
        network: images (B, C, H, W) in [0, 1] to logits (B, K).

    Raises:
        ConfigError: its forward pass cannot be followed.
    """

    def __init__(self, network: nn.Module) -> None:
        self.network = network
        try:
            self._symbols = fx.symbolic_trace(network)
        except Exception as error:
            # A user's forward gets symbolic values here and may raise any error: the message quotes it.
            lines = str(error).strip().splitlines() or [type(error).__name__]
            raise refusal("network", f"a forward pass that cannot be followed: {lines[0][:160]}") from error

    def steps(self, x: Images, low: Images, high: Images) -> list[Step]:
        """Return the steps around images x (B, C, H, W), between `low` and `high`; the last is the output.

        Raises:
            ConfigError: a layer has no bound here; it is named.
        """
        images = Enclosed(0, x, low, high)
        steps, values = [Step(None, (), images)], dict[fx.Node, Any]()
        for node in self._symbols.graph.nodes:
            if node.op == "placeholder":
                values[node] = images if not values else _default(node)
            elif node.op == "get_attr":
                values[node] = _attribute(self._symbols, str(node.target))
            elif node.op == "output":
                output = values[node.args[0]]
                if not isinstance(output, Enclosed) or output.number != steps[-1].output.number:
                    raise refusal("output", "an output that is not one tensor of logits")
            else:
                values[node] = self._step(node, values, steps)
        return steps

    def _step(self, node: fx.Node, values: dict[fx.Node, Any], steps: list[Step]) -> Any:
        """Add one step; return its result: an interval, or a plain value such as a shape."""
        args: Any = fx.node.map_arg(node.args, lambda n: values[n])
        kwargs: Any = fx.node.map_arg(node.kwargs, lambda n: values[n])
        inputs = [one for one in args if isinstance(one, Enclosed)]
        name = str(node.target)
        if node.op == "call_module":
            layer = self._symbols.get_submodule(name)
            rule = rule_of_layer(layer, inputs[0].value) if len(inputs) == 1 else None
            if rule is None:
                raise refusal(
                    f"layer {name!r} ({type(layer).__name__})", "a layer without a bound in training"
                )
            if isinstance(layer, nn.BatchNorm1d | nn.BatchNorm2d) and layer.training:
                with torch.no_grad():
                    layer(inputs[0].value)  # updates the running statistics, as in any training
            return _taken(rule, inputs, steps)
        if name in {"size", "dim"} or node.target is getattr:
            plain: Any = fx.node.map_aggregate(
                args, lambda one: one.value if isinstance(one, Enclosed) else one
            )
            if node.op == "call_method":
                return getattr(plain[0], name)(*plain[1:])
            return getattr(plain[0], plain[1])
        rule = self._function(node, args, kwargs)
        if rule is None and not inputs and node.op == "call_function" and not _holds_intervals(args):
            function: Any = node.target
            return function(*args, **kwargs)  # numbers, such as those of a shape
        if rule is None:
            raise refusal(f"step {name}", "a function without a bound in training")
        return _taken(rule, inputs, steps)

    def _function(self, node: fx.Node, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Rule | None:
        if not args or not isinstance(args[0], Enclosed | Tensor | int | float):
            return None
        is_enclosed = [isinstance(one, Enclosed) for one in args]
        plain = tuple(one.value if isinstance(one, Enclosed) else one for one in args)
        if not any(is_enclosed):
            return None
        rule = rule_of_function(node.target, is_enclosed, plain)
        if rule and kwargs.keys() <= ({"inplace"} if rule.rectifier else set()):
            return Rule(_filled(rule.value, plain, is_enclosed), rule.spread, rule.rectifier)
        if is_enclosed != [True] + [False] * (len(args) - 1):
            return None

        def again(x: Tensor) -> Tensor:
            """Apply the operation of the node to a tensor (B, ...)."""
            if node.op == "call_method":
                return getattr(x, str(node.target))(*args[1:], **kwargs)  # type: ignore[no-any-return]
            return node.target(x, *args[1:], **kwargs)  # type: ignore[operator, no-any-return]

        if node.target in POSITIVE_FUNCTIONS or (
            node.op == "call_method" and node.target in POSITIVE_METHODS
        ):
            return Rule(again, again)
        return Rule(again) if node.target in MONOTONE_FUNCTIONS else None


def refusal(where: str, got: str) -> ConfigError:
    """Return the error for a layer or function without a bound in training."""
    return ConfigError(
        where=where,
        expected="linear and convolution layers, batch norm, ReLU, pooling and sums, which bounds know",
        got=got,
        do="Train another architecture, or by another defense such as pgd_training",
    )


def _default(node: fx.Node) -> Any:
    if not node.args:
        raise refusal(str(node.target), "a network of several inputs")
    return node.args[0]


def _attribute(module: nn.Module, path: str) -> Any:
    value: Any = module
    for part in path.split("."):
        value = getattr(value, part)
    return value


def _holds_intervals(args: Any) -> bool:
    there: list[Enclosed] = []
    fx.node.map_aggregate(args, lambda one: there.append(one) if isinstance(one, Enclosed) else None)
    return bool(there)


def _filled(function: Any, plain: tuple[Any, ...], is_enclosed: list[bool]) -> Any:
    """Return a function of only those arguments that are intervals; the others are fixed."""
    if all(is_enclosed):
        return function

    def of_known(*inputs: Tensor) -> Tensor:
        """Apply the function to the interval arguments (B, ...) and the fixed ones."""
        values = iter(inputs)
        answer: Tensor = function(
            *(next(values) if own else one for one, own in zip(plain, is_enclosed, strict=True))
        )
        return answer

    return of_known


def _taken(rule: Rule, inputs: Sequence[Enclosed], steps: list[Step]) -> Enclosed:
    """Add a step and return its values and intervals."""
    value = rule.value(*(one.value for one in inputs))
    if rule.spread is None:
        low, high = rule.value(*(one.low for one in inputs)), rule.value(*(one.high for one in inputs))
    else:
        middle = rule.value(*((one.low + one.high) / 2 for one in inputs))
        radius = rule.spread(*((one.high - one.low) / 2 for one in inputs))
        low, high = middle - radius, middle + radius
    output = Enclosed(len(steps), value, low, high)
    steps.append(Step(rule, tuple(inputs), output))
    return output


def margin_bounds(steps: Sequence[Step], y: Labels, *, carried: bool) -> Outputs:
    """Return lower bounds (B, K) of the true logit minus each other one over the region; 0 for itself.

    Args:
        steps: the result of `TrainedBounds.steps`.
        y: labels (B,).
        carried: propagate the margins back to the images (CROWN-IBP); otherwise only through the last affine
            steps, to the intervals before them (Gowal et al., section 3: "elision of the last layer").

    Raises:
        ConfigError: a step to propagate through is neither affine nor a ReLU.
    """
    logits = steps[-1].output.value
    eye = torch.eye(logits.shape[1], dtype=logits.dtype, device=logits.device)
    with torch.enable_grad():
        columns = [_carried(steps, eye[y] - eye[j], whole=carried) for j in range(logits.shape[1])]
    bounds = torch.stack(columns, dim=1)
    return bounds.scatter(1, y[:, None], 0.0)


def _carried(steps: Sequence[Step], function: Tensor, *, whole: bool) -> Tensor:
    """Return a lower bound (B,) of a function (B, K) of the logits over the region."""
    waiting: dict[int, Tensor] = {steps[-1].output.number: function}
    bound = function.new_zeros(len(function))
    for step in reversed(steps):
        number = step.output.number
        if number not in waiting:
            continue
        a = waiting.pop(number)
        if step.rule is None or (step.rule.spread is None and not whole):
            middle, radius = (
                (step.output.low + step.output.high) / 2,
                (step.output.high - step.output.low) / 2,
            )
            bound = bound + (a * middle - a.abs() * radius).flatten(1).sum(dim=1)
            continue
        if step.rule.spread is None:
            if not step.rule.rectifier:
                raise refusal("bound: crown_ibp", "a nonlinear layer other than ReLU")
            (before,) = step.inputs
            part, constant = _through_rectifier(a, before.low, before.high)
            parts: tuple[Tensor, ...] = (part,)
        else:
            zeros = [torch.zeros_like(one.value, requires_grad=True) for one in step.inputs]
            at_zero = step.rule.value(*zeros)
            constant = a * at_zero
            parts = torch.autograd.grad(at_zero, zeros, a, create_graph=True)
        bound = bound + constant.flatten(1).sum(dim=1)
        for one, part in zip(step.inputs, parts, strict=True):
            waiting[one.number] = waiting[one.number] + part if one.number in waiting else part
    return bound


def _through_rectifier(a: Tensor, low: Tensor, high: Tensor) -> tuple[Tensor, Tensor]:
    """Return a lower bound of a * relu(h), low <= h <= high, as slopes on h and constants, all (B, ...).

    The upper line goes through both ends; the lower one is the identity or zero, the closer of both.
    """
    open_ = (low < 0) & (high > 0)
    width = torch.where(open_, high - low, torch.ones_like(low))
    upper = torch.where(open_, high / width, (low >= 0).to(low))
    lower = torch.where(open_, (high > -low).to(low), (low >= 0).to(low))
    positive, negative = a.clamp_min(0), a.clamp_max(0)
    offset = torch.where(open_, -low * upper, torch.zeros_like(low))
    return positive * lower + negative * upper, negative * offset
