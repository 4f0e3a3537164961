"""Feature space as values for the template: features of two classes, and nearest template images."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from markupsafe import Markup

from reports.board.feature_spaces import FeatureSpace, same_networks
from reports.board.run_folder import Run
from reports.board.samples import Samples
from reports.figures.features import Features
from reports.html.inline_svg import inline_svg
from reports.html.pixels import png
from reports.text.escape import number, visible
from robench.errors import ConfigError
from robench.record.feature_snapshot import Cloud, Nearest

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

MOST_FIGURES = 900_000
"""Bytes of feature figures on one page; the best rows of the first board come first."""
MOST_NEIGHBOURS = 900_000
"""Bytes of pictures of neighbours on one page."""
MARKS = 40
"""Most images of a class in a figure of the page; the command `robench plot features` draws all."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Neighbour:
    """One template image: its class, how far away it lies, and whose class that is."""

    picture: str
    label: str
    distance: str
    kind: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Side:
    """An image before or after the attack, its prediction, and its neighbours, nearest first."""

    when: str
    picture: str
    prediction: str
    neighbours: tuple[Neighbour, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Query:
    """An attacked image."""

    index: int
    truth: str
    sides: tuple[Side, Side]

    @property
    def weight(self) -> int:
        """Bytes of its pictures."""
        return sum(len(side.picture) + sum(len(n.picture) for n in side.neighbours) for side in self.sides)


@dataclass(frozen=True, slots=True, kw_only=True)
class FeatureSection:
    """The feature space of one model on one board.

    Attributes:
        attack: what was done to the images.
        reason: why the features are missing.
        features: the figure; None where another model's section has it, or the page would grow too large.
        caption: what it shows.
        shared: (name, address) of the model whose section has the figure.
        nearest: what the pictures of neighbours show; empty for a model that remembers no images.
        queries: images with their neighbours.
        left_out: whether pictures were left out to keep the page small.
    """

    attack: str
    reason: str = ""
    features: Markup | None = None
    caption: str = ""
    shared: tuple[str, str] | None = None
    nearest: str = ""
    queries: tuple[Query, ...] = ()
    left_out: bool = False


def feature_sections(
    run: Run, samples: Sequence[Samples], order: Sequence[Sequence[str]], links: Mapping[str, str]
) -> list[dict[str, FeatureSection]]:
    """Return for every board what is shown of each model's feature space, by identity of the model.

    Args:
        run: the run.
        samples: its boards.
        order: identities of the models of every board, best first.
        links: address of a model's section, by shown name.
    """
    figures, pictures = MOST_FIGURES, MOST_NEIGHBOURS
    result = []
    for at, (own, identities) in enumerate(zip(samples, order, strict=True)):
        of_board = {space.model: space for space in run.feature_spaces if space.setting == own.setting}
        spaces = [of_board[model] for model in identities if model in of_board]
        sections = {space.model: _begun(space, own) for space in spaces}
        for number_, group in enumerate(same_networks(spaces)):
            first = group[0]
            picture = _figure(group, own, name=f"board-{at}-features-{number_}")
            if picture is None:
                why = "those of all these images are equal"
                sections |= {v.model: replace(sections[v.model], reason=why) for v in group}
                continue
            figure, caption = picture
            fits = len(figure) <= figures
            figures -= len(figure) if fits else 0
            sections[first.model] = replace(
                sections[first.model],
                features=figure if fits else None,
                caption=caption if fits else "",
                left_out=not fits,
            )
            there = (own.names[first.model], links[own.names[first.model]])
            for space in group[1:]:
                change = {"shared": there} if fits else {"left_out": True}
                sections[space.model] = replace(sections[space.model], **change)
        for space in spaces:
            if nearest := space.snapshot.nearest:
                queries = _queries(space, nearest, pictures)
                pictures -= sum(query.weight for query in queries)
                sections[space.model] = replace(
                    sections[space.model],
                    nearest=_searched(space, nearest),
                    queries=queries,
                    left_out=sections[space.model].left_out or len(queries) < len(nearest.index),
                )
        result.append(sections)
    return result


def _begun(space: FeatureSpace, own: Samples) -> FeatureSection:
    source = f" through {space.gradient_source}" if space.gradient_source else ""
    attack = f"{own.labels[space.attack]}{source}"
    return FeatureSection(attack=attack, reason=space.snapshot.reason)


def _figure(group: Sequence[FeatureSpace], own: Samples, *, name: str) -> tuple[Markup, str] | None:
    """Return the figure of heads on one network, and what it shows; None where features do not vary."""
    try:
        figure = Features().draw([group], own.names, most=MARKS)
    except ConfigError:
        return None
    clouds = [space.snapshot.cloud for space in group if space.snapshot.cloud]
    first = clouds[0]
    one, other = (group[0].record.dataset.class_name(label) for label in first.classes)
    count = f"{_of(first, 0)} images of class {one} and {_of(first, 1)} of class {other}"
    limit = f", {MARKS} of each at most drawn" if max(_of(first, 0), _of(first, 1)) > MARKS else ""
    heads = "; ".join(
        f"{own.names[space.model]}: {_right(cloud, cloud.clean)} right before, "
        f"{_right(cloud, cloud.adversarial)} after {own.labels[space.attack]}"
        for space, cloud in zip(group, clouds, strict=True)
    )
    caption = (
        f"The features of {count}{limit}, in the plane of the first two principal components of the clean "
        f"ones. The two classes are {first.choice}. Left the clean images; beside them what the "
        f"white-box attack that leaves fewest images robust made of them, for every head on this network, in "
        f"the same plane: hollow where that head is wrong. {heads}."
    )
    return inline_svg(figure, name=name, description=visible(caption), wide=True), caption


def _of(cloud: Cloud, place: int) -> int:
    return int((cloud.label == cloud.classes[place]).sum())


def _right(cloud: Cloud, answers: NDArray[Any]) -> str:
    return f"{int((answers == cloud.label).sum())} of {len(cloud.label)}"


def _searched(space: FeatureSpace, nearest: Nearest) -> str:
    """Return where neighbours were searched."""
    among = f"Nearest among the {nearest.template} template images, by distance between features"
    notes = {
        "joint": "; the other images of the batch, which share the graph but carry no label, are left out",
        "published": ", drawn anew for every batch",
        "voting": ", those of all votes together",
    }
    return among + notes.get(space.protocol, "")


def _queries(space: FeatureSpace, nearest: Nearest, room: int) -> tuple[Query, ...]:
    queries: list[Query] = []
    for at in range(len(nearest.index)):
        query = _query(space, nearest, at)
        if query.weight > room:
            break
        room -= query.weight
        queries.append(query)
    return tuple(queries)


def _query(space: FeatureSpace, nearest: Nearest, at: int) -> Query:
    def side(when: int, answer: int) -> Side:
        neighbours = []
        for place in range(nearest.ids.shape[2]):
            label = int(nearest.labels[at, when, place])
            neighbours.append(
                Neighbour(
                    picture=_png(nearest.pictures[nearest.picture[at, when, place]]),
                    label=space.record.dataset.class_name(label),
                    distance=number(float(nearest.distances[at, when, place])),
                    kind="own" if label == truth else "taken" if label == after else "other",
                )
            )
        return Side(
            when="after" if when else "before",
            picture=_png(nearest.queries[at, when]),
            prediction=space.record.dataset.class_name(answer),
            neighbours=tuple(neighbours),
        )

    truth, after = int(nearest.label[at]), int(nearest.adversarial[at])
    return Query(
        index=int(nearest.index[at]),
        truth=space.record.dataset.class_name(truth),
        sides=(side(0, int(nearest.clean[at])), side(1, after)),
    )


def _png(picture: NDArray[np.uint8]) -> str:
    import numpy as np

    return png(picture.astype(np.float32) / np.float32(255))
