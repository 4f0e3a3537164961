"""The key `inference`: what it means, what is refused, and a whole run with it."""

import csv

import pytest
from typer.testing import CliRunner

from robench.cli import app
from robench.errors import RobenchError
from robench.plan.config import parse
from robench.plan.spec import content_hash, to_json
from tests.records import plain_of

CONFIG = """\
name: demo
dataset: {name: digits, limit: 20}
transfer: false
models:
  - name: natural
    architecture: digits_cnn
    train: {defense: {natural: {epochs: 1}}, data: {limit: 200}}
  - {name: jpeg, features_of: natural, inference: {jpeg: {quality: 75}}}
  - {name: smooth, features_of: natural, inference: [bit_depth, {smoothing: {votes: 3, samples: 2}}]}
  - {name: certain, features_of: natural, inference: {smoothing: {sigma: 0.1, votes: 3, samples: 2}}}
  - name: squeezed
    features_of: natural
    inference: {squeezing: {false_positives: 0.5}}
    sources: [adaptive/exact]
  - name: wnll
    features_of: natural
    head: {wnll: {m: 10, n: 5, template: 50}}
    inference: jpeg
    sources: [bpda/exact, undefended]
threats:
  - {norm: Linf, eps: 0.1, attacks: [fgsm]}
"""


def plan_of(text, tmp_path):
    return parse(text, file=tmp_path / "demo.yaml")


def test_one_choice_and_a_list_are_read_in_order(tmp_path):
    models = {spec.name: spec for spec in plan_of(CONFIG, tmp_path).models}
    assert models["natural"].inference == ()
    assert [c.name for c in models["smooth"].inference] == ["bit_depth", "smoothing"]
    assert models["jpeg"].inference[0].options == {"quality": 75}
    assert [c.name for c in models["squeezed"].inference] == ["squeezing"]


def test_a_model_without_the_key_is_written_as_it_was(tmp_path):
    plan = plan_of(CONFIG, tmp_path)
    assert "inference" not in to_json(plan.models[0])
    assert to_json(plan.models[1])["inference"] == [{"name": "jpeg", "options": {"quality": 75}}]
    assert content_hash(plan.models[1]) != content_hash(plan.models[0])


@pytest.mark.parametrize(
    ("old", "new", "line", "message"),
    [
        ("{defense: {natural: {epochs: 1}}", "{defense: jpeg", 7, "key `inference`"),
        ("inference: {jpeg: {quality: 75}}", "inference: pgd_training", 8, "under `train`"),
        ("inference: {jpeg: {quality: 75}}", "inference: [jpeg, natural]", 8, "under `train`"),
        ("{quality: 75}", "{quality: 101}", 8, "1 to 95"),
        ("{quality: 75}", "{qualty: 75}", 8, "quality"),
        ("inference: {jpeg: {quality: 75}}", "inference: jpg", 8, "Did you mean 'jpeg'"),
        ("inference: {jpeg: {quality: 75}}", "inference: []", 8, "at least one item"),
        ("[adaptive/exact]", "[adaptive]", 14, "adaptive/exact"),
        ("[bpda/exact, undefended]", "[exact]", 19, "bpda/exact"),
    ],
)
def test_what_is_refused_says_where_and_what_to_do(tmp_path, old, new, line, message):
    assert CONFIG.count(old) == 1
    with pytest.raises(RobenchError) as error:
        plan_of(CONFIG.replace(old, new), tmp_path)
    assert error.value.exit_code == 2
    assert f"demo.yaml:{line}" in str(error.value)
    assert message in str(error.value)


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """The folder of one whole run, and what the command line said."""
    folder = tmp_path_factory.mktemp("inference")
    file = folder / "demo.yaml"
    file.write_text(CONFIG)
    options = ["--device", "cpu", "--workers", "0", "-q"]
    result = CliRunner().invoke(
        app, ["run", str(file), "-o", str(folder / "run"), *options], prog_name="robench"
    )
    return file, folder / "run", result


