"""Tables that fit: nothing is lost, nothing is wider than the terminal, and names stand in every part."""

import io
import re

import pytest
from rich.console import Console

from reports.text.fitting_table import FittingTable
from reports.text.screen import Screen
from robench.record.schema import Finding
from tests.records import changed
from tests.reports.board.test_leaderboard import B, R, record


def shown(what, width):
    stream = io.StringIO()
    Console(file=stream, width=width, color_system=None).print(what)
    return stream.getvalue()


def table(columns, **options):
    header = ["Model", *(f"column {i}" for i in range(columns))]
    rows = [[name, *(f"{name}{i}" for i in range(columns))] for name in ("a", "b")]
    return FittingTable(title="title", header=header, rows=rows, left=frozenset({"Model"}), **options)


def test_what_fits_is_one_table():
    text = shown(table(3), 80)
    assert text.count("Model") == 1
    assert text.count("title") == 1


def test_parts_are_filled_one_after_the_other():
    # widths 5, then 10 each: keys 5, gaps of 3 and 2 cells at the edges: two columns need 5 + 2 * 13 + 2 = 33
    layout = table(5)
    assert layout.parts([5, 10, 10, 10, 10, 10], 33) == [[0, 1, 2], [0, 3, 4], [0, 5]]
    assert layout.parts([5, 10, 10, 10, 10, 10], 32) == [[0, 1], [0, 2], [0, 3], [0, 4], [0, 5]]
    assert layout.parts([5, 99, 10], 33) == [[0, 1], [0, 2]]


def test_the_headline_comes_first_where_there_are_parts():
    assert table(3, first=frozenset({"column 2"})).parts([5, 10, 10, 10], 33) == [[0, 3, 1], [0, 2]]


@pytest.mark.parametrize("width", [40, 80, 200])
@pytest.mark.parametrize("models", [1, 4, 12])
def test_a_board_fits_and_keeps_every_number(width, models):
    records = []
    for number in range(models):
        name = f"a-model-with-quite-a-long-name-{number}"
        records.append(record(name, "", "clean", [R] * 10))
        for attack in range(10):
            statuses = [R] * (10 - attack) + [B] * attack
            records.append(
                record(name, name, f"library/attack-{attack}", statuses, findings=("zero-gradient",))
            )
    items = [shown(item, width) for item in Screen()(records)]
    assert all(max(map(len, text.splitlines())) <= width for text in items)
    whole = "".join(items)
    for attack in range(10):
        assert f"{100 - 10 * attack}.0" in whole
    if width == 80:
        assert "a-model-with-quite-a-long-name" in whole


@pytest.mark.parametrize("width", [*range(30, 35), *range(37, 52), 80])  # 35, 36: another name
@pytest.mark.parametrize("colours", [None, "truecolor"])
def test_lines_made_at_once_look_as_cells_made_by_rich(width, colours, monkeypatch):
    layout = FittingTable(
        title="title [b]",
        header=["Crafted on \\ judged on", "n", "\u7db2", "Findings"],
        rows=[
            ["a", "1", "2.5", "-"],
            ["[bold]", "1000", "", "low-clean"],
            ["\u7db2\u8def", "3", "11.0", "x y"],
        ],
        left=frozenset({"Crafted on \\ judged on", "Findings"}),
    )

    def looks():
        stream = io.StringIO()
        Console(file=stream, width=width, color_system=colours, force_terminal=bool(colours)).print(layout)
        plain = re.sub(r"\x1b\[[0-9;]*m", "", stream.getvalue())
        return [line.rstrip() for line in plain.splitlines()]

    at_once = looks()
    monkeypatch.setattr(FittingTable, "_unfolded", lambda self, columns, most: None)
    assert at_once == looks()


@pytest.mark.parametrize("width", range(43, 70))
def test_names_are_folded_before_numbers_are(width):
    header = ["Model", "Clean [95% CI]", "Worst case [95% CI]", "a (long) name"]
    row = ["softmax", "98.5 [95.7, 99.5]", "49.5 [42.6, 56.4]", "1.0"]
    text = shown(FittingTable(title="", header=header, rows=[row], left=frozenset({"Model"})), width)
    assert max(map(len, text.splitlines())) <= width
    assert all(cell in text for cell in row)
    assert "[95%\n" not in text
    assert text.count("[95% CI]") == 2


@pytest.mark.parametrize("goal", ["targeted", "untargeted"])
def test_a_targeted_board_says_what_counts_as_robust(goal):
    clean = record("a", "", "clean", [R] * 4, gradient="")
    attack = changed(record("a", "a", "pgd", [B, R, R, R]), threat={"goal": goal})
    text = "".join(shown(part, 200) for part in Screen()([clean, attack]))
    assert ("counts as robust unless the answer is its target" in text) == (goal == "targeted")


@pytest.mark.parametrize(
    ("evidence", "is_shown"), [("67 of 100 images got", True), ("4 of 100 images got", False)]
)
def test_many_ties_are_explained_although_they_put_nothing_in_doubt(evidence, is_shown):
    finding = Finding(code="tied-output", evidence=f"{evidence} no answer: classes share it", remedy="Look")
    records = [record("m", "", "clean", [R] * 10).noting(findings=(finding,))]
    records.append(record("m", "m", "pgd", [R] * 10))
    text = "".join(shown(item, 200) for item in Screen()(records))
    assert ("! m: tied-output" in text) == is_shown
