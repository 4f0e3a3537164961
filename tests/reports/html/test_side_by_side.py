"""One image under every attack and head: which is chosen, and that its pictures are the stored ones."""

import numpy as np
import pytest
from safetensors.numpy import save_file

from reports.board.grouping import split_into_boards
from reports.board.leaderboard import boards
from reports.html import side_by_side
from reports.html.gallery import Guide
from reports.html.page import HTML
from reports.html.pixels import Pixels
from robench.record.store import Store
from tests.records import changed
from tests.reports.board.test_leaderboard import B, M, R, record
from tests.reports.html.synthetic import run_folder
from tests.reports.html.test_gallery import decoded

LINKS = {"a": "#model-0", "b": "#model-1", "c": "#model-2"}


def stored(root):
    """Three models; `c` has the features of `a`. Image 2 falls to most, image 0 was wrong for one of them."""
    records = [record(name, "", "clean", [R] * 4, gradient="") for name in "abc"]
    for name, weak, strong in (
        ("a", [M, R, B, R], [M, B, B, R]),
        ("b", [R, R, R, R], [R, R, R, R]),
        ("c", [B, R, R, R], [B, R, B, R]),
    ):
        records += [
            record(name, name, "weak", weak, l2=[1.0] * 4),
            record(name, name, "strong", strong, l2=[1.0] * 4),
        ]
    records = [
        changed(
            one,
            provenance={"crafted": "" if one.attack.label == "clean" else one.attack.label},
            target={"details": {"features_of": "a"} if one.target.name == "c" else {}},
        )
        for one in records
    ]
    store = Store(root)
    store.prepare()
    levels = np.arange(4 * 3 * 2 * 2, dtype=np.uint8).reshape(4, 3, 2, 2)
    save_file({"images": levels, "index": np.arange(4)}, store.images("d0"))
    for name, change in (("weak", 0.25), ("strong", 0.125)):
        save_file({"x_adv": (levels / 255 + change).astype(np.float32)}, store.adv(name))
    return records, levels


def compared(root, records):
    guides = [Guide(own, Pixels(root)) for own in split_into_boards(records)]
    (comparison,) = side_by_side.comparisons(boards(records), guides, LINKS)
    return comparison


def test_by_hand(tmp_path):
    records, levels = stored(tmp_path)
    comparison = compared(tmp_path, records)
    # Right for `a` and `c` from the start: 1, 2, 3. Falls: image 2 three times, image 1 once, 3 never.
    assert [one.index for one in comparison] == [2, 1]
    first = comparison[0]
    assert first.attacks == ("weak", "strong")
    by_model = {lane.model: lane for lane in first.lanes}
    assert set(by_model) == {"a", "c"}  # heads on one network, although `b` is best
    changes = {name: [cell.after != cell.before for cell in lane.cells] for name, lane in by_model.items()}
    assert changes == {"a": [True, True], "c": [False, True]}
    assert by_model["a"].link == "#model-0"
    expected = np.round((levels[2] / 255 + 0.125) * 255).astype(np.uint8).transpose(1, 2, 0)
    assert np.array_equal(decoded(by_model["c"].cells[1].adversarial), expected)
    assert np.array_equal(decoded(first.clean), levels[2].transpose(1, 2, 0))


def test_models_of_one_network_are_preferred_and_without_them_the_best_two_are_shown(tmp_path):
    records, _ = stored(tmp_path)
    for one in records:
        one.target.details.pop("features_of", None)
    (board,), (own,) = boards(records), split_into_boards(records)
    names = [own.names[target] for target in side_by_side.heads(board, own)]
    assert names == [row.model for row in board.rows][:2]


def test_without_pictures_no_columns_are_read_from_the_records(tmp_path, monkeypatch):
    records, _ = stored(tmp_path / "full")
    guides = [Guide(samples, Pixels(tmp_path)) for samples in split_into_boards(records)]
    monkeypatch.setattr(side_by_side, "table_of", lambda records: pytest.fail("a table was made"))
    assert side_by_side.comparisons(boards(records), guides, LINKS) == [()]


def test_no_image_no_comparison(tmp_path):
    records, _ = stored(tmp_path)
    assert compared(tmp_path / "nothing", records) == ()
    assert compared(None, records) == ()


def test_a_page_has_no_more_than_fits(tmp_path, monkeypatch):
    records, _ = stored(tmp_path)
    (one, two) = compared(tmp_path, records)
    monkeypatch.setattr(side_by_side, "MOST_BYTES", one.weight + two.weight - 1)
    assert [entry.index for entry in compared(tmp_path, records)] == [2]


@pytest.mark.thorough
@pytest.mark.parametrize("name", ["<script>alert(1)</script>", "=1+1"])
def test_the_page_shows_it_and_escapes_names(tmp_path, name):
    text = HTML().render_run(run_folder(tmp_path, names=[name, "b"]))
    assert "One image under every attack" in text
    assert "<script>alert" not in text
