"""The copies of a model's networks, each made when it is first needed, and proven to be the same function.

A copy is compared with the network itself, through each gradient source, on the same images for which it
will be used (`robench.model.proof`).
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field

from robench.model.another_way import stray_of
from robench.model.copy_methods import CopyMethod
from robench.model.evaluation import evaluation_mode
from robench.model.fast_copy import prepared_copy
from robench.model.interface import Coupling, GradientSource, Model, OutputKind
from robench.model.network_state import NetworkState
from robench.model.passes_in_turn import answers_in_turn
from robench.model.proof import (
    PROOF_IMAGES,
    ROUGH_TOLERANCES,
    TOLERANCES,
    Distance,
    Original,
    difference,
    distance,
)
from robench.model.rough_gradient import RoughGradient
from robench.model.tested_network import networks_under_test
from robench.types import Images

PARTS = (0.7, 0.3)
"""Shares of the compared images on which a copy that pads its batches is compared once more."""


class NetworkCopies:
    """A prepared copy of each network under test in a model.

    Raises:
        Exception: as `prepared_copy`.
    """

    def __init__(self, model: Model, method: CopyMethod) -> None:
        self._pairs = [(t, prepared_copy(t.module, method)) for t in networks_under_test(model.net)]
        for network, copy in self._pairs:
            if isinstance(copy, RoughGradient):
                alone = network is model.net and model.coupling is not Coupling.JOINT
                copy.decides = alone and model.output is not OutputKind.SIMPLEX
                copy.columns = network.class_map
        self.states = [NetworkState(copy) for _, copy in self._pairs]

    @property
    def stray(self) -> str:
        """How a pass of one of them went another way than the trace; empty if none did."""
        return next(filter(None, (stray_of(copy) for _, copy in self._pairs)), "")

    @contextmanager
    def in_use(self) -> Iterator[None]:
        """Inside the block the copies replace the networks; afterwards the copies' state is restored."""
        with ExitStack() as stack:
            for state in self.states:
                stack.callback(state.restore)
            for network, copy in self._pairs:
                stack.enter_context(network.answered_by(copy))
            yield


@dataclass(frozen=True, slots=True)
class Comparison:
    """What comparing a copy with its network gave.

    Attributes:
        doubt: why the copy is not used; empty if it passed.
        distance: how far it was, as far as it was compared.
    """

    doubt: str = ""
    distance: Distance = field(default_factory=Distance)

    def then(self, other: Comparison) -> Comparison:
        """Return this comparison and a later one as one."""
        return Comparison(self.doubt or other.doubt, self.distance.or_more(other.distance))


