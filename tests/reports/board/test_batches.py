"""Joint rows: an interval over batches where there are enough, a note, and a finding on uneven graphs."""

import json

import pytest
from scipy.stats import t

from reports.board.grouping import split_into_boards
from reports.board.leaderboard import boards
from reports.figures.palette import look_of
from reports.html.attack_tables import measurement_table
from reports.html.board_sections import board_sections
from reports.text.board_tables import detail_table
from reports.text.csv import CSV
from reports.text.json import JSON
from reports.text.markdown import Markdown
from reports.text.screen import Screen
from robench.record.measures.statistics import wilson
from tests.records import changed
from tests.reports.board.test_leaderboard import B, R, record


def shard(attack, number, statuses, *, size=20, coupling="joint", request=20, name="g"):
    clean = attack == "clean"
    one = record(
        name, "" if clean else name, attack, statuses, gradient="" if clean else "exact", start=number * size
    )
    provenance = {} if request is None else {"shard": request}
    return changed(one, target={"coupling": coupling}, provenance=provenance)


def run(breaks, *, size=20, **more):
    results = []
    for number, count in enumerate(breaks):
        results.append(shard("clean", number, [R] * size, size=size, **more))
        results.append(shard("pgd", number, [B] * count + [R] * (size - count), size=size, **more))
    return results


def row_of(records):
    (row,) = boards(records)[0].rows
    return row


def test_five_batches_give_an_interval_over_them_and_widen_the_headline():
    row = row_of(run([0, 4, 8, 12, 16]))
    # Accuracies 1, .8, .6, .4, .2: mean .6, sample deviation sqrt(.1), t of four degrees.
    half = float(t.ppf(0.975, 4)) * 0.1**0.5 / 5**0.5
    interval = row.worst_case.batches
    assert (interval.n, interval.low, interval.high) == pytest.approx((5, 0.6 - half, 0.6 + half))
    assert (row.worst_case.low, row.worst_case.high) == pytest.approx((0.6 - half, 0.6 + half))
    assert row.worst_case.low < wilson(60, 100)[0]
    assert row.joint


def test_batches_that_agree_do_not_narrow_it():
    row = row_of(run([8] * 5))
    assert (row.worst_case.batches.low, row.worst_case.batches.high) == pytest.approx((0.6, 0.6))
    assert (row.worst_case.low, row.worst_case.high) == wilson(60, 100)


@pytest.mark.parametrize(
    "records",
    [
        run([0, 4, 8, 12]),  # too few
        run([0, 4, 8, 12, 16], coupling="independent"),
        [*run([0, 4, 8, 12, 16])[:-2], shard("clean", 4, [R] * 9), shard("pgd", 4, [R] * 9)],  # uneven
        run([0, 4, 8, 12, 16]) + run([1, 2, 3, 4], size=25),  # each image in two graphs
    ],
)
def test_elsewhere_it_is_wilsons(records):
    share = row_of(records).worst_case
    assert share.batches is None
    assert (share.low, share.high) == wilson(share.count, share.n)


def codes(records):
    return row_of(records).findings, row_of(records).unlifted


def test_graphs_of_unequal_size_put_the_row_in_doubt():
    records = [*run([0, 4, 8]), shard("clean", 3, [R] * 18), shard("pgd", 3, [R] * 18)]
    assert codes(records) == (("shard-size", "too-few-images"), ("shard-size",))
    (doubt,) = [d for d in boards(records)[0].doubts if d.code == "shard-size"]
    assert "18 to 20" in doubt.evidence
    even = [*run([0, 4, 8]), shard("clean", 3, [R] * 19), shard("pgd", 3, [R] * 19)]
    assert codes(even) == (("too-few-images",), ())


def test_graphs_of_another_size_than_asked_are_told_only():
    assert codes(run([0, 4, 8, 12, 16], request=50)) == (("shard-size",), ())
    assert row_of(run([0, 4, 8, 12, 16], request=50)).rank == 1
    assert codes(run([0, 4, 8, 12, 16], request=21)) == ((), ())
    assert codes(run([0, 4, 8, 12, 16], request=None)) == ((), ())  # a record of an earlier version
    assert codes(run([0, 4, 8, 12, 16], request=50, coupling="independent")) == ((), ())


def plain(parts):
    return " ".join(str(part) for part in parts)


def test_every_board_says_that_images_of_a_graph_are_not_independent():
    joint, alone = run([0, 4, 8, 12, 16]), run([0, 4, 8, 12, 16], coupling="independent")
    sentence = "Images of one graph are not independent"
    assert sentence in Markdown().render(joint)
    assert sentence in plain(Screen()(joint))
    assert "also hold Student" in Markdown().render(joint)
    assert sentence in Markdown().render(run([0, 4]))
    assert "Student" not in Markdown().render(run([0, 4]))
    assert sentence not in Markdown().render(alone)
    assert sentence not in plain(Screen()(alone))


def test_details_csv_and_json_hold_the_interval_over_batches():
    records = run([0, 4, 8, 12, 16])
    header, (line,) = detail_table(boards(records)[0])
    assert dict(zip(header, line, strict=True))["Batches"] == "5"
    assert "Batches" not in detail_table(boards(run([0, 4]))[0])[0]
    names, values = CSV().render(records).splitlines()[:2]
    cells = dict(zip(names.split(","), values.split(","), strict=True))
    assert (cells["joint"], cells["batches"]) == ("true", "5")
    assert float(cells["worst_case_batch_low"]) == pytest.approx(float(cells["worst_case_low"]))
    (row,) = json.loads(JSON().render(records))["boards"][0]["rows"]
    assert row["worst_case"]["batches"]["n"] == 5


def test_the_page_says_it_too():
    records = run([0, 4, 8, 12, 16])
    every, samples = boards(records), split_into_boards(records)
    (section,) = board_sections(every, samples, {}, [set()], look=look_of(["a"]))
    assert "Images of one graph are not independent" in section.note
    cells = measurement_table(boards(records)[0].cells, norm="Linf", name="cells", caption="")
    line = dict(zip((c.title for c in cells.columns), (e.text for e in cells.rows[0]), strict=True))
    assert line["Batches"] == "5"
    assert line["Over batches, %"].startswith("[")
    few = measurement_table(boards(run([0, 4]))[0].cells, norm="Linf", name="cells", caption="")
    assert len(few.columns) == len(few.rows[0]) == len(cells.columns) - 2
