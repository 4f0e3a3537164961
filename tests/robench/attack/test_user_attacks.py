"""Attacks of a user's file: which forms are taken, what they are given, and that keys hold their source."""

import pytest
import torch
from torch import nn

from robench.attack.craft import CraftSettings, craft
from robench.attack.norms import L2, LINF
from robench.attack.threat import Goal, ThreatModel
from robench.attack.user_attacks import attack_class, attack_named
from robench.conformance import check_attack, failures
from robench.errors import ConfigError, JobError
from robench.model.interface import Model
from robench.run.keys import attack_spec

CODE = """
import torch
import torch.nn.functional as F
from dataclasses import dataclass
from typing import ClassVar
from robench.attack import AttackInfo

def step(model, x, y, eps, share=1.0, sign: int = 1):
    "One step along the sign of the gradient."
    x = x.requires_grad_(True)
    F.cross_entropy(model(x), y, reduction="sum").backward()
    return (x + sign * share * eps * x.grad.sign()).clamp(0, 1)

def told(model, x, y, eps, *, norm, targeted, seed):
    told.values = (norm, targeted, seed, eps)
    return x
told.norms = "L2"

class First:
    "Made with its options."
    def __init__(self, share=0.5):
        self.share = share
    def __call__(self, model, x, y, eps):
        return step(model, x, y, eps, self.share)

class Normed:
    "An option that is called as what functions are told."
    def __init__(self, norm="none", seed=3):
        self.norm, self.seed = norm, seed
    def __call__(self, model, x, y, eps):
        assert (self.norm, self.seed) == ("mine", 3)
        return x

class Library:
    "Made with the model first, as in torchattacks."
    def __init__(self, model, eps=0.03, share=1.0):
        self.model, self.eps, self.share = model, eps, share
    def __call__(self, images, labels):
        return step(self.model, images, labels, self.eps, self.share)

@dataclass(frozen=True, kw_only=True)
class Plugin:
    "A whole plugin that draws from torch's global generator."
    info: ClassVar[AttackInfo] = AttackInfo(title="T", paper="none", norms=("Linf",), randomised=True)
    scale: float = 1.0
    def __call__(self, oracle, rng):
        return (oracle.x + self.scale * oracle.threat.eps * torch.rand_like(oracle.x)).clamp(0, 1)

@dataclass
class Melting:
    info: ClassVar[AttackInfo] = AttackInfo(title="T", paper="none", norms=("Linf",))
    def __call__(self, oracle, rng):
        return oracle.x

def noisy(model, x, y, eps):
    return x + eps * (2 * torch.rand_like(x) - 1)

def short(model, x): return x
def nothing(model, x, y, eps): pass
def narrow(model, x, y, eps): return x[:, :, :1]
def pair(model, x, y, eps):
    return [x, y + 1]
def many(model, x, y, eps):
    return x.tolist()
def pixels(model, x, y, eps):
    return torch.full_like(x, 255).to(torch.uint8)
def text(model, x, y, eps):
    return b"image"
def array(model, x, y, eps): return (x + 0).numpy().astype("float64")
def spoils(model, x, y, eps):
    x.zero_(); y.zero_(); model.train(); model.requires_grad_(True)
    return x
def raises(model, x, y, eps):
    return {}["nope"]
def leaves(model, x, y, eps):
    raise SystemExit(3)
@dataclass(frozen=True, kw_only=True)
class Broken:
    info: ClassVar[AttackInfo] = AttackInfo(title="T", paper="none", norms=("Linf",))
    def __call__(self, oracle, rng):
        raise ValueError("two\\nlines")
def lacks(model, x, y, eps, alpha): return x
class Forward:
    def __init__(self, model, eps=0.1): pass
    def forward(self, x, y): return x
class Uncalled:
    def __init__(self, steps=3): pass
def tensor_default(model, x, y, eps, start=torch.zeros(1)): return x
number = 3
"""


NOISE = "return (x + eps * (2 * torch.rand_like(x) - 1)).clamp(0, 1)"
WEIGHT = torch.tensor([[1.0, -2.0, 0.5, 3.0], [0.0, 1.0, -1.0, 0.5]])


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "mine.py"
    path.write_text(CODE)
    return path


