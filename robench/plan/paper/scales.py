"""How large each experiment is: `quick` takes minutes, `reduced` hours on 2 cores, `full` is the paper's."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

Scale = Literal["quick", "reduced", "full"]
SCALES: tuple[Scale, ...] = ("quick", "reduced", "full")

_RESNETS = ("resnet20", "resnet32", "resnet44", "resnet56", "resnet110")
_PREACTS = ("preact_resnet18", "preact_resnet34", "preact_resnet50")
_STAGED = ("resnet18", "resnet34", "resnet50", *_PREACTS)
_VGGS = ("vgg11", "vgg13", "vgg16", "vgg19")


@dataclass(frozen=True, slots=True, kw_only=True)
class NaturalScale:
    """How natural training is compared (Tables 1, 3, 4, 5 and 11).

    Attributes:
        networks: architectures.
        epochs: by number of labelled training images, how long softmax and SVM are trained; WNLL takes half
            of it in each of two passes.
        schedule: of the learning rate.
        learning_rate: at its highest.
        wnll_epochs: epochs of each WNLL stage.
        wnll_batch_size: images interpolated at once while training.
        test_images: None for all.
        unlabelled: by number of labelled images, how many without a label join the graph (Table 11).
        unlabelled_per_step: how many of them approach II draws for a step.
        depths: architectures of Figure 3.
    """

    networks: tuple[str, ...]
    epochs: Mapping[int, int]
    schedule: str
    learning_rate: float
    wnll_epochs: int
    wnll_batch_size: int
    test_images: int | None
    unlabelled: Mapping[int, int]
    unlabelled_per_step: int
    depths: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class RobustScale:
    """How PGD-trained networks are compared (Tables 6 to 10).

    Attributes:
        networks: architectures.
        training_images: None for all.
        epochs: of PGD training, and of the linear stage for WNLL.
        steps: of the inner attack.
        step_size: of the inner attack, as a configuration writes it.
        schedule: of the learning rate.
        wnll_epochs: epochs of the WNLL stage.
        passes: how often both stages alternate.
        wnll_batch_size: images interpolated at once while training.
        template: training images in a graph.
        graph: the paper's (m, n) of the head.
        graphs: other (m, n), for Table 10.
        test_images: None for all.
        shard: test images in a graph.
        cw_steps: of C&W.
        adaptive_steps: of every try of the adaptive attack.
        queries: of Square.
    """

    networks: tuple[str, ...]
    training_images: int | None
    epochs: int
    steps: int
    step_size: float | str
    schedule: str
    wnll_epochs: int
    passes: int
    wnll_batch_size: int
    template: int
    graph: tuple[int, int]
    graphs: tuple[tuple[int, int], ...]
    test_images: int | None
    shard: int
    cw_steps: int
    adaptive_steps: int
    queries: int


@dataclass(frozen=True, slots=True, kw_only=True)
class PixelScale:
    """How heads on raw pixels are compared (Table 2).

    Attributes:
        training_images: of both heads, all of them the template of WNLL; None for all.
        epochs: of the linear layer.
        test_images: None for all.
    """

    training_images: int | None
    epochs: int
    test_images: int | None


PIXELS: dict[Scale, PixelScale] = {
    "quick": PixelScale(training_images=400, epochs=2, test_images=100),
    "reduced": PixelScale(training_images=20_000, epochs=20, test_images=None),
    "full": PixelScale(training_images=None, epochs=100, test_images=None),
}
"""Raw pixels, whatever the data set."""

NATURAL: dict[str, dict[Scale, NaturalScale]] = {
    "cifar10": {
        "quick": NaturalScale(
            networks=("resnet20",), epochs={200: 2}, schedule="cosine", learning_rate=0.1, wnll_epochs=1,
            wnll_batch_size=50, test_images=100, unlabelled={200: 100}, unlabelled_per_step=50,
            depths=("resnet20", "resnet32"),
        ),
        "reduced": NaturalScale(
            networks=("resnet20",), epochs={1_000: 24, 10_000: 6}, schedule="cosine", learning_rate=0.1,
            wnll_epochs=3, wnll_batch_size=500, test_images=None, unlabelled={1_000: 49_000},
            unlabelled_per_step=2_000, depths=("resnet20", "resnet56"),
        ),
        "full": NaturalScale(
            networks=(*_VGGS, *_RESNETS, *_STAGED), epochs={50_000: 810, 10_000: 810, 1_000: 810},
            schedule="multistep", learning_rate=0.05, wnll_epochs=5, wnll_batch_size=2_000, test_images=None,
            unlabelled={1_000: 49_000, 10_000: 40_000}, unlabelled_per_step=2_000,
            depths=_PREACTS,
        ),
    },
    "cifar100": {
        "quick": NaturalScale(
            networks=("resnet20",), epochs={1_000: 1}, schedule="cosine", learning_rate=0.1, wnll_epochs=1,
            wnll_batch_size=250, test_images=100, unlabelled={}, unlabelled_per_step=1,
        ),
        "reduced": NaturalScale(
            networks=("resnet20",), epochs={10_000: 12}, schedule="cosine", learning_rate=0.1, wnll_epochs=3,
            wnll_batch_size=1_000, test_images=2_000, unlabelled={}, unlabelled_per_step=1,
        ),
        "full": NaturalScale(
            networks=(*_VGGS, *_RESNETS, *_STAGED), epochs={50_000: 810}, schedule="multistep",
            learning_rate=0.05, wnll_epochs=5, wnll_batch_size=2_000, test_images=None, unlabelled={},
            unlabelled_per_step=1,
        ),
    },
    "svhn": {
        "quick": NaturalScale(
            networks=("resnet20",), epochs={200: 2}, schedule="cosine", learning_rate=0.1, wnll_epochs=1,
            wnll_batch_size=50, test_images=100, unlabelled={}, unlabelled_per_step=1,
        ),
        "reduced": NaturalScale(
            networks=("resnet20",), epochs={10_000: 12}, schedule="cosine", learning_rate=0.1, wnll_epochs=3,
            wnll_batch_size=500, test_images=2_000, unlabelled={}, unlabelled_per_step=1,
        ),
        "full": NaturalScale(
            networks=(*_RESNETS, "resnet18", "resnet34", "preact_resnet18", "preact_resnet34"),
            epochs={73_257: 810}, schedule="multistep", learning_rate=0.05, wnll_epochs=5,
            wnll_batch_size=2_000, test_images=None, unlabelled={}, unlabelled_per_step=1,
        ),
    },
}  # fmt: skip
"""Natural training by data set."""

_GRAPHS = ((15, 8), (45, 23), (60, 30))

ROBUST: dict[str, dict[Scale, RobustScale]] = {
    "mnist": {
        "quick": RobustScale(
            networks=("small_cnn",), training_images=400, epochs=1, steps=2, step_size=0.15,
            schedule="cyclic", wnll_epochs=1, passes=1, wnll_batch_size=100, template=100, graph=(30, 15),
            graphs=_GRAPHS, test_images=20, shard=20, cw_steps=5, adaptive_steps=2, queries=20,
        ),
        "reduced": RobustScale(
            networks=("small_cnn",), training_images=20_000, epochs=16, steps=7, step_size=0.1,
            schedule="cyclic", wnll_epochs=3, passes=1, wnll_batch_size=500, template=500, graph=(30, 15),
            graphs=_GRAPHS, test_images=1_000, shard=500, cw_steps=100, adaptive_steps=40, queries=300,
        ),
        "full": RobustScale(
            networks=("small_cnn",), training_images=None, epochs=100, steps=40, step_size=0.01,
            schedule="multistep", wnll_epochs=5, passes=2, wnll_batch_size=2_000, template=500,
            graph=(30, 15), graphs=_GRAPHS, test_images=None, shard=500, cw_steps=100, adaptive_steps=40,
            queries=5_000,
        ),
    },
    "cifar10": {
        "quick": RobustScale(
            networks=("resnet20",), training_images=200, epochs=1, steps=1, step_size="8/255",
            schedule="cyclic", wnll_epochs=1, passes=1, wnll_batch_size=50, template=80, graph=(30, 15),
            graphs=_GRAPHS, test_images=20, shard=20, cw_steps=5, adaptive_steps=2, queries=10,
        ),
        "reduced": RobustScale(
            networks=("resnet20",), training_images=10_000, epochs=8, steps=3, step_size="4/255",
            schedule="cyclic", wnll_epochs=3, passes=1, wnll_batch_size=500, template=500, graph=(30, 15),
            graphs=_GRAPHS, test_images=300, shard=300, cw_steps=50, adaptive_steps=12, queries=200,
        ),
        "full": RobustScale(
            networks=("resnet20", "resnet56", "wide_resnet34_10"), training_images=None, epochs=120,
            steps=10, step_size="2/255", schedule="multistep", wnll_epochs=5, passes=2,
            wnll_batch_size=2_000, template=500, graph=(30, 15), graphs=_GRAPHS, test_images=None, shard=500,
            cw_steps=50, adaptive_steps=40, queries=5_000,
        ),
    },
}  # fmt: skip
"""PGD training by data set."""
