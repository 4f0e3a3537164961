import pytest

from robench import plugins
from robench.option_docs import explained, options_in, without_options
from robench.recipe import describe

GOOGLE = """Attack.

Arguments:
    model (nn.Module): model to attack.
    eps (float) : the radius,
        which is a number.
    p: see `q: r`.

Shape:
    - images: (N, C).
"""
SPHINX = """
Make it.

:param eps: The radius,
    which is a number.
:param float p: Another.

:return: nothing
"""
NUMPY = """Attack.

Parameters
----------
eps : float
    The radius,
    which is a number.
p : int, optional
    Another.

Returns
-------
x : Tensor
    Images.
"""


@pytest.mark.parametrize("text", [GOOGLE, SPHINX, NUMPY])
def test_the_three_styles_are_read(text):
    options = options_in(text)
    assert options["eps"].lower() == "the radius, which is a number."
    assert options["p"] in {"see `q: r`.", "Another."}
    assert set(options) <= {"model", "eps", "p"}


@pytest.mark.parametrize("text", ["", "Args:", ":param", "Args:\n    : no name", "Attributes:\n\n\nx", "---"])
def test_nonsense_explains_nothing(text):
    assert options_in(text) == {}


def test_what_is_under_its_title_is_left_out():
    assert without_options("A.\n\nAttributes:\n    a: b.\n\nRaises:\n    E: no.\n\nMore.") == "A.\n\nMore."


def test_classes_beneath_explain_what_they_declare():
    class Beneath:
        """One.

        Attributes:
            a: of one.
            b: of one.
        """

    class Above(Beneath):
        """Two.

        Attributes:
            b: of two.
        """

    assert explained(Above) == {"a": "of one.", "b": "of two."}


@pytest.mark.parametrize("kind", ["attacks", "defenses", "models", "heads", "datasets", "reports", "figures"])
def test_every_option_of_every_plugin_of_ours_is_explained(kind):
    for name in plugins.names(kind):
        if plugins.distribution(kind, name) != "robench" or name.count("/"):
            continue
        texts = plugins.explained(kind, name)
        assert [option for option in describe(plugins.find(kind, name)) if not texts.get(option)] == [], name
