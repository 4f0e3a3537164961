"""Depths are read from names and options, and only alike networks share a line."""

import pytest

from reports.board.depth import depth_of, details_of, series_of
from reports.board.leaderboard import boards
from reports.figures.depth import Depth
from robench.errors import ConfigError
from tests.records import changed
from tests.reports.board.test_leaderboard import B, R, record


@pytest.mark.parametrize(
    ("name", "options", "expected"),
    [
        ("vgg11", {}, ("vgg", 11)),
        ("vgg19", {"batch_norm": False}, ('vgg {"batch_norm":false}', 19)),
        ("resnet20", {}, ("resnet (three stages)", 20)),
        ("resnet110", {}, ("resnet (three stages)", 110)),
        ("resnet18", {}, ("resnet", 18)),
        ("resnet50", {}, ("resnet", 50)),
        ("torchvision:resnet50", {}, ("torchvision:resnet", 50)),
        ("torchvision:vgg16_bn", {}, ("torchvision:vgg_bn", 16)),
        ("preact_resnet34", {}, ("preact_resnet", 34)),
        ("wide_resnet34_10", {}, ("wide_resnet_10", 34)),
        ("wide_resnet", {"depth": 28, "width": 4}, ('wide_resnet {"width":4}', 28)),
        ("en_resnet", {"depth": 32}, ("en_resnet", 32)),
        ("en_resnet20", {}, ("en_resnet", 20)),
        ("small_cnn", {}, None),
        ("torchvision:inception_v3", {}, None),
        ("torchvision:vit_b_16", {}, None),
        ("nets.py:resnet20", {}, None),
        ("x", {"depth": True}, None),
        (None, {}, None),
    ],
)
def test_depth_of(name, options, expected):
    assert depth_of({"architecture": name, "architecture_options": options}) == expected


def model(name, architecture, head="linear", training="natural", breaks=1, wrong=0, **details):
    status = [B] * breaks + [R] * (10 - breaks)
    results = [
        record(name, "", "clean", [R] * 10, gradient="", fingerprint=name),
        record(name, name, "pgd", status, fingerprint=name),
    ]
    details = {
        "architecture": architecture, "architecture_options": {}, "head": head, "training": training,
        **details,
    }  # fmt: skip
    return [changed(r, target={"details": details}, key=f"{name}-{r.attack.label}") for r in results]


def board(*models):
    records = [one for group in models for one in group]
    (table,) = boards(records)
    return table, series_of(table, details_of(records))


def test_lines_join_one_family_head_and_training():
    _, series = board(
        model("a", "vgg11", breaks=2), model("b", "vgg16", breaks=4), model("c", "vgg13", breaks=3),
        model("d", "vgg11", "wnll"), model("e", "vgg16", "wnll"),
        model("f", "vgg11", training="pgd_training"),  # one depth only
        model("g", "resnet20"), model("h", "resnet18"),  # two families
        model("i", "vgg11", inference=[{"defense": "JPEG"}]), model("j", "small_cnn"),
    )  # fmt: skip
    assert [(s.family, s.head, [(p.depth, p.row.model) for p in s.points]) for s in series] == [
        ("vgg", "linear", [(11, "a"), (13, "c"), (16, "b")]),
        ("vgg", "wnll", [(11, "d"), (16, "e")]),
    ]


def test_the_figure_shows_errors_and_medians():
    table, series = board(
        model("a", "vgg11", breaks=2), model("b", "vgg11", breaks=4), model("c", "vgg16", breaks=6)
    )
    left, right = Depth().draw(table, series).axes
    (line,) = [one for one in right.lines if one.get_linestyle() == "-" and len(one.get_xdata()) == 2]
    assert list(line.get_xdata()) == [11, 16]
    assert list(line.get_ydata()) == pytest.approx([30, 60])  # the median of 20 and 40
    assert len(right.containers) == 3
    assert [t.get_text() for t in left.get_xticklabels()] == ["11", "16"]
    row = next(r for r in table.rows if r.model == "c")
    bars = [tuple(c.lines[2][0].get_segments()[0][:, 1]) for c in right.containers]
    expected = pytest.approx((100 * (1 - row.worst_case.high), 100 * (1 - row.worst_case.low)))
    assert any(expected == bar for bar in bars)


def test_where_nothing_was_attacked_the_clean_error_stands_alone():
    table, series = board(model("a", "vgg11")[:1], model("b", "vgg16")[:1])
    (only,) = Depth().draw(table, series).axes
    assert only.get_title(loc="left") == "Clean error, %"
    assert len(only.containers) == 2


def test_one_depth_is_refused(tmp_path):
    table, series = board(model("a", "vgg11"))
    with pytest.raises(ConfigError, match="two depths of a family"):
        Depth().draw(table, series)
    with pytest.raises(ConfigError, match="two depths of a family"):
        Depth()(model("a", "vgg11"), tmp_path / "x.svg")
    path = Depth()([*model("a", "vgg11"), *model("<b>$x$", "vgg16")], tmp_path / "x.svg")
    assert "<b>" not in path.read_text("utf-8")
