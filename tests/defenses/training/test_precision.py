"""Mixed precision: what is computed in bfloat16, what is not, and that training with it is as before."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from defenses.training.precision import autocast_to, check_precision
from robench.errors import ConfigError, DeviceError
from robench.recipe import identity_of
from tests.defenses.toys import check_resumption, context, network, recipe, toy

CPU = torch.device("cpu")


@pytest.fixture(autouse=True)
def _one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


class Watched(nn.Module):
    """Notes the types of what its first layer returns and of what comes out of it."""

    def __init__(self):
        super().__init__()
        self.inner, self.inside, self.outside = network(), set(), set()
        # A tensor of three dimensions is left as autocast made it, a two-dimensional one is widened.
        self.first = nn.Conv1d(1, 1, 1)
        self.first.register_forward_hook(lambda _, __, out: self.inside.add(out.dtype))
        self.register_forward_hook(lambda _, __, out: self.outside.add(out.dtype))

    def forward(self, x):
        return self.inner(self.first(x.flatten(1)[:, None]).flatten(1).view(x.shape))


@pytest.mark.parametrize("name", ["natural", "trades"])
def test_passes_are_in_bfloat16_and_everything_kept_in_float32(name):
    net = Watched()
    recipe(name, precision="bfloat16", epochs=1, validation=0.0, keep="last")(net, toy(), context=context())
    assert net.inside == {torch.bfloat16}
    assert all(tensor.dtype is not torch.bfloat16 for tensor in net.state_dict().values())
    net = Watched()
    recipe(name, precision="float32", epochs=1)(net, toy(), context=context())
    assert net.inside == {torch.float32}


def test_the_held_out_part_is_judged_in_float32():
    net = Watched().eval()
    recipe("natural", precision="bfloat16", epochs=1)(net, toy(), context=context())
    assert net.inside == {torch.bfloat16, torch.float32}


def test_features_and_logits_come_out_in_float32_so_losses_are_in_float32():
    net, x = network().eval(), toy().batch(slice(0, 8))[0]
    exact = net(x)
    with autocast_to("bfloat16", CPU):
        logits = net(x)
        features = net.features(x)
        straight = net.linear(features)
        loss = nn.functional.cross_entropy(logits, torch.zeros(8, dtype=torch.int64))
    assert {t.dtype for t in (logits, features, straight, loss)} == {torch.float32}
    # bfloat16 has 8 bits: it was used, and not more than its rounding was lost.
    assert not torch.equal(logits, exact)
    torch.testing.assert_close(logits, exact, rtol=0.03, atol=0.03)
    torch.testing.assert_close(straight, logits)
    assert torch.equal(net(x), exact)  # nothing is left behind
    with autocast_to("float32", CPU):
        assert torch.equal(net(x), exact)


def test_a_pass_without_gradient_does_not_cost_the_next_one_its_gradient():
    net, x = network().eval(), toy().batch(slice(0, 8))[0]
    with autocast_to("bfloat16", CPU):
        with torch.no_grad():
            net(x)
        net(x).sum().backward()
    assert all(p.grad is not None and p.grad.dtype is torch.float32 for p in net.parameters())


@pytest.mark.thorough
@pytest.mark.parametrize("name", ["natural", "pgd_training", "wnll_pgd"])
def test_it_learns_as_well_and_a_stopped_run_resumes_to_the_same_bits(name, tmp_path):
    reference = recipe(name)(network(), toy(), context=context())[-1]
    _, history = check_resumption(recipe(name, precision="bfloat16"), toy(), tmp_path, epochs=[1])
    for column in ("validation_accuracy", "validation_robust_accuracy"):
        assert history[-1].get(column, 0) >= reference.get(column, 0) - 0.1


def test_it_is_part_of_what_a_training_is_but_older_keys_stay():
    assert "precision" not in identity_of(recipe("natural"))
    assert identity_of(recipe("natural", precision="bfloat16"))["precision"] == "bfloat16"


def test_what_cannot_be_is_refused(monkeypatch):
    with pytest.raises(ConfigError, match="'float32' or 'bfloat16'"):
        recipe("natural", precision="float16")
    check_precision("float32", torch.device("meta"))
    check_precision("bfloat16", CPU)
    with pytest.raises(DeviceError, match="got meta"):
        check_precision("bfloat16", torch.device("meta"))
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda device: "Tesla T4")
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device: (8, 0))
    check_precision("bfloat16", torch.device("cuda", 0))
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device: (7, 5))
    with pytest.raises(DeviceError, match="got Tesla T4"):
        check_precision("bfloat16", torch.device("cuda", 0))
