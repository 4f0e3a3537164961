"""Names explain themselves: the words that do not are not used, and those of the project are explained."""

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PAGE = (ROOT / "docs" / "architecture.md").read_text("utf-8")
PACKAGES = ("robench", "attacks", "defenses", "model_zoo", "reports")
FILES = sorted(path for package in PACKAGES for path in (ROOT / package).rglob("*.py"))

UNEXPLAINED = {
    "access", "attacker", "campaign", "candidates", "cells", "chance", "deviations", "fronts", "geometry",
    "making", "origins", "overheard", "paired", "placing", "prospects", "refusals", "sections", "splitting",
    "subject", "survey", "terms", "trail", "unfinished", "used", "views", "words", "world", "assembly",
    "utils", "helpers", "misc", "manager",
}  # fmt: skip
"""Words that say nothing to someone who does not know them already."""

PART_OF_A_NAME = {
    "attacker": {"attacker_sources"},  # of gradients: what an attacker adds to those that a head offers
    "chance": {"chance", "above_chance"},  # a law that `robench check` prints; better than guessing
    "paired": {"paired_images", "PairedImages", "paired_p_value"},  # the word of statistics for such tests
    "sections": {
        "board_sections", "CurveSections", "feature_sections", "model_sections", "published_sections",
        "training_sections",
    },  # of a page, as HTML calls them, each beside what it shows
    "unfinished": {"UnfinishedAnswer"},  # which the layer behind goes on with
    "views": {"copied_views", "CopiedViews"},  # of tensors, torch's `.view(...)`
    "words": {"listed_in_words", "others_in_words", "threat_in_words"},  # as people say: in words
}  # fmt: skip
"""Names that have such a word and say something by another beside it."""

MEMBERS = {
    "access": {"Threat.access"},  # a field of the draft of OWASP that `robench export` writes
    "candidates": {"Budget.candidates"},  # of a split, as papers on branch and bound say; an option of plans
    "cells": {"Board.cells", "PlainBoard.cells", "Part.cells", "Lane.cells"},  # of a table: the usual word
    "geometry": {"RunFacts.geometry"},  # a key of `run.json`
    "terms": {
        "Affine.terms", "Convolution.terms", "Dense.terms", "Gathering.terms", "Joined.terms", "Scale.terms",
        "Selection.terms", "Sum.terms",
    },  # of a sum, the word of mathematics
    # keys of records
    "used": {"Crafted.not_used", "Engine.not_used", "Engine.used", "PreparedModel.not_used"},
    "views": {"CopyMethod.copies_views"},  # of tensors, torch's `.view(...)`
}  # fmt: skip
"""Methods and fields that keep such a word, each with its class: what files hold, and words of the field."""

SAYS_NO_THING = re.compile(r"made|found|kept|said|told|seen|given")
"""Participles that say that something happened, and not what a file, a method or a field holds."""


def public_names(path):
    """Yield the public classes and functions of a file, those of private classes left out."""
    for node in ast.parse(path.read_text("utf-8")).body:
        if isinstance(node, ast.ClassDef | ast.FunctionDef) and not node.name.startswith("_"):
            yield node.name


def members(path):
    """Yield the methods and fields of a file's public classes as `Class.name`, private ones included."""
    for node in ast.parse(path.read_text("utf-8")).body:
        if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
            for entry in node.body:
                if isinstance(entry, ast.FunctionDef | ast.AsyncFunctionDef):
                    yield f"{node.name}.{entry.name}"
                elif isinstance(entry, ast.Assign | ast.AnnAssign):
                    for target in entry.targets if isinstance(entry, ast.Assign) else [entry.target]:
                        names = [name.id for name in ast.walk(target) if isinstance(name, ast.Name)]
                        yield from (f"{node.name}.{name}" for name in names)


