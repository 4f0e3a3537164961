"""The wrapper of a user's network: it passes a copy of the images, and returns one row per image."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, cast

import torch
from torch import Tensor, nn

from robench.errors import InputError
from robench.model.out_of_memory import is_out_of_memory
from robench.model.torch_state import kept_torch_state
from robench.plan.spec import PRECISIONS
from robench.types import Images, Outputs, Values

_REMEDY = """Wrap the network, and evaluate `Logits(network)`:
class Logits(torch.nn.Module):
    def __init__(self, network): super().__init__(); self.network = network
    def forward(self, x): return self.network(x){pick}  # (B, classes)"""

_NO_TENSOR = "Return a tensor with one row of class scores for each image"

_NAMES = ("logits", "out", "output", "outputs", "prediction", "predictions", "scores", "y_hat", "cls")
"""Keys of the output in a mapping, in case several entries have the right shape."""


FLOAT32, AS_SET = PRECISIONS


@dataclass(slots=True)
class _Learnt:
    """Facts from a network's first pass: its input type, and the place of its output."""

    dtype: torch.dtype | None = None
    note: str = ""


class TestedNetwork(nn.Module):
    """A wrapper of a foreign network that protects the images from it.

    - The network gets a copy of the images: writing into its input does not affect anything else.
    - Its output may be a tensor of any type, a tuple, a mapping or an object with `.logits`; the wrapper
      returns (B, columns) of the images' type, float32. An ambiguous output is refused.
    - It gets the images unchanged, or in the type of its weights if it accepts no other type.
    - A prepared copy can replace it (`answered_by`); the network itself is never changed.

    Args:
        network: images (B, C, H, W) to outputs; not changed.
        class_map: for each class of the data the number of its output, if the network has more outputs; the
            other outputs are left out.
        kind: kind of the outputs (`robench.model.OutputKind`), so that probabilities are normalised again
            after a class map.
        precision: `float32`, exact (`robench.model.torch_state`), or `as_set`: by PyTorch's flags, so that a
            GPU may use TF32.

    Attributes:
        module: the network, or the copy that replaces it.
    """

    __test__ = False  # pytest must not take it for a test because of its name

    module: nn.Module

    def __init__(
        self,
        network: nn.Module,
        *,
        class_map: Sequence[int] | None = None,
        kind: str = "logits",
        precision: str = FLOAT32,
    ) -> None:
        super().__init__()
        self.module = network
        self.class_map = None if class_map is None else tuple(class_map)
        self.kind = kind
        self.precision = precision
        self.training = bool(
            getattr(network, "training", False)
        )  # a frozen script has no flag; only the wrapper's flag is set, not the network's
        self._learnt = _Learnt()

    @property
    def note(self) -> str:
        """Automatic choices: the place of the output, the type of the images; empty if there were none."""
        return self._learnt.note

    @contextmanager
    def answered_by(self, copy: nn.Module) -> Iterator[None]:
        """Inside the block `copy` replaces the network."""
        before = self._modules["module"]
        self._modules["module"] = copy
        try:
            yield
        finally:
            self._modules["module"] = before

    def forward(self, x: Values) -> Outputs:
        """Map images (B, C, H, W) to outputs (B, columns) of the same floating type.

        Raises:
            InputError: the output is not one row of numbers for each image, or is ambiguous.
        """
        outputs: Outputs = self._mapped(self._rows(self._answer(self.module, x), len(x)).to(x.dtype))
        return outputs

    def features(self, x: Values) -> Outputs:
        """Map images (B, C, H, W) to the features (B, D) of a network that offers them."""
        return cast("Outputs", self._answer(cast("Callable[[Images], Any]", self.module.features), x))

    @torch.no_grad()
    def overwritten(self, x: Images) -> int:
        """Return into how many of the images (B, C, H, W) the network writes in a pass."""
        copy = x.to(self._learnt.dtype or x.dtype, copy=True)
        before = copy.clone()
        with kept_torch_state():
            if not (self._offers_features and _answers(self.module.features, copy)):
                self.module(copy.copy_(before))
        return int((copy != before).flatten(1).any(dim=1).sum())

    @property
    def _offers_features(self) -> bool:
        """Whether `features` is a function of the images alone, as in our networks."""
        features = getattr(self.module, "features", None)
        if not callable(features) or not hasattr(self.module, "feature_dim"):
            return False
        try:
            inspect.signature(features).bind(None)
        except (TypeError, ValueError):  # it has other arguments, or unknown ones
            return False
        return True

    @property
    def linear(self) -> nn.Module | None:
        """The linear branch of a network that offers features; None without one."""
        return cast("nn.Module | None", self.module.linear)

    @property
    def feature_dim(self) -> int:
        """Width D of the features of a network that offers them."""
        return int(cast("int", self.module.feature_dim))

    def __getattr__(self, name: str) -> Any:
        """Return an attribute of the network if the wrapper does not have it, so that attacks find layers."""
        try:
            return super().__getattr__(name)
        except AttributeError:
            if name == "module":
                raise
            return getattr(self.module, name)

    def __getitem__(self, place: Any) -> Any:
        """Return a part of a network that is a sequence of parts."""
        return cast("Any", self.module)[place]

    def _answer(self, question: Callable[[Tensor], Any], x: Tensor) -> Any:
        with kept_torch_state():
            return self._answer_in_own_type(question, x)

    def _answer_in_own_type(self, question: Callable[[Tensor], Any], x: Tensor) -> Any:
        dtype = self._learnt.dtype
        if dtype is not None:
            return question(x.clone() if x.dtype is dtype else x.to(dtype))
        try:
            return question(x.clone())
        except (RuntimeError, TypeError) as error:
            other = _dtype_of(self.module)
            if other is None or other is x.dtype or is_out_of_memory(error):
                raise
            answer = question(x.to(other))
            self._learnt.dtype = other
            self._say(f"its images are given to it as {str(other).removeprefix('torch.')}")
            return answer

    def _rows(self, answer: Any, count: int) -> Tensor:
        rows: Tensor = answer if isinstance(answer, Tensor) else self._picked(answer, count)
        # Some networks return an internal buffer, which the next pass overwrites.
        rows = rows.clone()
        if rows.ndim != 2 or len(rows) != count or rows.is_complex():
            raise InputError(
                where=type(self.module).__name__,
                expected=f"outputs of shape ({count}, classes) for {_images(count)}",
                got=f"{tuple(rows.shape)}{', complex' if rows.is_complex() else ''}",
                do=_shape_remedy(rows, count),
            )
        return rows

    def _picked(self, answer: Any, count: int) -> Tensor:
        """Return the one tensor of an output that can contain the scores."""
        logits = answer.get("logits") if isinstance(answer, Mapping) else getattr(answer, "logits", None)
        if isinstance(logits, Tensor):
            self._say("of its outputs `logits` is taken")
            return logits
        parts: dict[str, Any] = {}
        if isinstance(answer, Mapping):
            parts = {f"[{key!r}]": value for key, value in answer.items()}
        elif isinstance(answer, tuple | list):
            names = getattr(answer, "_fields", None)
            parts = {f".{names[i]}" if names else f"[{i}]": value for i, value in enumerate(answer)}
        rows = {k: v for k, v in parts.items() if isinstance(v, Tensor) and v.ndim == 2 and len(v) == count}
        if len(rows) > 1:
            rows = {k: v for k, v in rows.items() if k.strip("[]'.\"") in _NAMES} or rows
        if len(rows) != 1:
            got = type(answer).__name__
            if parts:
                got += f" of {', '.join(f'{k}: {_shape_text(v)}' for k, v in list(parts.items())[:6])}"
            # Features have more columns than scores: the narrowest part is the likeliest.
            pick = min(rows, key=lambda name: rows[name].shape[1]) if rows else next(iter(parts), ".logits")
            raise InputError(
                where=type(self.module).__name__,
                expected=f"one tensor of shape ({count}, classes) as the answer",
                got=got,
                do=_REMEDY.format(pick=pick) if parts else _NO_TENSOR,
            )
        ((name, row),) = rows.items()
        self._say(f"of its outputs {name} is taken")
        return row

    def _mapped(self, outputs: Tensor) -> Tensor:
        if self.class_map is None:
            return outputs
        if max(self.class_map) >= outputs.shape[1]:
            raise InputError(
                where="class_map",
                expected=f"outputs from 0 to {outputs.shape[1] - 1}, as the network has",
                got=str(max(self.class_map)),
            )
        part = outputs[:, list(self.class_map)]
        if self.kind == "simplex":
            return part / part.sum(dim=1, keepdim=True)
        return part.log_softmax(dim=1) if self.kind == "log_probabilities" else part

    def _say(self, note: str) -> None:
        if note not in self._learnt.note:
            self._learnt.note = f"{self._learnt.note}; {note}".removeprefix("; ")


