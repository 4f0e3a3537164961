import csv
import io
import itertools
import json
import math
import re
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from rich.console import Console

from reports.board.shares import Share
from reports.text.csv import BOARD_COLUMNS, CELL_COLUMNS, CSV, ROW_COLUMNS, THREAT_COLUMNS
from reports.text.escape import number, percent, visible, with_interval
from reports.text.json import JSON
from reports.text.markdown import Markdown, escape
from reports.text.screen import Screen
from robench.record.schema import Columns, Finding
from tests.records import record_of

HOSTILE = {
    "pipe": "a|b",
    "formula": "=1+1",
    "plus": "+cmd|' /C calc'!A0",
    "at": "@SUM(A1)",
    "padded formula": "  =1+1",
    "script": "<script>alert(1)</script>",
    "ansi": "\x1b[31mred\x1b[0m",
    "bell": "a\x07\x08b",
    "newline": "a\nb\r\n| c |",
    "rich markup": "a[/red][bold]b",
    "markdown": "**b** _i_ `c` [l](http://x) ![i](x) # h ~~s~~ \\",
    "right to left": "\u05d0\u05d1\u05d2",
    "direction override": "abc\u202egnp.exe",
    "zero width": "a\u200bb",
    "surrogate": "a\ud800b",
    "entity": "&lt;b&gt;",
    "long": "x" * 500,
    "quotes": "\"a\",'b'",
    "empty": "",
    "emoji": "\U0001f600",
}
_keys = itertools.count()


def records(name, label="pgd"):
    results = []
    for attack in ("clean", label):
        status = ["robust", "robust" if attack == "clean" else "broken"]
        columns = Columns(
            index=[0, 1], label=[1, 1], clean=[1, 1], adversarial=[1, 2], status=status, linf=[0.0, 0.1],
            l2=[0.0, 0.2], forwards=[3.0, 3.0], backwards=[2.0, 2.0], first_success=[0, 1],
        )  # fmt: skip
        finding = Finding(code=name, evidence=name, remedy=name)
        results.append(
            record_of(
                key=f"k{next(_keys)}",
                target={"name": name, "fingerprint": "f"},
                source={
                    "name": "" if attack == "clean" else name,
                    "fingerprint": "f",
                    "gradient_source": name,
                },
                attack={"label": attack, "name": name, "options": {}, "minimises": True, "library": name},
                threat={}
                if attack == "clean"
                else {"norm": "L2", "eps": "inf", "eps_text": "inf", "goal": name},
                dataset={"name": name, "split": "test", "digest": name},
                seed=0,
                columns=columns,
                findings=(finding,),
                provenance={},
            )
        )
    return results


def on_screen(name, label="pgd"):
    stream = io.StringIO()
    console = Console(file=stream, width=300, force_terminal=True, color_system=None)
    for part in Screen(details=True)(records(name, label)):
        console.print(part)
    return stream.getvalue()


