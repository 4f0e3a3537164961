"""Settings of every test process."""

import os

# Two test workers share two cores: more threads than that only wait for each other.
os.environ.setdefault("OMP_NUM_THREADS", "1")

import pytest
import torch

from tests.shapes import check_shapes

torch.set_num_threads(1)


def pytest_configure(config):
    """Check shapes and types of tensors in every call, unless only names of tests are wanted."""
    if not config.option.collectonly:
        check_shapes()


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
