"""`model-index`: what huggingface_hub reads from the card is what the boards say."""

import pytest
from ruamel.yaml import YAML

from reports.board.leaderboard import boards
from reports.exports.model_index import ModelIndex
from robench.record.exchange.export_files import is_of_files, write_files
from tests.reports.exports import measured
from tests.reports.html.synthetic import made, trained_run
from tests.reports.text.test_renderers import HOSTILE
from tests.reports.text.test_renderers import records as hostile_records


def parts(path):
    """Metadata and text of a card."""
    empty, head, text = path.read_text("utf-8").split("---\n", 2)
    assert not empty
    return YAML(typ="safe", pure=True).load(head), text


@pytest.fixture
def card(tmp_path):
    paths = ModelIndex(license="mit")(measured.boards(), tmp_path)
    assert [p.parent.name for p in paths] == ["first", "second"]
    return paths[0]


def test_metadata_and_the_card_of_the_model(card):
    data, text = parts(card)
    assert data["pipeline_tag"] == "image-classification"
    assert data["datasets"] == ["ylecun/mnist"]
    assert data["license"] == "mit"
    assert text.startswith("\n# Model card: first\n")
    (model,) = data["model-index"]
    (result,) = model["results"]
    assert result["dataset"] == {"name": "MNIST", "type": "ylecun/mnist", "split": "test"}
    values = {metric["name"]: metric["value"] for metric in result["metrics"]}
    assert len(values) == 3
    for board in boards(measured.boards()):
        share = next(row for row in board.rows if row.model == "first").worst_case
        name = f"Robust accuracy, {board.threat.text(board.eps_text)}"
        assert values[name] == pytest.approx(100 * share.count / share.n, abs=0.005)


def test_the_hub_s_own_reader_reads_it_and_writes_the_same(card):
    hub = pytest.importorskip("huggingface_hub")
    from huggingface_hub.repocard_data import eval_results_to_model_index, model_index_to_eval_results

    data, _ = parts(card)
    metadata = hub.ModelCard(card.read_text("utf-8")).data
    assert metadata.model_name == "first"
    assert len(metadata.eval_results) == 3
    assert metadata.eval_results[0].metric_type == "accuracy"
    name, results = model_index_to_eval_results(data["model-index"])
    assert eval_results_to_model_index(name, results) == data["model-index"]


def test_a_data_set_of_the_user_bears_its_own_title(tmp_path):
    (path,) = ModelIndex()([made("a", "clean", 0, 120, 120, seed=1)], tmp_path)
    data, _ = parts(path)
    assert "datasets" not in data
    assert data["model-index"][0]["results"][0]["dataset"]["type"] == "toy"


@pytest.mark.parametrize("name", HOSTILE)
def test_no_name_breaks_out_of_the_metadata(name, tmp_path):
    paths = ModelIndex()(hostile_records(name), tmp_path)
    for path in paths:
        assert path.is_relative_to(tmp_path)
        data, _ = parts(path)
        assert set(data) == {"pipeline_tag", "tags", "metrics", "model-index"}


def test_the_card_of_a_run_has_its_training(tmp_path):
    folder, records = trained_run(tmp_path)
    (whole,) = write_files(ModelIndex(), records, tmp_path / "whole", runs=[folder])
    assert "Trained against: Linf 0.3, 7 steps." in whole.read_text("utf-8")
    (alone,) = write_files(ModelIndex(), records, tmp_path / "alone", runs=[])
    assert "trained by pgd_training; how in detail is not in what this card was made from" in alone.read_text(
        "utf-8"
    )


def test_a_format_that_reads_no_run_folders_is_not_given_any(tmp_path):
    class Names:
        def __call__(self, records, folder):
            return [folder / record for record in records]

    assert is_of_files(Names)
    assert write_files(Names(), ["a"], tmp_path, runs=[tmp_path]) == [tmp_path / "a"]
    assert not is_of_files(type("Pages", (), {"__call__": lambda self, records: []}))
