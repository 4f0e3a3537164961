"""Which number stands beside which published one, by hand, and what is said where settings differ."""

import pytest

from reports.paper.layout import paper_tables
from tests.reports.paper.made import B, M, R, card, details, record

SOFT, WNLL = details(), details("wnll", training="wnll_pgd", checkpoint="g")


CARDS = (card(), card("g", "wnll_pgd"))


def table(records, number, trainings=CARDS):
    return next(t for t in paper_tables(records, trainings) if t.published.number == number)


def lines(paper_table, label):
    return next(row.lines for row in paper_table.rows if row.label == label)


def entry(line, column):
    return next(e for e in line.entries if e.slot.column == column)


def white_box():
    return [
        record("cnn", "clean", [R, R, R, M], of=SOFT),
        record("cnn", "fgsm", [R, R, B, M], of=SOFT),
        record("cnn", "ifgsm", [R, B, B, M], of=SOFT),
        record("cnn", "ifgsm", [R, B, B, M], of=SOFT, options={"steps": 100}),
        record("graph", "clean", [R, R, R, R], of=WNLL),
        record("graph", "ifgsm", [R, R, R, B], of=WNLL, gradient="straight_through"),
        record("graph", "ifgsm", [R, R, B, R], of=WNLL, gradient="exact"),
    ]


def test_white_box_numbers_land_in_their_cells():
    paper_table = table(white_box(), "6")
    (line,) = lines(paper_table, "Small-CNN")
    counts = {e.slot.column: e.rate.count for e in line.entries if e.rate}
    assert counts == {"natural": 3, "FGSM": 2, "IFGSM40": 1, "IFGSM100": 1}
    assert (line.model, line.images) == ("cnn", 4)
    assert entry(line, "FGSM").difference == pytest.approx(50 - 98.17)
    assert entry(line, "C&W").rate is None
    assert entry(line, "C&W").difference is None


def test_a_graph_head_is_compared_through_the_paper_s_gradient_and_the_worst_is_shown_beside():
    (line,) = lines(table(white_box(), "6"), "Small-CNN-WNLL")
    cell = entry(line, "IFGSM40")
    assert (cell.rate.count, cell.worst.count) == (3, 2)
    assert cell.ours.source == "straight_through"


def test_without_the_paper_s_gradient_the_worst_counts_and_that_is_said():
    records = [r for r in white_box() if r.source.gradient_source != "straight_through"]
    (line,) = lines(table(records, "6"), "Small-CNN-WNLL")
    cell = entry(line, "IFGSM40")
    assert cell.rate.count == 3
    assert cell.notes == ("IFGSM40: attacked through exact (paper: straight_through)",)


def test_all_settings_equal_leave_only_images_and_trials_to_say():
    (line,) = lines(table(white_box(), "6"), "Small-CNN")
    assert line.differences == ("4 test images (paper: 10,000)", "one training (paper: median of 5)")


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"trainings": [card(epochs=8)]}, "training epochs 8 (paper: 100)"),
        ({"trainings": [card(eps=8 / 255)]}, "training eps 8/255 (paper: 0.3)"),
        ({"trainings": [card(images=20000)]}, "training images: 20,000 (paper: 60,000)"),
        ({"trainings": []}, "settings of the training unknown: its model card is not in the run folder"),
        ({"of": details(training="wnll_pgd")}, "trained by wnll_pgd (paper: pgd_training)"),
        (
            {"of": details(training="checkpoint", checkpoint="x")},
            "trained elsewhere: how is not in the records",
        ),
        ({"options": {"step_size": 0.02}}, "IFGSM40: step_size 0.02 (paper: 0.01)"),
        ({"total": 9}, "IFGSM40: partial: 4 of 9 images finished"),
    ],
)  # fmt: skip
def test_what_differs_is_said(change, said):
    trainings = change.pop("trainings", [card()])
    (line,) = lines(table([record("cnn", "ifgsm", [R] * 4, **change)], "6", trainings), "Small-CNN")
    assert said in line.differences


def test_a_graph_of_other_settings_is_said():
    other = details("wnll", training="pgd_training") | {"m": 15, "n": 8, "protocol": "independent"}
    (line,) = lines(table([record("g", "fgsm", [R] * 4, of=other)], "6"), "Small-CNN-WNLL")
    assert "graph m 15 (paper: 30)" in line.notes
    assert "graph protocol independent (paper: joint)" in line.notes
    assert "trained by pgd_training (paper: wnll_pgd)" in line.notes


def test_images_that_share_a_graph_are_counted():
    (line,) = lines(table([record("g", "fgsm", [R] * 4, of=WNLL)], "6"), "Small-CNN-WNLL")
    assert "4 test images share a graph (paper: 500)" in line.notes
    (line,) = lines(table([record("g", "fgsm", [R] * 500, of=WNLL)], "6"), "Small-CNN-WNLL")
    assert not [note for note in line.notes if "share a graph" in note]


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"dataset": "Fashion-MNIST"}, "Fashion-MNIST is not MNIST"),
        ({"split": "train"}, "judged on the split train"),
        ({"of": details(architecture="vgg11")}, "its network is vgg11"),
        ({"of": details(head="voting")}, "its head is voting"),
        ({"of": details(training="trades")}, "its training is trades"),
        ({"of": details(training="none")}, "its training is none"),
        ({"of": details(inference=[{"defense": "JPEG"}])}, "an inference-time defense is in front of it"),
        ({"eps": 0.2}, "no attack of the table was run under the paper's threat model"),
        ({"goal": "targeted"}, "no attack of the table was run under the paper's threat model"),
        ({"options": {"steps": 41}}, "no attack of the table was run under the paper's threat model"),
    ],
)
def test_what_does_not_belong_has_no_row_and_a_reason(change, why):
    paper_table = table([record("cnn", "ifgsm", [R] * 4, **change)], "6")
    assert not paper_table.filled
    assert paper_table.unplaced == (f"cnn: {why}",)


