"""Doubts about radii: a larger ball in which fewer images fall, and one without end in which some stand.

Athalye et al. 2018 (arXiv:1802.00420, section 3.1: increasing the distortion bound; unbounded attacks) and
Carlini et al. 2019 (arXiv:1902.06705, section 4.3).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from reports.board.boards import Doubt
from reports.board.cross_checks import Comparison, by_attack, doubt
from reports.board.findings import is_control
from reports.board.paired_images import count, standing
from reports.board.samples import Samples, model_of
from robench.record.schema import Record

LARGER = "larger-radius-weaker"
UNBOUNDED = "unbounded-survives"

FEW = 0.01
"""Share of the images that an unbounded attack may leave."""


def radius_checks(samples: Samples, others: Sequence[Samples], target: str) -> tuple[Doubt, ...]:
    """Return what is wrong with a model's number at this radius, given the run's other boards.

    Args:
        samples: the board.
        others: all boards of the records, this one among them or not.
        target: identity of the model.
    """
    smaller = [s for s in others if _same_but_smaller(s, samples) and target in s.names]
    remedy = "Balls hold one another: the attack fails at the larger radius; more steps, other step sizes"
    found = doubt(samples.names[target], LARGER, _larger(samples, smaller, target), remedy)
    left = _unbounded(samples, target)
    return tuple(d for d in (found, left) if d)


def _same_but_smaller(other: Samples, samples: Samples) -> bool:
    mine, theirs = samples.setting, other.setting
    alike = theirs._replace(terms=theirs.terms._replace(eps=mine.terms.eps))
    return alike == mine and not samples.unbounded and theirs.terms.eps < mine.terms.eps


def _white(samples: Samples, target: str) -> list[Record]:
    return [r for r in samples.attacked if model_of(r.target) == target and model_of(r.source) == target]


def _larger(samples: Samples, smaller: Sequence[Samples], target: str) -> Iterator[Comparison]:
    """Compare each attack, and all together, with the same at a smaller radius."""
    here = by_attack(_white(samples, target))
    for other in smaller:
        there = by_attack(_white(other, target))
        for attack in here.keys() & there.keys():
            text = (
                f"{samples.labels[attack]} breaks {{gap}} fewer images at {samples.eps_text} than at "
                f"{other.eps_text}"
            )
            yield Comparison(text, standing(here[attack]), standing(there[attack]))
        if here and there:
            text = f"all attacks together break {{gap}} fewer at {samples.eps_text} than at {other.eps_text}"
            now = standing(r for records in here.values() for r in records)
            before = standing(r for records in there.values() for r in records)
            yield Comparison(text, now, before, stands=True)


def _unbounded(samples: Samples, target: str) -> Doubt | None:
    """Find attacks that leave images standing although they may change them into any other."""
    if not samples.whole_box:
        return None
    real = by_attack([r for r in _white(samples, target) if not is_control(r)])
    # In the draw that was attacked: a smallest perturbation is at the edge, where another draw may stand.
    left = {attack: standing(records, fresh=False) for attack, records in real.items()}
    failed = {a: int(count(s)) for a, s in left.items() if count(s) > FEW * len(s)}
    if not failed:
        return None
    together = standing((r for records in real.values() for r in records), fresh=False)
    worst = max(failed, key=lambda attack: failed[attack])
    return Doubt(
        model=samples.names[target],
        code=UNBOUNDED,
        count=len(failed),
        evidence=f"{samples.labels[worst]} leaves {failed[worst]} of {len(left[worst])} images standing "
        "although it may change them into any other",
        remedy="The attack fails, not the radius: more steps, a longer step, a larger c; its smallest "
        "perturbations are too large as well",
        stands=count(together) > FEW * len(together),
    )
