"""The fastest copy of a network that is proven to be the same function.

The user's network is never altered. Copies that answer faster (`robench.model.fast_copy`) are made beside it.
Before the first use of a copy on some images, and again at the points an attack found, its outputs and its
gradients are compared with those of the original on these very images (`robench.model.proof`). Where one
raises or disagrees the next plainer one is tried; the last is the network as it is. So which one attacks some
images does not depend on what was attacked before, nor in which process. The judge asks the original.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, nullcontext
from dataclasses import dataclass, field

from torch import nn

from robench.errors import JobError
from robench.model.evaluation import evaluation_mode
from robench.model.fast_copy import RECIPES, Recipe, prepared_copy
from robench.model.folded_pair import stray_of
from robench.model.interface import Coupling, GradientSource, Model
from robench.model.network_state import NetworkState
from robench.model.proof import PROOF_IMAGES, Answer, ask, difference
from robench.model.tested_network import TestedNetwork, networks_under_test
from robench.types import Images

VERSION = 1
"""Goes into every key but those of bounds: before it, networks were rewritten in place, with no proof."""

AS_IT_IS = "as it is"


class _Copies:
    """A prepared copy of each network under test in a model.

    Raises:
        Exception: what `prepared_copy` raises.
    """

    def __init__(self, model: Model, recipe: Recipe) -> None:
        self._pairs = [(t, prepared_copy(t.module, recipe)) for t in networks_under_test(model.net)]
        self.states = [NetworkState(copy) for _, copy in self._pairs]

    @property
    def stray(self) -> str:
        """How a pass of one of them went another way than the trace; empty if none did."""
        return next(filter(None, (stray_of(copy) for _, copy in self._pairs)), "")

    @contextmanager
    def standing_in(self) -> Iterator[None]:
        """Inside the block the copies answer; afterwards they are as they were."""
        with ExitStack() as stack:
            for state in self.states:
                stack.callback(state.restore)
            for network, copy in self._pairs:
                stack.enter_context(network.standing_in(copy))
            yield


@dataclass(slots=True)
class PreparedModel:
    """A model and the prepared copies of its networks, made when they are first wanted.

    Args:
        model: what is under test; never altered.
        eager: make no copies, use the network as it is.

    Attributes:
        reasons: why a faster copy was not used in the crafting at hand, by the name of its recipe.
    """

    model: Model
    eager: bool = False
    reasons: dict[str, str] = field(default_factory=dict)
    _copies: dict[str, _Copies] = field(default_factory=dict)
    _doubts: dict[tuple[str, str, bytes], str] = field(default_factory=dict)
    _self_changing: set[str] | None = None

    def begin(self) -> None:
        """Begin a crafting: what others met at their points says nothing here.

        Else what a crafting is done with would depend on which ones this very process has done before it.
        """
        self.reasons = {}

    def choose(self, x: Images, sources: Sequence[GradientSource]) -> str:
        """Return the name of the fastest copy that is proven for these images and gradient sources.

        It is proven on the first of the images x (B, C, H, W), once for each source and these images.
        """
        originals = self._originals(x)
        digest = _digest(originals[0].x)
        for recipe in self._recipes():
            if recipe.name in self.reasons:
                continue
            for source in sources:
                key = (recipe.name, source.name, digest)
                if key not in self._doubts:
                    self._doubts[key] = self._doubt_at_all(recipe, source, originals)
                if doubt := self._doubts[key]:
                    self.reasons[recipe.name] = doubt
                    break
            else:
                if not (doubt := self._make(recipe)):
                    return recipe.name
                self.reasons[recipe.name] = doubt
        if self._self_changing is None and sources:
            originals[0].answer(sources[0])
        return AS_IT_IS

    def confirm(self, name: str, x: Images, sources: Sequence[GradientSource]) -> bool:
        """Prove a copy again, at points x (B, C, H, W) an attack found; one that fails is dropped."""
        recipe = next((r for r in RECIPES if r.name == name), None)
        if recipe is None:
            return True
        originals = self._originals(x)
        for source in sources:
            if doubt := self._doubt_at_all(recipe, source, originals):
                self.reasons[recipe.name] = doubt
                return False
        return True

    def drop(self, name: str, reason: str) -> None:
        """Use a copy no more in the crafting at hand, and keep why."""
        self.reasons[name] = reason
        self._copies.pop(name, None)

    def stray(self, name: str) -> str:
        """Return how a copy was asked in a way in which it is not the network; empty if it never was."""
        return self._copies[name].stray if name in self._copies else ""

    @contextmanager
    def using(self, name: str) -> Iterator[None]:
        """Inside the block a copy answers in place of the original; both are guarded.

        Raises:
            JobError: what ran inside changed the weights or buffers of the network; they are put back.
        """
        copies = self._copies.get(name)
        stand_in = copies.standing_in() if copies else nullcontext()
        with evaluation_mode(self.model.net) as original, stand_in:
            yield
            guards = [original, *(copies.states if copies else ())]
            names = {name for guard in guards for name in guard.changes()} - self._doors()
            changes = {name.removeprefix("module.") for name in names} - (self._self_changing or set())
            if changes:
                first = ", ".join(sorted(changes)[:6])
                raise JobError(
                    where=f"model {self.model.name!r}",
                    expected="an attack that leaves the network as it is",
                    got=f"one that changed {len(changes)} of its weights and buffers ({first})",
                    do="They were put back; an attack may only ask the oracle",
                )

    def note_changes(self, names: set[str]) -> None:
        """Note what a network changes of itself: counters of passes, running means are no attack's doing."""
        own = {name.removeprefix("module.") for name in names}
        self._self_changing = (self._self_changing or set()) | own

    def _originals(self, x: Images) -> list[_Original]:
        """Return what is asked: some images together, and one alone, which some layers compute otherwise.

        Broken images leave the batch, so that the last is asked about alone; a joint batch stays whole.
        """
        alone = [x[:1]] if len(x) > 1 and self.model.coupling is not Coupling.JOINT else []
        return [_Original(self, part) for part in (x[:PROOF_IMAGES], *alone)]

    def _doors(self) -> set[str]:
        """Return where the copies are put, which is no change of the network."""
        parts = self.model.net.named_modules()
        return {f"{name}.module".removeprefix(".") for name, part in parts if isinstance(part, TestedNetwork)}

    def _recipes(self) -> list[Recipe]:
        networks = networks_under_test(self.model.net)
        if self.eager or not networks:
            return []
        parts = [part for t in networks for part in t.module.modules()]
        fold = any(type(part) is nn.BatchNorm2d for part in parts)
        last = any(isinstance(part, nn.Conv2d | nn.ConvTranspose2d) for part in parts)
        return [r for r in RECIPES if (fold or not r.fold) and (last or not r.channels_last)]

    def _doubt_at_all(self, recipe: Recipe, source: GradientSource, originals: Sequence[_Original]) -> str:
        """Return why a copy cannot be used, having let go of it; empty if nothing speaks against it."""
        doubt = next(filter(None, (self._doubt(recipe, source, original) for original in originals)), "")
        if doubt:
            self._copies.pop(recipe.name, None)
        return doubt

    def _make(self, recipe: Recipe) -> str:
        """Make a copy where there is none; return why it cannot be made, empty if it can."""
        if recipe.name not in self._copies:
            try:
                self._copies[recipe.name] = _Copies(self.model, recipe)
            except Exception as error:  # noqa: BLE001 - a user's network meets deepcopy and symbols: it is recorded
                return f"it could not be made: {_first_line(error)}"
        return ""

    def _doubt(self, recipe: Recipe, source: GradientSource, original: _Original) -> str:
        """Return why a copy cannot be used; empty if nothing speaks against it."""
        if doubt := self._make(recipe):
            return doubt
        answer = original.answer(source)
        if answer is None:
            return "the network itself could not be asked for a gradient"
        try:
            with evaluation_mode(self.model.net), self._copies[recipe.name].standing_in():
                other = ask(self.model, source, original.x)
        except Exception as error:  # noqa: BLE001 - the boundary: a copy that raises is not used, and it is said
            return f"it raised {_first_line(error)}"
        doubt = difference(answer, other)
        return f"through {source.name}, {doubt}" if doubt else ""