@pytest.mark.parametrize("name", HOSTILE.values(), ids=HOSTILE.keys())
class TestHostileNames:
    def test_csv(self, name, tmp_path):
        paths = CSV()(records(name, name or "pgd"), tmp_path)
        assert [p.name for p in paths] == ["leaderboard.csv", "measurements.csv", "curves.csv"]
        for line in csv.reader(io.StringIO(paths[2].read_text("utf-8"))):
            assert not [cell for cell in line if cell.lstrip().startswith(("=", "+", "@"))]
            assert all(cell.isprintable() for cell in line)
        for path, columns in zip(paths[:2], (ROW_COLUMNS, CELL_COLUMNS), strict=True):
            text = path.read_text("utf-8")
            assert text == "".join(s for s in text if s == "\n" or s.isprintable() or s == "\ud800")
            header, line = csv.reader(io.StringIO(text))
            first = (*BOARD_COLUMNS, *THREAT_COLUMNS, *columns)
            assert tuple(header[: len(first)]) == first
            assert len(line) == len(header)
            for cell in (*line, *header):
                assert not cell.lstrip().startswith(("=", "+", "@"))
            row = dict(zip(header, line, strict=True))
            model = row["model"] if "model" in row else row["target"]
            assert model.removeprefix("'") == visible(name)

    def test_markdown(self, name, tmp_path):
        (path,) = Markdown()(records(name, name or "pgd"), tmp_path)
        text = path.read_text("utf-8")
        own = re.compile(r"^<details><summary>[0-9a-z ]+</summary>$|^</details>$", re.MULTILINE)
        assert "<" not in own.sub("", text)  # nothing but our own fold
        assert all(s == "\n" or s.isprintable() for s in text)
        bars = []
        for line in text.splitlines():
            if line.startswith("|"):
                bars.append(line.replace("\\\\", "").replace("\\|", "").count("|"))
        table_widths = [len(list(group)) for _, group in itertools.groupby(bars)]
        assert all(rows >= 3 for rows in table_widths)

    def test_screen(self, name):
        text = on_screen(name, name or "pgd")
        assert "\x1b[31m" not in text
        assert all(s == "\n" or s == "\x1b" or s.isprintable() for s in text)
        if len(name) < 100:
            assert visible(name) in text

    def test_json(self, name, tmp_path):
        (path,) = JSON()(records(name), tmp_path)
        (board,) = json.loads(path.read_text("utf-8"))["boards"]
        assert board["rows"][0]["model"] == name
        assert board["eps"] == "inf"


@pytest.mark.thorough
@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.text(max_size=30))
def test_any_name_comes_through_every_renderer(name):
    examples = records(name)
    Markdown().render(examples).encode()
    rows = list(csv.reader(io.StringIO(CSV().render(examples))))
    assert len(rows) == 2
    on_screen(name)
    json.loads(JSON().render(examples))


def test_markdown_escapes_what_is_active_and_leaves_names_readable():
    assert escape("pgd_training-40 (x)") == "pgd_training-40 (x)"
    assert escape("a|b") == "a\\|b"
    assert escape("<b>&") == "&lt;b&gt;&amp;"
    assert escape("_x_") == "\\_x\\_"
    assert escape("a\nb") == "a\\\\nb"


def test_invisible_signs_are_written_out():
    assert visible("a\x1b\n\u202e\ud800b") == "a\\x1b\\n\\u202e\\ud800b"
    assert visible("\u05d0 x") == "\u05d0 x"


def test_numbers():
    assert percent(Share(1, 3)) == "33.3"
    assert with_interval(Share(8, 10)) == "80.0 [49.0, 94.3]"
    assert (percent(None), with_interval(Share(0, 0)), number(None)) == ("-", "-", "-")
    assert (number(0.0312), number(12345.6), number(3)) == ("0.0312", "12346", "3")


def test_numbers_reach_the_csv_as_fractions_and_empty_cells():
    header, line = csv.reader(io.StringIO(CSV().render(records("a"))))
    row = dict(zip(header, line, strict=True))
    assert (row["worst_case"], row["clean"], row["attack: pgd"]) == ("0.5", "1.0", "0.5")
    assert (row["rank"], row["partial"], row["eps"], row["n"]) == ("", "false", "inf", "2")
    assert math.isclose(float(row["median_l2"]), 0.2)


def test_no_records_give_empty_pages(tmp_path):
    assert Screen()([]) == []
    assert CSV().render([]).count("\n") == 1
    assert "Leaderboard" in Markdown().render([])
    assert json.loads(JSON().render([])) == {"schema": 1, "boards": [], "over_seeds": []}


def test_every_column_is_documented():
    text = (Path(__file__).parents[3] / "docs" / "results.md").read_text("utf-8")
    columns = {*BOARD_COLUMNS, *ROW_COLUMNS, *CELL_COLUMNS}
    assert [column for column in columns if f"`{column}`" not in text] == []
