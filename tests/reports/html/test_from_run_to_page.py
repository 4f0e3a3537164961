"""A real evaluation in a folder: it keeps the clean images, and its page shows them; no torch is needed."""

import subprocess
import sys

import numpy as np
import pytest
import torch
from safetensors.numpy import load_file
from typer.testing import CliRunner

from attacks.gradient.fgsm import FGSM
from reports.html.page import HTML
from robench.attack.norms import norm_named
from robench.attack.threat import ThreatModel
from robench.cli.app import app
from robench.model.interface import Model, OutputKind
from robench.record.store import Store
from robench.run.crafting import Board
from robench.run.evaluate import evaluate
from robench.run.evaluated_model import EvaluatedModel
from robench.run.keeper import FolderKeeper
from robench.run.settings import Settings
from robench.run.work import Work
from tests.reports.html.page_parser import parse
from tests.robench.judge.gallery import data, sound


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    model = Model(net=sound(), name="sound", classes=4, output=OutputKind.LOGITS)
    threat = ThreatModel(norm=norm_named("Linf"), eps=0.2)
    board = Board(threat=threat, eps_text="0.2", attacks={"fgsm": FGSM()})
    entry = EvaluatedModel(model=model, fingerprint="f" * 64)
    work = Work(models=[entry], data=data(20), boards=[board], settings=Settings(shard=10))
    store = Store(tmp_path_factory.mktemp("run"))
    store.prepare()
    keeper = FolderKeeper(store)
    for shard in work.shards():
        keeper.keep_images(shard.digest, shard.data)
    keys = [outcome.record.key for outcome in evaluate(work, keeper)]
    store.write_json("run.json", {"name": "real", "units": keys})
    return store.root


def test_clean_images_are_kept_once_in_8_bits(folder, tmp_path):
    files = [load_file(path) for path in sorted((folder / "data").iterdir())]
    assert [k["images"].dtype for k in files] == [np.uint8] * 2
    rows = {int(i): image for k in files for i, image in zip(k["index"], k["images"], strict=True)}
    whole = data(20).images
    assert sorted(rows) == list(range(20))
    assert all(np.abs(rows[i] / 255 - whole[i].numpy()).max() <= 0.5 / 255 + 1e-6 for i in rows)
    path = next((folder / "data").iterdir())
    before = path.stat().st_mtime_ns
    FolderKeeper(Store(folder)).keep_images(path.stem, data(3))
    assert path.stat().st_mtime_ns == before
    bright = data(2)
    eight = bright.subset(slice(0, 2))
    object.__setattr__(eight, "images", torch.arange(32, dtype=torch.uint8).reshape(2, 1, 4, 4))
    FolderKeeper(Store(tmp_path)).keep_images("eight", eight)
    assert (load_file(tmp_path / "data" / "eight.safetensors")["images"].ravel() == np.arange(32)).all()


def test_a_record_names_the_file_of_its_images(folder):
    store = Store(folder)
    for record in store.read_records():
        if record.attack.label != "clean":
            assert store.adv(record.provenance.crafted).is_file()


@pytest.mark.thorough
def test_the_page_shows_images_that_fell(folder):
    page = parse(HTML().render_run(folder))
    breaks = sum(record.columns.status.count("broken") for record in Store(folder).read_records())
    assert breaks > 3
    # Three images in the strip of the model, and two beside each other under the one attack.
    assert len(list(page.all("img"))) == 3 * 3 + 2 * 3


def test_the_command_writes_the_page_and_says_where(folder, tmp_path):
    out = tmp_path / "deep" / "page.html"
    outcome = CliRunner().invoke(app, ["report", str(folder), "-o", str(out)])
    assert (outcome.exit_code, outcome.stdout.strip()) == (0, f"Written: {out}")
    assert out.read_text("utf-8") == HTML().render_run(folder)
    refusal = CliRunner().invoke(app, ["report", str(tmp_path)])
    assert refusal.exit_code == 2
    assert "expected a run folder" in refusal.output


@pytest.mark.thorough
def test_no_torch_is_imported(folder):
    code = (
        "import sys; from pathlib import Path; from reports.html.page import HTML; "
        "HTML().render_run(Path(sys.argv[1])); print('torch' in sys.modules)"
    )
    process = subprocess.run(
        [sys.executable, "-c", code, str(folder)], capture_output=True, text=True, check=True
    )
    assert process.stdout.strip() == "False"
