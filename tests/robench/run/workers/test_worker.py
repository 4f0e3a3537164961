"""A worker does the job it is given, and no other."""

from types import SimpleNamespace

import pytest

from robench.errors import JobError
from robench.run.workers.worker import PlanInWorker, carry_out


@pytest.mark.parametrize(("index", "name"), [(0, "b"), (1, "a"), (2, "b"), (2, "c")])
def test_what_is_another_job_here_is_not_done(index, name):
    plan = object.__new__(PlanInWorker)
    plan._jobs = {0: [SimpleNamespace(key="a"), SimpleNamespace(key="", units=[SimpleNamespace(key="b")])]}
    with pytest.raises(JobError, match="the same models and images during the whole run"):
        carry_out(plan, ("do", 0, index, name))
