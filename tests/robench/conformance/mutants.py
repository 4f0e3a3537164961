"""Plugins that are right, and the same with one fault each; the law a fault breaks is named in `breaks`."""

from __future__ import annotations

import json
from dataclasses import dataclass
from itertools import count
from typing import ClassVar

from robench.attack.protocol import AttackInfo, Knowledge
from robench.model.defense import DefenseInfo
from robench.recipe import Info

CALLS = count()
KEPT = {}


def attack_info(**facts):
    return AttackInfo(**{"title": "Honest", "paper": "these tests", "norms": ("Linf", "L2"), **facts})


@dataclass(frozen=True, slots=True, kw_only=True)
class Honest:
    """One step along the gradient."""

    info: ClassVar[AttackInfo] = attack_info()
    breaks: ClassVar[str] = ""

    def __call__(self, oracle, rng):
        from robench.attack.losses import cross_entropy

        x = oracle.x
        return oracle.threat.project(x, self.point(oracle, oracle.gradient(cross_entropy, x), rng))

    def point(self, oracle, gradient, rng):
        return oracle.x + oracle.threat.eps * oracle.threat.norm.ascent(gradient)


class DrawsFromTorch(Honest):
    """Draws a number nobody needs."""

    breaks = "chance"

    def point(self, oracle, gradient, rng):
        import torch

        torch.rand(1)
        return Honest.point(self, oracle, gradient, rng)


class ReadsTorch(Honest):
    """Depends on the global generator, and hides that it does."""

    breaks = "chance"

    def point(self, oracle, gradient, rng):
        import torch

        with torch.random.fork_rng(devices=[]):
            factor = float(torch.rand(1))
        return oracle.x + factor * oracle.threat.eps * oracle.threat.norm.ascent(gradient)


class LeavesGradients(Honest):
    """Fills .grad of the model's parameters."""

    breaks = "model"

    def point(self, oracle, gradient, rng):
        import torch

        for parameter in oracle.model.net.parameters():
            parameter.grad = torch.zeros_like(parameter)
        return Honest.point(self, oracle, gradient, rng)


class SwitchesMode(Honest):
    """Puts the model into training mode."""

    breaks = "model"

    def point(self, oracle, gradient, rng):
        oracle.model.net.train()
        return Honest.point(self, oracle, gradient, rng)


class WritesInput(Honest):
    """Adds to x in place."""

    breaks = "inputs"

    def __call__(self, oracle, rng):
        proposal = Honest.__call__(self, oracle, rng)
        oracle.x.add_(0.01)
        return proposal


class LeavesBall(Honest):
    """Goes twice as far as allowed."""

    breaks = "admissible"

    def __call__(self, oracle, rng):
        proposal = Honest.__call__(self, oracle, rng)
        return (oracle.x + 2 * (proposal - oracle.x)).clamp(0, 1)


class LeavesBox(Honest):
    """Does not clip to [0, 1]."""

    breaks = "admissible"

    def __call__(self, oracle, rng):
        from robench.attack.losses import cross_entropy

        gradient = oracle.gradient(cross_entropy, oracle.x)
        return oracle.x + 0.99 * oracle.threat.eps * oracle.threat.norm.ascent(gradient)


class SeesTheBatch(Honest):
    """Follows the mean gradient of the batch."""

    breaks = "batch"

    def point(self, oracle, gradient, rng):
        mean = gradient.mean(dim=0, keepdim=True).expand_as(oracle.x)
        return oracle.x + oracle.threat.eps * oracle.threat.norm.ascent(mean)


class MovesAnyway(Honest):
    """Makes a step of its own length where the radius is 0."""

    breaks = "zero"

    def __call__(self, oracle, rng):
        proposal = Honest.__call__(self, oracle, rng)
        return (oracle.x + 0.01).clamp(0, 1) if oracle.threat.eps == 0 else proposal


class GoesAround(Honest):
    """Asks the model without the oracle."""

    breaks = "booked"

    def point(self, oracle, gradient, rng):
        for _ in range(3):
            oracle.model.net(oracle.x)
        return Honest.point(self, oracle, gradient, rng)


