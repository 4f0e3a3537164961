"""Networks that answer otherwise the first time, in large batches, where they are unsure, or behind masks."""

import pytest
import torch
from torch import nn

import robench
from robench.judge.answer_probes import differences
from robench.judge.probes import probe
from robench.model.interface import Coupling, Model
from robench.model.tested_network import TestedNetwork
from tests.robench.judge import gallery

NET = gallery.sound()
X, Y = gallery.data().batch(slice(None))


class Changed(nn.Module):
    """The sound network, asked about images that `_before` changes."""

    def __init__(self):
        super().__init__()
        self.net = NET

    def forward(self, x):
        return self.net(self._before(x))

    def _before(self, x):
        return x


class DrawsAMask(Changed):
    """Draws a mask when it is first called, and keeps it."""

    mask = None

    def _before(self, x):
        if self.mask is None:
            self.mask = (torch.rand(x.shape[1:]) > 0.4).float()
        return x * self.mask


class Calibrates(Changed):
    """Takes mean and deviation from its first batch, as ActNorm does."""

    def __init__(self):
        super().__init__()
        self.register_buffer("done", torch.zeros(()))
        self.register_buffer("mean", torch.zeros(()))

    def _before(self, x):
        if not self.done:
            self.mean.copy_(x.mean())
            self.done.fill_(1)
        return x - self.mean + 0.3


class TurnsAfterTheFirst(Changed):
    """Answers the opposite from its second call on."""

    calls = 0

    def forward(self, x):
        self.calls += 1
        return self.net(x) * (1 if self.calls == 1 else -1)


class OverAHundred(Changed):
    """Centres batches of more than a hundred images."""

    def _before(self, x):
        return x - x.mean() + 0.3 if len(x) > 100 else x


class Unsure(Changed):
    """Adds noise where the sound network is not sure."""

    def forward(self, x):
        z = self.net(x)
        unsure = z.softmax(1).amax(1, keepdim=True) < 0.6
        return z + unsure * torch.randn(z.shape)


class NoisyBehind(Changed):
    """Noise on two classes, while the two others are masked by a large number, or all have a large part."""

    def __init__(self, offset):
        super().__init__()
        self.offset = torch.tensor(offset)

    def forward(self, x):
        return self.net(x) + 0.3 * torch.randn(len(x), 4) + self.offset


class OwnMemory(Changed):
    """Answers in a buffer of its own, which the next answer overwrites."""

    def __init__(self, noise=0.0):
        super().__init__()
        self.answers, self.noise = torch.zeros(len(X), 4), noise

    def forward(self, x):
        z = self.net(x) + self.noise * torch.randn(len(x), 4)
        if torch.is_grad_enabled():
            return z
        rows = self.answers[: len(x)]
        return rows.copy_(z)


def codes(net, most=250):
    return [finding.code for finding in probe(Model(name="m", net=net, classes=4), X, Y, most=most)]


@pytest.mark.parametrize(
    ("net", "code"),
    [
        (DrawsAMask(), "random-output"),
        (TurnsAfterTheFirst(), "random-output"),
        (Calibrates(), "batch-dependence"),
        (OverAHundred(), "batch-dependence"),
        (Unsure(), "random-output"),
        (NoisyBehind([0.0, 0.0, -1e4, -1e4]), "random-output"),
        (NoisyBehind([3e4] * 4), "random-output"),
        (OwnMemory(noise=0.3), "random-output"),
    ],
    ids=lambda one: one if isinstance(one, str) else type(one).__name__,
)
def test_each_is_named(net, code):
    assert codes(net)[:1] == [code]


def test_the_network_in_a_joint_model_is_asked_too():
    class Head(nn.Module):
        def __init__(self, net):
            super().__init__()
            self.net = TestedNetwork(net)

        def forward(self, x):
            return self.net(x)

    for net, names in ((DrawsAMask(), ["random-output"]), (Calibrates(), ["batch-dependence"]), (NET, [])):
        joint = Model(name="m", net=Head(net), classes=4, coupling=Coupling.JOINT)
        assert [finding.code for finding in probe(joint, X, Y)][:1] == names


def test_what_is_drawn_or_calibrated_before_is_fixed():
    torch.manual_seed(0)
    for net in (DrawsAMask(), Calibrates(), OwnMemory()):
        net(X)
        assert codes(net) == []


def test_passes_that_hold_few_images_do_not_show_what_large_batches_do():
    assert codes(OverAHundred(), most=100) == []
    assert codes(Calibrates(), most=1) == ["batch-dependence"]


def test_a_network_that_answers_in_its_own_memory_is_measured_as_another():
    own, plain = (robench.attack(net, X, Y, "pgd", eps=0.1, batch_size=50) for net in (OwnMemory(), NET))
    assert torch.equal(own.clean, plain.clean)
    assert own.status == plain.status


def test_rounding_is_no_difference_and_a_common_part_no_scale():
    z = torch.tensor([[3.0, 1.0, 0.5, -2.0], [0.1, 2.0, 1.0, -1.0]])
    for offset in (torch.zeros(4), torch.tensor([0.0, 0.0, 0.0, -1e6]), torch.full((4,), 1e3)):
        scores = z + offset
        assert not differences(scores, scores * (1 + 2e-7)).any()
        assert differences(scores, scores + torch.tensor([0.1, 0, 0, 0])).all()
    behind_mask = z.clone()
    behind_mask[:, 3] = -torch.inf
    assert not differences(behind_mask, behind_mask.clone()).any()
    assert differences(behind_mask, z).all()
    assert not differences(torch.zeros(2, 3), torch.zeros(2, 3)).any()
    assert differences(z, z * torch.nan).all()
