"""PGD's long steps: a try before the others, which are left as they are."""

from dataclasses import replace

import pytest
import torch

from attacks.gradient.pgd import PGD
from robench.attack.norms import NORMS
from robench.errors import ConfigError
from robench.recipe import identity_of
from tests.attacks.toys import EPS
from tests.truths import attacked, broken, classify, images, joint, small_net

PLAIN = PGD(steps=20)


@pytest.mark.parametrize("norm", ["Linf", "L2"])
@pytest.mark.parametrize("restarts", [1, 2])
def test_long_steps_break_what_the_plain_attack_breaks(norm, restarts):
    model, x = small_net(seed=1), images(40)
    y, plain = classify(model, x), replace(PLAIN, restarts=restarts)
    options = {"norm": NORMS[norm], "eps": EPS[norm], "drop": True}
    without, _, _ = attacked(plain, model, x, y, **options)
    with_them, _, _ = attacked(replace(plain, long_steps=3), model, x, y, **options)
    is_broken = broken(model, without, y)
    assert 0 < int(is_broken.sum()) < 40
    assert bool(broken(model, with_them, y)[is_broken].all())


def test_an_easy_network_costs_few_passes_where_images_are_dropped():
    model, x = small_net(seed=1), images(40)
    options = {"y": classify(model, x), "eps": 0.5, "drop": True}
    short = replace(PLAIN, step_size=0.02)  # an image takes about five of them
    _, plain, _ = attacked(short, model, x, **options)
    _, quick, _ = attacked(replace(short, long_steps=3), model, x, **options)
    assert bool(quick.broken.all())
    assert float(quick.ledger.backwards.float().mean()) < 0.5 * float(plain.ledger.backwards.float().mean())


def test_what_no_long_step_breaks_is_attacked_as_without_them():
    model, x = small_net(seed=1), images(40)
    y, options = classify(model, x), {"eps": 1e-4, "drop": True}
    without, _, _ = attacked(PLAIN, model, x, y, **options)
    with_them, oracle, _ = attacked(replace(PLAIN, long_steps=3), model, x, y, **options)
    assert not bool(broken(model, without, y).any())
    assert oracle.ledger.backwards.tolist() == [23] * 40
    assert torch.allclose((with_them - x).abs().amax(), torch.tensor(1e-4), atol=1e-6)


def test_a_joint_batch_takes_them():
    model = joint(small_net(seed=1))
    x = images(20)
    y = classify(model, x)
    x_adv, _, _ = attacked(replace(PLAIN, long_steps=2), model, x, y, eps=0.2)
    assert bool(broken(model, x_adv, y).any())


def test_without_them_the_name_of_the_attack_is_what_it_was():
    assert "long_steps" not in identity_of(PLAIN)
    assert identity_of(replace(PLAIN, long_steps=3))["long_steps"] == 3


def test_a_negative_number_is_refused():
    with pytest.raises(ConfigError, match="long_steps"):
        PGD(long_steps=-1)
