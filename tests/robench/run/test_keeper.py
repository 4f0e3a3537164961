"""What a run folder keeps of crafted images: all of it, or nothing that could pass for all of it."""

import pytest
import torch
from safetensors.torch import load_file, save_file

from robench.attack.craft import Crafted
from robench.attack.ledger import Ledger
from robench.errors import JobError
from robench.record.store import Store
from robench.run.keeper import FolderKeeper, failure_text

KEY = "a" * 32


@pytest.fixture
def keeper(tmp_path):
    store = Store(tmp_path)
    store.prepare()
    folder = FolderKeeper(store)
    ledger = Ledger.empty(3)
    ledger.points += 4
    ledger.late_rise += 0.5
    folder.keep_crafted(KEY, Crafted(x_adv=torch.rand(3, 1, 2, 2), ledger=ledger, seconds=1.5))
    return folder


def test_the_account_of_a_failure_has_the_traceback_of_its_cause(keeper):
    try:
        try:
            {}["nope"]
        except KeyError as error:
            raise JobError(expected="images", got="none") from error
    except JobError as error:
        keeper.failed("k", "pgd", failure_text(error), error=error)
        keeper.failed("plain", "pgd", "no cause", error=JobError(expected="images", got="none"))
    accounts = keeper.store.read_errors()
    assert accounts["k"]["error"] == "expected images, got none."
    assert accounts["k"]["traceback"].startswith("Traceback (most recent call last)")
    assert '{}["nope"]' in accounts["k"]["traceback"]
    assert accounts["plain"] == {"job": "pgd", "error": "no cause"}


def without(keeper, *names):
    path = keeper.store.adv(KEY)
    tensors = load_file(path)
    save_file({name: tensor for name, tensor in tensors.items() if name not in names}, path)
    return keeper.crafted(KEY)


def test_what_was_kept_comes_back(keeper):
    result = keeper.crafted(KEY)
    assert result.x_adv.shape == (3, 1, 2, 2)
    assert result.ledger.points.tolist() == [4] * 3
    assert result.ledger.late_rise.tolist() == [0.5] * 3


def test_all_that_is_noted_comes_back(keeper):
    notes = {"seconds": 2.5, "engine": "folded", "not_used": {"compiled": "it differed"}, "micro_batch": 3,
             "proof": {"outputs": 1.2e-07, "gradients": 3e-06}}  # fmt: skip
    before = Crafted(x_adv=torch.rand(3, 1, 2, 2), ledger=Ledger.empty(3), **notes)
    keeper.keep_crafted(KEY, before)
    again = keeper.crafted(KEY)
    assert {name: getattr(again, name) for name in notes} == notes
    assert torch.equal(again.x_adv, before.x_adv)


def test_where_only_a_curve_is_poorer_an_older_file_will_do(keeper):
    result = without(keeper, "points", "tries", "first_passes", "first_try")
    assert result.ledger.points.tolist() == [0] * 3
    assert result.ledger.late_rise.tolist() == [0.5] * 3


@pytest.mark.parametrize("name", ["gradients", "rise", "late_rise", "deceived", "silent", "x_adv"])
def test_a_file_without_what_findings_are_made_of_is_made_again(keeper, name):
    assert without(keeper, name) is None