class NeedsManyClasses(Honest):
    """Takes for granted that there is a third class."""

    breaks = "outputs"

    def point(self, oracle, gradient, rng):
        if oracle.model.classes < 3:
            raise IndexError("index 2 is out of bounds")
        return Honest.point(self, oracle, gradient, rng)


class Overspends(Honest):
    """Spends without looking at the budget."""

    breaks = "budget"

    def point(self, oracle, gradient, rng):
        oracle.charge(forwards=50, backwards=0)
        return Honest.point(self, oracle, gradient, rng)


class SecretlyRandom(Honest):
    """Depends on the seed and does not say so."""

    breaks = "seedless"

    def point(self, oracle, gradient, rng):
        return oracle.threat.sample(oracle.x, rng)


class ScoresOnly(Honest):
    """Says that it sees scores only, and takes a gradient."""

    info = attack_info(knowledge=Knowledge.SCORE)
    breaks = "knowledge"


class UnknownNorm(Honest):
    """Declares a norm that does not exist."""

    info = attack_info(norms=("Linf", "L7"))
    breaks = "norms"


class Nameless(Honest):
    """Has no paper."""

    info = attack_info(paper=" ")
    breaks = "described"


class CrashesOnNaN(Honest):
    """Cannot cope with a model that returns NaN."""

    breaks = "nan"

    def point(self, oracle, gradient, rng):
        if not bool(oracle.outputs(oracle.x)[oracle.active].isfinite().all()):
            raise FloatingPointError("NaN")
        return Honest.point(self, oracle, gradient, rng)


class CrashesOnTargets(Honest):
    """Knows no targeted goal, and does not refuse it."""

    breaks = "targeted"

    def point(self, oracle, gradient, rng):
        if oracle.threat.goal == "targeted":
            raise KeyError("targeted")
        return Honest.point(self, oracle, gradient, rng)


class SplitsJointBatches(Honest):
    """Sends a joint batch through in halves."""

    breaks = "joint"

    def point(self, oracle, gradient, rng):
        if oracle.model.coupling == "joint":
            oracle.model.net(oracle.x[:3])
        return Honest.point(self, oracle, gradient, rng)


class StopsEarly(Honest):
    """Gives up the batch once the first image has left it."""

    breaks = "dropping"

    def point(self, oracle, gradient, rng):
        return oracle.x if oracle.drop else Honest.point(self, oracle, gradient, rng)


class ReturnsDoubles(Honest):
    """Returns another type than it was given."""

    breaks = "runs"

    def __call__(self, oracle, rng):
        return Honest.__call__(self, oracle, rng).double()


class Wanders:
    """Goes another way each time; no subclass, for it breaks more than one law."""

    info = attack_info()

    def __call__(self, oracle, rng):
        return oracle.threat.project(oracle.x, oracle.x + 0.001 * next(CALLS))


@dataclass(frozen=True, slots=True, kw_only=True)
class Trainer:
    """Two epochs of gradient descent with a state file."""

    info: ClassVar[DefenseInfo] = DefenseInfo(title="Trainer", paper="these tests")
    breaks: ClassVar[str] = ""
    state: ClassVar[bool] = True

    def __call__(self, network, data, *, context):
        import torch

        from robench.randomness import borrowed_global_randomness, seed_from

        modes = [(part, part.training) for part in network.modules()]
        history = self.resumed(network, context)
        with borrowed_global_randomness(seed_from(context.seed, len(history))):
            while len(history) < 2:
                torch.manual_seed(seed_from(context.seed, len(history)))
                history.append(self.epoch(network.train(), data, len(history) + 1))
                self.keep(network, history, context)
                context.progress(history[-1])
        network.zero_grad(set_to_none=True)
        for part, training in modes:
            part.training = training
        return history

    def epoch(self, network, data, number):
        import torch
        import torch.nn.functional as F

        x, y = data.batch(slice(None))
        loss = F.cross_entropy(network(x), y)
        network.zero_grad(set_to_none=True)
        loss.backward()
        with torch.no_grad():
            for parameter in network.parameters():
                if parameter.grad is not None:
                    parameter.sub_(0.1 * parameter.grad)
        return {"epoch": float(number), "loss": float(loss.detach())}

    def keep(self, network, done, context):
        import torch

        if context.state and self.state:
            torch.save({"weights": network.state_dict(), "done": done}, context.state)
            context.state.with_suffix(".json").write_text(json.dumps(context.identity))

    def resumed(self, network, context):
        import torch

        from robench.errors import ConfigError

        if not (context.state and context.state.exists()):
            return []
        if json.loads(context.state.with_suffix(".json").read_text()) != context.identity:
            raise ConfigError(where=str(context.state), expected="this training", got="another")
        state = torch.load(context.state, weights_only=True)
        network.load_state_dict(state["weights"])
        return state["done"]


