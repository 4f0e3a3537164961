"""A network that gets images in another form than in its training is found, a sound one is not."""

import pytest
import torch
from torch import nn

from robench.judge.input_convention import other_input
from robench.judge.probes import probe
from robench.model.interface import Coupling, Model
from tests.truths import images

MNIST = (0.1307, 0.3081)


class Changed(nn.Module):
    """A network that sees its images through a function."""

    def __init__(self, net, change):
        super().__init__()
        self.net, self.change = net, change

    def forward(self, x):
        return self.net(self.change(x))


def network(channels=1):
    """A network whose answers depend on brightness, contrast and the order of the channels."""
    torch.manual_seed(3)
    net = nn.Sequential(
        nn.Conv2d(channels, 16, 3), nn.Tanh(), nn.Flatten(), nn.LazyLinear(32), nn.Tanh(), nn.Linear(32, 8)
    )
    net(images(2, (channels, 6, 6)))
    for parameter in net.parameters():
        parameter.data *= 3
    return net.eval()


def finding(net, trained_on, *, channels=1, n=64, **declared):
    """Probe a network on images that it names right when `trained_on` is done to them first."""
    x = images(n, (channels, 6, 6))
    with torch.no_grad():
        y = net(trained_on(x)).argmax(1)
    return other_input(Model(name="m", net=net, classes=8, **declared), x, y)


@pytest.mark.parametrize(
    ("trained_on", "words", "remedy"),
    [
        (
            lambda x: (x - MNIST[0]) / MNIST[1],
            "normalised as usual for MNIST",
            "mean: [0.1307], std: [0.3081]",
        ),
        (lambda x: 2 * x - 1, "normalised as usual for -1 to 1", "mean: [0.5], std: [0.5]"),
        (lambda x: 255 * x, "with pixels from 0 to 255", "Multiply by 255"),
        (lambda x: 1 - x, "with black and white exchanged", "Invert"),
    ],
)
def test_the_form_of_the_training_is_told(trained_on, words, remedy):
    doubt = finding(network(), trained_on)
    assert doubt.code == "other-input"
    assert doubt.evidence.endswith(f"and 64 {words}")
    assert remedy in doubt.remedy


def test_blue_first_is_told():
    assert "blue first" in finding(network(3), lambda x: x.flip(1), channels=3).evidence


def test_a_normalisation_made_twice_is_told():
    def normalise(x):
        return 2 * x - 1

    net = Changed(Changed(network(), normalise), normalise).eval()
    doubt = finding(net, lambda x: (x + 1) / 2)
    assert "with a normalisation as usual for -1 to 1 undone" in doubt.evidence
    assert "once" in doubt.remedy


def test_a_network_that_gets_what_it_learned_from_is_not_told():
    assert finding(network(), lambda x: x) is None


@pytest.mark.parametrize(("share", "is_told"), [(0.3, False), (0.4, True)])
def test_a_form_must_mend_a_third_of_the_wrong_images(share, is_told):
    """Higher contrast helps many a weak network: what is told must explain most of the wrong images."""
    x, net = images(64), network()
    with torch.no_grad():
        usual, other = net(x).argmax(1), net(255 * x).argmax(1)
    wrong = (usual != other).nonzero().flatten()
    count = int(share * len(wrong))
    assert count > 12  # enough to be no luck
    pairs = zip(usual.tolist(), other.tolist(), strict=True)
    third = torch.tensor([min({0, 1, 2} - {*pair}) for pair in pairs])
    y = usual.clone()
    y[wrong[:count]], y[wrong[count:]] = other[wrong[:count]], third[wrong[count:]]
    assert (other_input(Model(name="m", net=net, classes=8), x, y) is not None) == is_told


def test_no_form_is_tried_where_nine_of_ten_are_right():
    calls = []
    net = Changed(network(), lambda x: calls.append(len(x)) or x).eval()
    assert finding(net, lambda x: x) is None
    assert calls == [64, 64]  # the labels, and the images as they are


class RefusalError(Exception):
    """An error of a user's own."""


@pytest.mark.parametrize("kind", [ValueError, RefusalError])
def test_a_network_that_refuses_what_is_outside_the_box_is_asked_inside_it(kind):
    def demand(x):
        if float(x.min()) < 0 or float(x.max()) > 1:
            raise kind("pixels outside [0, 1]")
        return x

    assert "black and white" in finding(Changed(network(), demand).eval(), lambda x: 1 - x).evidence


def test_a_lack_of_memory_is_no_refusal():
    def demand(x):
        if float(x.min()) < 0 or float(x.max()) > 1:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return x

    with pytest.raises(torch.OutOfMemoryError):
        finding(Changed(network(), demand).eval(), lambda x: 1 - x)


def test_images_in_another_box_are_tried_in_the_unit_box():
    net = network()
    x = images(64)
    with torch.no_grad():
        y = net(x).argmax(1)
    doubt = other_input(Model(name="m", net=net, classes=8, bounds=(0.0, 255.0)), 255 * x, y)
    assert doubt.evidence.endswith("and 64 with pixels from 0 to 1")


@pytest.mark.parametrize("declared", [{"coupling": Coupling.JOINT}, {"random": True}])
def test_joint_and_random_models_are_not_asked(declared):
    assert finding(network(), lambda x: 1 - x, **declared) is None


def test_the_probe_tells_it_beside_its_other_findings():
    x, net = images(64), network()
    with torch.no_grad():
        y = net(1 - x).argmax(1)
    codes = [one.code for one in probe(Model(name="m", net=net, classes=8), x, y)]
    assert codes[0] == "other-input"


def test_it_is_found_in_few_images_only_beyond_luck():
    assert finding(network(), lambda x: 1 - x, n=8) is None
