"""`.eval_results` files: read by the hub's own reader, with the numbers of the boards and their doubts."""

import pytest
from ruamel.yaml import YAML

from reports.board.leaderboard import boards
from reports.exports.eval_results import EvalResults
from robench.errors import ConfigError
from robench.recipe import build
from tests.records import changed
from tests.reports.board.test_leaderboard import B, M, R
from tests.reports.board.test_size_ranks import without_radius
from tests.reports.exports import measured
from tests.reports.html.synthetic import made

KEYS = {"dataset": {"id", "task_id", "revision"}, "source": {"url", "name", "user", "org"}}
"""Of hub-docs, eval_results.yaml; beside `value`, `date`, `notes` and `verifyToken`."""


def files(folder):
    return {
        p.name: YAML(typ="safe", pure=True).load(p.read_text("utf-8")) for p in sorted(folder.glob("*.yaml"))
    }


@pytest.fixture
def folder(tmp_path):
    EvalResults()(measured.boards(), tmp_path)
    return tmp_path / "first" / ".eval_results"


def test_a_file_for_each_number_with_the_value_of_the_board(folder):
    entries = files(folder)
    assert set(entries) == {
        "mnist-accuracy.yaml",
        "mnist-robust_accuracy_linf_0.1.yaml",
        "mnist-robust_accuracy_linf_0.2.yaml",
    }
    (entry,) = entries["mnist-robust_accuracy_linf_0.1.yaml"]
    board = next(b for b in boards(measured.boards()) if b.eps == 0.1)
    share = next(row for row in board.rows if row.model == "first").worst_case
    assert entry["dataset"] == {"id": "ylecun/mnist", "task_id": "robust_accuracy_linf_0.1"}
    assert entry["value"] == pytest.approx(100 * share.count / share.n, abs=0.005)
    ends = f"{round(100 * share.low, 2)} to {round(100 * share.high, 2)}"
    for words in ("Linf 0.1, untargeted", "attacks: pgd, fgsm", "n 120", ends):
        assert words in entry["notes"]


@pytest.mark.parametrize(
    ("threat", "task"),
    [
        ({"goal": "targeted"}, "robust_accuracy_linf_0.1_targeted"),
        ({"knowledge": ["template"]}, "robust_accuracy_linf_0.1_without_weights"),
        (
            {"knowledge": [], "budget": 9},
            "robust_accuracy_linf_0.1_without_weights_budget_9",
        ),
        ({"bounds": [0.0, 0.5]}, "robust_accuracy_linf_0.1_pixels_0_0.5"),
    ],
)
def test_an_unusual_threat_is_a_task_of_its_own(tmp_path, threat, task):
    records = measured.boards()
    attacks = [record for record in records if record.attack.label == "pgd"]
    other = [changed(record, threat=threat, key=f"{record.key}-other") for record in attacks]
    EvalResults()([*records, *other], tmp_path)
    tasks = [entry["dataset"]["task_id"] for (entry,) in files(tmp_path / "first" / ".eval_results").values()]
    assert tasks.count("robust_accuracy_linf_0.1") == tasks.count(task) == 1
    EvalResults(task="{metric}_{goal}_{eps}")([*records, *other], tmp_path / "goals")
    if "goal" in threat:
        texts = str(files(tmp_path / "goals" / "first" / ".eval_results"))
        assert "'robust_accuracy_targeted_0.1'" in texts


def test_a_template_that_is_withheld_counts_where_there_is_one(tmp_path):
    records = [changed(record, threat={"knowledge": ["weights"]}) for record in measured.boards()]
    graphs = [
        changed(record, target={"details": {"architecture": "toy", "head": "wnll"}}) for record in records
    ]
    EvalResults()(records, tmp_path / "linear")
    EvalResults()(graphs, tmp_path / "wnll")
    for name, ending in (("linear", "0.1"), ("wnll", "0.1_without_template")):
        assert f"'robust_accuracy_linf_{ending}'" in str(files(tmp_path / name / "first" / ".eval_results"))


