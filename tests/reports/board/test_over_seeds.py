"""Mean and spread over seeds, by hand: ten images, three seeds."""

import csv
import dataclasses
import io
import json
import math

import pytest
from typer.testing import CliRunner

from reports.board.leaderboard import boards
from reports.board.over_seeds import over_seeds
from reports.text.csv import BOARD_COLUMNS, CSV, SEED_COLUMNS, THREAT_COLUMNS
from reports.text.json import JSON
from reports.text.markdown import Markdown
from robench.cli.app import app
from robench.record.store import Store
from tests.records import changed
from tests.reports.board.test_leaderboard import B, R, record


def seeded(seed, robust, *, name="a", clean=10, label="pgd", recipe="", **more):
    """Return the clean and one attacked record of a model of that seed: so many of ten images stand."""
    records = [
        record(
            name, "", "clean", [R] * clean + ["misclassified"] * (10 - clean), fingerprint=f"f{name}{seed}"
        ),
        record(name, name, label, [R] * robust + [B] * (10 - robust), fingerprint=f"f{name}{seed}", **more),
    ]
    return [changed(each, seed=seed, target={"recipe": recipe} if recipe else {}) for each in records]


THREE = [*seeded(0, 5, clean=9), *seeded(1, 6, clean=9), *seeded(7, 4, clean=10)]


def by_column(board, name="a"):
    return {row.column: row for row in board.rows if row.model == name}


def test_three_seeds_by_hand():
    (board,) = over_seeds(THREE)
    rows = by_column(board)
    assert list(rows) == ["clean", "pgd", "white-box", "worst case"]
    worst = rows["worst case"]
    assert (worst.seeds, worst.values) == ((0, 1, 7), (0.5, 0.6, 0.4))
    assert worst.spread.mean == pytest.approx(0.5)
    assert worst.spread.deviation == pytest.approx(0.1)  # squares 0, 0.01, 0.01 over n - 1 = 2
    assert (worst.spread.low, worst.spread.high, worst.spread.n) == (0.4, 0.6, 3)
    clean = rows["clean"].spread
    assert clean.mean == pytest.approx(28 / 30)
    assert clean.deviation == pytest.approx(math.sqrt((2 * (1 / 30) ** 2 + (2 / 30) ** 2) / 2))
    assert board.left_out == ()
    assert (board.n, board.norm, board.eps) == (10, "Linf", 0.3)


def test_one_seed_has_no_spread():
    assert over_seeds(seeded(0, 5)) == []
    assert over_seeds([]) == []


def test_models_come_best_mean_first_and_a_lonely_one_is_named():
    (board,) = over_seeds([*THREE, *seeded(0, 9, name="b"), *seeded(1, 8, name="b"), *seeded(0, 9, name="c")])
    assert list(dict.fromkeys(row.model for row in board.rows)) == ["b", "a"]
    assert board.left_out == ("c, seed 0: no other seed",)


def test_a_row_with_missing_units_is_left_out():
    short = [r for r in seeded(1, 6) if r.attack.label == "clean"]
    (board,) = over_seeds(
        [*seeded(0, 5), *short, *seeded(1, 6, name="b"), *seeded(0, 6, name="b"), *seeded(2, 4)]
    )
    assert by_column(board)["worst case"].seeds == (0, 2)
    assert board.left_out == ("a, seed 1: units are missing",)


@pytest.mark.parametrize(
    "other",
    [
        seeded(1, 6, options={"steps": 5}),
        seeded(1, 6, gradient="linear"),
        seeded(1, 6, recipe="another"),
        seeded(1, 6, label="cw"),
        [*seeded(1, 6), *seeded(1, 6, name="b"), record("a", "b", "pgd", [R] * 10, fingerprint="fa1")],
    ],
    ids=["options", "gradient source", "recipe", "attack", "transfer"],
)
def test_what_differs_in_more_than_chance_is_not_put_together(other):
    if len(other) > 2:
        other = [dataclasses.replace(r, seed=1) for r in other]
    (board,) = over_seeds([*seeded(0, 5), *other, *seeded(2, 3)])
    assert by_column(board)["worst case"].seeds == (0, 2)
    assert "a, seed 1: made or attacked otherwise than with the other seeds" in board.left_out


