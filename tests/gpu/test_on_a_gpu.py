"""What only a GPU can show: that it computes what the processor computes, in float32, within its memory.

`ROBENCH_GPU_REHEARSAL=1 pytest -m gpu` does the same on the processor, so that the tests are tried before a
card is there; what is about the card alone is skipped then.
"""

import os
from importlib.util import find_spec

import pytest
import torch
from torch import nn

from model_zoo.graph.search import faiss_searcher, torch_searcher
from robench import attack, plugins
from robench.api import make_attack
from robench.attack.craft import craft
from robench.attack.norms import LINF
from robench.attack.protocol import check_attackable
from robench.attack.threat import ThreatModel
from robench.errors import ConfigError
from robench.judge.verdict import judge
from robench.model.interface import Model
from robench.model.prepared import PreparedModel
from robench.plan import config
from robench.record.store import Store
from robench.run.execute import execute
from robench.run.progress import Quiet
from robench.run.settings import Environment
from tests.robench.model.cuda_graphs import Card, card_in_place

REHEARSAL = bool(os.environ.get("ROBENCH_GPU_REHEARSAL"))
DEVICE = "cpu" if REHEARSAL else "cuda"

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not REHEARSAL and not torch.cuda.is_available(), reason="there is no GPU here"),
]
of_the_card = pytest.mark.skipif(REHEARSAL, reason="about a card alone")

PLAN = """
name: on a card
dataset: {name: digits, limit: 60}
models:
  - {name: net, architecture: digits_cnn, train: {defense: {natural: {epochs: 2}}}}
  - {name: net-wnll, features_of: net, head: {wnll: {m: 8, n: 4, template: 60}}}
  - {name: net-joint, features_of: net, head: {wnll: {m: 8, n: 4, template: 60, protocol: joint}}}
threats:
  - norm: Linf
    eps: 0.1
    attacks:
      - fgsm
      - {pgd: {steps: 5}}
      - {apgd: {steps: 5}}
      - {fab: {steps: 5}}
      - {square: {queries: 30}}
      - {graph_adaptive: {steps: 3, restarts: 1}}
  - {norm: L2, eps: 0.5, attacks: [{cw: {steps: 5}}, {ddn: {steps: 5}}, {deepfool: {steps: 5}}]}
"""


def verdicts(out, device):
    """Return the statuses of a run of the plan, by what was judged."""
    plan = config.parse(PLAN, file=config.locate("digits").parent / "plan.yaml", overrides=None)
    outcome = execute(plan, out, config_text=PLAN, environment=Environment(device=device), reporter=Quiet())
    assert outcome.failed == 0
    return {
        (
            r.target.name,
            r.source.name,
            r.source.gradient_source,
            r.attack.label,
            r.threat.norm,
        ): r.columns.status
        for r in Store(out).read_records()
    }


