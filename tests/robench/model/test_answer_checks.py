"""Networks that cannot answer are refused before anything is measured with them."""

import pytest
import torch
from torch import nn

from attacks.gradient.fgsm import FGSM
from robench import benchmark, wrap
from robench.data.images import image_set
from robench.errors import InputError

DATA = image_set(torch.rand(8, 1, 4, 4, generator=torch.Generator().manual_seed(0)), torch.arange(8) % 3)


class Net(nn.Module):
    def __init__(self, end=lambda z: z, classes=3):
        super().__init__()
        self.fc, self.end = nn.Linear(16, classes), end

    def forward(self, x):
        return self.end(self.fc(x.flatten(1)))


class NeedsTwo(Net):
    def forward(self, x):
        z = super().forward(x)
        return nn.functional.batch_norm(z, None, None, training=True)


def run(net):
    return benchmark([wrap(net, name="m", classes=3)], DATA, attacks={"fgsm": FGSM()}, eps=0.1)


@pytest.mark.parametrize(
    ("net", "words"),
    [
        (Net(lambda z: z.squeeze()), ["one image", "(3,)", "squeeze"]),
        (NeedsTwo(), ["one image", "ValueError"]),
        (Net(lambda z: (z, 2 * z)), ["model 'm'", "tuple", "class Logits"]),
        (Net(classes=5), ["3 outputs, one for each class", "got 5", "class_map"]),
        (Net(classes=1), ["3 outputs, one for each class", "got 1", "data of as many classes"]),
        (Net(lambda z: z[:, 0]), ["(2,)"]),
        (Net(lambda z: {"f": z.repeat(1, 9), "g": z}), ["m", "self.network(x)['g']"]),
    ],
)
def test_refused_in_one_sentence(net, words):
    with pytest.raises(InputError) as refusal:
        run(net)
    for word in words:
        assert word in str(refusal.value)


def test_a_single_score_of_two_classes_is_refused_with_what_to_return():
    x, _ = DATA.batch(slice(None))
    data = image_set(x, torch.arange(8) % 2, classes=2)
    with pytest.raises(InputError, match=r"torch.cat\(\[-score, score\], dim=1\)"):
        benchmark([wrap(Net(classes=1), name="m", classes=2)], data, attacks={"fgsm": FGSM()}, eps=0.1)


def test_a_network_that_raises_fails_its_jobs_and_says_why():
    def end(z):
        raise OSError("no such thing")

    results = run(Net(end))
    assert results.records == ()
    assert all("no such thing" in failure for failure in results.failures)
    assert len(results.failures) == 2


def test_ordinary_networks_pass_and_keep_their_random_state():
    state = torch.random.get_rng_state()
    noisy = Net(lambda z: z + torch.rand_like(z))
    state = torch.random.get_rng_state()
    assert len(run(noisy).records) == 2
    assert torch.equal(state, torch.random.get_rng_state())
