"""The graph-interpolating head (Wang & Osher 2019, arXiv:1907.06800) as a recipe. No torch at import."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from model_zoo.heads.scales import check_scale
from model_zoo.papers import SHI_LAPLACIAN, WANG_OSHER
from robench.errors import ConfigError
from robench.plan.spec import LATER
from robench.recipe import Info, identity_of

if TYPE_CHECKING:
    from torch import nn

    from model_zoo.last_layer import Branched
    from robench.data.images import ImageSet
    from robench.model.interface import Model


@dataclass(frozen=True, slots=True, kw_only=True)
class WNLL:
    """Classifies an image by interpolating the labels of template images on a graph over features.

    Attributes:
        protocol: `independent`, each image alone with the template; `joint`, the batch shares one graph with
            the template (the paper's); `voting`, each image alone with several disjoint templates.
        m: neighbours each point keeps, itself counted first; at most the size of the template.
        n: the neighbour whose distance is a point's scale, itself counted first; 2 to m.
        template: training images per template; None shares all of them out.
        balanced: draw as many of every class as of any other; otherwise purely at random.
        votes: number of templates of the protocol `voting`.
        rule: how votes are combined, `majority` (the mean decides ties) or `mean`.
        kernel: `gaussian` (the paper's text) or `published` (the authors' code).
        mu: weight of the template term, `paper` (N/T - 1) or `published` (N/T).
        search: `torch`, `faiss` or `auto`; all exact.
        solver: `cholesky`, `cg` or `auto`; only the joint protocol solves anything.
        tau: temperature of the gradient source `kernel`.
        unlabelled: training images without a label that join every joint graph: their rows of Eq. 5 are
            solved for and thrown away (Wang & Osher 2019, section 3.3, approach I).
    """

    info: ClassVar[Info] = Info(
        title="WNLL",
        paper="Wang & Osher 2019, arXiv:1907.06800; Shi, Osher & Zhu 2018",
        bibtex=WANG_OSHER + "\n" + SHI_LAPLACIAN,
    )
    offers: ClassVar[tuple[str, ...]] = (
        "expectation",
        "straight_through",
        "linear",
        "exact",
        "kernel",
    )
    protocol: Literal["independent", "joint", "voting"] = "independent"
    m: int = 30
    n: int = 15
    template: int | None = 500
    balanced: bool = True
    votes: int = 3
    rule: Literal["majority", "mean"] = "majority"
    kernel: Literal["gaussian", "published"] = "gaussian"
    mu: Literal["paper", "published"] = "paper"
    search: Literal["auto", "torch", "faiss"] = "auto"
    solver: Literal["auto", "cholesky", "cg"] = "auto"
    tau: float = 1.0
    unlabelled: int = field(default=0, metadata=LATER)

    def __post_init__(self) -> None:
        """Refuse numbers no graph can be built with."""
        check_scale(self.n, self.m)
        if self.protocol not in ("independent", "joint", "voting"):
            expected = "protocol 'independent', 'joint' or 'voting'"
            raise ConfigError(expected=expected, got=repr(self.protocol))
        if self.template is not None and self.template < 1:
            raise ConfigError(expected="a template of at least one image", got=str(self.template))
        if self.template is not None and self.m > self.template:
            do = "Lower `m` or raise `template`"
            got = f"template = {self.template}"
            raise ConfigError(expected=f"a template of at least m = {self.m} images", got=got, do=do)
        if self.votes < 1:
            raise ConfigError(expected="votes of at least 1", got=str(self.votes))
        if not self.tau > 0:
            raise ConfigError(expected="tau above 0", got=str(self.tau))
        if self.unlabelled < 0:
            raise ConfigError(expected="unlabelled of at least 0", got=str(self.unlabelled))
        if self.unlabelled and self.protocol != "joint":
            expected = "protocol 'joint' with `unlabelled`: an image alone with the template meets no others"
            raise ConfigError(expected=expected, got=repr(self.protocol), do="Set `protocol: joint`")

    def check(self, training_data: Callable[[], ImageSet], *, classes: int, seed: int) -> None:
        """Refuse training data no graph can be built from, by drawing from them what `__call__` will draw.

        Raises:
            InputError: as `__call__`.
        """
        self._draw(training_data(), classes=classes, seed=seed)

    def __call__(
        self,
        network: nn.Module,
        *,
        name: str,
        classes: int,
        training_data: Callable[[], ImageSet],
        seed: int,
        device: str,
        details: Mapping[str, Any],
        output: str = "logits",
    ) -> Model:
        """Return the WNLL model over the network's features; see `heads.Head`.

        Its outputs are simplex points u (B, K). The template images stay clean; their features are computed
        once. A foreign network is split at its last linear layer, without being changed. `output` is not
        used: a network whose outputs are not those of its last linear layer is refused.

        Raises:
            InputError: the template is too small for m, misses a class, or is not from the training split;
                or the network has no linear layer last.
        """
        from model_zoo.graph.settings import Graph
        from model_zoo.heads.graph_model import graph_model
        from model_zoo.heads.wnll_network import WNLLNetwork
        from robench.model.interface import OutputKind

        del output
        templates, extra = self._draw(training_data(), classes=classes, seed=seed)
        graph = Graph(
            m=self.m, n=self.n, kernel=self.kernel, mu=self.mu, search=self.search, solver=self.solver
        )

        def put_on(branches: Branched) -> WNLLNetwork:
            return WNLLNetwork(
                branches,
                templates,
                classes=classes,
                graph=graph,
                joint=self.protocol == "joint",
                rule=self.rule,
                device=device,
                unlabelled=extra,
            )

        return graph_model(
            put_on,
            network,
            templates,
            extra,
            name=name,
            output=OutputKind.SIMPLEX,
            tau=self.tau,
            device=device,
            details={**details, "head": "wnll", **identity_of(self)},
        )

    def _draw(
        self, training_data: ImageSet, *, classes: int, seed: int
    ) -> tuple[list[ImageSet], ImageSet | None]:
        """Return the templates, and the unlabelled images if there shall be some."""
        from model_zoo.heads.templates import draw_graph_images

        return draw_graph_images(
            training_data,
            self.template,
            votes=self.votes if self.protocol == "voting" else 1,
            balanced=self.balanced,
            unlabelled=self.unlabelled,
            m=self.m,
            classes=classes,
            seed=seed,
        )