def test_a_run_has_the_verdicts_of_the_processor(tmp_path):
    """The networks are trained anew on each device, so the weights are carried over first."""
    before = verdicts(tmp_path / "cpu", "cpu")
    (tmp_path / "card").mkdir()
    (tmp_path / "cpu" / "models").rename(tmp_path / "card" / "models")
    after = verdicts(tmp_path / "card", DEVICE)
    assert before.keys() == after.keys()
    unlike = {key: sum(a != b for a, b in zip(before[key], after[key], strict=True)) for key in before}
    total = sum(map(len, before.values()))
    assert sum(unlike.values()) <= max(2, total // 1000), {k: v for k, v in unlike.items() if v}


class Notes(set):
    """A set of its own kind: an evaluation puts back what plain ones held."""


class Watched(nn.Module):
    """A small convolutional network that notes where its images were and how float32 was computed."""

    def __init__(self):
        super().__init__()
        with torch.random.fork_rng():
            torch.manual_seed(0)
            self.layers = nn.Sequential(
                nn.Conv2d(3, 16, 3, padding=1), nn.BatchNorm2d(16), nn.ReLU(), nn.Conv2d(16, 16, 3),
                nn.ReLU(), nn.Flatten(), nn.Linear(16 * 36, 5),
            )  # fmt: skip
        self.places, self.flags = Notes(), Notes()

    def forward(self, x):
        if isinstance(x, torch.Tensor):  # bounds trace it with symbols
            self.places.add(x.device.type)
        self.flags.add((torch.backends.cudnn.allow_tf32, torch.get_float32_matmul_precision()))
        return self.layers(x)


def watched():
    net = Watched().to(DEVICE).eval()
    x = torch.rand(20, 3, 8, 8, generator=torch.Generator().manual_seed(1)).to(DEVICE)
    with torch.no_grad():
        y = net(x).argmax(dim=1)
    return Model(name="net", net=net, classes=5), x, y


def crafted(model, x, y, attack, eps=0.03):
    return craft(
        model, attack, x, y, threat=ThreatModel(norm=LINF, eps=eps), indices=torch.arange(len(x))
    ).x_adv


def test_float32_is_float32_and_the_flags_are_put_back():
    before = torch.backends.cudnn.allow_tf32, torch.get_float32_matmul_precision()
    torch.backends.cudnn.allow_tf32 = True
    try:
        model, x, y = watched()
        model.net.flags.clear()
        crafted(model, x, y, make_attack("pgd", steps=3))
        judge(model, x, y, x, threat=ThreatModel(norm=LINF, eps=0.03))
        assert model.net.flags == {(False, "highest")}
        assert torch.backends.cudnn.allow_tf32
    finally:
        torch.backends.cudnn.allow_tf32 = before[0]


@of_the_card
def test_answers_are_those_of_double_precision():
    model, x, y = watched()
    verdict = judge(model, x, y, x, threat=ThreatModel(norm=LINF, eps=0.03))
    exact = model.net.double().layers(x.double())
    assert len(verdict.status) == len(x)
    model.net.float()
    torch.backends.cudnn.allow_tf32 = False
    assert float((model.net.layers(x).double() - exact).abs().max()) < 1e-5 * float(exact.abs().max())


@pytest.mark.parametrize("name", sorted(name for name in plugins.names("attacks") if "/" not in name))
def test_every_attack_stays_on_the_device(name):
    if "Linf" not in plugins.find("attacks", name).info.norms:
        pytest.skip("no attack under Linf")
    model, x, y = watched()
    options = {"steps": 2} if "steps" in plugins.find("attacks", name).__dataclass_fields__ else {}
    if "queries" in plugins.find("attacks", name).__dataclass_fields__:
        options |= {"queries": 20} | ({"least_queries": 5} if name == "economical_autoattack" else {})
    attack = make_attack(name, **options)
    try:
        check_attackable(attack, model, ThreatModel(norm=LINF, eps=0.03), tuple(x.shape[1:]), label=name)
    except ConfigError as error:
        pytest.skip(f"not for this network: {error}")
    model.net.places.clear()
    x_adv = crafted(model, x[:3], y[:3], attack)
    assert x_adv.device == x.device
    assert model.net.places == {x.device.type}


@pytest.mark.skipif(find_spec("faiss") is None, reason="faiss is not installed")
def test_faiss_gives_the_neighbours_of_a_plain_search():
    generator = torch.Generator().manual_seed(0)
    reference = torch.randn(300, 16, generator=generator).to(DEVICE)
    queries = torch.randn(40, 16, generator=generator).to(DEVICE)
    ours, theirs = (make(reference)(queries, 10)[0] for make in (torch_searcher, faiss_searcher))
    assert ours.device == theirs.device == queries.device
    assert torch.equal(ours.sort(dim=1).values, theirs.sort(dim=1).values)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_networks_of_other_precision_are_judged_as_a_plain_loop_does(dtype):
    model, x, y = watched()

    class Cast(nn.Module):
        def __init__(self):
            super().__init__()
            self.net = model.net.layers.to(dtype)

        def forward(self, x):
            return self.net(x.to(dtype))

    cast = Model(name="cast", net=Cast().eval(), classes=5)
    x_adv = crafted(cast, x, y, make_attack("pgd", steps=3))
    verdict = judge(cast, x, y, x_adv, threat=ThreatModel(norm=LINF, eps=0.03))
    with torch.no_grad():
        wrong = (cast.net(x_adv).argmax(dim=1) != y) | (cast.net(x).argmax(dim=1) != y)
    assert [str(status) != "robust" for status in verdict.status] == wrong.tolist()


class Hungry(Watched):
    """It wants a twelfth of the card's free memory for every image, on top."""

    def __init__(self):
        super().__init__()
        self.most = 0

    def forward(self, x):
        if REHEARSAL:
            if len(x) > 12:
                raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.")
        else:
            free, _ = torch.cuda.mem_get_info()
            ballast = torch.empty(len(x) * (free // 12), dtype=torch.uint8, device=x.device)
            del ballast
            torch.cuda.empty_cache()
        self.most = max(self.most, len(x))
        return super().forward(x)


def test_out_of_memory_halves_the_batch_and_changes_no_verdict():
    plain, x, y = watched()
    hungry = Model(name="hungry", net=Hungry().to(DEVICE).eval(), classes=5)
    attack = make_attack("pgd", steps=3)
    first = craft(plain, attack, x, y, threat=ThreatModel(norm=LINF, eps=0.03), indices=torch.arange(len(x)))
    second = craft(
        hungry, attack, x, y, threat=ThreatModel(norm=LINF, eps=0.03), indices=torch.arange(len(x))
    )
    assert 0 < second.micro_batch < len(x)
    assert hungry.net.most <= 12
    assert float((first.x_adv - second.x_adv).abs().max()) < 1e-5


def test_a_training_may_craft_in_bfloat16(tmp_path):
    text = PLAN.replace(
        "natural: {epochs: 2}", "pgd_training: {epochs: 1, eps: 0.1, steps: 2, attack_precision: bfloat16}"
    )
    plan = config.parse(text, file=config.locate("digits").parent / "plan.yaml", overrides=None)
    outcome = execute(
        plan, tmp_path, config_text=text, environment=Environment(device=DEVICE), reporter=Quiet()
    )
    assert outcome.failed == 0


def test_the_python_calls_take_what_lies_on_the_device():
    model, x, y = watched()
    result = attack(model.net, x, y, "pgd", eps=0.03, steps=3)
    assert result.images.shape == x.shape


@pytest.fixture
def graphs(monkeypatch):
    """CUDA graphs of the card, or their stand-in in a rehearsal; what each was captured for is noted."""
    if REHEARSAL:
        return card_in_place(monkeypatch)
    card, capture = Card(), torch.cuda.make_graphed_callables

    def graphed(question, sample_args, **options):
        card.captures.append(len(sample_args[0]))
        return capture(question, sample_args, **options)

    monkeypatch.setattr(torch.cuda, "make_graphed_callables", graphed)
    return card


class Layers(nn.Module):
    """What `Watched` computes, without notes on the way."""

    def __init__(self):
        super().__init__()
        self.layers = Watched().layers

    def forward(self, x):
        return self.layers(x)


class Waiting(Layers):
    """Waits for the card to decide what it does, so that no pass of it can be captured."""

    def forward(self, x):
        return super().forward(x if float(x.detach().mean()) > 0 else x - 1)


def with_graphs(net):
    """Return a model, its copies, and the one that is chosen on 20 images."""
    _, x, y = watched()
    model = Model(name="net", net=net.to(DEVICE).eval(), classes=5)
    copies = PreparedModel(model, engine="graphs")
    return model, copies, x, y, copies.choose(x, [model.source("exact")])


def test_cuda_graphs_give_the_numbers_of_the_network_whatever_the_batch(graphs):
    model, copies, x, _, name = with_graphs(Layers())
    assert name == "folded, channels-last, CUDA graphs", copies.reasons
    rows = [20, 3, 11, 16, 2, 20, 7]

    def slope(count):
        leaf = x[:count].clone().requires_grad_(True)
        outputs = model.net(leaf)
        return outputs.detach(), torch.autograd.grad(outputs.square().sum(), leaf)[0]

    with copies.using(name):
        ours = [slope(count) for count in rows]
        leaves = [x[:count].clone().requires_grad_(True) for count in (16, 12)]
        losses = [model.net(leaf).square().sum() for leaf in leaves]
        late = [torch.autograd.grad(loss, leaf)[0] for loss, leaf in zip(losses, leaves, strict=True)]
    with copies.using("as it is"):
        theirs = [slope(count) for count in rows]
        own = [slope(count)[1] for count in (16, 12)]
    for one, other in zip(ours, theirs, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-3, atol=1e-4)
    torch.testing.assert_close(late, own, rtol=1e-3, atol=1e-4)
    assert sorted(graphs.captures) == [8, 12, 16, 24]


def test_an_attack_through_cuda_graphs_breaks_as_many(graphs):
    model, copies, x, y, _ = with_graphs(Layers())
    threat, attack = ThreatModel(norm=LINF, eps=0.03), make_attack("pgd", steps=5)
    indices = torch.arange(len(x))
    result = craft(model, attack, x, y, threat=threat, indices=indices, prepared=copies)
    assert "CUDA graphs" in result.engine
    other = craft(model, attack, x, y, threat=threat, indices=indices)
    verdicts = [judge(model, x, y, one.x_adv, threat=threat).status for one in (result, other)]
    counts = [list(statuses).count("broken") for statuses in verdicts]
    assert abs(counts[0] - counts[1]) <= 1


def test_where_no_pass_can_be_captured_other_copies_answer_and_the_device_goes_on(graphs):
    model, copies, x, y, name = with_graphs(Waiting())
    assert "CUDA graphs" not in name
    assert any("no CUDA graph" in reason for reason in copies.reasons.values())
    x_adv = crafted(model, x, y, make_attack("pgd", steps=3))
    assert x_adv.device == x.device
    assert torch.rand(3, device=x.device).isfinite().all()