class TrainsByChance(Trainer):
    """Draws from the global generator."""

    breaks = "chance"

    def __call__(self, network, data, *, context):
        import numpy as np

        np.random.rand()
        return Trainer.__call__(self, network, data, context=context)


class LooksAtTheTest(Trainer):
    """Loads the test split."""

    breaks = "test-split"

    def __call__(self, network, data, *, context):
        from robench.conformance.toys import toy_data

        toy_data(split="test")
        return Trainer.__call__(self, network, data, context=context)


class StaysInTraining(Trainer):
    """Leaves the network in training mode."""

    breaks = "network"

    def __call__(self, network, data, *, context):
        history = Trainer.__call__(self, network, data, context=context)
        network.train()
        return history


class WritesData(Trainer):
    """Blackens an image of the training data."""

    breaks = "data"

    def __call__(self, network, data, *, context):
        data.images[0] = 0
        return Trainer.__call__(self, network, data, context=context)


class Silent(Trainer):
    """Tells nobody how it goes on."""

    breaks = "progress"
    state = False

    def __call__(self, network, data, *, context):
        from dataclasses import replace

        quiet = replace(context, progress=lambda row: None)
        return Trainer.__call__(self, network, data, context=quiet)


class ForgetsWeights(Trainer):
    """Goes on from the epoch of the state, but with fresh weights."""

    breaks = "resume"

    def resumed(self, network, context):
        weights = {name: value.clone() for name, value in network.state_dict().items()}
        history = Trainer.resumed(self, network, context)
        network.load_state_dict(weights)
        return history


class TakesAnyState(Trainer):
    """Goes on from whatever lies there."""

    breaks = "identity"

    def resumed(self, network, context):
        if context.state and context.state.exists():
            context.state.with_suffix(".json").write_text(json.dumps(context.identity))
        return Trainer.resumed(self, network, context)


class LosesNumbers(Trainer):
    """Has a loss that is no number."""

    breaks = "trains"

    def epoch(self, network, data, number):
        return Trainer.epoch(self, network, data, number) | {"loss": float("nan")}


class BetweenTheStages(Trainer):
    """Belongs to no stage there is."""

    info = DefenseInfo(title="Trainer", paper="these tests", stage="later")
    breaks = "stage"


@dataclass(frozen=True, slots=True, kw_only=True)
class Backbone:
    """A convolution with batch-norm."""

    info: ClassVar[Info] = Info(title="Backbone", paper="these tests")
    breaks: ClassVar[str] = ""

    def __call__(self, *, channels, size, classes):
        from torch import nn

        class Net(nn.Module):
            feature_dim = 4

            def __init__(self):
                super().__init__()
                self.conv, self.norm = nn.Conv2d(channels, 4, 3), nn.BatchNorm2d(4)

            def forward(self, x):
                return self.norm(self.conv(x)).relu().mean(dim=(2, 3))

        return self.changed(Net())

    def changed(self, net):
        return net


class NormalizesTheBatch(Backbone):
    """Uses the batch's own statistics in evaluation mode."""

    breaks = "batch"

    def changed(self, net):
        net.norm.forward = type(net.norm)(4, affine=False, track_running_stats=False).forward
        return net


class WrongWidth(Backbone):
    """Says another number of features."""

    breaks = "feature-dim"

    def changed(self, net):
        net.feature_dim = 5
        return net


class Detached(Backbone):
    """Cuts the way back to the image."""

    breaks = "gradient"

    def changed(self, net):
        net.register_forward_pre_hook(lambda _, inputs: (inputs[0].detach(),))
        return net


class KeepsSecrets(Backbone):
    """Has a random number that is not in its state_dict."""

    breaks = "weights"

    def changed(self, net):
        import torch

        shift = torch.rand(1)
        net.register_forward_hook(lambda _, inputs, outputs: outputs + shift)
        return net


