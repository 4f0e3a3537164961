"""Trainings as values for the template."""

from __future__ import annotations

from dataclasses import dataclass

from markupsafe import Markup

from reports.board.run_folder import Run
from reports.figures import training
from reports.html.inline_svg import inline_svg
from reports.text.facts import Fact, training_facts
from robench.plurals import counted

MOST_CURVES = 20
"""Trainings with a figure of their own; the others are named."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Curve:
    """One training."""

    title: str
    figure: Markup | None
    facts: tuple[Fact, ...]
    description: str


def curves(run: Run) -> list[Curve]:
    """Return the trainings of the run, the first ones with their curves."""
    figures = []
    for number, run_training in enumerate(run.trainings):
        last = run_training.history[-1]
        accuracies = [
            f"{name} {100 * last[column]:.1f} %"
            for column, (name, _, _) in training.ACCURACIES.items()
            if column in last
        ]
        stages = len({row.get("stage") for row in run_training.history})
        description = (
            f"{counted(len(run_training.history), 'epoch')}{f' in {stages} stages' if stages > 1 else ''}. "
            f"After the last one: {'; '.join(accuracies) or 'no accuracy was measured'}."
        )
        figure = None
        if number < MOST_CURVES:
            chart = training.draw(run_training.history, narrow=True)
            figure = inline_svg(chart, name=f"curve-{number}", description=f"Training curves. {description}")
        facts = training_facts(run_training)
        figures.append(Curve(title=run_training.name, figure=figure, facts=facts, description=description))
    return figures
