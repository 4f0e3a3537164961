"""Doubts from results side by side, counted by hand."""

import pytest

from reports.board.leaderboard import boards
from tests.records import changed
from tests.reports.board.test_leaderboard import B, R, record


def board(*records):
    (only,) = boards(records)
    return only


def row(table, name):
    return next(r for r in table.rows if r.model == name)


def codes(table, name):
    return {d.code for d in table.doubts if d.model == name}


def clean(n=120):
    return [record(name, "", "clean", [R] * n, gradient="") for name in ("a", "b")]


def attacked(target, source, breaks, n=120, **options):
    return record(target, source, "pgd", [B] * breaks + [R] * (n - breaks), **options)


def test_a_model_that_falls_to_another_ones_images_but_not_to_its_own_is_doubted():
    table = board(*clean(), attacked("a", "a", 5), attacked("a", "b", 30), attacked("b", "b", 60))
    assert codes(table, "a") == {"black-box-stronger"}
    assert row(table, "a").doubted
    assert row(table, "a").rank is None
    assert "black-box-stronger" in row(table, "a").findings
    assert "25 more" in next(d for d in table.doubts).evidence
    assert row(table, "b").rank == 1


def test_a_few_images_more_are_chance():
    # 5 discordant pairs, all one way: p = 2 / 2^5 = 0.0625; 6 give 0.03125.
    five = board(*clean(), attacked("a", "a", 5), attacked("a", "b", 10), attacked("b", "b", 60))
    assert codes(five, "a") == set()
    six = board(*clean(), attacked("a", "a", 5), attacked("a", "b", 11), attacked("b", "b", 60))
    assert codes(six, "a") == {"black-box-stronger"}


def test_several_sources_are_not_added_up():
    rows = [[B] * 5 + [R] * 115, [R] * 5 + [B] * 5 + [R] * 110]
    table = board(
        *clean(),
        attacked("a", "a", 0),
        record("a", "b", "pgd", rows[0]),
        record("a", "c", "pgd", rows[1]),
        attacked("b", "b", 0),
    )
    assert codes(table, "a") == set()


@pytest.mark.parametrize(("fewer", "more", "expected"), [(30, 10, {"more-steps-weaker"}), (10, 30, set())])
def test_more_steps_must_not_break_fewer(fewer, more, expected):
    table = board(
        *clean(),
        attacked("a", "a", fewer, options={"steps": 10, "loss": "margin"}),
        attacked("a", "a", more, options={"steps": 40, "loss": "margin"}),
        attacked("b", "b", 1),
    )
    assert codes(table, "a") == expected


def test_other_options_or_sources_are_other_attacks():
    table = board(
        *clean(),
        attacked("a", "a", 30, options={"steps": 10, "loss": "margin"}),
        attacked("a", "a", 10, options={"steps": 40, "loss": "cross_entropy"}),
        attacked("a", "a", 10, options={"steps": 40, "loss": "margin"}, gradient="other"),
        attacked("b", "b", 1),
    )
    assert codes(table, "a") == set()


def test_without_a_radius_nothing_is_compared():
    table = board(
        *clean(),
        attacked("a", "a", 5, eps="inf", norm="L2"),
        attacked("a", "b", 60, eps="inf", norm="L2"),
        attacked("b", "b", 60, eps="inf", norm="L2"),
    )
    assert codes(table, "a") == {"unbounded-survives"}


def kind(one, **attack):
    """Return the record of another kind of attack; `gradients` belongs to the source."""
    source = {"gradients": attack.pop("gradients", 40)}
    return changed(one, source=source, attack=attack)


def other(label, breaks, n=120, gradient="exact", eps=0.3, options=None, **attack):
    return kind(record("a", "a", label, [B] * breaks + [R] * (n - breaks), gradient=gradient, eps=eps,
                       options=options), **attack)  # fmt: skip


def alone():
    return [record("a", "", "clean", [R] * 120, gradient="")]


def stands(table, code):
    return next(d.unlifted for d in table.doubts if d.code == code)


def test_an_attack_by_scores_must_not_beat_all_gradients():
    square = other("square", 30, needs="score", gradients=0, gradient="scores")
    table = board(*alone(), other("pgd", 5), square)
    assert codes(table, "a") == {"black-box-stronger"}
    assert row(table, "a").rank is None
    assert "square, without gradients, breaks 25 more" in table.doubts[0].evidence
    assert codes(board(*alone(), other("pgd", 28), square), "a") == set()
    # The gradient attacks count together, whatever each does alone.
    assert codes(board(*alone(), other("pgd", 5), other("apgd", 30), square), "a") == set()


