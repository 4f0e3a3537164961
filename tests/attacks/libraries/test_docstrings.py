import sys

import pytest

from attacks.libraries import docstrings
from attacks.libraries.table import read_table, sentence_of
from robench import plugins

LIBRARIES = ("torchattacks", "foolbox", "art", "adv_lib", "torchattack")


@pytest.fixture
def library(tmp_path, monkeypatch):
    (tmp_path / "strangelib").mkdir()
    (tmp_path / "strangelib" / "__init__.py").write_text("raise RuntimeError('nobody imports this')")
    (tmp_path / "strangelib" / "broken.py").write_text("class Above(:")
    (tmp_path / "strangelib" / "base.py").write_text(
        'class Base:\n    """B.\n\n    Args:\n        steps: how many.\n        size: of the base.\n    """\n'
    )
    (tmp_path / "strangelib" / "one.py").write_text(
        "class Above(Base):\n    def __init__(self, size):\n"
        '        """Make it.\n\n        :param size: of one.\n        """\n'
        'def flat(x):\n    """F.\n\n    Parameters\n    ----------\n    x : int\n        A number.\n    """\n'
    )
    monkeypatch.syspath_prepend(tmp_path)
    return "strangelib"


def test_a_library_is_read_and_not_imported(library):
    assert docstrings.explained(library, "Above") == {"size": "of one.", "steps": "how many."}
    assert docstrings.explained(library, "flat") == {"x": "A number."}
    assert library not in sys.modules


def test_nothing_is_known_of_what_is_not_there(library):
    assert docstrings.explained(library, "Absent") == {}
    assert docstrings.explained("a_library_nobody_has", "PGD") == {}


def test_what_torchattacks_says_is_shown():
    texts = plugins.explained("attacks", "torchattacks/DIFGSM")
    assert texts["diversity_prob"].startswith("the probability of applying input diversity")


def test_what_art_says_is_shown():
    texts = plugins.explained("attacks", "art/AutoProjectedGradientDescent")
    assert texts["max_iter"] == "The maximum number of iterations."


@pytest.mark.parametrize("library", LIBRARIES)
def test_every_attack_of_a_library_has_a_plain_sentence(library):
    for entry in read_table(library).attacks.values():
        sentence = sentence_of(library, entry)
        assert sentence.endswith(".")
        assert len(sentence) < 110
        assert "arXiv" not in sentence


def test_no_sentence_is_of_nobody():
    from attacks.libraries.table import _sentences

    entries = [(library, entry) for library in LIBRARIES for entry in read_table(library).attacks.values()]
    assert set(_sentences()["papers"]) == {entry.paper for _, entry in entries}
    assert set(_sentences()["attacks"]) <= {f"{library}/{entry.name}" for library, entry in entries}
