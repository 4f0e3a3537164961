"""Heads by number of labels: medians, ranges, paired tests, and a figure with a panel a head."""

from xml.etree import ElementTree

from benchmarks.few_labels_report import draw, report


def result(right, setting="rate 0.1", n=1_000):
    return {"right": "1" * right + "0" * (n - right), "setting": setting}


def results():
    return {
        50: [
            {"softmax": result(700), "gll": result(760, "gll m 10"), "knn": result(701, "knn k 1")},
            {"softmax": result(690), "gll": result(700, "gll m 15"), "knn": result(600, "knn k 1")},
        ],
        1_000: [
            {"softmax": result(950), "gll": result(951, "gll m 15")},
            {"softmax": result(940), "gll": result(930, "gll m 15")},
        ],
    }


def test_medians_stand_with_their_range_and_absent_heads_are_dashes():
    lines = report(results()).splitlines()
    assert lines[0] == "| labels | softmax | gll | knn |"
    assert lines[2] == "| 50 | 69.5 (69.0 to 70.0) | 73.0 (70.0 to 76.0) | 65.0 (60.0 to 70.1) |"
    assert lines[3] == "| 1,000 | 94.5 (94.0 to 95.0) | 94.0 (93.0 to 95.1) | - |"


def test_heads_are_compared_with_softmax_image_by_image():
    text = report(results())
    assert "Of 6 paired tests" in text
    # 60 and 10 images more are beyond chance, 90 and 10 fewer too; a single image is not.
    assert "| 50 | gll | 2 | 0 | 0 | m 10, m 15 |" in text
    assert "| 50 | knn | 0 | 1 | 1 | k 1 |" in text
    assert "| 1,000 | gll | 0 | 1 | 1 | m 15 |" in text


def test_the_figure_has_a_panel_for_each_head(tmp_path):
    draw(results(), tmp_path / "few.svg")
    text = (tmp_path / "few.svg").read_text("utf-8")
    ElementTree.fromstring(text)
    assert text.count('<g id="axes_') == 2  # gll and knn