class OwnSeed(Backbone):
    """Draws its weights from a generator that nobody can seed."""

    breaks = "seed"

    def changed(self, net):
        net.conv.bias.data.fill_(next(CALLS))
        return net


class TooDeep(Backbone):
    """Returns a map, not a row."""

    breaks = "builds"

    def changed(self, net):
        net.register_forward_hook(lambda _, inputs, outputs: outputs[:, :, None])
        return net


class Unreachable(Backbone):
    """Cannot be trained."""

    breaks = "learns"

    def changed(self, net):
        for parameter in net.parameters():
            parameter.requires_grad_(False)
        net.register_forward_hook(lambda _, inputs, outputs: outputs + 0 * inputs[0].sum())
        return net


class WritesImages(Backbone):
    """Normalises the images in place."""

    breaks = "inputs"

    def changed(self, net):
        import torch

        net.register_forward_hook(
            lambda _, inputs, outputs: (
                None if torch.is_grad_enabled() else inputs[0].mul_(0.5).sum() * 0 + outputs
            )
        )
        return net


@dataclass(frozen=True, slots=True, kw_only=True)
class Head:
    """The network as it is."""

    info: ClassVar[Info] = Info(title="Head", paper="these tests")
    offers: ClassVar[tuple[str, ...]] = ("exact",)
    breaks: ClassVar[str] = ""

    def __call__(self, network, *, name, classes, training_data, seed, device, details, output="logits"):
        from robench.model.interface import Model, OutputKind

        facts = {**details, "head": "toy"}
        return Model(
            name=name,
            net=network,
            classes=classes,
            output=OutputKind(output),
            details=facts,
            **self.more(network),
        )

    def more(self, network):
        return {}


class SaysSimplex(Head):
    """Calls logits a simplex."""

    breaks = "kind"

    def __call__(self, network, **given):
        return Head.__call__(self, network, **given | {"output": "simplex"})


class CentresTheBatch(Head):
    """Subtracts the mean of the batch and calls itself independent."""

    breaks = "coupling"

    def __call__(self, network, **given):
        network.register_forward_hook(lambda _, inputs, outputs: outputs - outputs.mean(dim=0))
        return Head.__call__(self, network, **given)


class AnswersTwice(Head):
    """Gives other outputs beside the gradient than the model has."""

    breaks = "own-outputs"

    def more(self, network):
        from robench.model.interface import GradientSource, OutputKind

        def surrogate(x):
            outputs = network(x)
            return outputs, outputs + 1

        return {"sources": {"exact": GradientSource("exact", surrogate, OutputKind.LOGITS)}}


class GradientIsNaN(Head):
    """Has a gradient that is no number."""

    breaks = "gradients"

    def more(self, network):
        from robench.model.interface import GradientSource, OutputKind

        def surrogate(x):
            outputs = network(x)
            return (outputs - outputs.detach()).sqrt(), outputs.detach()

        return {"sources": {"exact": GradientSource("exact", surrogate, OutputKind.LOGITS)}}


class OffersMore(Head):
    """Offers a source that it never has."""

    offers = ("exact", "kernel")
    breaks = "offers"


class ChangesWeights(Head):
    """Writes to the network that others share."""

    breaks = "network"

    def __call__(self, network, **given):
        network.linear.bias.data.add_(1)
        return Head.__call__(self, network, **given)


class HeadByChance(Head):
    """Draws from the global generator."""

    breaks = "chance"

    def __call__(self, network, **given):
        import random

        random.random()
        return Head.__call__(self, network, **given)


class ForgetsClasses(Head):
    """Has one column too few."""

    breaks = "builds"

    def __call__(self, network, **given):
        network.register_forward_hook(lambda _, inputs, outputs: outputs[:, 1:])
        return Head.__call__(self, network, **given)


class NeverTheSameHead(Head):
    """Is another model each time it is made."""

    breaks = "seed"

    def __call__(self, network, **given):
        details = given["details"] | {"call": next(CALLS)}
        return Head.__call__(self, network, **given | {"details": details})


class ForgetsDetails(Head):
    """Throws the facts away that it was given."""

    breaks = "details"

    def __call__(self, network, **given):
        return Head.__call__(self, network, **given | {"details": {}})


