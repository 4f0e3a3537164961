"""Our models as our_models for a row of the paper: what records and model cards say of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from reports.board.grouping import split_into_boards
from reports.board.identities import model_of
from reports.board.run_folder import Training
from reports.board.samples import Samples
from reports.paper.published import data_sets
from robench.record.exchange.model_card import DataPart, NamedPart, StatedCard
from robench.record.schema import Record

SOFTMAX, GRAPH, SVM = "softmax", "WNLL", "SVM"
_HEADS = {"linear": SOFTMAX, "wnll": GRAPH, "wnll_published": GRAPH}


@dataclass(frozen=True)
class OurModel:
    """One of our models, judged on one set of images.

    Attributes:
        target: its identity.
        name: its shown name.
        images: data set, split, digest and size of the set.
        samples: the boards on these images.
        details: its parts, as in the records.
        card: the model card of its weights, empty if none is at hand.
        heads: head and architecture of every model judged on these images, by identity.
        checkpoints: hash of the weights of each of them.
    """

    target: str
    name: str
    images: tuple[str, str, str, int]
    samples: tuple[Samples, ...]
    details: Mapping[str, Any]
    card: StatedCard
    heads: dict[str, tuple[str, str]]
    checkpoints: dict[str, str]

    @property
    def dataset(self) -> str:
        """The paper's name of the data set, or its own title if the paper has none for it."""
        title = self.images[0]
        facts_of = data_sets()
        exact = (name for name, facts in facts_of.items() if title in {name, *facts.copies})
        # "CIFAR-10 (test_1000.npz)": the reader's own file of these images.
        own_file = (name for name in facts_of if title.startswith(f"{name} (") and title.endswith(".npz)"))
        return next(exact, None) or next(own_file, title)

    @property
    def copy(self) -> str:
        """The change of the data set's images, empty for the original."""
        facts, title = data_sets().get(self.dataset), self.images[0]
        if facts is None or title == self.dataset:
            return ""
        return facts.copies.get(title, "images of the reader's own file")

    @property
    def architecture(self) -> str:
        """Name of the model plugin."""
        return str(self.details.get("architecture") or "")

    @property
    def head(self) -> str:
        """`softmax`, `WNLL`, `SVM`, or empty for another."""
        return head_of(self.details)

    @property
    def training(self) -> str:
        """Name of the defense plugin, `none`, or `checkpoint` if only the weights are known."""
        training = str(self.details.get("training") or "")
        if training in {"", "checkpoint"}:
            return str(self.card.get("defense", NamedPart()).get("name") or training)
        return training

    @property
    def options(self) -> dict[str, object]:
        """Options of the training, empty if unknown."""
        return self.card.get("defense", NamedPart()).get("options", {})

    @property
    def training_images(self) -> int | None:
        """How many images with a label were trained on, None if unknown."""
        data: DataPart = self.card.get("data", {})
        images = data.get("images") if data.get("labelled") is None else data["labelled"]
        return images if isinstance(images, int) else None


def head_of(details: Mapping[str, Any]) -> str:
    """Return the paper's word for a model's head, empty for one the paper does not have."""
    head = _HEADS.get(str(details.get("head") or ""), "")
    return SVM if head == SOFTMAX and details.get("training") == "svm" else head


def our_models(records: Sequence[Record], trainings: Sequence[Training]) -> list[OurModel]:
    """Return every model on every set of images it was judged on, in the order of the records."""
    cards = {str(t.card["sha256"]): t.card for t in trainings if t.card.get("sha256")}
    boards: dict[tuple[str, str, str, int], list[Samples]] = {}
    for samples in split_into_boards(records):
        boards.setdefault(samples.setting[:4], []).append(samples)
    models = []
    for images, own in boards.items():
        details_of: dict[str, Mapping[str, Any]] = {}
        names: dict[str, str] = {}
        for samples in own:
            for record in (*samples.clean, *samples.attacked):
                details_of.setdefault(model_of(record.target), record.target.details)
            names |= samples.names
        heads = {t: (head_of(d), str(d.get("architecture") or "")) for t, d in details_of.items()}
        checkpoints = {target: str(d.get("checkpoint") or "") for target, d in details_of.items()}
        models += [
            OurModel(
                target=target,
                name=names[target],
                images=images,
                samples=tuple(own),
                details=details,
                card=cards.get(checkpoints[target], {}),
                heads=heads,
                checkpoints=checkpoints,
            )
            for target, details in details_of.items()
        ]
    return models
