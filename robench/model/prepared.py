"""A faster copy of a network, proven against the original before it is used; and evaluation mode.

The user's network is never altered. Beside it a copy is made and prepared for gradients with respect to
images: parameters frozen, batch-norm folded into the convolution before it (in evaluation mode both together
are one convolution: Jacob et al. 2018, arXiv:1712.05877, section 3.2), weights of convolutions laid out
channels-last. Each such copy is only a candidate. Before its first use, and again at the points an attack
found, its outputs and its gradients are compared with those of the original on the run's own images. One that
raises or disagrees is thrown away and the next plainer one is tried; the last is the network as it is. The
judge asks the original.
"""

from __future__ import annotations

import copy
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, nullcontext
from dataclasses import dataclass, field
from typing import cast

import torch
from torch import Tensor, fx, nn

from robench.errors import JobError
from robench.model.as_found import AsFound
from robench.model.float32 import float32_proper
from robench.model.global_state import kept_torch_state
from robench.model.interface import Coupling, GradientSource, Model
from robench.model.tested_network import AS_SET, TestedNetwork, networks_under_test
from robench.randomness import borrowed_global_randomness, kept_global_randomness
from robench.types import Images, Outputs, PerSample

VERSION = 1
"""Goes into the key of every unit: before there were proven copies, networks were rewritten in place."""

PROOF_IMAGES = 16
"""Most images on which a copy is compared with the original."""

OUTPUT_TOLERANCE = 1e-4
"""Largest difference of an output, relative to the largest output of the images compared."""

GRADIENT_TOLERANCE = 1e-2
"""Largest difference of a gradient in L2, relative to its length, or the median length if that is more."""

SPARED = 0.2
"""Share of the images whose gradient may differ more: where rounding turns a ReLU or a maximum, it jumps."""

AS_IT_IS = "as it is"


@dataclass(frozen=True, slots=True)
class Recipe:
    """How a candidate is made from a plain copy."""

    name: str
    fold: bool = False
    channels_last: bool = False


RECIPES = (
    Recipe("folded, channels-last", fold=True, channels_last=True),
    Recipe("folded", fold=True),
    Recipe("channels-last", channels_last=True),
    Recipe("frozen copy"),
)
"""The candidates, fastest first; after them comes the network as it is."""


@contextmanager
def evaluation_mode(net: nn.Module) -> Iterator[AsFound]:
    """Inside the block: evaluation mode and proper float32. Afterwards the network is as it was, bit for bit.

    Parameters, buffers, modes, flags, `.grad`, hooks and attributes are put back, also after an exception,
    and whoever changed them; so are the global generators that a random network draws from.
    """
    found = AsFound(net)
    try:
        asked = {tested.precision for tested in networks_under_test(net)}
        with (
            nullcontext() if AS_SET in asked else float32_proper(),
            kept_global_randomness(),
            kept_torch_state(),
        ):
            net.eval()
            yield found
    finally:
        found.restore()


@dataclass(frozen=True, slots=True)
class _Answer:
    """What one network said about some images: its outputs, a source's, and the gradient of the latter."""

    own: Outputs
    surrogate: Outputs
    gradient: Images


@dataclass(slots=True)
class Candidate:
    """Copies of every user's network of a model, made by one recipe."""

    name: str
    copies: Sequence[tuple[TestedNetwork, nn.Module]]
    states: Sequence[AsFound]