def test_a_copy_of_the_data_is_placed_and_named():
    of = details(architecture="resnet20")
    paper_table = table([record("net", "clean", [R] * 4, of=of, dataset="CIFAR-10 (JPEG copy)")], "8")
    (line,) = lines(paper_table, "ResNet20")
    assert "CIFAR-10 (JPEG copy): a JPEG re-encoding of the images" in line.notes


def test_transfer_is_from_the_softmax_twin():
    records = [
        *white_box(),
        record("graph", "fgsm", [R, R, B, B], of=WNLL, source="cnn"),
        record("graph", "fgsm", [B, B, B, B], of=WNLL),
        record("cnn", "fgsm", [B, B, B, B], of=SOFT, source="graph"),
    ]
    (line,) = lines(table(records, "7"), "Small-CNN-WNLL, crafted on Small-CNN")
    cell = entry(line, "FGSM")
    assert (cell.rate.count, cell.ours.crafted_on) == (2, "cnn")
    assert cell.notes == ("FGSM: crafted on cnn",)
    common = [record("cnn", "clean", [R] * 4, of=SOFT),
              record("graph", "fgsm", [R, R, B, B], of=details("wnll"), source="cnn")]  # fmt: skip
    (line,) = lines(table(common, "7"), "Small-CNN-WNLL, crafted on Small-CNN")
    assert "shares this model's network" in entry(line, "FGSM").notes[0]


def test_errors_are_the_other_side_of_the_interval():
    of = details(architecture="resnet20", training="natural")
    (line,) = lines(
        table([record("net", "clean", [R, R, R, M], of=of, dataset="CIFAR-100")], "4"), "ResNet20"
    )
    rate = entry(line, "vanilla").rate
    assert (rate.count, rate.n) == (1, 4)
    assert entry(line, "vanilla").difference == pytest.approx(25 - 35.79)
    assert entry(line, "WNLL").rate is None


def test_the_number_of_training_images_names_the_column_of_table_3():
    of = details(architecture="resnet20", training="svm")
    records = [record("net", "clean", [R, M], of=of, dataset="CIFAR-10")]
    paper_table = table(records, "3", [card(name="svm", images=50000)])
    (line,) = lines(paper_table, "ResNet20")
    assert [e.slot.column for e in line.entries if e.rate] == ["whole, SVM"]
    paper_table = table(records, "3", [card(name="svm", images=9999)])
    assert paper_table.unplaced == ("net: trained on 9,999 images",)


def test_training_in_another_norm_is_a_deviation_however_equal_the_radius():
    records = [record("cnn", "clean", [R, M])]
    (line,) = lines(table(records, "6", [card()]), "Small-CNN")
    assert not [note for note in line.notes if "norm" in note]
    (line,) = lines(table(records, "6", [card(norm="L2")]), "Small-CNN")
    assert "training norm L2 (paper: Linf)" in line.notes


def test_m_and_n_name_the_row_of_table_10():
    of = details("wnll", "resnet56", "wnll_pgd") | {"m": 45, "n": 23}
    paper_table = table([record("net", "clean", [R] * 4, of=of, dataset="CIFAR-10")], "10")
    assert [row.label for row in paper_table.rows if row.lines] == ["ResNet56-WNLL (45, 23)"]


def test_of_two_attacks_that_fit_the_closer_one_counts():
    records = [record("cnn", "ifgsm", [R] * 4), record("cnn", "ifgsm", [B] * 4, options={"step_size": 0.1})]
    (line,) = lines(table(records, "6"), "Small-CNN")
    assert entry(line, "IFGSM40").rate.count == 4
    equal = [record("cnn", "ifgsm", [R] * 4, options={"extra": 1}), record("cnn", "ifgsm", [R, R, R, B])]
    (line,) = lines(table(equal, "6"), "Small-CNN")
    assert entry(line, "IFGSM40").rate.count == 3


def test_findings_of_the_cell_and_of_the_clean_images_are_kept():
    records = [record("cnn", "clean", [R] * 4, findings=["random"]),
               record("cnn", "fgsm", [R] * 4, findings=["nonfinite"])]  # fmt: skip
    (line,) = lines(table(records, "6"), "Small-CNN")
    assert line.findings == ("nonfinite", "random")


def test_shards_count_together():
    records = [record("cnn", "fgsm", [R, B], total=4), record("cnn", "fgsm", [R, R], start=2, total=4)]
    (line,) = lines(table(records, "6"), "Small-CNN")
    assert (entry(line, "FGSM").rate.count, entry(line, "FGSM").rate.n) == (3, 4)


def test_the_template_of_table_2_is_the_whole_training_set():
    of = details("wnll", "raw_pixels", "none") | {"template": 5000}
    (line,) = lines(table([record("raw", "clean", [R, M], of=of)], "2"), "WNLL")
    assert "graph template 5000 (paper: 60000)" in line.notes
    (line,) = lines(table([record("raw", "clean", [R, M], of=of | {"template": 60000})], "2"), "WNLL")
    assert not [note for note in line.notes if "template" in note]
    assert entry(line, "MNIST").rate.count == 1