@dataclass(slots=True)
class PreparedModels:
    """The prepared copies of every model of one evaluation.

    Args:
        eager: make no copies, ask every network as it is.
    """

    eager: bool = False
    _known: dict[int, PreparedModel] = field(default_factory=dict)

    def of(self, model: Model) -> PreparedModel:
        """Return what was prepared for a model; models with the same network share it."""
        if id(model.net) not in self._known:
            self._known[id(model.net)] = PreparedModel(model, eager=self.eager)
        return self._known[id(model.net)]


class _Original:
    """The network itself, asked about some images once for each gradient source."""

    def __init__(self, engines: PreparedModel, x: Images) -> None:
        self._prepared, self.x = engines, x
        self._answers: dict[str, Answer | None] = {}

    def answer(self, source: GradientSource) -> Answer | None:
        """Return the original's answer; None where it raises, which the attack itself will meet and tell."""
        if source.name not in self._answers:
            model = self._prepared.model
            try:
                with evaluation_mode(model.net) as state:
                    answer: Answer | None = ask(model, source, self.x)
                    changes = state.changes()
            except Exception:  # noqa: BLE001 - the attack meets the same and is recorded as failed with it
                answer, changes = None, set()
            self._prepared.note_changes(changes)
            self._answers[source.name] = answer
        return self._answers[source.name]


def _digest(x: Images) -> bytes:
    """Return what tells some images from any others."""
    return hashlib.sha256(x.detach().cpu().contiguous().numpy().tobytes()).digest()


def _first_line(error: Exception) -> str:
    text = str(error).strip().splitlines()
    return f"{type(error).__name__}: {text[0][:200]}" if text else type(error).__name__
