"""The paper's tables in every format, with names that try to break out."""

import csv
import dataclasses
import io
import itertools
import json

import pytest
from rich.console import Console

from reports.board.run_folder import Run
from reports.paper import renderers
from reports.paper.layout import paper_tables
from reports.paper.report import Paper
from robench.errors import ConfigError
from robench.record.planned import planned_run
from tests.records import changed
from tests.reports.paper.made import B, M, R, details, record
from tests.reports.text.test_renderers import HOSTILE


def records(name):
    return [record(name, "clean", [R, R]), record(name, "fgsm", [R, B]),
            record(f"{name}2", "fgsm", [R, R], of=details("wnll"), source=name, findings=[name])]  # fmt: skip


def shown(name):
    stream = io.StringIO()
    console = Console(file=stream, width=400, force_terminal=True, color_system=None)
    for part in renderers.as_renderables(paper_tables(records(name)), [f"Left out, {name}: {name}"]):
        console.print(part)
    return stream.getvalue()


@pytest.mark.parametrize("name", HOSTILE.values(), ids=HOSTILE.keys())
def test_hostile_names(name):
    results = records(name)
    markdown, tex = Paper().render(results), Paper(format="tex").render(results)
    lines = list(csv.reader(io.StringIO(Paper(format="csv").render(results))))
    assert "<" not in markdown
    for text in (markdown, tex, *itertools.chain(*lines)):
        assert all(sign == "\n" or sign.isprintable() for sign in text)
    assert len({len(line) for line in lines}) == 1
    assert not [cell for line in lines for cell in line if cell.lstrip()[:1] in {"=", "@"}]
    bars = [line.replace("\\\\", "").replace("\\|", "").count("|") if line.startswith("|") else 0
            for line in markdown.splitlines()]  # fmt: skip
    assert all(len(list(group)) >= 3 for width, group in itertools.groupby(bars) if width)
    bare = tex.replace("\\{", "").replace("\\}", "").replace("\\&", "").replace("\\\\", "")
    assert bare.count("{") == bare.count("}")
    rows = [line for line in bare.splitlines() if " & " in line]
    widths = [len(list(group)) for _, group in itertools.groupby(line.count(" & ") for line in rows)]
    assert all(width >= 3 for width in widths)
    assert name in {cell["model"] for cell in json.loads(Paper(format="json").render(results))["cells"]}
    assert "\x1b[31m" not in shown(name)


def test_the_difference_stands_under_ours():
    text = Paper(table="6").render(records("net"))
    rows = [
        [cell.strip() for cell in line.split("|")[1:-1]] for line in text.splitlines() if line[0:1] == "|"
    ]
    ours = next(row for row in rows if row[1].startswith("ours: net"))
    after = rows[rows.index(ours) + 1]
    assert (ours[2], ours[3].split(" ")[0], ours[4].split(" ")[0]) == ("2", "100.00", "50.00")
    assert (after[1], after[3], after[4]) == ("difference", "+0.67", "-48.17")
    assert "- \\[a\\] net: 2 test images (paper: 10,000)" in text


def test_models_that_differ_alike_share_a_note():
    alike = [
        one
        for name in ("net", "twin")
        for one in (record(name, "clean", [R, R]), record(name, "fgsm", [R, B]))
    ]
    text = Paper(table="6").render([*alike, record("other", "fgsm", [R, B, R])])
    assert "| ours: net \\[a\\] |" in text
    assert "| ours: twin \\[a\\] |" in text
    assert "| ours: other \\[b\\] |" in text
    assert "- \\[a\\] net, twin: 2 test images (paper: 10,000)" in text
    assert text.count("2 test images (paper: 10,000)") == 1


def test_csv_holds_fractions_and_points():
    lines = list(csv.DictReader(io.StringIO(Paper(table="6", format="csv").render(records("net")))))
    (line,) = [x for x in lines if (x["row"], x["column"]) == ("Small-CNN", "FGSM")]
    assert (line["published"], line["ours"], line["difference_points"]) == ("0.9817", "0.5", "-48.17")
    (empty,) = [x for x in lines if (x["row"], x["column"]) == ("Small-CNN", "C&W")]
    assert (empty["published"], empty["ours"], empty["model"], empty["n"]) == ("0.9531", "", "", "")


def test_without_any_number_it_says_what_to_do():
    with pytest.raises(ConfigError, match="no finished unit"):
        Paper().render([])
    with pytest.raises(ConfigError, match="none that did"):
        Paper().render([record("net", "clean", [R], dataset="toy")])
    text = Paper(table="6").render([record("net", "clean", [R], dataset="toy")])
    assert "without a row: net: toy is not MNIST" in text
    assert "99.33" in text


def test_an_unknown_table_is_refused():
    with pytest.raises(ConfigError, match="one of the tables 1, 2, 3"):
        Paper(table="12")


def test_the_file_of_a_run(tmp_path):
    (path,) = Paper(format="tex")(records("net"), tmp_path)
    assert path.name == "paper-tables.tex"
    assert path.read_text("utf-8").count(r"\begin{table}") == 2
    assert Run(records=()).trainings == ()


PLANNED = planned_run({
    "name": "p", "transfer": False, "models": [{"name": "net"}, {"name": "gone"}],
    "threats": [{"norm": "Linf", "eps": 0.3, "attacks": [{"label": "fgsm"}, {"label": "ifgsm"}]}],
})  # fmt: skip


@pytest.mark.parametrize(
    ("attacks", "sources", "lacks"),
    [
        (["fgsm"], [], "ifgsm 0 of 2 images"),
        (["fgsm", "ifgsm"], ["exact", "smooth"],
         "fgsm through smooth 0 of 2 images; ifgsm through smooth 0 of 2 images"),
        (["fgsm", "ifgsm"], [], ""),
    ],
)  # fmt: skip
def test_every_format_says_what_a_row_lacks_of_its_plan(attacks, sources, lacks):
    results = [record("net", attack, [R, B]) for attack in ("clean", *attacks)]
    results = [changed(one, target={"sources": sources}) for one in results]
    results = [dataclasses.replace(one, planned=PLANNED) for one in results]
    rows = list(csv.DictReader(io.StringIO(Paper(format="csv", table="6").render(results))))
    assert {row["row_lacks"] for row in rows if row["model"] == "net" and row["attack"] == "fgsm"} == {lacks}
    data = json.loads(Paper(format="json", table="6").render(results))
    assert {cell["row_lacks"] for cell in data["cells"] if cell["attack"] == "fgsm" and cell["model"]} == {
        lacks
    }
    assert any("Partial, gone" in remark for remark in data["remarks"])
    assert any("Partial, net" in remark for remark in data["remarks"]) == bool(lacks)
    assert all(part in Paper(table="6").render(results) for part in lacks.split("; "))


def test_medians_are_over_trainings_on_the_same_images():
    def of(name, fingerprint, n, wrong, start):
        one = record(name, "clean", [M] * wrong + [R] * (n - wrong), start=start, total=n)
        weights = {**one.target.details, "checkpoint": fingerprint}
        target = {"fingerprint": fingerprint, "details": weights}
        return changed(one, target=target, dataset={"set": f"s{n}", "digest": f"d{n}"})

    few = of("cnn", "a", 10, 6, 0)  # the first training again, on other images
    runs = [few, of("cnn", "a", 100, 59, 100), of("cnn", "b", 100, 70, 100)]
    text = Paper(table="6").render(runs)
    assert "median of 2 trainings: cnn, 100 images of MNIST test" in text
    assert "35.50 (30.00 to 41.00)" in text