@dataclass(slots=True)
class PreparedModel:
    """A model and the prepared copies of its networks, made when they are first wanted.

    Args:
        model: what is under test; never altered.
        eager: make no copies, use the network as it is.

    Attributes:
        reasons: why a faster candidate was not used, by its name.
    """

    model: Model
    eager: bool = False
    reasons: dict[str, str] = field(default_factory=dict)
    _made: dict[str, Candidate | None] = field(default_factory=dict)
    _proven: dict[str, set[str]] = field(default_factory=dict)
    _restless: set[str] | None = None

    def choose(self, x: Images, sources: Sequence[GradientSource]) -> str:
        """Return the name of the fastest candidate that is proven for these gradient sources.

        What is not proven yet is proven on the first of the images x (B, C, H, W), between 1 and all of them.
        """
        groups = self._groups(x)
        for recipe in self._recipes():
            if recipe.name in self.reasons:
                continue
            proven = self._proven.setdefault(recipe.name, set())
            for source in sources:
                if source.name not in proven and not self._proves(recipe, source, groups):
                    break
                proven.add(source.name)
            else:
                return recipe.name
        if self._restless is None and sources:
            groups[0].of(sources[0])
        return AS_IT_IS

    def confirm(self, name: str, x: Images, sources: Sequence[GradientSource]) -> bool:
        """Prove a candidate again, at points x (B, C, H, W) an attack found; one that fails is dropped."""
        recipe = next((r for r in RECIPES if r.name == name), None)
        groups = self._groups(x)
        return recipe is None or all(self._proves(recipe, source, groups) for source in sources)

    def _groups(self, x: Images) -> list[_References]:
        """Return what is asked: some images together, and one alone, which some layers compute otherwise.

        Broken images leave the batch, so that the last is asked about alone; a joint batch stays whole.
        """
        alone = [x[:1]] if len(x) > 1 and self.model.coupling is not Coupling.JOINT else []
        return [_References(self, part) for part in (x[:PROOF_IMAGES], *alone)]

    def _proves(self, recipe: Recipe, source: GradientSource, groups: Sequence[_References]) -> bool:
        return all(self._holds(recipe, source, group) for group in groups)

    @contextmanager
    def using(self, name: str) -> Iterator[None]:
        """Inside the block a candidate answers in place of the original; both are guarded.

        Raises:
            JobError: what ran inside changed the weights or buffers of the network; they are put back.
        """
        candidate = self._made.get(name)
        with evaluation_mode(self.model.net) as original, ExitStack() as stack:
            guards = [original]
            if candidate is not None:
                guards += candidate.states
                for state in candidate.states:
                    stack.callback(state.restore)
                for tested, stand_in in candidate.copies:
                    stack.enter_context(tested.standing_in(stand_in))
            yield
            found = {name for guard in guards for name in guard.changes()} - self._doors()
            changed = {name.removeprefix("module.") for name in found} - (self._restless or set())
            if changed:
                listed = ", ".join(sorted(changed)[:6])
                raise JobError(
                    where=f"model {self.model.name!r}",
                    expected="an attack that leaves the network as it is",
                    got=f"one that changed {len(changed)} of its weights and buffers ({listed})",
                    do="They were put back; an attack may only ask the oracle",
                )

    def _doors(self) -> set[str]:
        """Return where the copies are put, which is no change of the network."""
        parts = self.model.net.named_modules()
        return {f"{name}.module".removeprefix(".") for name, part in parts if isinstance(part, TestedNetwork)}

    def _recipes(self) -> list[Recipe]:
        tested = networks_under_test(self.model.net)
        if self.eager or not tested:
            return []
        parts = [part for t in tested for part in t.module.modules()]
        fold = any(type(part) is nn.BatchNorm2d for part in parts)
        last = any(isinstance(part, nn.Conv2d | nn.ConvTranspose2d) for part in parts)
        return [r for r in RECIPES if (fold or not r.fold) and (last or not r.channels_last)]

    def _candidate(self, recipe: Recipe) -> Candidate | None:
        if recipe.name not in self._made:
            try:
                copies = [(t, prepared_copy(t.module, recipe)) for t in networks_under_test(self.model.net)]
                made = Candidate(recipe.name, copies, [AsFound(c) for _, c in copies])
            except Exception as error:  # noqa: BLE001 - a user's network meets deepcopy and symbols: it is recorded
                self._drop(recipe, f"it could not be made: {_line(error)}")
                return None
            self._made[recipe.name] = made
        return self._made[recipe.name]

    def _holds(self, recipe: Recipe, source: GradientSource, references: _References) -> bool:
        candidate = self._candidate(recipe)
        if candidate is None:
            return False
        reference = references.of(source)
        if reference is None:
            self._drop(recipe, "the network itself could not be asked for a gradient")
            return False
        try:
            with ExitStack() as stack:
                stack.enter_context(evaluation_mode(self.model.net))
                for state in candidate.states:
                    stack.callback(state.restore)
                for tested, stand_in in candidate.copies:
                    stack.enter_context(tested.standing_in(stand_in))
                answer = _asked(self.model, source, references.x)
        except Exception as error:  # noqa: BLE001 - the boundary: a copy that raises is not used, and it is said
            self._drop(recipe, f"it raised {_line(error)}")
            return False
        if doubt := _difference(reference, answer):
            self._drop(recipe, f"through {source.name}, {doubt}")
            return False
        return True

    def _drop(self, recipe: Recipe, reason: str) -> None:
        self.reasons[recipe.name] = reason
        self._made.pop(recipe.name, None)


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


