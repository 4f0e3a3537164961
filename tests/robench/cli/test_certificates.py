"""Bounds on the command line: tables, `certify`, and a false certificate that stops a build."""

import csv

import pytest
from typer.testing import CliRunner

from robench.cli.app import app
from robench.record.store import Store

CONFIG = """\
name: demo
dataset: {name: digits, limit: 20}
models:
  - {name: net, architecture: digits_cnn, train: {defense: {natural: {epochs: 6}}, data: {limit: 400}}}
  - {name: loud, features_of: net, inference: {smoothing: {sigma: 0.1, samples: 10}}}
threats:
  - {norm: Linf, eps: 0.005, attacks: [fgsm], bounds: [{crown: {}, models: [net]}]}
"""


def said(*words):
    return CliRunner().invoke(app, [*words, "--device", "cpu"], prog_name="robench")


@pytest.fixture(scope="module")
def file(tmp_path_factory):
    file = tmp_path_factory.mktemp("bounds") / "demo.yaml"
    file.write_text(CONFIG)
    return file


@pytest.fixture(scope="module")
def finished(file):
    run = file.parent / "run"
    result = said("run", str(file), "-o", str(run), "--workers", "0", "-q")
    return file, run, result


@pytest.mark.thorough
def test_every_surface_shows_what_is_certified(finished):
    _, run, result = finished
    assert result.exit_code == 0, result.output
    with (run / "leaderboard.csv").open() as lines:
        rows = {row["model"]: row for row in csv.DictReader(lines)}
    own = rows["net"]
    assert 0 < float(own["certified"]) <= float(own["worst_case"]) <= float(own["clean"])
    assert float(own["certified_low"]) < float(own["certified"]) < float(own["certified_high"])
    assert float(own["gap"]) == pytest.approx(float(own["worst_case"]) - float(own["certified"]))
    assert rows["loud"]["certified"] == rows["loud"]["gap"] == ""
    assert "Certified" in (run / "leaderboard.md").read_text()
    page = (run / "report.html").read_text()
    assert "Certified, %" in page
    assert 'class="span"' in page


@pytest.mark.thorough
def test_certify_takes_what_is_there_and_writes_a_line_per_image(finished):
    file, run, _ = finished
    before = {path: path.stat().st_mtime_ns for path in (run / "units").iterdir()}
    result = said("certify", str(file), "net", "-o", str(run), "-q")
    assert result.exit_code == 0, result.output
    assert {path: path.stat().st_mtime_ns for path in (run / "units").iterdir()} == before
    with (run / "certified-net.csv").open() as lines:
        rows = list(csv.DictReader(lines))
    assert len(rows) == 20
    assert f"{sum(row['certified'] == 'true' for row in rows)} of 20" in result.output


@pytest.mark.thorough
def test_several_radii_are_certified_at_once_and_smaller_ones_hold_where_larger_do(file, tmp_path):
    run = tmp_path / "run"
    result = said("certify", str(file), "net", "--eps", "0.002, 1/255,0.3", "-o", str(run), "-q")
    assert result.exit_code == 0, result.output
    with (run / "certified-net.csv").open() as lines:
        rows = list(csv.DictReader(lines))
    images = {
        eps: {
            row["index"]
            for row in rows
            if float(row["eps"]) == pytest.approx(eps) and row["certified"] == "true"
        }
        for eps in (0.002, 1 / 255, 0.3)
    }
    assert len(rows) == 60
    assert images[0.3] < images[1 / 255] <= images[0.002]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["net", "--eps", "0.1,"], "several with commas, got ''"),
        (["net", "--eps", "0.1,8"], "an Linf radius of at most 1, got 8"),
        (["net", "--method", "smoothing"], "listed first"),
        (["net", "--method", "crawn"], "Did you mean 'crown'"),
        (["loud", "--method", "crown"], "Use --method smoothing"),
        (["loud", "--eps", "0.1"], "--eps: expected a model or a --method of bounds"),
        (["net", "--alpha", "0.1"], "--alpha: expected a model with `inference: smoothing`"),
        (["net", "--seconds", "3"], "--method branch_and_bound"),
        (["net", "--norm", "L2"], "--eps beside --norm"),
        (["net", "--eps", "many"], "a finite radius"),
        (["net", "--eps", "inf"], "a finite radius"),
        (["net", "--eps", "8/"], "a finite radius"),
        (["net", "--eps", "8"], "an Linf radius of at most 1, got 8. Pixels live in [0, 1]: write 8/255"),
        (["net", "--eps", "1.5", "--norm", "Linf"], "an Linf radius of at most 1"),
    ],
)
def test_what_cannot_be_certified_is_refused(file, tmp_path, words, message):
    result = said("certify", str(file), *words, "-o", str(tmp_path / "other"), "-q")
    assert result.exit_code == 2
    assert message in " ".join(result.output.split())
    assert not (tmp_path / "other").exists()


def test_a_layer_without_bounds_is_refused_before_the_training(tmp_path):
    code = tmp_path / "smooth.py"
    code.write_text(
        "from torch import nn\n\n\ndef net():\n"
        "    return nn.Sequential(nn.Flatten(), nn.Linear(64, 8), nn.GELU(), nn.Linear(8, 10))\n"
    )
    file, run = tmp_path / "demo.yaml", tmp_path / "run"
    text = CONFIG.replace("architecture: digits_cnn", "architecture: smooth.py:net")
    file.write_text("\n".join(line for line in text.splitlines() if "loud" not in line))
    result = said("run", str(file), "-o", str(run), "--workers", "0", "-q", "--trust-code")
    assert result.exit_code == 2
    message = " ".join(result.output.split())
    assert "model 'net'" in message
    assert "GELU" in message
    assert not list((run / "models").glob("*/weights*"))


@pytest.mark.thorough
def test_a_false_certificate_is_the_first_line_and_exit_code_4(tmp_path, monkeypatch):
    from robench.bounds import Outcome, Verdict

    def lie(certifier, x, y, method, *, seed=0):
        return [
            Outcome(verdict=Verdict.CERTIFIED, bound=1.0, x_adv=None, domains=1, seconds=0.0)
            for _ in range(len(x))
        ]

    monkeypatch.setattr("robench.run.bound_units.certified_outcomes", lie)
    file, run = tmp_path / "demo.yaml", tmp_path / "run"
    file.write_text(CONFIG.replace("eps: 0.005", "eps: 0.3"))
    result = said("run", str(file), "-o", str(run), "--workers", "0", "-q")
    assert result.exit_code == 4
    first = next(line for line in result.output.splitlines() if line)
    assert first.startswith("CERTIFICATE BROKEN: net: ")
    assert "certified under Linf 0.3 are broken all the same" in first
    with (run / "leaderboard.csv").open() as lines:
        rows = {row["model"]: row for row in csv.DictReader(lines)}
    assert rows["net"]["doubted"] == "true"
    assert rows["net"]["rank"] == ""
    assert "broken-certificate" in rows["net"]["standing"]
    assert any(record.certificates for record in Store(run).read_records())
