"""Facts about a model beside its numbers: paper, architecture, parameters, extra data, training."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from reports.board.named_plugins import info_of
from reports.board.run_folder import Training
from robench.record.exchange.model_card import DataPart, NamedPart, StatedCard
from robench.record.parts import RecordedTarget

_UNKNOWN = {"", "none", "checkpoint"}
"""Names in records of a training without a defense, or an unknown training."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Background:
    """Facts about a model from records and training cards; empty if unknown.

    Attributes:
        paper: of its training defense, and of its head.
        architecture: the network, with its head where that is not linear.
        parameters: how many numbers were trained.
        data: what it was trained on.
        defense: how it was trained, and what stands in front of it.
    """

    paper: str = ""
    architecture: str = ""
    parameters: int | None = None
    data: str = ""
    defense: str = ""

    def extra_data(self, dataset: str) -> str:
        """Return whether it was trained on other data than that of a board, in words; empty if unknown."""
        if not self.data:
            return ""
        return "no" if self.data == dataset else f"yes: {self.data}"


def background_of(target: RecordedTarget, trainings: Sequence[Training]) -> Background:
    """Return the known facts about a model.

    Args:
        target: the model, as described in a record.
        trainings: the trainings of all runs; the one whose weights the model has is its own.
    """
    training, head = target.detail("training"), target.detail("head")
    checkpoint = target.details.get("checkpoint")
    cards = (one.card for one in trainings if checkpoint and one.card.get("sha256") == checkpoint)
    card = next(cards, StatedCard())
    own = _dictionary(target.details.get("checkpoint_card"))
    parameters = card.get("parameters")
    stack = target.details.get("inference")
    in_front = [_dictionary(one).get("defense") for one in (stack if isinstance(stack, list | tuple) else ())]
    info = info_of("defenses", training) if training not in _UNKNOWN else None
    training_title = info.title if info else "" if training in _UNKNOWN else training
    defenses = [training_title, *map(str, filter(None, in_front))]
    architecture = target.detail("architecture") or str(
        card.get("architecture", NamedPart()).get("name") or ""
    )
    if ".py:" in architecture:  # of a user's file: its name without the folder
        architecture = architecture.replace("\\", "/").rpartition("/")[2]
    return Background(
        paper=_paper(training, head),
        architecture=architecture + (f" + {head}" if head not in {"", "linear"} else ""),
        parameters=parameters if type(parameters) is int and 0 <= parameters < 10**15 else None,
        data=str(card.get("data", DataPart()).get("title") or own.get("data") or ""),
        defense=" + ".join(filter(None, defenses))
        or ("weights from a file" if training == "checkpoint" else ""),
    )


def _paper(training: str, head: str) -> str:
    infos = [info_of("defenses", training)] if training not in {*_UNKNOWN, "natural"} else []
    infos += [info_of("heads", head)] if head not in {"", "linear"} else []
    papers = [info.paper for info in infos if info and info.paper and not info.paper.startswith("none")]
    return "; ".join(dict.fromkeys(papers))


def _dictionary(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}
