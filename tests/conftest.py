"""Settings of every test process."""

import os

# Two test workers share two cores: more threads than that only wait for each other.
os.environ.setdefault("OMP_NUM_THREADS", "1")

import pytest


def pytest_configure(config):
    """Check shapes and types of tensors in every call, unless only names of tests are wanted.

    A process that only hands tests out to others (`-n 2`) runs none: it needs no torch, and begins at once.
    """
    if config.getoption("numprocesses", None) and not hasattr(config, "workerinput"):
        return
    import torch

    from tests.shapes import check_shapes

    torch.set_num_threads(1)
    if not config.option.collectonly:
        check_shapes()


def pytest_collection_modifyitems(items):
    """Begin with the files of long tests, so that no process is left alone with one of them at the end."""
    long_ones = [item for mark in ("thorough", "slow") for item in items if item.get_closest_marker(mark)]
    first = {item.path for item in long_ones}
    items.sort(key=lambda item: item.path not in first)


@pytest.fixture(autouse=True)
def no_network(monkeypatch):
    """Fail every attempt to reach another machine: the fast tests need none."""
    import socket

    connect = socket.socket.connect

    def guarded(self, address):
        if self.family != socket.AF_UNIX and address[0] not in {"127.0.0.1", "::1", "localhost"}:
            raise OSError(f"a test tried to reach {address}")
        return connect(self, address)

    monkeypatch.setattr(socket.socket, "connect", guarded)


@pytest.fixture
def card(monkeypatch):
    """A processor that passes for a device with CUDA graphs; says what was captured and replayed."""
    from tests.robench.model.cuda_graphs import card_in_place

    return card_in_place(monkeypatch)
