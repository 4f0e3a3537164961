import io
import pickle

import pytest
from hypothesis import given
from hypothesis import strategies as st

from robench.errors import InputError
from robench.intake.pickle_steps import _Work, check_steps

KEYS = st.recursive(
    st.integers(0, 9) | st.none(), lambda inner: st.lists(inner, max_size=4).map(tuple), max_leaves=12
)
VALUES = st.recursive(
    st.integers() | st.text(max_size=5) | st.none(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(KEYS, inner, max_size=4),
    max_leaves=15,
)


def parts(key):
    return 1 + sum(map(parts, key)) if isinstance(key, tuple) else 1


def hashed(value):
    """How many parts the keys of all mappings have together."""
    if isinstance(value, dict):
        return sum(map(parts, value)) + sum(map(hashed, value.values()))
    return sum(map(hashed, value)) if isinstance(value, list) else 0


@pytest.mark.thorough
@pytest.mark.parametrize("protocol", [0, 1, 2, 3, 4, 5])
@given(value=VALUES)
def test_the_work_counted_is_the_work_of_hashing_the_keys(protocol, value):
    data = pickle.dumps(value, protocol=protocol)
    work = _Work()
    for opcode, argument in check_steps(io.BytesIO(data), where="x"):
        work.add(opcode, argument)
    assert work.done == hashed(value)
    assert len(work.stack) == (0 if data.endswith(b".") else 1)


def test_only_the_first_pickle_of_a_stream_is_read():
    stream = io.BytesIO(pickle.dumps(1) + pickle.dumps(2))
    assert [code.name for code, _ in check_steps(stream, where="x")][-1] == "STOP"
    assert pickle.load(stream) == 2


@pytest.mark.parametrize(("most", "fits"), [(3, True), (2, False)])
def test_the_limit_of_steps_is_the_number_of_steps(monkeypatch, most, fits):
    monkeypatch.setenv("ROBENCH_MAX_PICKLE_STEPS", str(most))
    stream = io.BytesIO(b"\x80\x02N.")
    if fits:
        assert len(list(check_steps(stream, where="x"))) == 3
    else:
        with pytest.raises(InputError, match="at most 2 steps"):
            list(check_steps(stream, where="x"))
