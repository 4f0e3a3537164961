import pytest

from robench.plurals import counted, plural


@pytest.mark.parametrize(
    ("number", "noun", "text"),
    [
        (0, "unit", "0 units"),
        (1, "unit", "1 unit"),
        (2, "pass", "2 passes"),
        (3, "noisy copy", "3 noisy copies"),
        (4, "key", "4 keys"),
        (5, "box", "5 boxes"),
        (6, "epoch", "6 epochs"),
    ],
)
def test_a_noun_follows_its_number(number, noun, text):
    assert counted(number, noun) == text
    assert text.endswith(plural(noun)) == (number != 1)


def test_digits_are_written_as_wanted():
    assert counted(100_000, "copy", digits=",") == "100,000 copies"
