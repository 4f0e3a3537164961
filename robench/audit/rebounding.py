"""Bound a random sample of a run's images again, and compare what is certified."""

from __future__ import annotations

import torch

from robench.audit.run_rejudgement import Check, differing, has_begun
from robench.errors import StorageError
from robench.plan.bounds import BranchAndBound
from robench.plurals import counted
from robench.randomness import Randomness
from robench.record.store import Store
from robench.run.bound_units import bound_unit
from robench.run.work import Work


def check_bounds(work: Work, store: Store, *, sample: int, seed: int) -> Check | None:
    """Bound the images of a sample of units again; None if the sample is empty or no unit is finished.

    A search with a limit in seconds is left out: its result depends on the machine.
    """
    keys = set(store.planned())
    bounding_jobs = [job for shard in work.shards() for job in work.jobs(shard) if job.units[0].bounding]
    jobs = [job for job in bounding_jobs if has_begun(job, keys)]
    again = [
        (job.units[0], bounding)
        for job in jobs
        if (bounding := job.units[0].bounding)
        and not (isinstance(bounding.method, BranchAndBound) and bounding.method.seconds is not None)
    ]
    if not jobs:
        return None
    draws = Randomness(seed, torch.arange(len(again)), ("verify bounds",)).uniform(torch.empty(len(again), 1))
    total = changes = 0
    first = ""
    for place in draws[:, 0].argsort()[:sample].tolist():
        unit, bounding = again[place]
        try:
            before = store.read(unit.key).certificates
        except StorageError:
            continue  # the check `records` reports it
        now = bound_unit(unit, bounding, work.settings).certificates
        if before is None or now is None:
            continue
        wrong = differing(before.certified, now.certified)
        total, changes = total + len(before.certified), changes + wrong
        first = first or (f"{wrong} of {len(before.certified)} in {unit.title}" if wrong else "")
    if not again:  # only searches with a limit in seconds: only the attacks can check these
        return None
    return Check(
        name="bounds", looked=total, wrong=changes, evidence=first or f"of {counted(len(again), 'unit')}"
    )
