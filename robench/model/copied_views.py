"""Channels-last copies of networks that use `view`, which needs a channels-first layout.

PyTorch refuses `x.view(-1, features)` if images are laid out channels-last. Such a copy then returns a copy
of the numbers in the order of the view. Writing into one of the two tensors would not change the other, as
it would with a view: a pass in which that happens is refused.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import Any

from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from robench.model.another_way import Watcher

REFUSAL = "view size is not compatible"
"""PyTorch's error text if a view would need a copy."""


class CopiedViews(Watcher):
    """Lets a copy of a network copy numbers instead of making a view that its layout does not allow.

    Args:
        network: the copy; its `forward`, and its `features` if it has them, are watched from now on.
    """

    def __init__(self, network: nn.Module) -> None:
        self._pairs: list[tuple[Tensor, Tensor, int]] = []
        self._forward = network.forward
        network.__dict__["forward"] = self.forward
        features = getattr(network, "features", None)
        if callable(features) and not isinstance(features, nn.Module):
            network.__dict__["features"] = functools.wraps(features)(
                lambda *args, **options: self._watched(features, *args, **options)
            )

    def forward(self, *args: Any, **options: Any) -> Any:
        """Return the copy's outputs.

        Raises:
            AnotherWayError: it wrote into numbers that were copied instead of viewed.
        """
        return self._watched(self._forward, *args, **options)

    def copied(self, x: Tensor, *shape: Any, **options: Any) -> Tensor:
        """Return a copy of the numbers of x in another shape."""
        view = x.contiguous().view(*shape, **options)
        self._pairs.append((x, view, x._version))
        return view

    def end(self) -> None:
        """Refuse a pass that wrote into copied numbers."""
        pairs, self._pairs = self._pairs, []
        if any(x._version != version or view._version for x, view, version in pairs):
            self.refuse("it wrote into a view that was a copy")

    def _watched(self, question: Callable[..., Any], *args: Any, **options: Any) -> Any:
        self._pairs = []
        with _Views(self):
            answer = question(*args, **options)
        self.end()
        return answer


class _Views(TorchFunctionMode):
    def __init__(self, copies: CopiedViews) -> None:
        super().__init__()
        self._copies = copies

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Sequence[type],
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        """Do the same as PyTorch, except where it refuses a view."""
        if func is not Tensor.view:
            return func(*args, **(kwargs or {}))
        try:
            return func(*args, **(kwargs or {}))
        except RuntimeError as error:
            if REFUSAL not in str(error):
                raise
            return self._copies.copied(*args, **(kwargs or {}))