def networks_under_test(net: nn.Module) -> list[TestedNetwork]:
    """Return every wrapper of a user's network inside a network, outermost first."""
    return [part for part in net.modules() if isinstance(part, TestedNetwork)]


def _answers(question: Any, x: Images) -> bool:
    """Tell whether a call returns an output; it may fail although `forward` works."""
    try:
        question(x)
    except Exception as error:
        if is_out_of_memory(error):
            raise
        return False
    return True


def _dtype_of(network: nn.Module) -> torch.dtype | None:
    """Return the floating type of a network's weights, None if there are no weights or several types."""
    kinds = {t.dtype for t in (*network.parameters(), *network.buffers()) if t.is_floating_point()}
    return kinds.pop() if len(kinds) == 1 else None


def _images(count: int) -> str:
    return "one image" if count == 1 else f"{count} images"


def _shape_text(value: Any) -> str:
    return f"{tuple(value.shape)}" if isinstance(value, Tensor) else type(value).__name__


def _shape_remedy(answer: Tensor, count: int) -> str:
    if count == 1 and answer.ndim == 1:
        return "The network drops the batch axis of a single image, as `squeeze()` does: use `flatten(1)`"
    if answer.ndim > 2 and answer[0].numel() == answer.shape[1]:
        return "Flatten them: `return outputs.flatten(1)`"
    if answer.ndim == 1 and len(answer) == count and not answer.is_floating_point():
        return "These are numbers of classes, as `argmax` gives: return the scores they are chosen by"
    if answer.ndim == 1 and len(answer) == count:
        return "A single score for two classes: return `torch.stack([-score, score], dim=1)`"
    return "Return one row of class scores for each image"
