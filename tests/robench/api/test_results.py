"""Results from Python: tables, figures and displays say what the records say."""

import subprocess
import sys
from dataclasses import replace

import pytest
import torch
from torch import nn

import robench
from robench.errors import ConfigError, InputError, PluginError
from robench.record.schema import Status


@pytest.fixture(scope="module")
def result():
    torch.manual_seed(0)
    data = robench.load_data("digits", limit=30)
    models = [
        robench.wrap(nn.Sequential(nn.Flatten(), nn.Linear(64, 10)), name=name, classes=10)
        for name in ("a", "<i>b</i>")
    ]
    attacks = {"PGD": robench.make_attack("pgd", steps=3), "FGSM": robench.make_attack("fgsm")}
    return robench.benchmark(models, data, attacks=attacks, eps="8/255")


def test_the_frame_has_a_line_for_each_image_of_each_record(result):
    frame = result.to_frame()
    assert len(frame) == sum(len(record.columns.index) for record in result.records) == 30 * 2 * 5
    mine = frame[(frame.model == "a") & (frame.source == "a") & (frame.attack == "PGD")]
    record = next(
        r for r in result.records if (r.target.name, r.source.name, r.attack.label) == ("a", "a", "PGD")
    )
    assert mine.status.tolist() == record.columns.status
    assert mine.linf.tolist() == record.columns.linf
    assert set(mine.eps_text) == {"8/255"}
    assert set(frame[frame.attack == "clean"].eps) == {0.0}


def test_the_leaderboard_agrees_with_the_frame(result):
    board = result.leaderboard().set_index("model")
    frame = result.to_frame()
    columns = list(result.leaderboard())
    assert columns[:7] == ["rank", "model", "clean", "worst_case", "n", "findings", "lifted_findings"]
    assert len(set(columns)) == len(columns) > 20
    for name in ("a", "<i>b</i>"):
        mine = frame[(frame.model == name) & (frame.attack != "clean")]
        worst = (
            mine.groupby("index").status.apply(lambda column: bool((column == Status.ROBUST).all())).mean()
        )
        assert board.loc[name, "worst_case"] == pytest.approx(worst)
        assert board.loc[name, "n"] == 30
        assert board.loc[name, "worst_case_low"] <= worst <= board.loc[name, "worst_case_high"]


def test_lifted_findings_have_a_column_of_their_own():
    """Zero gradients of one attack, which another one that needs none has answered."""
    from robench.api.results import Results
    from tests.reports.board.test_leaderboard import B, R, record

    both = [R] * 200, [B] * 20 + [R] * 180
    records = (
        record("a", "", "clean", [R] * 200, gradient=""),
        record("a", "a", "pgd", both[0], findings=["zero-gradient"]),
        record("a", "a", "square", both[1]),
        record("b", "", "clean", [R] * 200, gradient="", fingerprint="g", findings=["nonfinite"]),
        record("b", "b", "pgd", both[0], findings=["zero-gradient"], fingerprint="g"),
        record("b", "b", "square", both[1], fingerprint="g"),
    )
    results = Results(records=records)
    board = results.leaderboard().set_index("model")
    assert board.lifted_findings.tolist() == ["zero-gradient"] * 2
    assert board.findings.to_dict() == {"a": "zero-gradient", "b": "nonfinite zero-gradient"}
    assert board.standing.to_dict() == {"a": "", "b": "nonfinite"}
    assert "<td>nonfinite, (zero-gradient)</td>" in results._repr_html_()
    assert "<td>(zero-gradient)</td>" in results._repr_html_()
    with pytest.raises(ConfigError, match=r"a format that is written as files, got .screen."):
        results.write("nowhere", "screen")
    alone = Results(records=records[:1]).leaderboard()
    assert alone.lifted_findings.tolist() == alone.findings.tolist() == [""]


def test_displays_are_one_line_or_escaped(result):
    assert repr(result) == (
        "Evaluation(2 models, 2 attacks on Digits 8x8 test, 30 images; 10 records, 0 failed"
        "; robust under Linf 8/255: a 10.0 % (in doubt), <i>b</i> 0.0 % (in doubt))"
    )
    page = result._repr_html_()
    assert "<i>" not in page
    assert "&lt;i&gt;" in page
    assert "Worst case" in page
    data = robench.load_data("digits", limit=30)
    assert repr(data) == "ImageSet('Digits 8x8' test: 30 images (1, 8, 8) float32, 10 classes)"
    assert "<table>" in data._repr_html_()
    model = robench.wrap(nn.Linear(2, 2), name="<b>", classes=2)
    assert repr(model) == "Model('<b>': Linear, 2 classes, logits, independent, sources exact)"
    assert "<b>" not in model._repr_html_()
    empty = robench.Evaluation(records=())
    assert empty.to_frame().empty
    assert empty.leaderboard().empty
    assert "nothing" in empty._repr_html_()


