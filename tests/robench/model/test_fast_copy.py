"""Batch-norm is folded only where nothing else sees it."""

import os

import torch
from torch import nn

from robench.model.copy_methods import CopyMethod
from robench.model.fast_copy import prepared_copy
from tests.robench.model.folding_networks import (
    Base,
    ByContent,
    HalfConvolution,
    Hooked,
    Patched,
    ReadTwice,
    Tied,
    Weighed,
)


def test_sound_folding_really_folds():
    twin = prepared_copy(Base(), CopyMethod("folded", fold=True))
    assert [m for m in twin.modules() if isinstance(m, nn.BatchNorm2d) and "forward" in m.__dict__] == [
        twin.na,
        twin.nb,
    ]
    for unsound in (Hooked, Patched, HalfConvolution, Weighed, ByContent):
        twin = prepared_copy(unsound(), CopyMethod("folded", fold=True))
        assert "forward" not in twin.nb.__dict__ or unsound is Patched
        assert "forward" in twin.na.__dict__
    for kind in (Tied, ReadTwice):
        twin = prepared_copy(kind(), CopyMethod("folded", fold=True))
        assert "forward" not in twin.nb.__dict__


def test_tracing_switches_nothing_for_the_process(tmp_path, monkeypatch):
    """Folding runs the network's own code on symbols, which may switch what it switches in every pass."""

    class Switches(Base):
        def forward(self, x):
            os.chdir("/")
            torch.set_grad_enabled(False)
            torch.set_default_dtype(torch.float64)
            return super().forward(x)

    monkeypatch.chdir(tmp_path)
    before = (os.getcwd(), torch.is_grad_enabled(), torch.get_default_dtype())
    prepared_copy(Switches(), CopyMethod("folded", fold=True))
    assert (os.getcwd(), torch.is_grad_enabled(), torch.get_default_dtype()) == before