@pytest.fixture
def model():
    net = nn.Sequential(nn.Flatten(), nn.Linear(4, 2, bias=False)).eval()
    net[1].weight.data.copy_(WEIGHT)
    return Model(name="linear", net=net, classes=2)


def made(file, name, **options):
    return attack_named(f"{file}:{name}", options, trust_code=True, where="plan.yaml:3")


def run(model, attack, *, norm=LINF, eps=0.1, goal=Goal.UNTARGETED, count=6, **settings):
    x = 0.3 + 0.4 * torch.rand(count, 1, 2, 2, generator=torch.Generator().manual_seed(0))
    y = torch.arange(count) % 2
    threat = ThreatModel(norm=norm, eps=eps, goal=goal)
    settings = CraftSettings(drop=False, **settings)
    return x, y, craft(model, attack, x, y, threat=threat, indices=torch.arange(count), settings=settings)


@pytest.mark.parametrize(("name", "share"), [("step", 1.0), ("First", 0.5), ("Library", 1.0)])
def test_every_form_takes_the_step_that_is_known_for_a_linear_model(file, model, name, share):
    attack = made(file, name)
    x, y, result = run(model, attack)
    uphill = (WEIGHT[1 - y] - WEIGHT[y]).sign().view_as(x)
    assert torch.allclose(result.x_adv, x + share * 0.1 * uphill)
    assert result.ledger.backwards.tolist() == [1] * 6
    assert attack.info.library == "mine.py"
    assert type(attack).__doc__


def test_options_are_read_checked_and_used(file, model):
    x, _, result = run(model, made(file, "step", share="1/4", sign=-1))
    assert torch.allclose((result.x_adv - x).abs(), torch.full_like(x, 0.025))
    with pytest.raises(ConfigError, match=r"option of step, got 'shares'.*'share'"):
        made(file, "step", shares=1)
    with pytest.raises(ConfigError, match=r"sign: .*integer"):
        made(file, "step", sign="up")


def test_a_function_is_told_norm_goal_and_seed_where_it_asks_for_them(file, model):
    attack = made(file, "told")
    assert attack.info.norms == ("L2",)
    run(model, attack, norm=L2, eps=0.5, goal=Goal.TARGETED)
    norm, targeted, seed, eps = type(attack).user_code.values
    assert (norm, targeted, eps) == ("L2", True, 0.5)
    run(model, attack, norm=L2, eps=0.5, seed=1)
    assert type(attack).user_code.values[2] != seed
    run(model, made(file, "Normed", norm="mine"))
    with pytest.raises(ConfigError, match="norm this attack has"):
        run(model, attack)
    with pytest.raises(ConfigError, match=r"untargeted goal.*parameter `targeted`"):
        run(model, made(file, "step"), goal=Goal.TARGETED)


@pytest.mark.parametrize("name", ["noisy", "Plugin"])
def test_code_may_draw_from_the_global_generators(file, model, name):
    attack = made(file, name)
    torch.manual_seed(1)
    state = torch.get_rng_state()
    first = run(model, attack)[2].x_adv
    assert torch.equal(torch.get_rng_state(), state)
    torch.manual_seed(2)
    assert torch.equal(run(model, attack)[2].x_adv, first)
    assert not torch.equal(run(model, attack, seed=1)[2].x_adv, first)


def test_what_code_does_to_its_inputs_and_to_the_model_it_is_lent_is_lost(file, model):
    before = model.fingerprint()
    x, _, result = run(model, made(file, "spoils"))
    assert torch.equal(result.x_adv, torch.zeros_like(x))
    assert model.fingerprint() == before
    assert not model.net.training
    assert torch.equal(run(model, made(file, "array"))[2].x_adv, x)


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("nothing", "got nothing. The attack has no `return`, or one without a value: return a tensor"),
        ("narrow", r"got a tensor of shape \(6, 1, 1, 2\). Return the images alone"),
        (
            "pair",
            r"got a list of 2 \(a tensor of shape \(6, 1, 2, 2\), a tensor of shape \(6,\) of whole numbers",
        ),
        ("many", "got a list of 6. Return the images alone"),
        ("pixels", "of whole numbers up to 255. Return floats like x: divide by 255"),
        ("text", "got a value of type bytes. Return the images alone"),
    ],
)
def test_other_answers_than_images_fail_the_job_in_a_sentence(file, model, name, text):
    with pytest.raises(JobError, match=rf"mine\.py:{name}: expected adversarial images.*{text}"):
        run(model, made(file, name))