def test_figures_are_drawn_when_asked_for_and_written_where_wanted(result, tmp_path):
    drawing = result.plot.tradeoff()
    assert drawing._repr_svg_().lstrip().startswith("<?xml")
    assert "\n" not in repr(drawing) + repr(result.plot)
    assert drawing.save(tmp_path / "t.png").read_bytes().startswith(b"\x89PNG")
    with pytest.raises(ConfigError, match="svg"):
        drawing.save(tmp_path / "t.txt")
    with pytest.raises(PluginError, match="'tradeoff'"):
        result.plot("tradof")


def test_a_figure_of_several_radii_asks_for_the_argument_of_python(result):
    other = robench.benchmark(
        nn.Sequential(nn.Flatten(), nn.Linear(64, 10)),
        robench.load_data("digits", limit=10),
        attacks="fgsm",
        eps=0.1,
    )
    both = robench.Evaluation(records=(*result.records, *other.records))
    with pytest.raises(ConfigError, match=r'plot\("transfer", board="TEXT"\)') as error:
        both.plot("transfer")
    assert "--board" not in str(error.value)
    assert both.plot("transfer", board="8/255").svg


@pytest.mark.thorough
def test_a_run_folder_is_read_as_it_lies(tmp_path):
    (tmp_path / "c.yaml").write_text(
        "name: c\ndataset: {name: digits, limit: 10}\nmodels: [{name: a, architecture: digits_cnn}]\n"
        "threats: [{norm: Linf, eps: 8/255, attacks: [fgsm]}]\n"
    )
    from typer.testing import CliRunner

    from robench.cli import app

    words = ["run", str(tmp_path / "c.yaml"), "-o", str(tmp_path / "c"), "--workers", "0", "--device", "cpu"]
    assert CliRunner().invoke(app, words).exit_code == 0
    run = robench.open_run(tmp_path / "c")
    assert (run.name, run.status, len(run.records), run.failures, run.damaged) == ("c", "finished", 2, (), ())
    assert "'c', finished: 1 model, 1 attack on Digits 8x8 test, 10 images" in repr(run)
    assert run.leaderboard().model.tolist() == ["a"]
    assert "'c', under way, or killed: 1 model" in repr(replace(run, status="running"))
    (unit := next((tmp_path / "c" / "units").glob("*.json"))).write_text("{")
    other = robench.open_run(tmp_path / "c")
    assert len(other.records) == 1
    assert unit.name in other.damaged[0]
    with pytest.raises(ConfigError, match="a run folder"):
        robench.open_run(tmp_path)


def test_a_model_is_called_in_evaluation_mode_and_left_in_its_own():
    net = nn.Sequential(nn.Flatten(), nn.Dropout(0.5), nn.Linear(4, 3)).train()
    model = robench.wrap(net, name="a", classes=3)
    x = torch.rand(2, 1, 2, 2, requires_grad=True)
    expected = net[2](x.flatten(1))
    outputs = model(x)
    assert torch.equal(outputs, expected)
    outputs.sum().backward()
    assert bool((x.grad != 0).any())
    assert net.training
    for wrong in (x[0], x.detach().numpy(), None):
        with pytest.raises(InputError, match="images as a tensor"):
            model(wrong)


def test_text_is_a_radius_in_a_threat_model_too():
    assert robench.ThreatModel(eps="8/255").eps == 8 / 255
    with pytest.raises(ConfigError, match="8/255"):
        robench.ThreatModel(eps="eight")


def test_models_that_are_none_are_refused():
    data = robench.load_data("digits", limit=5)
    with pytest.raises(InputError, match=r"robench\.wrap"):
        robench.benchmark(["linear"], data, attacks={}, eps=0.1)
    with pytest.raises(InputError, match=r"a torch\.nn\.Module or a function"):
        robench.wrap("net", name="a", classes=2)


def test_the_package_stays_light():
    code = (
        "import sys, robench, robench.api\n"
        "robench.open_run, robench.Run, robench.errors\n"
        "assert not {'torch', 'numpy', 'pandas', 'matplotlib', 'scipy'} & set(sys.modules)\n"
    )
    subprocess.run([sys.executable, "-c", code.replace(", robench.errors", "")], check=True)