@dataclass(slots=True)
class ProvenCopies:
    """Copies of the networks of one model, by name of the copy method, and the results of their proofs.

    Args:
        model: the model under test; never changed.

    Attributes:
        self_changing: names of weights and buffers that a network changes itself; None before its first pass.
        ready: the copies that were made, and not found wrong since, by name of the copy method.
    """

    model: Model
    self_changing: set[str] | None = field(init=False, default=None)
    ready: dict[str, NetworkCopies] = field(init=False, default_factory=dict)
    _results: dict[tuple[str, str, bytes], Comparison] = field(init=False, default_factory=dict)

    def originals(self, x: Images) -> list[Original]:
        """Return the comparisons: some images together, and one alone, which some layers compute differently.

        Broken images leave the batch, so that the last image is alone; a joint batch is not split. One of the
        comparisons also has a pass without a gradient: the smaller one, as this adds half of its cost.
        """
        together = x[:PROOF_IMAGES]
        if len(x) > 1 and self.model.coupling is not Coupling.JOINT:
            parts = [Original(self.model, together, False, self._note_changes)]
            return [*parts, Original(self.model, x[:1], True, self._note_changes)]
        return [Original(self.model, together, True, self._note_changes)]

    def proof(
        self,
        method: CopyMethod,
        sources: Sequence[GradientSource],
        originals: Sequence[Original],
    ) -> Comparison:
        """Compare a copy with the network through every source, and keep the results for these images.

        Args:
            method: the copy method.
            sources: the gradient sources.
            originals: the network itself on the images; its results are computed once.
        """
        digest, result = _digest(originals[0].x), Comparison()
        for source in sources:
            key = (method.name, source.name, digest)
            if key not in self._results:
                self._results[key] = self.compare_all(method, source, originals)
            result = result.then(self._results[key])
            if result.doubt:
                return result
        return result.then(Comparison(self._make(method)))

    def compare_all(
        self, method: CopyMethod, source: GradientSource, originals: Sequence[Original]
    ) -> Comparison:
        """Compare a copy with the network; if they differ, discard it and return the first difference.

        Copies that replay graphs are compared on fewer images too, which they pad.
        """
        fewer, result = self._fewer_images(originals) if method.graphs else [], Comparison()
        for original in (*originals, *fewer):
            result = result.then(self._compare(method, source, original))
            if result.doubt:
                self.ready.pop(method.name, None)
                return result
        return result

    def _fewer_images(self, originals: Sequence[Original]) -> list[Original]:
        """Return comparisons on parts of the images that are compared; none if they belong together."""
        x = originals[0].x
        if self.model.coupling is Coupling.JOINT:
            return []
        sizes = sorted({size for share in PARTS if 1 < (size := int(share * len(x))) < len(x)}, reverse=True)
        return [Original(self.model, x[:size], False, self._note_changes) for size in sizes]

    def _make(self, method: CopyMethod) -> str:
        """Make a copy if there is none; return why it cannot be made, empty if it can."""
        if method.name not in self.ready:
            try:
                self.ready[method.name] = NetworkCopies(self.model, method)
            except Exception as error:  # noqa: BLE001 - a user's code may fail in deepcopy or tracing
                return f"it could not be made: {_first_line(error)}"
        return ""

    def _compare(self, method: CopyMethod, source: GradientSource, original: Original) -> Comparison:
        """Return how far a copy is from the network, or why it cannot be compared."""
        if doubt := self._make(method):
            return Comparison(doubt)
        answer = original.answer(source)
        if answer is None:
            return Comparison("the network itself could not be asked for a gradient")
        try:
            with evaluation_mode(self.model.net), self.ready[method.name].in_use():
                others = [original.question(source)]
                if method.graphs:
                    others += answers_in_turn(
                        self.model, source, original.x, without_gradient=original.without_gradient
                    )
        except Exception as error:  # noqa: BLE001 - the boundary: a copy that raises is not used, with a note
            return Comparison(f"it raised {_first_line(error)}")
        tolerances, result = ROUGH_TOLERANCES if method.rough else TOLERANCES, Comparison()
        for other in others:
            if doubt := difference(answer, other, tolerances):
                return Comparison(f"through {source.name}, {doubt}")
            result = result.then(Comparison(distance=distance(answer, other)))
        return result

    def _note_changes(self, names: set[str]) -> None:
        """Note weights and buffers that a network changes itself, so that attacks are not blamed for that.

        Examples are counters of passes and running means.
        """
        self.self_changing = (self.self_changing or set()) | set(map(own_name, names))


def own_name(name: str) -> str:
    """Return the name of a weight or buffer in the network, independent of the path to it.

    A copy's replaced `forward` may still call the original, which is then a hidden part of the copy.
    """
    return name.rpartition(">.")[2].removeprefix("module.")


def _digest(x: Images) -> bytes:
    """Return a hash that identifies some images."""
    return hashlib.sha256(x.detach().cpu().contiguous().numpy().tobytes()).digest()


def _first_line(error: Exception) -> str:
    text = str(error).strip().splitlines()
    return f"{type(error).__name__}: {text[0][:200]}" if text else type(error).__name__