@pytest.mark.thorough
def test_a_run_has_a_row_for_every_defended_model(finished):
    _, run, result = finished
    assert result.exit_code == 0, result.output
    with (run / "leaderboard.csv").open() as lines:
        rows = {row["model"]: row for row in csv.DictReader(lines)}
    assert set(rows) == {"natural", "jpeg", "smooth", "certain", "squeezed", "wnll"}
    assert len({row["fingerprint"] for row in rows.values()}) == 6
    with (run / "measurements.csv").open() as lines:
        sources = {
            (r["target"], r["gradient_source"]) for r in csv.DictReader(lines) if r["white_box"] == "true"
        }
    assert sources >= {
        ("natural", "exact"),
        ("jpeg", "bpda/exact"),
        ("jpeg", "undefended"),
        ("smooth", "eot/exact"),
        ("squeezed", "adaptive/exact"),
        ("wnll", "bpda/exact"),
    }
    assert ("squeezed", "undefended") not in sources


@pytest.mark.thorough
def test_records_say_which_defense_and_count_rejections_as_the_judge_does(finished):
    records = [plain_of(path) for path in (finished[1] / "units").glob("*.json")]
    own_records = [r for r in records if r["target"]["name"] == "squeezed"]
    assert own_records[0]["target"]["details"]["inference"][0]["defense"] == "FeatureSqueezing"
    columns = [
        (label, clean, adversarial, status)
        for record in own_records
        for label, clean, adversarial, status in zip(
            *(record["columns"][key] for key in ("label", "clean", "adversarial", "status")), strict=True
        )
    ]
    assert {status for _, clean, _, status in columns if clean == 10} == {"misclassified"}


@pytest.mark.thorough
def test_certify_writes_a_line_per_image_and_uses_the_trained_weights(finished):
    file, run, _ = finished
    weights = sorted((run / "models").glob("*/weights.safetensors"))
    stamps = [path.stat().st_mtime_ns for path in weights]
    before = (run / "plan.json").read_text()
    result = CliRunner().invoke(
        app,
        ["certify", str(file), "certain", "-o", str(run), "--device", "cpu", "-q", "--limit", "10",
         "--n0", "5", "--n", "30", "--alpha", "0.05", "--radii", "0,0.05"],
        prog_name="robench",
    )  # fmt: skip
    assert result.exit_code == 0, result.output
    with (run / "certified-certain.csv").open() as lines:
        rows = list(csv.DictReader(lines))
    assert [row["index"] for row in rows] == [str(i) for i in range(10)]
    right = sum(row["correct"] == "true" for row in rows)
    assert f"{right} of 10" in result.output
    assert "L2 0.05" in result.output
    assert [path.stat().st_mtime_ns for path in weights] == stamps
    assert (run / "plan.json").read_text() == before


@pytest.mark.thorough
@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["natural", "--method", "smoothing"], "Bounds do without"),
        (["smooth", "--method", "crown"], "bounded as it is"),
        (["nobody"], "Choose one of"),
        (["jpeg"], "listed first"),
        (["smooth"], "listed first"),
        (["certain", "--radii", "0,x"], "commas between"),
        (["certain", "--alpha", "2"], "between 0 and 1"),
    ],
)
def test_what_cannot_be_certified_is_refused(finished, arguments, message):
    file, run, _ = finished
    command = ["certify", str(file), *arguments, "-o", str(run), "--device", "cpu", "-q", "--limit", "2"]
    result = CliRunner().invoke(app, command, prog_name="robench")
    assert result.exit_code == 2
    assert message in " ".join(result.output.split())


@pytest.mark.thorough
def test_check_preflight_builds_defended_models(finished):
    file, _, _ = finished
    result = CliRunner().invoke(
        app, ["check", str(file), "--preflight", "--device", "cpu"], prog_name="robench"
    )
    assert result.exit_code == 0, result.output
    assert "model jpeg: ok on cpu, gradient sources: bpda/exact, undefended" in result.output


def test_show_says_how_a_defense_is_attacked():
    result = CliRunner().invoke(app, ["show", "total_variation"], prog_name="robench")
    assert "Attacked through: EOT over `draws` pixel dropouts" in result.output
    assert "inference" in result.output
