"""RobustBench's model infos: read as they are published, refused in one sentence where they are not."""

import json

import pytest

from robench.errors import ConfigError
from robench.record.exchange.published_numbers import read_published

INFO = {
    "link": "https://arxiv.org/abs/1234.56789", "name": "A paper", "authors": "A, B", "additional_data": True,
    "number_forward_passes": 1, "dataset": "cifar10", "venue": "ICLR 2030", "architecture": "WRN-28-10",
    "eps": "8/255", "clean_acc": "89.69", "reported": "62.5", "autoattack_acc": "59.53", "unreliable": False,
    "footnote": None,
}  # fmt: skip


def written(folder, threat="Linf", **fields):
    path = folder / "model_info" / "cifar10" / threat / "Doe2030Paper.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps({**INFO, **fields}))
    return path


def test_a_file_as_it_is_published(tmp_path):
    (one,) = read_published([str(written(tmp_path))])
    assert (one.model, one.threat, one.eps_text, one.eps) == ("Doe2030Paper", "Linf", "8/255", 8 / 255)
    assert (one.clean, one.robust, one.reported) == pytest.approx((0.8969, 0.5953, 0.625))
    assert (one.extra_data, one.passes, one.measure) == (True, 1, "AutoAttack")


def test_a_stronger_attack_of_others_is_the_best_known(tmp_path):
    (one,) = read_published([str(written(tmp_path, external="55.2"))])
    assert one.best_known == pytest.approx(0.552)
    (one,) = read_published([str(written(tmp_path, external="65.2"))])
    assert one.best_known == pytest.approx(0.5953)


def test_a_folder_and_a_norm_in_front(tmp_path):
    written(tmp_path)
    written(tmp_path, "L2", eps="0.5")
    assert [one.threat for one in read_published([str(tmp_path / "model_info")])] == ["L2", "Linf"]
    loose = tmp_path / "loose.json"
    loose.write_text(json.dumps({"one": INFO, "two": INFO}))
    assert [(one.model, one.threat) for one in read_published([f"L2={loose}"])] == [
        ("one", "L2"),
        ("two", "L2"),
    ]


def test_numbers_that_nobody_reported_and_no_radius(tmp_path):
    (one,) = read_published([str(written(tmp_path, reported="", venue="N/A", eps=None))])
    assert (one.reported, one.venue, one.eps) == (None, "", None)
    corruptions = {"autoattack_acc": None, "corruptions_acc": "73.46", "eps": None}
    (one,) = read_published([str(written(tmp_path, "corruptions", **corruptions))])
    assert (one.robust, one.measure) == (pytest.approx(0.7346), "common corruptions")


@pytest.mark.parametrize("link", ["javascript:alert(1)", "data:text/html,x", 'https://x" onclick="y', ""])
def test_a_link_that_is_no_address_of_the_web_is_none(tmp_path, link):
    assert read_published([str(written(tmp_path, link=link))])[0].link == ""


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"clean_acc": "896.9"}, "clean_acc: expected a percentage"),
        ({"clean_acc": "nan"}, "clean_acc: expected a percentage"),
        ({"autoattack_acc": True}, "autoattack_acc: expected a percentage"),
        ({"autoattack_acc": None}, "expected one of autoattack_acc, corruptions_acc"),
        ({"eps": "eight"}, "eps: expected"),
        ({"additional_data": "yes"}, "additional_data: expected true or false"),
        ({"name": ["a"]}, "name: expected a text"),
    ],
)  # fmt: skip
def test_anything_else_is_refused_by_field(tmp_path, fields, said):
    with pytest.raises(ConfigError, match=said):
        read_published([str(written(tmp_path, **fields))])


def test_files_that_are_none(tmp_path):
    with pytest.raises(ConfigError, match="no such file"):
        read_published([str(tmp_path / "gone.json")])
    loose = tmp_path / "loose.json"
    loose.write_text(json.dumps(INFO))
    with pytest.raises(ConfigError, match="the norm"):
        read_published([str(loose)])
    loose.write_text("[" * 100_000)
    with pytest.raises(ConfigError, match="readable JSON"):
        read_published([f"Linf={loose}"])
