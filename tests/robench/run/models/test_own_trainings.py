"""What is said of a training of one's own: that it changed nothing, and how long it took."""

import csv

import numpy as np
import pytest
import torch
from PIL import Image
from typer.testing import CliRunner

from reports.board.leaderboard import boards
from robench.cli import app
from robench.plan.yaml_reader import read_text
from robench.record.store import Store

CODE = """
import torch

def idle(network, images, epochs=1):
    pass

def make():
    return torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(64, 10))

def shift(network, images):
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.add_(0.01)
"""
TIMED = """
import time, torch

def timed(network, images, *, progress):
    time.sleep(0.05)
    with torch.no_grad():
        next(network.parameters()).add_(0.01)
    progress({"epoch": 1} | ({"seconds": float("SECONDS")} if "SECONDS" else {}))
"""
PLAN = """
name: mine
dataset: {name: digits, limit: 8}
models:
  - {name: net, architecture: digits_cnn, train: {defense: "mine.py:idle", data: {limit: 20}}}
threats:
  - {norm: Linf, eps: 0.1, attacks: [fgsm]}
"""
TEXT = "the training changed none of 8 parameters"


@pytest.fixture
def run(tmp_path, monkeypatch):
    """Run a plan in an empty folder, and return what is on the screen and the codes of the row's doubts."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mine.py").write_text(CODE)

    def call(plan=PLAN, name="mine"):
        (tmp_path / f"{name}.yaml").write_text(plan)
        words = ["run", f"{name}.yaml", "--trust-code", "--workers", "0", "--device", "cpu"]
        outcome = CliRunner().invoke(app, [*words, "-o", name])
        assert outcome.exit_code == 0, outcome.output
        (board,) = boards(Store(tmp_path / name).read_records())
        evidence = {doubt.code: doubt.evidence for doubt in board.doubts if doubt.unlifted}
        return outcome.output, evidence

    return call


def card_of(folder):
    (path,) = folder.glob("models/*/weights.card.yaml")
    return path, read_text(path.read_text(), source="card").data


@pytest.mark.thorough
def test_the_card_and_the_row_say_it_of_new_found_and_given_weights(run, tmp_path):
    screen, evidence = run()
    assert f"net: {TEXT}" in screen
    assert evidence["unchanged-weights"] == TEXT
    path, card = card_of(tmp_path / "mine")
    assert (card["findings"], card["unchanged_parameters"]) == ([TEXT], 8)
    page = (tmp_path / "mine" / "cards" / "net.md").read_text()
    (line,) = (line for line in page.splitlines() if line.startswith("- **unchanged-weights**"))
    assert f": {TEXT}." in line

    fingerprints = {record.target.fingerprint for record in Store(tmp_path / "mine").read_records()}
    older = path.read_text().replace(f"- {TEXT}\n", "").replace("unchanged_parameters: 8\n", "")
    for text in (path.read_text(), older):
        path.write_text(text)
        for unit in (tmp_path / "mine" / "units").iterdir():
            unit.unlink()
        assert run()[1]["unchanged-weights"] == TEXT
    assert {record.target.fingerprint for record in Store(tmp_path / "mine").read_records()} == fingerprints

    path.write_text(older + "unchanged_parameters: 8\n")
    weights = path.with_name("weights.safetensors").relative_to(tmp_path)
    other_plan = PLAN.replace('train: {defense: "mine.py:idle", data: {limit: 20}}', f"checkpoint: {weights}")
    assert run(other_plan, "given")[1]["unchanged-weights"] == TEXT


@pytest.mark.parametrize("defense", ['"mine.py:shift"', '{"mine.py:idle": {epochs: 0}}'])
def test_nothing_is_said_where_weights_change_or_are_not_meant_to(run, tmp_path, defense):
    _, evidence = run(PLAN.replace('"mine.py:idle"', defense))
    assert "unchanged-weights" not in evidence
    assert "unchanged_parameters" not in card_of(tmp_path / "mine")[1]
    assert all(
        "unchanged_parameters" not in r.target.details for r in Store(tmp_path / "mine").read_records()
    )


@pytest.mark.parametrize(("told", "seconds"), [("", None), ("0.25", 0.25)])
def test_the_card_says_how_long_a_function_took_and_never_0(run, tmp_path, told, seconds):
    (tmp_path / "mine.py").write_text(TIMED.replace("SECONDS", told))
    run(PLAN.replace("idle", "timed"))
    path, card = card_of(tmp_path / "mine")
    assert card["seconds"] >= 0.05 if seconds is None else card["seconds"] == seconds
    (row,) = csv.DictReader(path.with_name("history.csv").read_text().splitlines())
    assert row["seconds"] == told


@pytest.mark.thorough
def test_cards_name_files_of_code_without_their_folders(run, tmp_path):
    plan = PLAN.replace('"mine.py:idle"', f'"{tmp_path}/mine.py:shift"')
    run(plan.replace("architecture: digits_cnn", f'architecture: "{tmp_path}/mine.py:make"'))
    path, card = card_of(tmp_path / "mine")
    assert (card["defense"]["name"], card["architecture"]["name"]) == ("mine.py:shift", "mine.py:make")
    # Cards of earlier versions have the whole path.
    path.write_text(path.read_text().replace("mine.py:shift", f"{tmp_path}/mine.py:shift"))
    CliRunner().invoke(app, ["report", "mine"])
    page = (tmp_path / "mine" / "cards" / "net.md").read_text()
    assert "| defense | mine.py:shift |" in page
    assert str(tmp_path) not in page


WARM = """
import torch

