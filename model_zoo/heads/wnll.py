"""The graph-interpolating head (Wang & Osher 2019, arXiv:1907.06800) as a recipe. No torch at import."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from robench.errors import ConfigError, InputError
from robench.recipe import Info, options_of

if TYPE_CHECKING:
    from torch import nn

    from robench.data import ImageSet
    from robench.model import Model


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
    """

    info: ClassVar[Info] = Info(
        title="WNLL",
        paper="Wang & Osher 2019, arXiv:1907.06800; Shi, Osher & Zhu 2018",
        bibtex=(
            "@article{wang2019graph, title={Graph interpolating activation improves both natural and robust "
            "accuracies in data-efficient deep learning}, author={Wang, Bao and Osher, Stanley}, "
            "journal={arXiv:1907.06800}, year={2019}}"
        ),
    )
    offers: ClassVar[tuple[str, ...]] = ("straight_through", "linear", "exact", "kernel")
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

    def __post_init__(self) -> None:
        """Refuse numbers no graph can be built with."""
        if not 2 <= self.n <= self.m:
            got = f"n = {self.n}, m = {self.m}"
            raise ConfigError(expected="2 <= n <= m (a point is its own first neighbour)", got=got)
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
        from model_zoo.heads.sources import gradient_sources
        from model_zoo.heads.templates import draw_templates
        from model_zoo.heads.wnll_network import WNLLNetwork
        from model_zoo.splitting import branched
        from robench.model import Coupling, Model, OutputKind

        del output
        votes = self.votes if self.protocol == "voting" else 1
        templates = draw_templates(
            training_data(), self.template, votes=votes, balanced=self.balanced, classes=classes, seed=seed
        )
        size = len(templates[0])
        if self.m > size:
            do = "Lower `m` or raise `template`"
            raise InputError(
                where=f"model {name!r}", expected=f"a template of at least m = {self.m}", got=f"{size}", do=do
            )
        network = network.to(device)
        net = WNLLNetwork(
            branched(network, templates[0].batch(slice(0, 3))[0].to(device)),
            templates,
            classes=classes,
            graph=Graph(
                m=self.m, n=self.n, kernel=self.kernel, mu=self.mu, search=self.search, solver=self.solver
            ),
            joint=self.protocol == "joint",
            rule=self.rule,
            device=device,
        )
        facts = options_of(self) | {
            "template": size,
            "template_sha256": [template.digest() for template in templates],
            "votes": votes,
        }
        return Model(
            name=name,
            net=net,
            classes=classes,
            output=OutputKind.SIMPLEX,
            coupling=Coupling.JOINT if self.protocol == "joint" else Coupling.INDEPENDENT,
            sources=gradient_sources(net, tau=self.tau),
            details={**details, "head": "wnll", **facts},
        )