class _References:
    """What the original says, asked once for each gradient source."""

    def __init__(self, prepared: PreparedModel, x: Images) -> None:
        self._prepared, self.x = prepared, x
        self._answers: dict[str, _Answer | None] = {}

    def of(self, source: GradientSource) -> _Answer | None:
        """Return the original's answer; None where it raises, which the attack itself will meet and tell."""
        if source.name not in self._answers:
            model = self._prepared.model
            try:
                with evaluation_mode(model.net) as found:
                    answer = _asked(model, source, self.x)
                    restless = {name.removeprefix("module.") for name in found.changes()}
            except Exception:  # noqa: BLE001 - the attack meets the same and is recorded as failed with it
                answer, restless = None, set()
            # A network may count its passes or keep running means: that is not an attack's doing.
            self._prepared._restless = (self._prepared._restless or set()) | restless
            self._answers[source.name] = answer
        return self._answers[source.name]


def _asked(model: Model, source: GradientSource, x: Images) -> _Answer:
    """Return a model's outputs and a source's, with the gradient of a fixed combination of the latter."""
    with borrowed_global_randomness(0):
        with torch.no_grad():
            own = model.net(x)
        leaf = x.detach().clone().requires_grad_(True)
        with torch.enable_grad():
            surrogate, _ = source.surrogate(leaf)
            weights = _cotangent(surrogate)
            gradient = None
            if surrogate.requires_grad:
                (gradient,) = torch.autograd.grad((surrogate * weights).sum(), leaf, allow_unused=True)
    zero = torch.zeros_like(x)
    return _Answer(own.detach(), surrogate.detach(), zero if gradient is None else gradient.detach())


def _cotangent(like: Outputs) -> Tensor:
    """Return fixed numbers, all different, so that no two outputs cancel: irrational steps in (-1, 1)."""
    steps = torch.arange(1, like.numel() + 1, device=like.device, dtype=torch.float64) * 0.6180339887498949
    return (2 * (steps % 1) - 1).to(like.dtype).view(like.shape)


