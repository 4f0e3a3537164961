"""Model cards: what they hold, what they warn of, and that no name breaks out."""

import itertools

import pytest

from reports.board.leaderboard import boards
from reports.cards.card import Cards
from robench.record.store import Store
from tests.records import changed
from tests.reports.html.synthetic import made, run_folder, trained_run
from tests.reports.paper.made import B, M, R, details, record
from tests.reports.text.test_renderers import HOSTILE
from tests.reports.text.test_renderers import records as hostile_records


def test_one_card_per_model_with_the_numbers_of_the_boards(tmp_path):
    folder = run_folder(tmp_path, models=3, images=120)
    records = Store(folder).read_records()
    (cards,) = Cards()(records, folder)
    assert sorted(p.name for p in cards.iterdir()) == ["model-00.md", "model-01.md", "model-02.md"]
    (board,) = boards(records)
    row = next(r for r in board.rows if r.model == "model-00")
    text = (cards / "model-00.md").read_text("utf-8")
    share = row.worst_case
    assert f"{100 * share.value:.1f} \\[{100 * share.low:.1f}, {100 * share.high:.1f}\\]" in text
    assert f"| toy test | Linf 0.1, untargeted | {row.n} |" in text
    assert row.fingerprint in text
    assert "no proof" in text
    assert "seed 0" in text


def test_the_training_of_the_weights_is_shown(tmp_path):
    folder, records = trained_run(tmp_path)
    (cards,) = Cards()(records, folder)
    page = (cards / "model-00.md").read_text("utf-8")
    assert "Trained against: Linf 0.3, 7 steps." in page
    assert "| defense | pgd_training |" in page


def test_doubts_and_missing_units_come_first_in_the_limits():
    records = [made("a", "clean", 0, 20, 20, seed=1),
               made("a", "pgd", 0, 20, 20, seed=1, findings=["nonfinite"]),
               made("a", "fgsm", 0, 10, 20, seed=1, findings=["nonfinite"])]  # fmt: skip
    limits = Cards().render(records).split("## Limits")[1].strip().splitlines()
    assert limits[0].startswith("- Do not quote the number of")
    assert "nonfinite" in limits[0]
    assert "partial" in limits[1]


def test_a_graph_head_warns_of_its_template_and_its_batch():
    records = [
        record("g", "clean", [R, M], of=details("wnll")),
        record("g", "cw", [R, B], of=details("wnll")),
    ]
    text = Cards().render([changed(r, target={"coupling": "joint"}) for r in records])
    assert "images that are judged in the same batch" in text
    assert "whoever has the model has those images" in text
    assert "there the median distance counts" in text
    softmax = Cards().render([record("s", "fgsm", [R, B])])
    assert "same batch" not in softmax
    assert "template" not in softmax


def test_a_model_that_was_not_attacked_says_so():
    text = Cards().render([record("s", "clean", [R, M])])
    assert "It was not attacked: nothing is known of its robustness." in text


def test_names_that_are_no_file_names(tmp_path):
    names = ["../../etc/x", "a/b", "", "CON", "x" * 300, "Same", "same", "\u05d0"]
    Store(tmp_path).prepare()
    names_before = {p.name for p in tmp_path.iterdir()}
    records = [made(name, "clean", 0, 4, 4, seed=i + 1) for i, name in enumerate(names)]
    (cards,) = Cards()(records, tmp_path)
    files = [p.name for p in cards.iterdir()]
    assert len(files) == len({f.lower() for f in files}) == len(names)
    assert all(len(f) < 100 and f.endswith(".md") for f in files)
    assert "CON.md" not in files
    assert {p.name for p in tmp_path.iterdir()} <= {"cards", *names_before}


@pytest.mark.parametrize("name", HOSTILE.values(), ids=HOSTILE.keys())
def test_hostile_names(name):
    text = Cards().render(hostile_records(name, name or "pgd"))
    assert "<" not in text
    assert all(sign == "\n" or sign.isprintable() for sign in text)
    bars = [line.replace("\\\\", "").replace("\\|", "").count("|") if line.startswith("|") else 0
            for line in text.splitlines()]  # fmt: skip
    assert all(len(list(group)) >= 3 for width, group in itertools.groupby(bars) if width)


def test_each_board_of_a_card_has_its_own_threat_in_words():
    """Boards of one radius differ in what is known and spent: no board borrows the terms of another."""
    black_box = changed(record("a", "fgsm", [R, B]), threat={"knowledge": [], "budget": 7})
    knowing = changed(record("a", "ifgsm", [R, B]), threat={"knowledge": ["weights", "template"]})
    text = Cards().render([record("a", "clean", [R, R]), knowing, black_box])
    sentences = [line for line in text.splitlines() if "The attacker may" in line]
    assert len(sentences) == 2
    assert [("7 passes" in line, "knows weights." in line) for line in sentences] == [
        (False, True),
        (True, False),
    ]


def test_a_number_in_doubt_is_so_for_what_stands_against_it():
    records = [made("a", "clean", 0, 20, 20, seed=1),
               made("a", "pgd", 0, 20, 20, seed=1, findings=["nonfinite"]),
               made("a", "fgsm", 0, 20, 20, seed=1, findings=["nonfinite"])]  # fmt: skip
    (board,) = boards(records)
    assert board.rows[0].findings == ("nonfinite", "too-few-images")
    assert board.rows[0].unlifted == ("nonfinite",)
    limits = Cards().render(records).split("## Limits")[1].strip().splitlines()
    assert "(nonfinite)" in limits[0]
