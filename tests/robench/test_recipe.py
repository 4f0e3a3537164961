import dataclasses
import json
from typing import ClassVar, Literal

import pytest

from robench.errors import ConfigError, nearest
from robench.recipe import Info, build, describe, options_of, summary


@dataclasses.dataclass(frozen=True, kw_only=True)
class Toy:
    """A toy.

    More.
    """

    info: ClassVar[Info] = Info(title="Toy", paper="none")
    eps: float = 0.5
    steps: int = 3
    kind: Literal["a", "b"] = "a"


def test_options_are_described_with_defaults():
    assert list(describe(Toy)) == ["eps", "steps", "kind"]
    assert describe(Toy)["steps"]["default"] == 3
    assert summary(Toy) == "A toy."
    assert options_of(Toy(steps=7)) == {"eps": 0.5, "steps": 7, "kind": "a"}


def test_fractions_are_numbers():
    assert build(Toy, {"eps": "8/255"}, where="w").eps == 8 / 255


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"step": 3}, "'steps'"),
        ({"steps": "many"}, "steps"),
        ({"steps": 1.5}, "steps"),
        ({"kind": "c"}, "kind"),
        ({"eps": [1]}, "eps"),
        ({"eps": "1/0"}, "eps"),
        ({"steps": 2**63}, "steps: at most"),
        ({"steps": 10**400}, "steps: at most"),
    ],
)
def test_wrong_options_are_refused_with_place_and_nearest_name(options, words):
    with pytest.raises(ConfigError) as error:
        build(Toy, options, where="f.yaml:7")
    assert str(error.value).startswith("f.yaml:7: ")
    assert words in str(error.value)


def test_nearest_names_the_closest_or_lists_some():
    assert nearest("pdg", ["pgd", "fgsm"]) == "Did you mean 'pgd'?"
    assert nearest("pdg", ["apgd", "pdpgd", "pgd"]).startswith("Did you mean 'pgd' or")  # one slip, not two
    assert nearest("zzz", ["a", "b"]) == "Choose one of: a, b"
    assert "installed" in nearest("x", [])


def test_an_infinite_option_is_plain_json_and_is_read_again():
    plain = options_of(Toy(eps=float("inf")))
    assert plain["eps"] == "inf"
    assert build(Toy, json.loads(json.dumps(plain, allow_nan=False)), where="w") == Toy(eps=float("inf"))
