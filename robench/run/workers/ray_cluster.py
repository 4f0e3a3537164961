"""Workers as actors of a Ray cluster: the same jobs, folder and bits as with processes.

Ray comes with `robench[ray]`. All machines need robench, the data, and a shared disk with the run folder. No
torch here.
"""

from __future__ import annotations

import importlib
import math
import os
import time
from collections.abc import Iterator, Sequence
from typing import Any

from robench.errors import ConfigError
from robench.run.workers.executor import Event
from robench.run.workers.worker import PlanInWorker, account_of, carry_out, prepare_plan
from robench.run.workers.worker_messages import Orders


class Collected:
    """Keeps events until they are fetched."""

    def __init__(self) -> None:
        self.events: list[Event] = []

    def send(self, event: Event, /) -> None:
        """Keep an event."""
        self.events.append(event)


class Actor:
    """A worker inside a Ray actor: every call returns the events it caused."""

    def __init__(self) -> None:
        self._told = Collected()
        self._plan: PlanInWorker | None = None

    def make(self, orders: Orders) -> list[Event]:
        """Make the models."""
        try:
            _enter(orders.folder)
            self._plan = prepare_plan(self._told, orders)
        except (Exception, SystemExit) as error:  # noqa: BLE001 - the supervisor reports it
            self._told.send(account_of(error))
        return self._fetched()

    def carry_out(self, *order: Any) -> list[Event]:
        """Carry out an order."""
        try:
            if self._plan is not None:
                carry_out(self._plan, order)
        except (Exception, SystemExit) as error:  # noqa: BLE001 - the supervisor reports it
            self._told.send(account_of(error))
        return self._fetched()

    def _fetched(self) -> list[Event]:
        events, self._told.events[:] = list(self._told.events), []
        return events


def _enter(folder: str) -> None:
    """Work in the folder that the run was started in.

    Raises:
        ConfigError: this machine has no such folder.
    """
    try:
        os.chdir(folder)  # an actor is a process of its own
    except OSError as error:
        raise ConfigError(
            where="--executor ray",
            expected=f"the folder {folder} on every machine of the cluster",
            got=error.strerror or str(error),
            do="Put the configuration and the run folder on a disk that all machines share",
        ) from None


class RayWorker:
    """A started actor as the supervisor sees it; its attributes: see `robench.run.workers.worker_process`.

    Args:
        ray: the library.
        actor: the handle.
        orders: its first message.
    """

    def __init__(self, ray: Any, actor: Any, orders: Orders) -> None:
        self._ray, self._actor = ray, actor
        self.call = actor.make.remote(orders)
        self.busy, self.model, self.activity = True, "", ""
        self.since = time.monotonic()
        self.heard = math.inf  # no events come before a call ends, so that silence is no sign of hanging
        self.memory = 0  # Ray limits it
        self._words = ""

    def order(self, *order: Any) -> None:
        """Give an order."""
        self.busy, self.since = True, time.monotonic()
        self.call = self._actor.carry_out.remote(*order)

    def events(self) -> Iterator[Event]:
        """Yield its events.

        Raises:
            EOFError: it, or its machine, has ended.
        """
        call, self.call = self.call, None
        if call is None:
            return
        try:
            batch: list[Event] = self._ray.get(call)
        except self._ray.exceptions.RayError as error:
            self._words = self._words or f"its Ray actor ended: {str(error).strip().splitlines()[0]}"
            raise EOFError from error
        yield from batch

    def end(self, verdict: str = "") -> None:
        """End it at once."""
        self._words = self._words or verdict
        self._ray.kill(self._actor, no_restart=True)

    def end_reason(self) -> str:
        """Return how it ended, in words."""
        return self._words


class RayCluster:
    """Hires workers in a Ray cluster. Ray's own telemetry is off.

    Args:
        address: of the cluster; empty starts one on this machine alone.
        threads: CPU threads of each worker; None for one.

    Raises:
        ConfigError: Ray is not installed, or no cluster answers.
    """

    def __init__(self, address: str, *, threads: int | None = None) -> None:
        try:
            ray: Any = importlib.import_module("ray")
        except ImportError:
            raise ConfigError(
                where="--executor ray", expected="Ray", got="no such package", do="pip install 'robench[ray]'"
            ) from None
        os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
        self._ray = ray
        self._ours = not ray.is_initialized()
        if self._ours:
            options: dict[str, Any] = {"address": address} if address else {"include_dashboard": False}
            try:
                ray.init(**options, log_to_driver=False, configure_logging=False)
            except (ConnectionError, ValueError, RuntimeError) as error:
                raise ConfigError(
                    where="--address",
                    expected="a Ray cluster that answers",
                    got=str(error).strip().splitlines()[0],
                    do="Start one with `ray start --head`, or leave --address out",
                ) from None
        gpus = 1 if ray.cluster_resources().get("GPU", 0) else 0
        options = {"num_cpus": threads or 1, "num_gpus": gpus, "max_restarts": 0}
        self._kind = ray.remote(**options)(Actor)

    def hire(self, orders: Orders) -> RayWorker:
        """Start a worker on any machine with room."""
        return RayWorker(self._ray, self._kind.remote(), orders)

    def wait(self, workers: Sequence[RayWorker], timeout: float) -> list[RayWorker]:
        """Wait until workers send events or end, at most `timeout` seconds; return these workers."""
        calls = {worker.call: worker for worker in workers if worker.call is not None}
        if not calls:
            time.sleep(timeout)
            return []
        ready, _ = self._ray.wait(list(calls), num_returns=len(calls), timeout=0)
        if not ready:
            ready, _ = self._ray.wait(list(calls), num_returns=1, timeout=timeout)
        return [calls[call] for call in ready]

    def close(self) -> None:
        """Leave the cluster, if this object joined it."""
        if self._ours:
            self._ray.shutdown()
