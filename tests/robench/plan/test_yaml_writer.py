"""What is written as YAML is read back as the same data."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from robench.plan.yaml_reader import read_text
from robench.plan.yaml_writer import write_text

TEXT = st.text("ab nulltrue019eE+-.:/_#,[]{}'\"\\|&*!%@`~?<>$=\té☃", max_size=12)
KEY = TEXT.filter(lambda text: text != "<<")  # which the reader refuses
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(10**9), 10**9) | st.floats(allow_nan=False) | TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEY, inner, max_size=3),
    max_leaves=12,
)


@pytest.mark.thorough
@given(st.dictionaries(KEY, VALUES, min_size=1, max_size=4))
def test_all_data_come_back(data):
    assert read_text(write_text(data, comment="two\nlines"), source="x").data == data


def test_words_that_mean_something_else_are_quoted():
    data = {"a": ["null", "1e-3", "010", "true", "-", "no", ".inf", "8/255", "0x1", "a: b", "a#b", "~", ""]}
    assert read_text(write_text(data), source="x").data == data
    assert "8/255" in write_text(data).replace('"8/255"', "")
    assert math.isinf(read_text(write_text({"a": math.inf}), source="x").data["a"])


def test_it_reads_like_a_configuration_written_by_hand():
    data = {
        "schema": 1,
        "dataset": {"name": "mnist", "at_most": 200},
        "models": [
            {"name": "m", "architecture": "/a/net.py:make", "normalize": {"mean": [0.5], "std": [1.0]}}
        ],
        "threats": [{"norm": "Linf", "eps": "8/255", "attacks": [{"pgd": {"steps": 20}}, "square"]}],
    }
    assert write_text(data, comment="Why.") == (
        "# Why.\n"
        "schema: 1\n"
        "dataset:\n"
        "  name: mnist\n"
        "  at_most: 200\n"
        "models:\n"
        "  - name: m\n"
        "    architecture: /a/net.py:make\n"
        "    normalize: {mean: [0.5], std: [1.0]}\n"
        "threats:\n"
        "  - norm: Linf\n"
        "    eps: 8/255\n"
        "    attacks: [{pgd: {steps: 20}}, square]\n"
    )
