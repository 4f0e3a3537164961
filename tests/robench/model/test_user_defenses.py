"""Training defenses of a user's file: what they are given, and what their host puts right."""

import pytest
import torch
from torch import nn

from robench.conformance import check_defense, failures
from robench.data.images import image_set
from robench.errors import ConfigError, JobError
from robench.model.defense import TrainingContext
from robench.model.user_defenses import code_of, defense_of
from robench.plan.spec import Choice

CODE = """
import random
import numpy as np
import torch
import torch.nn.functional as F
from dataclasses import dataclass
from typing import ClassVar
from robench.model import DefenseInfo

def careless(network, images, epochs=2, *, device, seed, progress):
    "Plain training that minds nothing but the loss."
    optimizer = torch.optim.SGD(network.parameters(), lr=0.5)
    random.random(); np.random.rand()
    rows = []
    for epoch in range(1, epochs + 1):
        for rows_ in torch.randperm(len(images)).split(16):
            x, y = images.batch(rows_)
            loss = F.cross_entropy(network(x.to(device)), y)
            optimizer.zero_grad(); loss.backward(); optimizer.step()
        progress({"epoch": epoch, "loss": loss.item()})
    network.eval()
    network.requires_grad_(False)

@dataclass(frozen=True, kw_only=True)
class Plugin:
    "A whole plugin that is as careless."
    info: ClassVar[DefenseInfo] = DefenseInfo(title="Careless", paper="none")
    epochs: int = 2
    def __call__(self, network, data, *, context):
        rows = []
        def progress(row):
            rows.append(row); context.progress(row)
        careless(network, data, self.epochs, device=context.device, seed=context.seed, progress=progress)
        return rows

@dataclass(frozen=True, kw_only=True)
class Front:
    "In front of a model."
    info: ClassVar[DefenseInfo] = DefenseInfo(title="Front", paper="none", stage="inference")

def returns_rows(network, images): return [{"epoch": 1, "loss": 2}]
def returns_network(network, images):
    with torch.no_grad():
        network[1].weight.fill_(1.0)
    return network
def returns_another(network, images): return torch.nn.Linear(1, 1)
def returns_text(network, images): return "done"
def alone(network): pass
def wrong(net, loader, optimizer): pass
def raises(network, images):
    return {}["missing"]
@dataclass(frozen=True, kw_only=True)
class Raises:
    "A whole plugin that raises."
    info: ClassVar[DefenseInfo] = DefenseInfo(title="Raises", paper="none")
    def __call__(self, network, data, *, context):
        return raises(network, data)
"""

WHERE = "plan.yaml:4"


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "mine.py"
    path.write_text(CODE)
    return path


def made(file, name, stage="training", **options):
    return defense_of(
        Choice(name=f"{file}:{name}", options=options, where=WHERE), trust_code=True, stage=stage
    )


def trained(defense, *, state=0, seed=5):
    torch.manual_seed(0)
    network = nn.Sequential(nn.Flatten(), nn.Linear(16, 3), nn.Dropout(0.5))
    network[2].eval()
    network[1].bias.requires_grad_(False)
    x = torch.rand(48, 1, 4, 4)
    images = image_set(x, torch.arange(48) % 3, split="train")
    reports = []
    context = TrainingContext(seed=seed, device="cpu", state=None, identity={}, progress=reports.append)
    torch.manual_seed(state)
    before = torch.get_rng_state()
    history = defense(network, images, context=context)
    assert torch.equal(torch.get_rng_state(), before)
    return network, history, reports


@pytest.mark.parametrize("name", ["careless", "Plugin"])
def test_a_host_puts_right_what_careless_code_leaves(file, name):
    network, history, reports = trained(made(file, name))
    assert [row["epoch"] for row in history] == [1.0, 2.0]
    assert reports == history
    assert [part.training for part in network] == [True, True, False]
    assert [p.requires_grad for p in network.parameters()] == [True, False]
    assert all(p.grad is None for p in network.parameters())
    again = trained(made(file, name), state=1)[0]
    assert torch.equal(network[1].weight, again[1].weight)
    assert not torch.equal(network[1].weight, trained(made(file, name), seed=6)[0][1].weight)


def test_what_a_function_returns_is_a_history_or_nothing(file):
    assert trained(made(file, "returns_rows"))[1] == [{"epoch": 1.0, "loss": 2.0}]
    network, history, reports = trained(made(file, "returns_network"))
    assert history == reports == [{"epoch": 1.0}]
    assert bool((network[1].weight == 1).all())
    with pytest.raises(JobError, match=r"mine\.py:returns_another.*another network.*in place"):
        trained(made(file, "returns_another"))
    with pytest.raises(JobError, match="'done'"):
        trained(made(file, "returns_text"))


def test_what_a_training_raises_is_told_with_its_line(file):
    for name, text in (("raises", "KeyError: 'missing'"), ("Raises", "KeyError: 'missing'")):
        with pytest.raises(JobError) as refusal:
            trained(made(file, name))
        number = file.read_text().splitlines().index('    return {}["missing"]') + 1
        message = f"mine.py:{name}: expected weights, got {text} (at {file}, line {number})."
        assert str(refusal.value) == message
        assert isinstance(refusal.value.__cause__, KeyError)


def test_what_is_no_training_defense_is_refused_in_a_sentence(file):
    with pytest.raises(
        ConfigError, match=r"plan\.yaml:4.*alone\(network, images\).*got mine\.py:alone\(network\)"
    ):
        made(file, "alone")
    with pytest.raises(ConfigError, match=r"a defense of training, got 'Front'.*key `inference`"):
        made(file, "Front")
    with pytest.raises(ConfigError, match=r"a defense of inference, got 'Careless'.*key `train`"):
        made(file, "Plugin", stage="inference")
    with pytest.raises(ConfigError, match=r"Give optimizer, or write it as wrong\(network, images\): "):
        made(file, "wrong")
    with pytest.raises(ConfigError, match="option of careless, got 'epoch'"):
        made(file, "careless", epoch=1)
    with pytest.raises(ConfigError, match="--trust-code"):
        defense_of(Choice(name=f"{file}:careless"), trust_code=False)


def test_the_source_identifies_a_training(file):
    reference = f"{file}:careless"
    before = code_of(reference, trust_code=True)
    file.write_text(CODE.replace("lr=0.5", "lr=0.4"))
    assert code_of(reference, trust_code=True).keys() == before.keys() == {"defense_code_sha256"}
    assert code_of(reference, trust_code=True) != before
    assert code_of("natural", trust_code=False) == {}


@pytest.mark.parametrize("name", ["careless", "Plugin"])
def test_careless_code_keeps_the_laws_of_training_defenses(file, name):
    assert not failures(check_defense(made(file, name)))
