"""A small plan on a user's own images and weights, run by the command line."""

import numpy as np
import torch
from typer.testing import CliRunner

from model_zoo.catalog import DigitsCNN
from model_zoo.checkpoints.saving import save
from model_zoo.network import Network
from robench.cli import app

CONFIGURATION = """\
schema: 1
name: small
dataset: {name: npz, options: {path: data.npz, classes: 10}}
models:
  - {name: a, architecture: digits_cnn, checkpoint: WEIGHTS}
threats:
  - {norm: Linf, eps: 0.1, attacks: [fgsm]}
"""


def images(count=4):
    return np.random.default_rng(0).random((count, 1, 8, 8), dtype=np.float32)


def labels(count=4):
    """What the network of the plan answers, so that it is right and can be attacked."""
    torch.manual_seed(0)
    with torch.no_grad():
        return network()(torch.from_numpy(images(count))).argmax(dim=1).numpy()


def run(folder, monkeypatch, *arguments, x=None, y=None, configuration=CONFIGURATION, command="run"):
    """Write the plan's files, where they are not there, and give it to the command line.

    Everything is done in this process, unless `--workers` says otherwise: a worker imports torch anew.
    """
    monkeypatch.chdir(folder)
    monkeypatch.delenv("ROBENCH_TRACEBACK", raising=False)
    weights = next(iter(sorted(folder.glob("weights.*"))), folder / "weights.safetensors")
    (folder / "c.yaml").write_text(configuration.replace("WEIGHTS", weights.name))
    np.savez(folder / "data.npz", x=images() if x is None else x, y=labels() if y is None else y)
    if not weights.exists():
        torch.manual_seed(0)
        save(network(), weights)
    out = ["--out", "out", "--workers", "0"] if command == "run" else []
    return CliRunner().invoke(app, [command, "c.yaml", *out, *arguments], prog_name="robench")


def network(classes=10):
    return Network(DigitsCNN()(channels=1, size=(8, 8), classes=classes), classes=classes)


def refused(answer, folder, *words):
    """Check that it ended with exit code 2, one sentence and nothing measured."""
    text = " ".join(answer.output.split())
    assert answer.exit_code == 2, text
    assert "Traceback" not in text
    for word in words:
        assert word in text
    assert not list(folder.glob("out/units/*"))