def test_keys_are_those_of_the_documentation(tmp_path):
    plugin = EvalResults(
        source_url="example", source_name="a run", source_user="me", revision="abc", date="2026-01-31"
    )
    plugin(measured.boards(), tmp_path)
    for (entry,) in files(tmp_path / "first" / ".eval_results").values():
        assert set(entry) == {"dataset", "value", "date", "source", "notes"}
        for part, keys in KEYS.items():
            assert set(entry[part]) <= keys
        assert isinstance(entry["value"], float)
        assert isinstance(entry["date"], str)


def test_the_hub_s_own_reader_reads_them(tmp_path):
    hub = pytest.importorskip("huggingface_hub")
    EvalResults(source_url="example", source_name="a run", date="2026-01-31")(measured.boards(), tmp_path)
    contents = files(tmp_path / "second" / ".eval_results").values()
    assert contents
    for content in contents:
        entries = hub.parse_eval_result_entries(content)
        assert hub.eval_result_entries_to_yaml(entries) == content
        assert entries[0].dataset_id == "ylecun/mnist"


def test_a_doubted_and_partial_row_says_so_first(tmp_path):
    records = measured.on_mnist([
        made("a", "clean", 0, 120, 120, seed=1),
        made("a", "pgd", 0, 120, 120, seed=1, findings=["nonfinite"]),
        made("a", "fgsm", 0, 60, 120, seed=1, findings=["nonfinite"]),
    ])  # fmt: skip
    EvalResults()(records, tmp_path)
    (entry,) = files(tmp_path / "a" / ".eval_results")["mnist-robust_accuracy_linf_0.1.yaml"]
    assert "IN DOUBT: nonfinite" in entry["notes"]
    assert "PARTIAL: fgsm through exact 60 of 120 images" in entry["notes"]


def test_without_a_radius_the_median_size_is_the_number(tmp_path):
    sizes = [0.5] * 40 + [2.0] * 80
    records = measured.on_mnist(without_radius("first", sizes, [M] * 30 + [B] * 90))
    EvalResults()(records, tmp_path)
    (entry,) = files(tmp_path / "first" / ".eval_results")["mnist-median_perturbation_l2_inf.yaml"]
    assert entry["value"] == 2.0  # of 30 times 0, 10 times 0.5 and 80 times 2
    assert "median over all images, 0 for one that was wrong before" in entry["notes"]


def test_a_median_that_no_change_reaches_is_no_number(tmp_path):
    EvalResults()(measured.on_mnist(without_radius("first", [1.0] * 120, [R] * 70 + [B] * 50)), tmp_path)
    assert "mnist-median_perturbation_l2_inf.yaml" not in files(tmp_path / "first" / ".eval_results")


def test_names_cannot_leave_the_folder(tmp_path):
    records = [changed(r, target={"name": "../up"}, source={"name": "../up"}) for r in measured.boards()[:1]]
    (folder,) = EvalResults()(records, tmp_path / "out")
    assert folder.parent == tmp_path / "out"
    assert list(tmp_path.iterdir()) == [tmp_path / "out"]


class TestRefusals:
    def test_a_data_set_that_the_hub_does_not_know(self, tmp_path):
        with pytest.raises(ConfigError, match=r"none for 'toy'.*--set dataset=ORG/NAME"):
            EvalResults()([made("a", "clean", 0, 120, 120, seed=1)], tmp_path)
        assert not list(tmp_path.iterdir())

    @pytest.mark.parametrize(
        ("options", "words"),
        [
            ({"source_name": "me"}, "source_url"),
            ({"date": "yesterday"}, "yesterday"),
            ({"data": "x"}, "dataset"),
        ],
    )
    def test_options(self, options, words):
        with pytest.raises(ConfigError, match=words):
            build(EvalResults, options, where="--set")

    def test_an_unknown_part_of_a_task(self, tmp_path):
        with pytest.raises(ConfigError, match=r"\{norm\}.*got '\{radius\}'"):
            EvalResults(task="{radius}")(measured.boards(), tmp_path)
