"""Memory runs out: the same images again with half as many at once, the same verdicts, and it is said."""

import io
import json
import weakref
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.util import find_spec
from typing import ClassVar

import pytest
import torch
from rich.console import Console
from torch import nn
from typer.testing import CliRunner

from defenses.inference.smoothing import Smoothing
from model_zoo.architectures.digits_cnn import DigitsCNN
from reports.text.screen import Screen
from robench.api import benchmark, make_attack
from robench.attack.library_model import lent
from robench.attack.losses import cross_entropy
from robench.attack.protocol import AttackInfo
from robench.cli import app
from robench.data.images import image_set
from robench.model.interface import Coupling, Model
from robench.model.noise import noise_of
from robench.record.schema import Record
from robench.record.store import Store
from robench.run.keeper import FolderKeeper
from robench.run.progress import Quiet

CPU = (
    "[enforce fail at alloc_cpu.cpp:114] err == 0. DefaultCPUAllocator: can't allocate memory: you tried to "
    "allocate 4096000000 bytes. Error code 12 (Cannot allocate memory)"
)
ERRORS = {
    "device": lambda: torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB. GPU 0 has ..."),
    "driver": lambda: RuntimeError("CUDA error: out of memory\nCUDA kernel errors might be asynchronously"),
    "cpu": lambda: RuntimeError(CPU),
    "cpu of windows": lambda: RuntimeError("DefaultCPUAllocator: not enough memory: you tried to allocate 4"),
    "python": MemoryError,
    "cublas": lambda: RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(h)`"),
    "cudnn": lambda: RuntimeError("cuDNN error: CUDNN_STATUS_ALLOC_FAILED"),
}
BATCH, FITS, IMAGES = 8, 2, 9
"""Images at once asked for, that fit, and of a shard: 8 do not, 4 do not, 2 do."""


class Scarce(nn.Module):
    """Two layers; while `most` is set, no batch of more images fits."""

    most: ClassVar[int | None] = None
    error: ClassVar = ERRORS["cpu"]
    largest: ClassVar[int] = 0
    with_gradient_only: ClassVar[bool] = False

    def __init__(self, classes=3, seed=0):
        super().__init__()
        with torch.random.fork_rng():
            torch.manual_seed(seed)
            self.layers = nn.Sequential(
                nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.Tanh(), nn.Flatten(), nn.Linear(64, classes)
            )

    def forward(self, x):
        if (
            Scarce.most is not None
            and len(x) > Scarce.most
            and (x.requires_grad or not self.with_gradient_only)
        ):
            raise Scarce.error()
        Scarce.largest = max(Scarce.largest, len(x))
        return self.layers(x)


class Noisy(Scarce):
    """The same behind noise of its own, that belongs to the content or comes from torch's generator."""

    def __init__(self, *, through_torch=False):
        super().__init__()
        self.through_torch = through_torch

    def forward(self, x):
        noise = torch.randn_like(x) if self.through_torch else noise_of(x, seed=0, use="toy").normal(x)
        return super().forward(x + 0.1 * noise)


@contextmanager
def scarce(most, error="cpu", *, with_gradient_only=False):
    Scarce.most, Scarce.error = most, staticmethod(ERRORS.get(error, error))
    Scarce.largest, Scarce.with_gradient_only = 0, with_gradient_only
    try:
        yield
    finally:
        Scarce.most = None


def made(net=None, **options):
    return Model(name="net", net=net or Scarce(), classes=3, **options)


def data(n=IMAGES):
    x = torch.rand(n, 1, 6, 6, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        y = Scarce().eval().layers(x).argmax(dim=1)
    return image_set(x, y, classes=3)


def run(attacks, *, models=None, n=IMAGES, **options):
    values = {"eps": 0.08, "shard": IMAGES, "batch_size": BATCH, "seed": 5, **options}
    return benchmark(models or [made()], data(n), attacks=attacks, **values)


def plain(record):
    """All that a record says but for what a pass held, how long it took, and what its network's code is."""
    facts = json.loads(record.to_json())
    for name in ("seconds", "micro_batch", "batch_size", "crafted"):
        facts["provenance"].pop(name, None)
    for name in ("target", "source"):
        facts[name].pop("fingerprint")
    del facts["key"]
    return facts


def same_as_with_few(attacks, error="cpu", *, fits=FITS, **options):
    """Assert that with little memory the records are those of a run that asks about few from the start."""
    with scarce(fits, error):
        short = run(attacks, **options)
        assert fits >= Scarce.largest > 0
    few = run(attacks, batch_size=FITS, **options)
    assert short.failures == few.failures == ()
    assert [plain(record) for record in short.records] == [plain(record) for record in few.records]
    assert all(0 < record.provenance.micro_batch <= FITS for record in short.records)
    assert {record.provenance.micro_batch for record in short.records if record.source.name} == {FITS}
    assert not any("micro_batch" in record.to_json() for record in few.records)
    return short.records


OURS = {
    "fgsm": ("fgsm", {}),
    "pgd": ("pgd", {"steps": 4, "restarts": 2}),
    "apgd": ("apgd", {"steps": 8}),
    "square": ("square", {"queries": 30}),
    "fab": ("fab", {"steps": 4}),
    "noise": ("noise", {"points": 5}),
    "universal": ("universal", {"sweeps": 1, "steps": 3}),
    "spsa": ("spsa", {"steps": 2, "samples": 4}),
}


def recipes(table):
    return {label: make_attack(name, **options) for label, (name, options) in table.items()}


@pytest.mark.thorough
@pytest.mark.parametrize("error", ["device", "cpu", "python"])
def test_every_way_to_run_out_of_memory_halves_the_batch(error):
    records = same_as_with_few(recipes({"pgd": OURS["pgd"]}), error)
    assert {status for record in records for status in record.columns.status} > {"robust"}


@pytest.mark.slow
def test_every_attack_of_ours_ends_as_with_few_images_at_once():
    same_as_with_few(recipes(OURS), transfer=False)  # broken images leave the batch


@pytest.mark.slow
def test_attacks_that_minimise_end_as_with_few_images_at_once():
    attacks = recipes({"cw": ("cw", {"steps": 5}), "ddn": ("ddn", {"steps": 5})})
    for eps in (float("inf"), 0.3):
        same_as_with_few(attacks, norm="L2", eps=eps)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["torchattacks/pgd", "foolbox/pgd", "art/pgd", "torchattacks/cw", "art/cw"])
def test_attacks_of_libraries_end_as_with_few_images_at_once(name):
    package = name.split("/")[0]
    if find_spec(package) is None:
        pytest.skip(f"{package} is not installed")
    options = {"norm": "L2", "eps": 0.3} if name.endswith("cw") else {}
    same_as_with_few({name: make_attack(name, steps=3)}, **options)


@pytest.mark.slow
def test_a_targeted_goal_a_budget_and_transfer():
    same_as_with_few(recipes({"pgd": OURS["pgd"]}), targeted=True, eps=0.2)
    same_as_with_few(recipes({"square": OURS["square"]}), budget=9)
    models = [made(), Model(name="other", net=Scarce(seed=1), classes=3)]
    same_as_with_few(recipes({"pgd": OURS["pgd"]}), models=models)


@pytest.mark.slow
def test_random_models_draw_the_same_noise_again():
    random = made(Noisy(), random=True)
    records = same_as_with_few(recipes({"pgd": OURS["pgd"]}), models=[random], draws=4)
    assert all(record.draws == 4 for record in records)
    noisy_model = made(Noisy(through_torch=True))
    records = same_as_with_few(recipes({"square": OURS["square"]}), models=[noisy_model], draws=3)
    assert "random-output" in {finding.code for finding in records[0].findings}


@pytest.mark.slow
def test_a_model_that_votes_over_many_copies_of_an_image():
    def smoothed():
        return [Smoothing(sigma=0.05, votes=16)(made(), training_data=data, seed=0)]

    attacks = recipes({"square": ("square", {"queries": 5})})
    with scarce(FITS):
        short = run(attacks, models=smoothed())
        assert Scarce.largest <= FITS
    few = run(attacks, models=smoothed(), batch_size=1)
    assert short.failures == few.failures == ()
    assert [r.columns.status for r in short.records] == [r.columns.status for r in few.records]


@pytest.mark.thorough
def test_only_what_does_not_fit_is_done_with_fewer():
    with scarce(FITS, with_gradient_only=True):
        clean, record = run(recipes({"pgd": OURS["pgd"]})).records
    assert clean.provenance.micro_batch == FITS  # the probes ask for gradients
    assert record.provenance.micro_batch == FITS
    with scarce(FITS, with_gradient_only=True):
        _, other = run(recipes({"noise": OURS["noise"]})).records
    assert other.provenance.micro_batch == 0
    with scarce(FITS, with_gradient_only=True):  # what Square leaves is climbed by its gradient
        _, square = run(recipes({"square": OURS["square"]})).records
    assert square.provenance.micro_batch == FITS


@dataclass(frozen=True, kw_only=True)
class Whole:
    """An attack of somebody else, on all images at once: by a library, or with memory for all of them."""

    info: ClassVar[AttackInfo] = AttackInfo(title="whole", paper="", norms=("Linf",))
    handed: ClassVar[list[int]] = []
    needs: int | None = None
    lends: bool = True

    def __call__(self, oracle, rng):
        x, y = oracle.x, oracle.y
        self.handed.append(len(x))
        if self.needs is not None and len(x) > self.needs:
            raise MemoryError
        start = oracle.threat.project(x, x + 0.02 * (rng.uniform(x) - 0.5))
        if not self.lends:
            gradient = oracle.gradient(cross_entropy, start)
        else:
            with lent(oracle, rng) as module:
                leaf = start.clone().requires_grad_(True)
                loss = nn.functional.cross_entropy(module(leaf), y, reduction="sum")
                (gradient,) = torch.autograd.grad(loss, leaf)
        return oracle.threat.project(x, start + oracle.threat.eps * gradient.sign())


@pytest.mark.thorough
@pytest.mark.parametrize(
    ("attack", "fitted"), [(Whole(), 2), (Whole(needs=6, lends=False), 4), (Whole(needs=1), 1)]
)
def test_an_attack_that_takes_all_images_at_once_is_handed_fewer(attack, fitted):
    enough = run({"whole": Whole(lends=attack.lends)}).records[1]
    attack.handed.clear()
    with scarce(FITS if attack.lends else None):
        short = run({"whole": attack})
    assert short.failures == ()
    record = short.records[1]
    assert record.provenance.micro_batch == fitted  # of 9, 4, 2 and 1
    assert record.columns.status == enough.columns.status
    assert record.columns.forwards == enough.columns.forwards
    assert record.columns.l2 == pytest.approx(enough.columns.l2)
    assert set(attack.handed) >= {fitted, IMAGES}


@dataclass(frozen=True, kw_only=True)
class Coupled(Whole):
    """The same, of images that belong together."""

    info: ClassVar[AttackInfo] = AttackInfo(title="coupled", paper="", norms=("Linf",), couples_images=True)


@pytest.mark.thorough
def test_images_that_belong_together_are_never_handed_apart():
    Coupled.handed.clear()
    with scarce(None):
        outcome = run({"coupled": Coupled(needs=5)})
    assert set(Coupled.handed) == {IMAGES}
    (text,) = outcome.failures
    assert "belong together" in text
    assert "Lower `shard`" in text


@pytest.mark.thorough
def test_a_joint_batch_is_not_split():
    models = [made(coupling=Coupling.JOINT), Model(name="alone", net=Scarce(seed=1), classes=3)]
    with scarce(FITS, "device"):
        outcome = run(recipes({"pgd": OURS["pgd"]}), models=models)
    assert {record.target.name for record in outcome.records} == {"alone"}
    assert all(f"joint batch of {IMAGES} images, which cannot be split" in text for text in outcome.failures)
    assert all("Lower `shard`" in text for text in outcome.failures)
    assert all("CUDA out of memory" in text for text in outcome.failures)
    assert not any("Traceback" in text for text in outcome.failures)


def test_an_error_of_another_kind_is_not_tried_again():
    calls = []

    def other():
        calls.append(1)
        return RuntimeError("mat1 and mat2 shapes cannot be multiplied (20x36 and 64x3)")

    with scarce(FITS, other):
        outcome = run({"whole": Whole(lends=False)})
    assert len(outcome.failures) == 2
    assert all("mat1 and mat2" in text for text in outcome.failures)
    with scarce(FITS, other):
        Whole.handed.clear()
        run({"whole": Whole(lends=False)})
    assert Whole.handed == [IMAGES]


@pytest.mark.thorough
def test_memory_of_a_failed_try_is_free_before_the_next(monkeypatch):
    references = []

    @dataclass(frozen=True, kw_only=True)
    class Hoards(Whole):
        def __call__(self, oracle, rng):
            alive = [ref for ref in references if ref() is not None]
            assert not alive, "the last try still holds its memory"
            hoard = torch.zeros(10, 10)
            references.append(weakref.ref(hoard))
            holder = {"hoard": hoard}
            holder["itself"] = holder  # freed by the collector of cycles only
            return Whole.__call__(self, oracle, rng)

    with scarce(FITS):
        assert run({"hoards": Hoards(lends=False)}).failures == ()
    assert len(references) == 3  # 8, 4 and 2 images at once


@pytest.mark.slow
def test_the_reporter_is_told_once_for_each_model():
    texts = []

    class Listener(Quiet):
        def stage(self, text):
            texts.append(text)

    models = [made(), Model(name="other", net=Scarce(seed=1), classes=3)]
    with scarce(FITS):
        run(recipes({"pgd": OURS["pgd"], "fgsm": OURS["fgsm"]}), models=models, reporter=Listener())
    assert sorted(texts) == [
        f"{name}: out of memory; done again with 2 images at once" for name in ("net", "other")
    ]
    texts.clear()
    run(recipes({"fgsm": OURS["fgsm"]}), reporter=Listener())
    assert texts == []


@pytest.mark.thorough
def test_details_show_where_memory_ran_out():
    def screen(records, **options):
        console = Console(width=120, record=True, file=io.StringIO())
        for part in Screen(**options)(records):
            console.print(part)
        return console.export_text()

    with scarce(FITS):
        short = run(recipes({"fgsm": OURS["fgsm"]})).records
    assert "where memory ran out" in screen(short, details=True)
    assert "where memory ran out" not in screen(short)
    assert "where memory ran out" not in screen(run(recipes({"fgsm": OURS["fgsm"]})).records, details=True)


PLAN = """
name: short
dataset: {name: digits, limit: 24}
shard: 24
batch_size: 12
models:
  - {name: net, architecture: digits_cnn}
  - {name: pixels, architecture: raw_pixels, head: {wnll: {m: 8, n: 4, template: 60}}}
threats:
  - {norm: Linf, eps: 0.1, attacks: [{pgd: {steps: 2}}]}
"""


@pytest.fixture
def robench(tmp_path, monkeypatch):
    """Run a plan by the command line in a process whose digits network fits `most` images."""
    forward = DigitsCNN.forward
    (tmp_path / "plan.yaml").write_text(PLAN)

    def call(*, most, options=(), text=PLAN):
        def limited(self, x):
            if len(x) > most:
                raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.")
            return forward(self, x)

        monkeypatch.setattr(DigitsCNN, "forward", limited)
        (tmp_path / "plan.yaml").write_text(text)
        command = ["run", str(tmp_path / "plan.yaml"), "--out", str(tmp_path / "out"), "--workers", "0"]
        return CliRunner().invoke(app, [*command, *options], prog_name="robench")

    return call


@pytest.mark.thorough
def test_what_does_not_fit_at_all_fails_alone(robench, tmp_path):
    outcome = robench(most=0)
    assert outcome.exit_code == 3
    assert {record.target.name for record in Store(tmp_path / "out").read_records()} == {"pixels"}
    errors = [json.loads(path.read_text())["error"] for path in (tmp_path / "out" / "errors").glob("*.json")]
    assert errors
    for text in errors:
        assert "model 'net': expected memory for one image at a time, got out of memory" in text
        assert "Traceback" not in text


@pytest.mark.thorough
def test_a_folder_keeps_what_fitted_and_goes_on_with_it(robench, tmp_path):
    assert robench(most=5).exit_code == 0
    store = Store(tmp_path / "out")
    records = {record.key: record for record in store.read_records()}
    attacks = [r for r in records.values() if r.source.name == "net"]
    assert {r.provenance.micro_batch for r in attacks} == {3}
    result = FolderKeeper(store).crafted(attacks[0].provenance.crafted)
    assert result is not None
    assert result.micro_batch == 3
    others = [r for r in records.values() if "net" not in {r.source.name, r.target.name}]
    assert {r.provenance.micro_batch for r in others} == {0}
    for record in records.values():
        assert Record.from_json(record.to_json()).provenance.micro_batch == record.provenance.micro_batch
    (path,) = [store.root / "units" / f"{attacks[0].key}.json"]
    path.unlink(missing_ok=True)
    assert robench(most=100).exit_code == 0
    again = {record.key: record for record in store.read_records()}
    assert again.keys() == records.keys()
    assert again[attacks[0].key].provenance.micro_batch == 3  # its images were crafted so


@pytest.mark.slow
def test_a_training_says_what_to_do(robench):
    text = PLAN.replace("architecture: digits_cnn}", "architecture: digits_cnn, train: {defense: natural}}")
    outcome = robench(most=10, text=text)
    assert outcome.exit_code == 3
    message = " ".join(outcome.output.split())
    assert "expected memory for a step, got out of memory" in message
    assert "Lower the defense's option `batch_size`" in message