@pytest.mark.parametrize(
    ("name", "text", "line", "kind"),
    [
        ("raises", "the attack's own KeyError: 'nope'", 'return {}["nope"]', KeyError),
        ("leaves", "the attack's own call of sys.exit(3)", "raise SystemExit(3)", SystemExit),
        ("Broken", "ValueError: two", 'raise ValueError("two', ValueError),
    ],
)
def test_what_code_raises_is_told_with_its_line_and_is_the_cause(file, model, name, text, line, kind):
    number = next(i for i, code in enumerate(file.read_text().splitlines(), 1) if line in code)
    with pytest.raises(JobError) as refusal:
        run(model, made(file, name))
    assert str(refusal.value) == (
        f"mine.py:{name}: expected adversarial images, got {text} (at {file}, line {number})."
    )
    assert type(refusal.value.__cause__) is kind


def test_what_the_network_raises_is_not_taken_for_the_attacks_own(file, model):
    model.net.append(nn.Linear(3, 2))
    with pytest.raises(RuntimeError, match="shapes"):
        run(model, made(file, "step"))


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("short", r"short\(model, x, y, eps\).*got mine\.py:short\(model, x\)"),
        ("Melting", "frozen dataclass"),
        ("lacks", r"alpha, which has no default.*write it as lacks\(model, x, y, eps\): "),
        (
            "Forward",
            r"the method __call__\(x, y\), got .*Forward without a __call__\. .*`__call__ = forward`",
        ),
        ("Uncalled", r"__call__\(model, x, y, eps\), got .*Give it that method, which returns"),
        ("number", "a function 'number'"),
        ("stop", "a function 'stop'.*Did you mean 'step'"),
        ("tensor_default", "plain values as defaults of mine.py:tensor_default, got start="),
    ],
)
def test_what_is_no_attack_is_refused_in_a_sentence(file, name, text):
    with pytest.raises(ConfigError, match=rf"plan\.yaml:3: expected .*{text}"):
        made(file, name)


def test_nothing_runs_without_consent(file):
    file.write_text(CODE + "\nraise SystemExit(0)")
    with pytest.raises(ConfigError, match="--trust-code"):
        attack_class(f"{file}:step")
    with pytest.raises(ConfigError, match=r"mine\.py to be imported.*SystemExit"):
        attack_class(f"{file}:step", trust_code=True)


def test_the_source_is_part_of_what_identifies_an_attack_and_its_folder_is_not(file, tmp_path):
    def spec(path):
        return attack_spec("", made(path, "step"))

    before = spec(file)
    assert before["name"] == "mine.py:step"
    (tmp_path / "b").mkdir()
    copy = tmp_path / "b" / "mine.py"
    copy.write_text(CODE)
    assert spec(copy) == before
    file.write_text(CODE.replace("sign * share", "share * sign"))
    assert spec(file)["code_sha256"] != before["code_sha256"]
    assert spec(file) | {"code_sha256": ""} == before | {"code_sha256": ""}


def test_code_beside_the_file_is_part_of_it(file):
    file.write_text("from helper import scaled\ndef mine(model, x, y, eps): return scaled(x)\n")
    (file.parent / "helper.py").write_text("def scaled(x): return 0 * x\n")
    before = made(file, "mine").info.code
    (file.parent / "helper.py").write_text("def scaled(x): return 1 * x\n")
    assert made(file, "mine").info.code != before


@pytest.mark.parametrize("name", ["step", "noisy"])
def test_a_function_keeps_the_laws_of_attacks(file, name):
    code = CODE.replace("return x + eps * (2 * torch.rand_like(x) - 1)", NOISE)
    file.write_text(f"{code}\nstep.norms = noisy.norms = ('Linf',)\nnoisy.__doc__ = 'Noise.'\n")
    assert not failures(check_attack(made(file, name)))