def _difference(original: _Answer, other: _Answer) -> str:
    """Say in what a candidate differs from the original beyond rounding; empty if in nothing."""
    for name in ("own", "surrogate"):
        one, two = getattr(original, name), getattr(other, name)
        if one.shape != two.shape:
            return f"its outputs have the shape {tuple(two.shape)}, not {tuple(one.shape)}"
        if not torch.equal(torch.isfinite(one), torch.isfinite(two)):
            return "its outputs are not finite in other places"
        finite = torch.isfinite(one)
        scale = float(one[finite].abs().max()) if bool(finite.any()) else 0.0
        apart = float((one - two)[finite].abs().max()) if bool(finite.any()) else 0.0
        if apart > OUTPUT_TOLERANCE * scale:
            return f"its outputs differ by {apart / max(scale, 1e-30):.2g} of the largest"
    one, two = original.gradient.flatten(1), other.gradient.flatten(1)
    sound = torch.isfinite(one).all(dim=1)
    if not torch.equal(sound, torch.isfinite(two).all(dim=1)):
        return "its gradients are not finite in other places"
    error = relative_error(one[sound], two[sound])
    # One image alone has no others beside which a jump would be an exception: only what is far off counts.
    allowed = GRADIENT_TOLERANCE if len(error) > 1 else 10 * GRADIENT_TOLERANCE
    if len(error) and float((error > allowed).double().mean()) > SPARED:
        return f"its gradients differ by {float(error.median()):.2g} of their length (median)"
    return ""


def relative_error(one: Tensor, two: Tensor) -> PerSample:
    """Return by how much rows (B, D) differ in L2, relative to their length, or the median if larger."""
    length: PerSample = one.norm(dim=1)
    if not len(length):
        return length
    scale = length.maximum(length.median())
    apart = (one - two).norm(dim=1)
    error: PerSample = torch.where(apart == 0, apart, apart / scale.clamp_min(torch.finfo(one.dtype).tiny))
    return error


def prepared_copy(network: nn.Module, recipe: Recipe) -> nn.Module:
    """Return a copy of a network, prepared by a recipe; the network itself is not altered.

    Raises:
        ValueError: the network makes copies that share weights or parts with it.
        Exception: whatever the network's own code raises when it is copied.
    """
    with evaluation_mode(network):
        with torch.no_grad():  # copies of a script's parameters would be results of a computation
            twin = copy.deepcopy(network)
        parts = {id(part) for part in network.modules()} & {id(part) for part in twin.modules()}
        shared = _places(network) & _places(twin)
        if parts or shared:
            raise ValueError("the network's copy shares weights with it")
        twin.eval()
        for parameter in twin.parameters():
            parameter.requires_grad_(False)
            parameter.grad = None
        if recipe.fold and not _fold(twin):
            raise ValueError("no batch-norm follows a convolution alone")
        if recipe.channels_last:
            for part in twin.modules():
                if isinstance(part, nn.Conv2d | nn.ConvTranspose2d) and not part.weight.is_sparse:
                    # Not `contiguous`: it takes a weight with one input channel for channels-last as it is,
                    # and the first layer of a network on grey images would send everything after it the slow
                    # way.
                    weight = part.weight
                    weight.data = torch.empty_like(weight, memory_format=torch.channels_last).copy_(weight)
    return twin


def _places(network: nn.Module) -> set[int]:
    tensors = (*network.parameters(), *network.buffers())
    return {t.data_ptr() for t in tensors if t.layout is torch.strided and t.numel()}


def _fold(net: nn.Module) -> int:
    """Fold every batch-norm that follows a convolution and nothing else; return how many."""
    held = AsFound(net)
    with borrowed_global_randomness(0), kept_torch_state():
        pairs = _pairs(net)
    held.restore()  # tracing runs the network's own code on symbols, which it may keep
    single = _used_once(net)
    done = 0
    for conv, norm in pairs:
        if single(conv) and single(norm) and _plain(conv, norm):
            weight, bias = _fused(conv, norm)
            conv.weight = nn.Parameter(weight, requires_grad=False)
            conv.bias = nn.Parameter(bias, requires_grad=False)
            norm.__dict__["forward"] = _same
            done += 1
    return done


def _same(x: Tensor) -> Tensor:
    return x


