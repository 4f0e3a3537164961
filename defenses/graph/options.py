"""The shared options of trainings through a graph head, and their values in each stage. No torch here."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Protocol, TypeVar, cast

from defenses.option_checks import at_least_one, require
from defenses.training.options import TrainingOptions
from robench.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Callable

    from robench.data.images import ImageSet

Options = TypeVar("Options", bound="GraphOptions")

OWN_CHOICE = ("protocol", "template", "balanced", "unlabelled")
"""Options of a head that the training decides."""


class GraphRecipe(Protocol):
    """A head that puts a batch and its template into one graph; the methods that a training needs."""

    def check(self, training_data: Callable[[], ImageSet], *, classes: int, seed: int) -> None:
        """Refuse training data from which no graph can be built.

        Args:
            training_data: called for the training split, images (N, C, H, W).
            classes: number of classes.
            seed: of the draws of templates.

        Raises:
            InputError: a class is missing, or there are too few images.
        """
        ...

    def __call__(self, network: Any, **given: Any) -> Any:
        """Return the model over a network's features."""
        ...


@dataclass(frozen=True, kw_only=True)  # no slots: it is mixed into classes that have some
class GraphOptions(TrainingOptions):
    """The head to train through, and the images that join a mini-batch in its graph.

    Attributes:
        head: name of a graph head that has the protocol `joint` and the gradient source `exact`.
        head_options: its options, such as `{m: 15, n: 8}`; the training itself decides which images join the
            graph.
        per_class: template images of each class at every step (the paper's base points), at most half of
            the class.
        linear_epochs: epochs through the linear branch before, at the same learning rate; at least 0.
        template: number of template images to classify the held-out part, each image alone with the template.
    """

    head: str = "gll"
    head_options: dict[str, Any] = field(default_factory=dict)
    per_class: int = 10
    linear_epochs: int = 0
    template: int = 500

    def __post_init__(self) -> None:
        """Refuse values that would only fail, or silently do nothing, after hours of training."""
        super().__post_init__()
        at_least_one(per_class=self.per_class, template=self.template)
        require(self.linear_epochs >= 0, "linear_epochs", "at least 0", self.linear_epochs)
        if choices := sorted(set(self.head_options) & set(OWN_CHOICE)):
            raise ConfigError(
                where=f"head_options.{choices[0]}",
                expected="options of the graph, such as m and n",
                got=f"{choices[0]}, which the training sets itself",
                do="Leave it out; `per_class` and `template` say how many images join a graph",
            )
        self.recipe(protocol="joint", template=None)

    def recipe(self, *, protocol: str, template: int | None) -> GraphRecipe:
        """Return the head with a protocol and a number of template images.

        For a single image, a head with a simpler equivalent (`same_alone`) is replaced by that one.

        Raises:
            ConfigError: there is no such head, it has no graph, or its options are invalid.
        """
        from robench import plugins
        from robench.recipe import build, describe

        where = f"head {self.head!r}"
        head: Any = plugins.find("heads", self.head, where="head")
        if "protocol" not in describe(head) or "exact" not in head.offers:
            raise ConfigError(
                where="head",
                expected="a head with the protocol `joint` and the gradient source `exact`",
                got=repr(self.head),
                do="Take gll, laplace, poisson or wnll, for example",
            )
        options = dict(self.head_options)
        if protocol == "independent" and (other := getattr(head, "same_alone", "")):
            head = plugins.find("heads", other, where="head")
            options = {name: value for name, value in options.items() if name in describe(head)}
        return cast(
            "GraphRecipe",
            build(head, {**options, "protocol": protocol, "template": template}, where=where),
        )


def stages_of(options: Options) -> tuple[Options | None, Options]:
    """Return the options of the linear stage, None if there is none, and of the graph stage.

    The radius of an attack grows only in the first existing stage.
    """
    if not options.linear_epochs:
        return None, options
    attacks = hasattr(options, "warmup_epochs")
    growth: float = min(getattr(options, "warmup_epochs", 0.0), options.linear_epochs)
    first: dict[str, Any] = {"warmup_epochs": growth} if attacks else {}
    second: dict[str, Any] = {"warmup_epochs": 0.0} if attacks else {}
    linear = replace(
        options,
        epochs=options.linear_epochs,
        schedule="constant",
        milestones=(),
        keep="last",
        **first,
    )
    return linear, replace(options, **second)