@dataclass(frozen=True, slots=True, kw_only=True)
class Inverted:
    """Classifies the negative of the image."""

    info: ClassVar[DefenseInfo] = DefenseInfo(
        title="Inverted", paper="these tests", stage="inference", attacked_through="the exact gradient"
    )
    breaks: ClassVar[str] = ""

    def offers(self, beneath):
        return tuple(beneath)

    def __call__(self, model, *, training_data, seed):
        from dataclasses import replace

        from torch import nn

        class Net(nn.Module):
            def __init__(self, sign):
                super().__init__()
                self.base, self.turned, self.training = model.net, sign, model.net.training

            def forward(self, x):
                return self.base(self.turned(x))

        details = {**model.details, "defense": "inverted"}
        return replace(model, net=Net(self.turned), sources={}, details=self.facts(details))

    def turned(self, x):
        return 1 - x

    def facts(self, details):
        return details


class Obscure(Inverted):
    """Does not say how it is attacked."""

    info = DefenseInfo(title="Inverted", paper="these tests", stage="inference")
    breaks = "attacked"


class RoundsAway(Inverted):
    """Rounds, and offers no way past it."""

    breaks = "gradients"

    def turned(self, x):
        return (1 - x.detach() * 8).round() / 8


class LooksAround(Inverted):
    """Subtracts the mean image of the batch."""

    breaks = "coupling"

    def turned(self, x):
        return x - x.mean(dim=0)


class Forgetful(Inverted):
    """Forgets what is known of the model behind it."""

    breaks = "details"

    def facts(self, details):
        return {key: value for key, value in details.items() if key != "architecture"}


class ChangesTheModel(Inverted):
    """Zeroes the network it is put in front of."""

    breaks = "network"

    def __call__(self, model, **given):
        model.net.linear.bias.data.zero_()
        return Inverted.__call__(self, model, **given)


@dataclass(frozen=True, slots=True, kw_only=True)
class Pictures:
    """Random pictures."""

    info: ClassVar[Info] = Info(title="Pictures", paper="these tests")
    breaks: ClassVar[str] = ""

    def __call__(self, split, *, root, download):
        from robench.conformance.toys import toy_data

        return self.changed(toy_data(40, split=split))

    def changed(self, data):
        return data


class Downloads(Pictures):
    """Looks for a newer version somewhere."""

    breaks = "offline"

    def changed(self, data):
        import contextlib
        import socket

        with contextlib.suppress(OSError):
            socket.create_connection(("192.0.2.1", 80), timeout=0.1)
        return data


class Crashes(Pictures):
    """Says nothing useful where its files are missing."""

    breaks = "loads"

    def changed(self, data):
        raise FileNotFoundError("pictures.bin")


class SharedIndices(Pictures):
    """Gives every image the same identity."""

    breaks = "indices"

    def changed(self, data):
        from dataclasses import replace

        return replace(data, indices=data.indices * 0)


class NeverTheSame(Pictures):
    """Has other images each time."""

    breaks = "repeat"

    def changed(self, data):
        data.images[0] = next(CALLS) % 250
        return data


class PicturesByChance(Pictures):
    """Draws from the global generator."""

    breaks = "chance"

    def changed(self, data):
        import torch

        torch.rand(1)
        return data


class OneMemory(Pictures):
    """Hands out the same tensors again and again."""

    breaks = "separate"

    def changed(self, data):
        return KEPT.setdefault(data.split, data)


class Leaks(Pictures):
    """Tests on what it trains on."""

    breaks = "leak"

    def __call__(self, split, *, root, download):
        from dataclasses import replace

        return replace(Pictures.__call__(self, "train", root=root, download=download), split=split)


class TooBright(Pictures):
    """Has pixels above 1."""

    breaks = "valid"

    def changed(self, data):
        from dataclasses import replace

        return replace(data, images=data.images.float())


class OtherClasses(Pictures):
    """Has other classes in the test split."""

    breaks = "same-kind"

    def changed(self, data):
        from dataclasses import replace

        return replace(data, classes=(data.split, "b"))


def kinds_of(base):
    """Return every mutant of a plugin that is right."""
    return sorted(base.__subclasses__(), key=lambda kind: kind.__name__)