def make():
    network = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(64, 10))
    network.load_state_dict(torch.load("start.pt"))
    return network
"""
WARM_PLAN = """
name: warm
dataset: {name: digits, limit: 8}
models:
  - {name: net, architecture: "net.py:make", train: {defense: {natural: {epochs: 1}}, data: {limit: 40}}}
threats:
  - {norm: Linf, eps: 0.1, attacks: [fgsm]}
"""


def start_weights(seed):
    torch.manual_seed(seed)
    torch.save(torch.nn.Linear(64, 10).state_dict(), "start.pt")
    state = torch.load("start.pt")
    torch.save({f"1.{name}": value for name, value in state.items()}, "start.pt")


def test_other_first_weights_of_a_network_are_trained_anew_and_the_same_are_not(run, tmp_path):
    (tmp_path / "net.py").write_text(WARM)
    folders = tmp_path / "warm" / "models"
    counts = []
    for seed in (1, 1, 2, 1):
        start_weights(seed)
        run(WARM_PLAN, "warm")
        counts.append(len(list(folders.iterdir())))
    assert counts == [1, 1, 2, 2]


def test_a_network_that_is_another_each_time_is_trained_once(run, tmp_path):
    number = 'register_buffer("number", torch.rand(1, generator=torch.Generator().manual_seed(ns())))'
    code = WARM.replace('load_state_dict(torch.load("start.pt"))', number)
    (tmp_path / "net.py").write_text(f"from time import perf_counter_ns as ns\n{code}")
    for _ in range(2):
        run(WARM_PLAN, "warm")
    assert len(list((tmp_path / "warm" / "models").iterdir())) == 1


@pytest.mark.parametrize("kind", ["npz", "image_folder"])
def test_other_training_images_under_the_same_path_are_trained_on_anew(run, tmp_path, kind):
    path = "mine.npz" if kind == "npz" else "pictures"
    options = f"{{path: {path}{', gray: true' if kind == 'image_folder' else ''}}}"
    data = f"{{name: {kind}, options: {options}, split: train}}"
    plan = WARM_PLAN.replace("net.py:make", "mine.py:make").replace("{limit: 40}", data)
    counts = []
    for seed in (1, 1, 2):
        generator = np.random.default_rng(seed)
        pixels = generator.integers(0, 256, (20, 8, 8), dtype=np.uint8)
        if kind == "npz":
            np.savez(tmp_path / "mine.npz", x_train=pixels, y_train=np.arange(20) % 10)
        else:
            for number, image in enumerate(pixels):
                folder = tmp_path / "pictures" / "train" / str(number % 10)
                folder.mkdir(parents=True, exist_ok=True)
                Image.fromarray(image).save(folder / f"{number}.png")
        run(plan, "warm")
        counts.append(len(list((tmp_path / "warm" / "models").iterdir())))
    assert counts == [1, 1, 2]


def test_weights_that_are_kept_do_without_their_training_images(run, tmp_path):
    data = "{name: npz, options: {path: mine.npz}, split: train}"
    plan = WARM_PLAN.replace("net.py:make", "mine.py:make").replace("{limit: 40}", data)
    pixels = np.random.default_rng(1).integers(0, 256, (20, 8, 8), dtype=np.uint8)
    np.savez(tmp_path / "mine.npz", x_train=pixels, y_train=np.arange(20) % 10)
    run(plan, "warm")
    (tmp_path / "mine.npz").unlink()
    output, _ = run(plan, "warm")
    assert "0 units finished, 2 cached" in output
    for unit in (tmp_path / "warm" / "units").iterdir():
        unit.unlink()
    output, _ = run(plan, "warm")  # judged again
    assert "whether it learned from judged images is not known" in output
    assert len(list((tmp_path / "warm" / "models").iterdir())) == 1