def faults_of(names):
    """Return the members (`Class.name`) whose own names say nothing, without those of `MEMBERS`."""
    faults = set()
    for name in names:
        own = name.partition(".")[2].strip("_")
        words = {word for word in words_of(own) if word in UNEXPLAINED and name not in MEMBERS.get(word, ())}
        if (words and own not in {n for word in words for n in PART_OF_A_NAME.get(word, ())}) or (
            SAYS_NO_THING.fullmatch(own)
        ):
            faults.add(name)
    return faults


def words_of(name):
    """Return the words of a name in lower case: `PairedImages` and `paired_images` have the same."""
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name).lower().split("_")


def unexplained(names):
    """Return the words of names that say nothing, each with its name."""
    words = {(word, name) for name in names for word in words_of(name) if word in UNEXPLAINED}
    return {(word, name) for word, name in words if name not in PART_OF_A_NAME.get(word, ())}


def test_words_of_names_are_told_apart():
    assert words_of("PairedImages") == words_of("paired_images") == ["paired", "images"]
    assert unexplained({"paired_images", "paired_models", "SurveyOfModels", "reused"}) == {
        ("paired", "paired_models"),
        ("survey", "SurveyOfModels"),
    }


def glossary():
    table = PAGE.partition("## Glossary")[2]
    rows = re.findall(r"^\| ([^|]+) \|", table, flags=re.MULTILINE)
    return [word.strip() for row in rows for word in row.split(",") if word.strip() not in {"word", "---"}]


def test_files_have_names_that_say_what_is_in_them():
    assert not unexplained({path.stem for path in FILES} | {path.parent.name for path in FILES})


@pytest.mark.thorough
def test_public_names_are_made_of_words_that_say_something():
    names = {name for path in FILES for name in public_names(path)}
    assert not unexplained(names)
    every = names | {path.stem for path in FILES}
    assert not [name for own in PART_OF_A_NAME.values() for name in own if name not in every]


def test_methods_and_fields_are_looked_at(tmp_path):
    path = tmp_path / "module.py"
    path.write_text(
        "class Found:\n    told: str\n    near, candidates = 1, 2\n    def _cells(self): ...\n"
        "    async def survey(self): ...\n    def retold(self): ...\nclass _Own:\n    said: str\n"
    )
    names = set(members(path))
    assert names == {f"Found.{n}" for n in ("told", "near", "candidates", "_cells", "survey", "retold")}
    assert faults_of(names) == {f"Found.{n}" for n in ("told", "candidates", "_cells", "survey")}
    assert not faults_of({"Board.cells", "Sum.terms", "Pair.paired_images"})
    assert faults_of({"Board.terms"}) == {"Board.terms"}  # excepted in other classes only


@pytest.mark.thorough
def test_methods_and_fields_have_names_that_say_what_they_hold():
    names = {name for path in FILES for name in members(path)}
    assert not faults_of(names)
    assert not [name for own in MEMBERS.values() for name in own if name not in names]


def test_no_file_is_called_after_what_it_has_gone_through():
    """A participle alone says what happened to a thing, not what it is."""
    assert not [path for path in FILES if SAYS_NO_THING.fullmatch(path.stem)]


def test_every_word_of_the_glossary_is_used_in_the_source():
    text = "\n".join(path.read_text("utf-8") for path in FILES).lower().replace("_", " ")
    missing = [word for word in glossary() if word.lower().replace("-", " ") not in text.replace("-", " ")]
    assert len(glossary()) > 15
    assert not missing


def test_every_room_is_on_the_page():
    rooms = {path.parent.name for path in (ROOT / "robench").glob("*/__init__.py")}
    assert not [room for room in rooms if f"`{room}`" not in PAGE]


def test_every_package_says_in_one_sentence_what_is_inside():
    for path in FILES:
        if path.name == "__init__.py":
            text = ast.get_docstring(ast.parse(path.read_text("utf-8"))) or ""
            assert text.split("\n")[0].endswith("."), path


def test_the_page_names_files_that_exist():
    paths = re.findall(r"`((?:robench|attacks|defenses|model_zoo|reports)/[\w/]+\.py)`", PAGE)
    assert len(paths) > 15
    assert not [path for path in paths if not (ROOT / path).exists()]
