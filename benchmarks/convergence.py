"""`python -m benchmarks.convergence`: where `not-converged` is lifted, how many images fall to more effort?

PGD of few to many steps, long and short, on two networks for scikit-learn's digits, one attack a board. The
images that fall to ten times as many steps, and to those and restarts and APGD together, are set against half
of the row's interval, which the finding weighs them with.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from benchmarks import models as zoo
from reports.board.board_types import Row
from reports.board.leaderboard import boards
from robench.api import benchmark, make_attack
from robench.attack.protocol import Attack
from robench.data.images import ImageSet
from robench.model.interface import Model

CODE = "not-converged"
RADII = (0.05, 0.1, 0.15)
STEPS = (5, 10, 20, 40, 100)
LENGTHS = (0.5, 0.75, 1.0, 1.5, 2.5)
"""Length of all steps together, in radii; 2.5 is the default."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ShortAttack:
    """One short attack on one network.

    Attributes:
        title: in words.
        lifted: whether the finding was lifted; it was met.
        room: half of the row's interval, in images.
        steps: how many more images fell to ten times as many steps of the same length together.
        effort: how many more fell to those, to 100 steps with 3 restarts, and to APGD.
    """

    title: str
    lifted: bool
    room: float
    steps: int
    effort: int


def short_attacks(models: list[Model], data: ImageSet) -> Iterator[ShortAttack]:
    """Yield every combination on which the finding is met."""
    for eps in RADII:
        strong = {"pgd": make_attack("pgd", steps=100, restarts=3), "apgd": make_attack("apgd", steps=100)}
        best = standing(models, data, eps, strong)
        for length in LENGTHS:
            for steps in STEPS:
                short = make_attack("pgd", steps=steps, step_size=length * eps / steps)
                # Steps of the same length, ten times as many: the attack, had it gone on.
                longer = make_attack("pgd", steps=10 * steps, step_size=length * eps / steps)
                alone = rows(models, data, eps, {"short": short})
                doubts = {name: row for name, row in alone.items() if CODE in row.findings}
                if not doubts:
                    continue
                more = standing(models, data, eps, {"short": short, "long": longer})
                for name, row in doubts.items():
                    worst = row.worst_case
                    assert worst is not None
                    yield ShortAttack(
                        title=f"{name}, eps {eps}, {steps} steps, reach {length}",
                        lifted=CODE not in row.unlifted,
                        room=worst.n * (worst.high - worst.low) / 2,
                        steps=int(worst.count) - more[name],
                        effort=int(worst.count) - min(best[name], more[name]),
                    )


def rows(models: list[Model], data: ImageSet, eps: float, attacks: Mapping[str, Attack]) -> dict[str, Row]:
    """Return the row of each model on the board of some attacks."""
    result = benchmark(models, data, attacks=attacks, eps=eps, transfer=False)
    return {row.model: row for row in boards(result.records)[0].rows}


def standing(
    models: list[Model], data: ImageSet, eps: float, attacks: Mapping[str, Attack]
) -> dict[str, int]:
    """Return how many images of each model stand against all attacks."""
    rows_of = rows(models, data, eps, attacks)
    return {name: int(row.worst_case.count) for name, row in rows_of.items() if row.worst_case}


def report() -> list[str]:
    """Return the Markdown lines."""
    train, test = zoo.images("digits", "train", 1352, None), zoo.images("digits", "test", 400, None)
    models = []
    for name, eps, steps in (("natural", 1e-4, 1), ("trained", 0.1, 5)):
        net = zoo.network("digits_cnn", test.shape, 10)
        inner = {"eps": eps, "step_size": eps if steps == 1 else eps / 3, "steps": steps}
        zoo.train_by_pgd(net, train, **inner, epochs=20, learning_rate=0.05)
        models.append(Model(name=name, net=net, classes=10))
    attacks = list(short_attacks(models, test))
    lines = ["| finding | attacks | more than half fell: to more steps | to restarts and APGD too |"]
    lines += ["|---|---|---|---|"]
    for is_lifted in (True, False):
        group = [attack for attack in attacks if attack.lifted is is_lifted]
        to_steps, to_all = sum(c.steps > c.room for c in group), sum(c.effort > c.room for c in group)
        lines.append(f"| {'lifted' if is_lifted else 'stands'} | {len(group)} | {to_steps} | {to_all} |")
    wrong = [attack for attack in attacks if attack.lifted and attack.effort > attack.room]
    return [*lines, *(f"- {c.title}: {c.steps} and {c.effort} more, {c.room:.1f} allowed" for c in wrong)]


if __name__ == "__main__":
    print("\n".join(report()))