def _used_once(net: nn.Module) -> Callable[[nn.Module], bool]:
    """Return a test whether a layer has one name, and each of its tensors one owner."""
    names = Counter(id(part) for _, part in net.named_modules(remove_duplicate=False))
    owners = Counter(
        id(tensor)
        for part in net.modules()
        for tensor in (*part._parameters.values(), *part._buffers.values())
        if tensor is not None
    )
    places = Counter(t.data_ptr() for t in net.parameters() if t.layout is torch.strided)

    def single(layer: nn.Module) -> bool:
        tensors = [t for t in (*layer._parameters.values(), *layer._buffers.values()) if t is not None]
        mine = all(owners[id(t)] == 1 for t in tensors)
        return names[id(layer)] == 1 and mine and all(places[p.data_ptr()] == 1 for p in layer.parameters())

    return single


def _plain(conv: nn.Conv2d, norm: nn.BatchNorm2d) -> bool:
    """Tell whether nothing but the two layers' own arithmetic would be skipped."""
    if type(conv) is not nn.Conv2d or type(norm) is not nn.BatchNorm2d:
        return False
    if norm.training or not norm.track_running_stats or norm.running_mean is None or norm.running_var is None:
        return False
    if any("forward" in layer.__dict__ for layer in (conv, norm)) or _hooked(conv) or _hooked(norm):
        return False
    tensors = [conv.weight, conv.bias, norm.weight, norm.bias, norm.running_mean, norm.running_var]
    kinds = {t.dtype for t in tensors if t is not None}
    return kinds in ({torch.float32}, {torch.float64})


def _hooked(layer: nn.Module) -> bool:
    everywhere = torch.nn.modules.module
    return bool(
        layer._forward_hooks
        or layer._forward_pre_hooks
        or layer._backward_hooks
        or layer._backward_pre_hooks
        or everywhere._global_forward_hooks
        or everywhere._global_forward_pre_hooks
        or everywhere._global_backward_hooks
        or everywhere._global_backward_pre_hooks
    )


def _fused(conv: nn.Conv2d, norm: nn.BatchNorm2d) -> tuple[Tensor, Tensor]:
    mean, variance = cast("Tensor", norm.running_mean), cast("Tensor", norm.running_var)
    with torch.no_grad():
        scale = (variance + norm.eps).rsqrt()
        if norm.weight is not None:
            scale = scale * norm.weight
        shift = (0 if conv.bias is None else conv.bias) - mean
        bias = shift * scale + (0 if norm.bias is None else norm.bias)
        return conv.weight * scale[:, None, None, None], bias


def _pairs(net: nn.Module) -> list[tuple[nn.Conv2d, nn.BatchNorm2d]]:
    """Return the (convolution, batch-norm) pairs of which the first feeds the second and nothing else."""
    if not any(isinstance(part, nn.BatchNorm2d) for part in net.modules()):
        return []
    try:
        graph = fx.Tracer().trace(net)
    except Exception:  # noqa: BLE001 - a user's code meets symbols here: whatever it raises, nothing is folded
        # Often control flow that depends on data: look at the parts on their own.
        return [pair for child in net.children() for pair in _pairs(child)]
    calls = Counter(str(node.target) for node in graph.nodes if node.op == "call_module")
    read = [str(node.target) for node in graph.nodes if node.op == "get_attr"]
    found = []
    for node in graph.nodes:
        if node.op != "call_module" or not node.args or not isinstance(node.args[0], fx.Node):
            continue
        before = node.args[0]
        if before.op != "call_module" or len(before.users) != 1:
            continue
        names = [str(before.target), str(node.target)]
        conv, norm = (net.get_submodule(name) for name in names)
        if not isinstance(conv, nn.Conv2d) or not isinstance(norm, nn.BatchNorm2d):
            continue
        elsewhere = any(other.startswith(f"{name}.") for other in read for name in names)
        if all(calls[name] == 1 for name in names) and not elsewhere:
            found.append((conv, norm))
    return found


def _line(error: Exception) -> str:
    text = str(error).strip().splitlines()
    return f"{type(error).__name__}: {text[0][:200]}" if text else type(error).__name__
