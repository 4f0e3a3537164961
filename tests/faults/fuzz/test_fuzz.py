"""Damaged and hostile files are answered by a value that is sane or by an error of robench.errors."""

import os
from collections import Counter

import pytest

from tests.faults.fuzz.campaign import campaign, examples
from tests.faults.fuzz.readers import READERS


@pytest.mark.thorough
@pytest.mark.parametrize("name", READERS)
def test_a_few_files(tmp_path, name):
    counts = Counter()
    examples(READERS[name], tmp_path, counts, 40, start=0)
    assert counts["refused"] > 0


@pytest.mark.slow
@pytest.mark.timeout(0)
@pytest.mark.parametrize("name", READERS)
def test_files_for_as_long_as_asked(tmp_path, name):
    """ROBENCH_FUZZ_SECONDS says how long each reader is asked, by default ten seconds."""
    counts = campaign(name, float(os.environ.get("ROBENCH_FUZZ_SECONDS", "10")), tmp_path)
    assert counts["refused"] > 0
    assert not counts["found"], sorted(path.name for path in tmp_path.iterdir())
