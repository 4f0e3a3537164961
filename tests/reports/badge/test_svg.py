"""A badge is well-formed, holds the row's number with its interval, and never hides a doubt."""

import dataclasses
from xml.etree import ElementTree

import pytest

from reports.badge.svg import Badge
from reports.board.leaderboard import boards
from reports.text.escape import visible
from robench.errors import ConfigError
from tests.records import changed
from tests.reports.html.synthetic import made
from tests.reports.paper.made import B, M, R, record
from tests.reports.text.test_renderers import HOSTILE
from tests.reports.text.test_renderers import records as hostile_records

SVG = "{http://www.w3.org/2000/svg}"


def texts(svg):
    root = ElementTree.fromstring(svg)
    assert {e.tag for e in root.iter()} == {
        f"{SVG}{t}" for t in ("svg", "title", "rect", "path", "g", "text")
    }
    assert not [a for e in root.iter() for a in e.attrib if a.startswith("on") or "href" in a]
    return root.find(f"{SVG}title").text, *(e.text for e in root.iter(f"{SVG}text"))


def sound():
    return [made("a", "clean", 0, 120, 120, seed=1), made("a", "pgd", 0, 120, 120, seed=1)]


def test_the_headline_with_interval_threat_data_and_n():
    (board,) = boards(sound())
    share = board.rows[0].worst_case
    title, label, text = texts(Badge().render(sound()))
    assert label == "robust accuracy"
    headline = f"{100 * share.value:.1f} % [{100 * share.low:.1f}, {100 * share.high:.1f}]"
    assert text == f"{headline}, Linf 0.1, toy, n 120"
    assert title.startswith(f"robust accuracy, a on toy test: {headline}")


def test_a_doubt_stands_before_the_number_and_changes_the_colour():
    calm = Badge().render(sound())
    records = [sound()[0], made("a", "pgd", 0, 120, 120, seed=1, findings=["nonfinite"])]
    svg = Badge().render(records)
    title, _, text = texts(svg)
    assert text.startswith("in doubt: ")
    assert "nonfinite" in title
    assert "#0b5394" in calm
    assert "#0b5394" not in svg


def test_missing_units_are_said():
    records = [made("a", "clean", 0, 120, 120, seed=1), made("a", "pgd", 0, 60, 120, seed=1)]
    assert texts(Badge().render(records))[2].startswith("partial: ")


def test_without_a_radius_the_share_is_not_called_robust():
    title, label, text = texts(
        Badge().render([record("a", "clean", [R] * 4), record("a", "cw", [B, R, R, M])])
    )
    assert label == "median L2"
    assert "inf, 50.0 % unbroken, smallest L2 perturbation" in text  # half of the images stand
    assert "robust" not in title


def test_without_attack_it_is_clean_accuracy():
    assert texts(Badge().render([record("a", "clean", [R, M])]))[1] == "clean accuracy"


def test_nothing_is_guessed():
    two = [*sound(), made("b", "clean", 0, 120, 120, seed=2), made("b", "pgd", 0, 120, 120, seed=2)]
    with pytest.raises(ConfigError, match=r"'a', 'b'.*--model"):
        Badge().render(two)
    assert ", b on " in texts(Badge(model="b").render(two))[0]
    with pytest.raises(
        ConfigError, match=r"--model: expected one model of 'toy .*': 'a', 'b', got 'c'. Name one"
    ):
        Badge(model="c").render(two)
    with pytest.raises(ConfigError, match=r"--board: expected text .*Linf 0.1.*'Linf 0.9', which fits none"):
        Badge(board="Linf 0.9").render(two)
    with pytest.raises(ConfigError, match=r"nothing that was measured"):
        Badge().render([])
    several = [record("a", "fgsm", [R, B]), record("a", "fgsm", [R, B], eps=0.1)]
    with pytest.raises(ConfigError, match=r"--board"):
        Badge().render(several)
    assert "Linf 0.1" in texts(Badge(board="Linf 0.1").render(several))[2]


def test_a_name_that_several_have_is_told_apart():
    two = [made("net", attack, 0, 120, 120, seed=seed) for seed in (1, 2) for attack in ("clean", "pgd")]
    names = [row.model for row in boards(two)[0].rows]
    with pytest.raises(ConfigError) as error:
        Badge(model="net").render(two)
    assert all(repr(name) in str(error.value) for name in names)
    assert f"--model '{names[0]}'" in error.value.do
    assert error.value.exit_code == 2
    for name in names:
        assert f", {name} on " in texts(Badge(model=name).render(two))[0]
    with pytest.raises(ConfigError, match=r"got 'nett'.*Did you mean 'net"):
        Badge(model="nett").render([*two, *sound()])


def test_of_many_names_some_are_listed_and_the_rest_counted():
    many = [made(f"m{seed:02}", "pgd", 0, 120, 120, seed=seed) for seed in range(1, 26)]
    with pytest.raises(ConfigError, match=r"'m\d\d', 5 more, got 'x'"):
        Badge(model="x").render(many)


@pytest.mark.parametrize("name", HOSTILE.values(), ids=HOSTILE.keys())
def test_hostile_names(name):
    svg = Badge().render(hostile_records(name, name or "pgd"))
    title, _, text = texts(svg)
    assert visible(name) in title
    assert len(text) < 250
    assert all(sign == "\n" or sign.isprintable() for sign in svg)


def test_a_median_is_named_after_the_norm_it_was_measured_in():
    """Under L1 the badge must not pass off sizes in another norm: earlier versions kept L2 and Linf alone."""
    attack = changed(record("a", "cw", [B, B]), threat={"norm": "L1"})
    _, label, text = texts(Badge().render([record("a", "clean", [R, R]), attack]))
    assert label == "median Linf"
    assert "0.1 of those broken, 0.0 % unbroken, smallest L1 perturbation" in text
    sizes = dataclasses.replace(attack.columns, distance=[3.0, 5.0])
    own = dataclasses.replace(attack, columns=sizes)
    _, label, text = texts(Badge().render([record("a", "clean", [R, R]), own]))
    assert label == "median L1"
    assert "4, 0.0 % unbroken" in text
