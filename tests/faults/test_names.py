"""Names that no terminal, XML file or table may take as they are, in every figure, page, card and table."""

import csv
import dataclasses
import io
import unicodedata
import warnings
from xml.etree import ElementTree

import pytest
from typer.testing import CliRunner

from robench import plugins
from robench.cli import app
from robench.cli.console import clean_warnings
from robench.record.parts import RecordedDataset
from robench.record.store import Store
from robench.visible_text import visible
from tests.records import changed
from tests.reports.html.synthetic import THREAT, run_folder

SIGNS = {
    "escape": "\x1b[31m",
    "NUL": "\0",
    "vertical tab": "\x0b",
    "no character": "\ufffe",
    "lone surrogate": "\ud800",
    "right to left": "\u202e",
}


def hostile(sign):
    return f"a{sign}b"


@pytest.fixture(scope="module")
def named(tmp_path_factory):
    """A run in which a model, a class, an attack, the data, and the radius hold all signs."""
    sign = "".join(SIGNS.values())
    folder = run_folder(tmp_path_factory.mktemp("named"), models=2, images=120, spaces=True)
    store = Store(folder)
    for before in store.read_records():
        data = before.dataset.plain()
        data |= {"name": hostile(sign), "split": hostile(sign), "classes": [f"{i}{sign}" for i in range(10)]}
        after = dataclasses.replace(before, dataset=RecordedDataset.read(data))
        after = changed(after, target={"name": before.target.name + sign})
        if not before.attack.is_clean:
            after = changed(
                after,
                source={"name": before.source.name + sign},
                attack={"label": before.attack.label + sign},
                threat={**THREAT, "eps_text": f"0.1{sign}"},
            )
        store.write(after, replace=True)
    return folder


def clean(text, *, lines=True):
    """Tell whether a text holds nothing that is invisible but line breaks."""
    return all(
        sign.isprintable() or unicodedata.category(sign) == "Zs" or (lines and sign == "\n") for sign in text
    )


@pytest.mark.thorough
def test_every_text_of_every_report_is_visible(named, tmp_path):
    folder = named
    records = Store(folder).read_records()
    for name in ("markdown", "csv", "latex", "html", "cards", "bibtex", "badge", "json"):
        recipe = plugins.find("reports", name)
        report = recipe(model=records[0].target.name) if name == "badge" else recipe()
        assert clean(report.render(records)), name
    assert clean(plugins.find("reports", "html")().render_run(folder))
    csv.reader(io.StringIO(plugins.find("reports", "csv")().render(records)))
    ElementTree.fromstring(plugins.find("reports", "badge")(model=records[0].target.name).render(records))
    for path in (path for name in ("csv", "markdown", "html", "cards")
                 for path in plugins.find("reports", name)()(records, tmp_path)):  # fmt: skip
        for file in sorted(path.glob("*")) if path.is_dir() else [path]:
            assert clean(file.name)
            assert clean(file.read_text("utf-8")), file


@pytest.mark.thorough
@pytest.mark.parametrize("figure", plugins.names("figures"))
def test_every_figure_is_valid_xml_and_no_warning_is_raised(named, figure, tmp_path):
    folder = named
    path = tmp_path / "f.svg"
    outcome = CliRunner().invoke(app, ["plot", figure, str(folder), "-o", str(path)], prog_name="robench")
    assert clean(outcome.output)
    if outcome.exit_code == 2:  # nothing to draw, in words
        return
    assert outcome.exit_code == 0, outcome.output
    text = path.read_text("utf-8")
    ElementTree.fromstring(text)
    assert clean(text)


@pytest.mark.thorough
@pytest.mark.parametrize("suffix", ["png", "pdf"])
def test_other_pictures_are_drawn_without_a_warning(named, tmp_path, suffix):
    folder = named
    outcome = CliRunner().invoke(app, ["plot", "tradeoff", str(folder), "-o", str(tmp_path / f"f.{suffix}")])
    assert outcome.exit_code == 0, outcome.output


@pytest.mark.thorough
@pytest.mark.parametrize("command", ["leaderboard", "show", "table", "report", "cite", "compare"])
def test_no_command_lets_a_sign_reach_the_terminal(named, command, tmp_path):
    folder = named
    words = [command, str(folder), *([str(folder)] if command == "compare" else ())]
    words += ["--paper", "6"] if command == "table" else []
    words += ["-o", str(tmp_path / "page.html")] if command == "report" else []
    outcome = CliRunner().invoke(app, words, prog_name="robench")
    assert outcome.exit_code == 0, outcome.output
    assert clean(outcome.output)


@pytest.mark.parametrize("sign", SIGNS.values())
def test_a_warning_reaches_the_terminal_visible(sign, capsys):
    clean_warnings()
    text = warnings.formatwarning(f"model {hostile(sign)}", UserWarning, "file.py", 1, "")
    assert clean(text)
    assert visible(sign) in text


@pytest.mark.parametrize("sign", SIGNS.values())
def test_visible_text_stays_as_it_is_however_often_it_is_cleaned(sign):
    once = visible(hostile(sign))
    assert clean(once, lines=False)
    assert visible(once) == once
    assert visible("Bär \u3000 \u00a0 \u03b5 \U0001f40b") == "Bär \u3000 \u00a0 \u03b5 \U0001f40b"


@pytest.fixture(scope="module")
def broken_lines(tmp_path_factory):
    """A run whose names, and a file in it, hold a line break and a line that a command could print."""
    folder = run_folder(tmp_path_factory.mktemp("lines"), models=2, images=4)
    store = Store(folder)
    for before in store.read_records():
        after = changed(before, target={"name": before.target.name + FORGED})
        if not before.attack.is_clean:
            after = changed(
                after,
                source={"name": before.source.name + FORGED},
                attack={"label": before.attack.label + FORGED},
            )
        store.write(after, replace=True)
    (folder / "units" / f"a{FORGED}.json").write_text("{}")
    store.write_error("abcd", {"job": f"job{FORGED}", "error": f"first{FORGED}"})
    facts = store.read_json("run.json")
    store.write_json("run.json", facts | {"name": f"n{FORGED}", "status": f"s{FORGED}"})
    return folder


FORGED = "\nFORGED: holds"


@pytest.mark.thorough
@pytest.mark.parametrize(
    "command", ["leaderboard", "show", "table", "report", "cite", "compare", "plot", "badge"]
)
def test_no_name_writes_a_line_of_its_own(broken_lines, command, tmp_path):
    words = [command, *(["tradeoff"] if command == "plot" else []), str(broken_lines)]
    words += [str(broken_lines)] if command == "compare" else []
    words += ["--paper", "6"] if command == "table" else []
    words += ["--model", f"model-00{FORGED}"] if command == "badge" else []
    words += ["-o", str(tmp_path / "a.svg")] if command in {"report", "plot", "badge"} else []
    outcome = CliRunner().invoke(app, words, prog_name="robench")
    assert outcome.exit_code == 0, outcome.output
    assert not [line for line in outcome.output.splitlines() if line.startswith("FORGED")]
