"""How long a job may take: more for more passes, never less than half an hour."""

import dataclasses

import pytest

from robench.run.workers.time_limit import ANY_JOB, FEWEST, MOST, passes_of, seconds_for


@pytest.mark.parametrize(
    ("options", "passes"),
    [
        ({}, FEWEST),
        ({"steps": 100, "restarts": 100}, 30_000),
        ({"steps": 100, "restarts": 100, "seed": 7, "step_size": 0.1, "restart": True}, 30_000),
        ({"inner": {"queries": 5000}, "restarts": 4}, 60_000),
        ({"steps": 10**9}, MOST),
    ],
)
def test_steps_restarts_and_queries_multiply(options, passes):
    assert passes_of(options) == passes


@dataclasses.dataclass
class Many:
    steps: int = 10_000
    restarts: int = 10


class Threat:
    budget = None


class Limited:
    budget = 100


def job(threat, images=100):
    class Crafting:
        attack = Many()

    class Shard:
        data = range(images)

    class Unit:
        bounding = None

    class OneJob:
        crafting, shard, units = Crafting(), Shard(), [Unit()]

    OneJob.crafting.threat = threat
    return OneJob()


def test_a_budget_bounds_the_passes_and_every_job_has_half_an_hour():
    assert seconds_for(job(Threat()), seconds_per_image=0.01) == ANY_JOB + 5 * 300_000 * 100 * 0.01
    assert seconds_for(job(Limited()), seconds_per_image=0.01) == ANY_JOB + 5 * 100 * 100 * 0.01
    assert seconds_for(job(Limited()), seconds_per_image=0.0) == ANY_JOB


def test_an_attack_that_is_given_seconds_for_an_image_has_them_beside_its_passes():
    @dataclasses.dataclass
    class Timed:
        seconds: float | None = 60.0
        branch_and_bound: float | None = None

    example = job(Threat())
    example.crafting.attack = Timed()
    assert seconds_for(example, seconds_per_image=0.0) == ANY_JOB + 5 * 100 * 60
    example.crafting.attack = Timed(seconds=None, branch_and_bound=10.0)
    assert seconds_for(example, seconds_per_image=0.0) == ANY_JOB + 5 * 100 * 10
