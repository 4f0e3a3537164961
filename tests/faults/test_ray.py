"""A run on a Ray cluster of three nodes, of which one is killed in the middle, gives the same bits."""

import subprocess
import sys
import time

import pytest

from robench.record.comparison.repetition import differences_of
from robench.record.store import Store
from tests.faults.test_parts import PLAN

pytest.importorskip("ray")
pytestmark = pytest.mark.slow

RUN = [sys.executable, "-P", "-m", "robench", "run", "plan.yaml", "--threads", "1", "-q"]


@pytest.fixture
def cluster():
    from ray.cluster_utils import Cluster

    machines = Cluster(initialize_head=True, head_node_args={"num_cpus": 0})
    yield machines
    machines.shutdown()


def test_a_node_may_die(cluster, tmp_path):
    nodes = [cluster.add_node(num_cpus=1) for _ in range(3)]
    (tmp_path / "plan.yaml").write_text(PLAN)
    subprocess.run([*RUN, "-o", "whole"], cwd=tmp_path, check=True, capture_output=True)
    options = ["--executor", "ray", "--address", cluster.address, "--workers", "3", "-o", "spread"]
    process = subprocess.Popen([*RUN, *options], cwd=tmp_path, stderr=subprocess.PIPE, text=True)
    units = tmp_path / "spread" / "units"
    while len(list(units.glob("*.json"))) < 6:
        assert process.poll() is None, process.stderr.read()
        time.sleep(0.02)
    cluster.remove_node(nodes[0], allow_graceful=False)
    _, stderr = process.communicate(timeout=600)
    assert process.returncode == 0, stderr
    comparison = differences_of(Store(tmp_path / "whole"), Store(tmp_path / "spread"))
    assert comparison.compared == 44
    assert comparison.same, comparison.lines()
    assert not (tmp_path / "spread" / "leases").exists()