def test_noise_that_beats_one_attack_is_a_hint_and_beating_all_stands():
    noise = other("noise", 30, needs="decision", gradients=0, control=True, gradient="labels")
    hint = board(*alone(), other("pgd", 5), other("apgd", 40), noise)
    assert codes(hint, "a") == {"noise-stronger"}
    assert not stands(hint, "noise-stronger")
    assert row(hint, "a").rank == 1
    all_of_them = board(*alone(), other("pgd", 5), other("apgd", 6), noise)
    assert codes(all_of_them, "a") == {"noise-stronger"}
    assert stands(all_of_them, "noise-stronger")


def test_one_step_must_not_beat_many():
    fgsm = other("fgsm", 30, gradients=1)
    hint = board(*alone(), fgsm, other("pgd", 5), other("apgd", 40))
    assert codes(hint, "a") == {"one-step-stronger"}
    assert row(hint, "a").rank == 1
    table = board(*alone(), fgsm, other("pgd", 5))
    assert stands(table, "one-step-stronger")
    assert codes(board(*alone(), fgsm, other("pgd", 29)), "a") == set()


def test_a_minimising_attack_is_not_held_against_one_step():
    table = board(*alone(), other("fgsm", 30, gradients=1), other("pgd", 30), other("cw", 5, minimises=True))
    assert codes(table, "a") == set()


def test_a_larger_ball_must_not_hold_fewer():
    small, large = boards(
        [*alone(), other("pgd", 30, eps=0.1), other("pgd", 10, eps=0.3), other("ok", 20, eps=0.3)]
    )
    assert codes(small, "a") == set()
    assert codes(large, "a") == {"larger-radius-weaker"}
    assert "at 0.3 than at 0.1" in large.doubts[0].evidence
    assert stands(large, "larger-radius-weaker")  # 20 of all against 30
    _, table = boards(
        [*alone(), other("pgd", 30, eps=0.1), other("pgd", 10, eps=0.3), other("ok", 35, eps=0.3)]
    )
    assert codes(table, "a") == {"larger-radius-weaker"}
    assert not stands(table, "larger-radius-weaker")


def test_unbounded_attacks_must_leave_nothing():
    def cw(breaks, label="cw", **options):
        statuses = [B] * breaks + [R] * (120 - breaks)
        return record("a", "a", label, statuses, eps="inf", norm="L2", minimises=True, **options)

    few = board(*alone(), cw(84))
    assert codes(few, "a") == {"unbounded-survives"}
    assert "cw leaves 36 of 120" in few.doubts[0].evidence
    assert row(few, "a").rank is None
    table = board(*alone(), cw(84), cw(120, label="ddn"))
    assert codes(table, "a") == {"unbounded-survives"}
    assert row(table, "a").rank == 1
    assert codes(board(*alone(), cw(119)), "a") == set()  # one in 120
    assert codes(board(*alone(), cw(84), cw(119, gradient="kernel")), "a") == set()  # worst over its sources


def test_a_ball_as_wide_as_the_box_is_unbounded_too():
    assert codes(board(*alone(), other("pgd", 80, eps=1.0)), "a") == {"unbounded-survives"}
    assert codes(board(*alone(), other("pgd", 80, eps=0.9)), "a") == set()


def version(label, breaks, library, options, title="PGD"):
    full_title = title if library == "robench" else f"{title} ({library})"
    return other(label, breaks, library=library, title=full_title, options=options)


def test_a_library_is_held_against_the_same_attack_with_the_same_options():
    ours = version("pgd", 30, "robench", {"steps": 10, "loss": "cross_entropy"})
    weak = version("art/pgd", 5, "art", {"steps": 10})
    table = board(*alone(), ours, weak)
    assert codes(table, "a") == {"library-weaker"}
    assert "art/pgd breaks 25 fewer images than pgd" in table.doubts[0].evidence
    assert row(table, "a").rank == 1
    assert codes(board(*alone(), ours, version("art/pgd", 28, "art", {"steps": 10})), "a") == set()
    assert codes(board(*alone(), ours, version("art/pgd", 5, "art", {"steps": 20})), "a") == set()
    assert codes(board(*alone(), ours, version("art/x", 5, "art", {"steps": 10}, title="C&W")), "a") == set()
    margin = version("pgd", 30, "robench", {"steps": 10, "loss": "margin"})
    assert codes(board(*alone(), margin, weak), "a") == set()


def test_many_questions_are_not_a_finding():
    # 6 against 0 is p = 0.031 alone; asked of two other models at once it is 0.0625.
    rows = [attacked("a", "a", 5), attacked("a", "b", 11), attacked("b", "b", 60)]
    assert codes(board(*clean(), *rows), "a") == {"black-box-stronger"}
    assert codes(board(*clean(), *rows, attacked("a", "c", 0), attacked("b", "c", 0)), "a") == set()
