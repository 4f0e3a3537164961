"""The fastest copy of a network that is proven to be the same function.

The user's network is never changed. Faster copies (`robench.model.fast_copy`) are made beside it.
Before the first use of a copy on some images, and again at the points an attack found, its outputs and its
gradients are compared with those of the original on the same images (`robench.model.proven_copies`). If a
copy raises or disagrees, the next simpler one is tried; the last is the network itself. So the choice of the
copy does not depend on earlier attacks or on the process, unless the user asks for the one that is fastest by
the clock. The judge uses the original.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field

import torch

from robench.engines import Engine
from robench.errors import JobError
from robench.model.copied_views import REFUSAL
from robench.model.copy_methods import (
    COMPILED_METHODS,
    COPY_METHODS,
    GRAPH_METHODS,
    ROUGH_METHODS,
    CopyMethod,
    methods_for,
)
from robench.model.evaluation import evaluation_mode
from robench.model.graphed_copy import REFUSAL as NO_GRAPH
from robench.model.interface import GradientSource, Model
from robench.model.proof import Distance
from robench.model.proven_copies import ProvenCopies, own_name
from robench.model.tested_network import TestedNetwork, networks_under_test
from robench.model.timed_copies import seconds_of_passes
from robench.types import Images, Mask

VERSION = 1
"""Goes into every key except keys of bounds: before this version, networks were changed without a proof."""

AS_IT_IS = "as it is"

CONFIRMED = 8
"""Number of points of every crafting at which a prepared copy is compared with the network again."""


@dataclass(slots=True)
class PreparedModel:
    """A model and the prepared copies of its networks, made when they are first needed.

    Args:
        model: the model under test; never changed.
        engine: which copies are tried; see `robench.engines`.

    Attributes:
        reasons: why copies were found wrong in the present crafting, by name of the copy method.
        distance: how far the copy of the present crafting was from the network, where they were compared.
        seconds: of a pass and its gradient, by name of the copy; only for the engine `fastest`.
        chosen: name of the copy of the present crafting.
    """

    model: Model
    engine: Engine = "auto"
    reasons: dict[str, str] = field(default_factory=dict)
    distance: Distance | None = field(init=False, default=None)
    seconds: dict[str, float] = field(init=False, default_factory=dict)
    chosen: str = field(init=False, default=AS_IT_IS)
    _copies: ProvenCopies = field(init=False)
    _distances: dict[str, Distance] = field(init=False, default_factory=dict)

    def __post_init__(self) -> None:
        """Start without a copy."""
        self._copies = ProvenCopies(self.model)

    def begin(self) -> None:
        """Forget earlier reasons: every crafting tries all copies again.

        A copy that failed at the points of an earlier attack may be right on these images. If its failure
        were remembered, the copy of a crafting would depend on earlier craftings in this process.
        """
        self.reasons, self.distance = {}, None

    @property
    def not_used(self) -> dict[str, str]:
        """Why copies are not used in the present crafting: found wrong, or slower by the clock."""
        best = self.seconds.get(self.chosen, 0.0)
        slower = {
            name: f"slower: {1000 * took:.3g} ms a pass with its gradient, the fastest {1000 * best:.3g} ms"
            if took < math.inf
            else "a pass that was timed failed"
            for name, took in self.seconds.items()
            if name != self.chosen
        }
        return slower | self.reasons

    def choose(self, x: Images, sources: Sequence[GradientSource]) -> str:
        """Return the name of the fastest copy that is proven for these images and gradient sources.

        It is proven on the first images of x (B, C, H, W), once for each source and these images. The fastest
        is the first of a fixed order, or that by the clock if the engine is `fastest`.
        """
        if self.engine == "fastest" and sources:
            names = [AS_IT_IS, *self._proven(x, sources)]
            if any(name not in self.seconds for name in names):
                self.seconds |= seconds_of_passes(self.model, self, names, x, sources[0])
            name = min(names, key=lambda name: self.seconds[name])
        else:
            name = next(self._proven(x, sources), AS_IT_IS)
        self.chosen, self.distance = name, self._distances.get(name)
        return name

    def _proven(self, x: Images, sources: Sequence[GradientSource]) -> Iterator[str]:
        """Yield the names of the copies that are proven, the fastest first; note why others are not."""
        methods, doubt = self._methods(), ""
        originals = self._copies.originals(x)
        for method in methods:
            is_of_use = not method.copies_views or REFUSAL in doubt  # the method before failed at a `view`
            if method.graphs and any(NO_GRAPH in reason for reason in self.reasons.values()):
                continue  # no copy of this network can have a CUDA graph
            doubt = self.reasons.get(method.name, "")
            if doubt or not is_of_use:
                continue
            result = self._copies.proof(method, sources, originals)
            if not (doubt := result.doubt):
                self._distances[method.name] = result.distance
                yield method.name
            else:
                self.reasons[method.name] = doubt
        if self._copies.self_changing is None and sources:
            originals[0].answer(sources[0])

    def confirm(
        self, name: str, x: Images, sources: Sequence[GradientSource], *, claimed: Mask | None = None
    ) -> bool:
        """Check a copy after an attack on it; return whether it is valid; if not, `reasons` says why.

        None of its passes may have another control flow than the proven one, and it is proven again at points
        of the attack.

        Args:
            name: of the copy; the network itself is always valid.
            x: the points (B, C, H, W) that an attack found.
            sources: the gradient sources.
            claimed: which points (B,) should be adversarial: a few are checked, these first. None: all.
        """
        every_method = (*COMPILED_METHODS, *ROUGH_METHODS, *GRAPH_METHODS, *COPY_METHODS)
        method = next((one for one in every_method if one.name == name), None)
        if method is None:
            return True
        copies = self._copies.ready.get(name)
        if copies and copies.stray:  # the attack caught the error, and may have stopped because of it
            self.rule_out(name, f"in a pass of the attack, {copies.stray}")
            return False
        if claimed is not None:
            finite = torch.isfinite(x.flatten(1)).all(dim=1)
            order = claimed.logical_and(finite).to(torch.int8).argsort(descending=True, stable=True)
            first = order[:CONFIRMED]
            x = x[first].where(finite[first, None, None, None], 0)
        originals = self._copies.originals(x)
        for source in sources:
            result = self._copies.compare_all(method, source, originals)
            if result.doubt:
                self.reasons[method.name] = result.doubt
                return False
            self.distance = result.distance.or_more(self.distance or Distance())
        return True

    def rule_out(self, name: str, reason: str) -> None:
        """Discard a copy for the present crafting, and store the reason."""
        self.reasons[name] = reason
        self._copies.ready.pop(name, None)

    @contextmanager
    def using(self, name: str) -> Iterator[None]:
        """Inside the block a copy replaces the original; both are protected against changes.

        Raises:
            JobError: the code inside changed weights or buffers of the network; they are restored.
        """
        copies = self._copies.ready.get(name)
        replacement = copies.in_use() if copies else nullcontext()
        with evaluation_mode(self.model.net) as original, replacement:
            yield
            guards = [original, *(copies.states if copies else ())]
            names = {name for guard in guards for name in guard.changes()} - self._copy_places()
            changes = set(map(own_name, names)) - (self._copies.self_changing or set())
            if changes:
                first = ", ".join(sorted(changes)[:6])
                raise JobError(
                    where=f"model {self.model.name!r}",
                    expected="an attack that leaves the network as it is",
                    got=f"one that changed {len(changes)} of its weights and buffers ({first})",
                    do="They were put back; an attack may only ask the oracle",
                )

    def _copy_places(self) -> set[str]:
        """Return the names of inserted copies in the network, which do not count as changes."""
        parts = self.model.net.named_modules()
        return {f"{name}.module".removeprefix(".") for name, part in parts if isinstance(part, TestedNetwork)}

    def _methods(self) -> list[CopyMethod]:
        """Return the methods that may be tried, fastest first."""
        networks = [door.module for door in networks_under_test(self.model.net)]
        if not networks or self.engine == "eager":
            return []
        compiled_methods = COMPILED_METHODS if self.engine in {"compiled", "fastest"} else ()
        families: dict[Engine, Sequence[CopyMethod]] = {
            "bfloat16": ROUGH_METHODS,
            "graphs": GRAPH_METHODS,
            "fastest": GRAPH_METHODS if self.model.device.type == "cuda" else (),
        }
        methods = (*families.get(self.engine, ()), *COPY_METHODS)
        return [*compiled_methods, *methods_for(networks, methods)]


@dataclass(slots=True)
class PreparedModels:
    """The prepared copies of every model of one evaluation.

    Args:
        engine: which copies are tried; see `robench.engines`.
    """

    engine: Engine = "auto"
    _known: dict[int, PreparedModel] = field(default_factory=dict)

    def of(self, model: Model) -> PreparedModel:
        """Return the prepared copies of a model; models with the same network share them."""
        if id(model.net) not in self._known:
            self._known[id(model.net)] = PreparedModel(model, engine=self.engine)
        return self._known[id(model.net)]