def test_details_count_where_no_plan_is_known_and_chance_in_them_does_not():
    def detailed(seed, details):
        return [changed(r, target={"details": details}) for r in seeded(seed, 5 + seed)]

    facts = {
        "architecture": "net",
        "template_sha256": ["1"],
        "checkpoint": "1",
        "inference": [{"x": 1, "seed": 4}],
    }
    again = {
        "architecture": "net",
        "template_sha256": ["2"],
        "checkpoint": "2",
        "inference": [{"x": 1, "seed": 5}],
    }
    (board,) = over_seeds([*detailed(0, facts), *detailed(1, again)])
    assert by_column(board)["worst case"].seeds == (0, 1)
    (board,) = over_seeds([*detailed(0, facts), *detailed(1, {**again, "architecture": "other"})])
    assert board.rows == ()


def test_unlike_images_and_threats_are_not_put_together():
    assert over_seeds([*seeded(0, 5), *seeded(1, 6, eps=0.1)]) == []
    other = [changed(r, dataset={"set": "x", "n": 10}) for r in seeded(1, 6)]
    assert over_seeds([*seeded(0, 5), *other]) == []


def test_two_of_a_name_and_seed_are_left_out():
    twin = [changed(r, target={"fingerprint": "twin"}) for r in seeded(0, 3)]
    (board,) = over_seeds([*THREE, *twin])
    assert by_column(board)["worst case"].seeds == (1, 7)
    assert board.left_out == ("a, seed 0: two models of this name with different weights",)


def test_doubted_seeds_are_named():
    (board,) = over_seeds([*seeded(0, 5), *seeded(1, 6, findings=("zero-gradient",))])
    assert by_column(board)["worst case"].doubted == (1,)


def test_the_same_weights_attacked_with_several_seeds():
    same = [changed(r, target={"fingerprint": "f"}, source={"fingerprint": "f"}) for r in THREE]
    (board,) = over_seeds(same)
    assert by_column(board)["worst case"].values == (0.5, 0.6, 0.4)


def test_a_merged_board_tells_rows_apart_by_their_seeds():
    (board,) = boards(THREE)
    assert sorted(row.model for row in board.rows) == ["a [seed 0]", "a [seed 1]", "a [seed 7]"]


def test_every_renderer_shows_it():
    lines = list(csv.DictReader(io.StringIO(CSV(seeds_only=True).render(THREE))))
    assert tuple(lines[0]) == (*BOARD_COLUMNS, *THREAT_COLUMNS, *SEED_COLUMNS)
    worst = [line for line in lines if line["column"] == "worst case"]
    assert [(line["seed"], line["value"]) for line in worst] == [("0", "0.5"), ("1", "0.6"), ("7", "0.4")]
    assert float(worst[0]["deviation"]) == pytest.approx(0.1)
    assert (
        "| a | worst case | 50.00 | 10.00 | 40.0 | 60.0 | 3 | 0: 50.0, 1: 60.0, 7: 40.0 |"
        in Markdown().render(THREE)
    )
    assert "Rank" not in Markdown(seeds_only=True).render(THREE)
    assert "Over seeds" not in Markdown().render(seeded(0, 5))
    plain = json.loads(JSON().render(THREE))
    assert plain["over_seeds"][0]["rows"][-1]["spread"]["mean"] == pytest.approx(0.5)
    assert json.loads(JSON().render(seeded(0, 5)))["over_seeds"] == []


@pytest.fixture
def folders(tmp_path):
    paths = []
    for seed, epochs in ((0, 3), (1, 3), (2, 4)):
        store = Store(tmp_path / f"s{seed}")
        store.prepare()
        for one in seeded(seed, 5 + seed):
            store.write(one)
        store.write_json("plan.json", {"seed": seed, "models": [{"name": "a", "train": {"epochs": epochs}}]})
        paths.append(str(tmp_path / f"s{seed}"))
    return paths


def test_the_command_reads_how_models_were_made_from_the_plans(folders):
    outcome = CliRunner().invoke(app, ["leaderboard", *folders, "--seeds"])
    assert outcome.exit_code == 0
    assert "0: 50.0, 1: 60.0" in outcome.output
    assert "left out: a, seed 2: made or attacked otherwise" in outcome.output
    whole = CliRunner().invoke(app, ["leaderboard", *folders[:2]]).output
    assert "Rank" in whole
    assert "over seeds" in whole


@pytest.mark.parametrize(("more", "words"), [([], "two seeds"), (["--format", "tex"], "--format csv or md")])
def test_the_command_refuses_one_seed_and_latex(folders, more, words):
    outcome = CliRunner().invoke(app, ["leaderboard", folders[0], "--seeds", *more])
    assert outcome.exit_code == 2
    assert words in outcome.stderr
