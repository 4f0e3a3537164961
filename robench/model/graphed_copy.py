"""A copy of a network that replays its passes with a gradient as CUDA graphs, on request (`--engine graphs`).

Each graph is for one number of images (`robench.model.captured_pass`), and images leave the batch when they
are broken. So there are few sizes, and a batch is padded to the next. A capture takes several passes, and is
compared with the copy's own pass on its first images. It stays with the copy, for all attacks and shards.
"""

from __future__ import annotations

import functools
from typing import Any

import torch
from torch import Tensor, nn

from robench.model.another_way import AnotherWayError, Watcher
from robench.model.captured_pass import CapturedPass, Question, on_a_copy, padded
from robench.model.layer_pairs import hooked
from robench.model.out_of_memory import is_out_of_memory
from robench.model.proof import Answer, cotangent, difference
from robench.model.replayable import NotReplayableError, fixed_state, inner_parts, probe
from robench.types import Images

DEVICES = ("cuda",)
"""Types of devices that have such graphs."""

REFUSAL = "no CUDA graph"
"""How every reason begins for which a copy has none."""

LEAST_ROWS, MOST_CAPTURES = 8, 32
"""Images of the smallest graph, and most graphs of a copy; passes of further sizes are not replayed."""


class GraphedCopy(Watcher):
    """Lets a copy of a network replay CUDA graphs for gradients of several images.

    Everything else is a pass of the copy itself: one image alone, passes without a gradient, in training mode
    or under autocast, and those after hooks were added or weights were changed.

    Args:
        network: the copy; its `forward`, and its `features` if it has them, are replayed.

    Raises:
        ValueError: it is not on a CUDA device.
    """

    def __init__(self, network: nn.Module) -> None:
        _check_device(network)
        self._network, self._parts = network, inner_parts(network)
        self._captures: dict[tuple[Any, ...], tuple[CapturedPass, tuple[Any, ...]]] = {}
        self._is_asking = False
        self._forward = network.forward
        network.__dict__["forward"] = self.forward
        features = getattr(network, "features", None)
        if callable(features) and not isinstance(features, nn.Module):
            network.__dict__["features"] = functools.wraps(features)(lambda x: self._answer(features, x))

    def forward(self, x: Images) -> Any:
        """Return the copy's outputs for images (B, C, H, W).

        Raises:
            AnotherWayError: its pass cannot be captured, or a graph of it gives other numbers.
        """
        return self._answer(self._forward, x)

    def _answer(self, question: Question, x: Tensor) -> Any:
        if self._is_asking:
            return question(x)
        self._is_asking = True  # calls of the network to itself are part of the same graph
        try:
            return self._replay(question, x) if self._has_gradient(x) else question(x)
        except AnotherWayError as error:
            self.stray = self.stray or str(error)
            raise
        finally:
            self._is_asking = False

    def _has_gradient(self, x: Tensor) -> bool:
        if len(x) < 2 or not (x.requires_grad and torch.is_grad_enabled()):
            return False
        return not (torch.is_autocast_enabled(x.device.type) or self._network.training)

    def _replay(self, question: Question, x: Tensor) -> Any:
        if x.device.type not in DEVICES:
            self.refuse(f"{REFUSAL}: the images are on {x.device.type}")
        fewest, rows = sizes(len(x))
        kind = (question, rows, x.shape[1:], x.dtype, x.device)
        if kind not in self._captures:
            if len(self._captures) >= MOST_CAPTURES:
                return question(x)
            graph = self._capture(question, padded(x.detach(), rows), (len(x), fewest))
            self._captures[kind] = graph, fixed_state(self._network)
        graph, state = self._captures[kind]
        if state != fixed_state(self._network) or any(map(hooked, self._parts)):
            return question(x)
        return graph(x)

    def _capture(self, question: Question, x: Images, counts: tuple[int, int]) -> CapturedPass:
        """Return a graph of a pass of images (B, C, H, W) that is proven on the first of them.

        Args:
            question: images to what the copy answers.
            x: images.
            counts: on how many it is proven; the fewest that are padded are among these numbers, for code may
                go by the number of images.

        Raises:
            AnotherWayError: there is none, or it gives other numbers.
        """
        batches = [x[:count] for count in counts]
        own = [_pass(question, batch) for batch in batches]  # an error here is the copy's, not the graph's
        try:
            probe(self._network, on_a_copy(question), x)
            graph = CapturedPass(question, x)
            replays = [_pass(graph, batch) for batch in batches]
        except AnotherWayError:
            raise
        except Exception as error:
            if is_out_of_memory(error):  # the caller that cuts batches tries again with fewer images
                raise
            name = "" if isinstance(error, NotReplayableError) else f"{type(error).__name__}: "
            lines = str(error).strip().splitlines() or [""]
            self.stray = f"{REFUSAL}: {name}{lines[0][:200]}"
            raise AnotherWayError(self.stray) from error
        for batch, one, two in zip(batches, own, replays, strict=True):
            if doubt := difference(one, two):
                self.refuse(f"{REFUSAL}: of {len(batch)} images in {len(x)} rows, {doubt}")
        return graph


def sizes(count: int) -> tuple[int, int]:
    """Return the number of rows that so many images are padded to, after the fewest that are padded so.

    8, 12, 16, 24, 32 and so on: nothing else than the number of images decides, so that the bits of an answer
    do not depend on what was asked before.
    """
    fewest, rows = 2, LEAST_ROWS
    while rows < count:
        is_power_of_two = rows & (rows - 1) == 0
        fewest, rows = rows + 1, rows * 3 // 2 if is_power_of_two else rows * 4 // 3
    return fewest, rows


def _check_device(network: nn.Module) -> None:
    """Refuse a network that is not on a CUDA device.

    Raises:
        ValueError: it is elsewhere.
    """
    places = {tensor.device.type for tensor in (*network.parameters(), *network.buffers())}
    if elsewhere := sorted(places - {*DEVICES}):
        raise ValueError(f"{REFUSAL}: the network is on {elsewhere[0]}")


def _pass(question: Question, x: Images) -> Answer:
    """Return outputs and gradient of one pass of images (B, C, H, W).

    Raises:
        AnotherWayError: the answer is not one tensor with a row for each image, or has no gradient.
    """
    leaf = x.detach().clone().requires_grad_(True)
    with torch.enable_grad():
        outputs = on_a_copy(question)(leaf)
        if not isinstance(outputs, Tensor) or outputs.ndim == 0 or len(outputs) != len(x):
            raise AnotherWayError(f"{REFUSAL}: its answer is not one tensor with a row for each image")
        if not outputs.requires_grad:
            raise AnotherWayError(f"{REFUSAL}: its answer has no gradient")
        (gradient,) = torch.autograd.grad((outputs * cotangent(outputs)).sum(), leaf)
    outputs = outputs.detach().flatten(1)
    return Answer(outputs, outputs, gradient)
