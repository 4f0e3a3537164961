"""A device that is not there ends a command with exit code 2 and the names of those that are."""

import pytest
import torch

from tests.faults.plans import refused, run


@pytest.mark.parametrize("device", ["cuda", "cuda:0", "cuda:99", "mps"])
@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU here")
def test_a_device_that_is_missing_is_refused_with_those_that_are_there(tmp_path, monkeypatch, device):
    answer = run(tmp_path, monkeypatch, "--device", device)
    refused(answer, tmp_path, device, "Choose one of: auto, cpu")
