"""The published evaluation's WNLL head, the graph of the authors' public code. No torch at import.

For study: the published numbers of Wang & Osher 2019 (arXiv:1907.06800) were measured on it. The formulas of
the paper are the head `wnll`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from model_zoo.heads.wnll import WNLL
from robench.errors import ConfigError
from robench.recipe import Info, identity_of

if TYPE_CHECKING:
    from torch import nn

    from robench.data.images import ImageSet
    from robench.model.interface import Model


@dataclass(frozen=True, slots=True, kw_only=True)
class WNLLPublished:
    """The WNLL head as the authors' public code evaluates it: another kernel, mu, and a template per batch.

    It differs from the paper's text, and from `wnll` with the protocol `joint`, in three things: weights are
    `exp(-(d^2 / sigma^2)^2)`; `mu = N / T`, not `N / T - 1`; and a new random template is drawn from the
    training images for every batch of test images. The same batch of test images, clean or attacked, gets
    the same template in every run; a draw that lacks a class is repeated.

    Attributes:
        m: neighbours each point keeps, itself counted first; the authors' code has 15.
        n: the neighbour whose distance is a point's scale, itself counted first; the authors' code has 8.
        template: training images per template; 500 in the paper's robust experiments, 2,000 for 2,000 test
            images on MNIST and 1,000 for 1,000 on CIFAR-10 in the authors' code.
        augmentation: of the template images: `none` as on MNIST, or `crop_flip` as on CIFAR-10, where the
            code draws them from the augmented training set: padding of 4, random crop, random mirror.
        integer_mu: round mu down to a whole number, as that code does in Python 2. With equally many template
            and test images mu is 2 in both cases.
        search: `torch`, `faiss` or `auto`; all exact.
        solver: `cholesky`, `cg` or `auto`.
        tau: temperature of the gradient source `kernel`.
    """

    info: ClassVar[Info] = Info(
        title="WNLL (published evaluation)",
        paper="Wang & Osher 2019, arXiv:1907.06800; github.com/BaoWangMath/DNN-DataDependentActivation",
        bibtex=WNLL.info.bibtex,
    )
    offers: ClassVar[tuple[str, ...]] = ("straight_through", "linear", "exact", "kernel")
    m: int = 15
    n: int = 8
    template: int = 500
    augmentation: Literal["none", "crop_flip"] = "none"
    integer_mu: bool = False
    search: Literal["auto", "torch", "faiss"] = "auto"
    solver: Literal["auto", "cholesky", "cg"] = "auto"
    tau: float = 1.0

    def __post_init__(self) -> None:
        """Refuse numbers with which no graph can be built, as `wnll` does, and unknown augmentations."""
        self._wnll()
        if self.augmentation not in ("none", "crop_flip"):
            raise ConfigError(
                where="augmentation", expected="`none` or `crop_flip`", got=repr(self.augmentation)
            )

    def check(self, training_data: Callable[[], ImageSet], *, classes: int, seed: int) -> None:
        """Refuse training data from which no template can be drawn.

        Raises:
            InputError: as `__call__`.
        """
        from model_zoo.heads.redrawn import draw_random

        draw_random(training_data(), self.template, classes=classes, seed=seed)

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

        If the identity of the batch is unknown (`robench.model.batch_identity`), the head uses one fixed
        template.

        Raises:
            InputError: the training images are too few for a template, or lack a class.
        """
        from model_zoo.graph.settings import Graph
        from model_zoo.heads.redrawn import RedrawnNetwork
        from model_zoo.heads.sources import gradient_sources, neighbourhood_of
        from model_zoo.last_layer import branched
        from robench.model.interface import Coupling, Model, OutputKind

        del output
        pool = training_data()
        network = network.to(device)
        net = RedrawnNetwork(
            branched(network, pool.batch(slice(0, 3))[0].to(device)),
            pool,
            size=self.template,
            seed=seed,
            classes=classes,
            graph=Graph(
                m=self.m,
                n=self.n,
                kernel="published",
                mu="published_integer" if self.integer_mu else "published",
                search=self.search,
                solver=self.solver,
            ),
            device=device,
            crops=self.augmentation == "crop_flip",
        )
        facts = {"protocol": "published", "pool_sha256": pool.digest(), "template_seed": seed}
        return Model(
            name=name,
            net=net,
            classes=classes,
            output=OutputKind.SIMPLEX,
            coupling=Coupling.JOINT,
            sources=gradient_sources(net, tau=self.tau),
            details={**details, "head": "wnll_published", **identity_of(self), **facts},
            neighbourhood=neighbourhood_of(net, lambda: [net.batch_template.images]),
            template=True,
        )

    def _wnll(self) -> WNLL:
        """Return the head with the same graph and one fixed template."""
        return WNLL(
            protocol="joint",
            m=self.m,
            n=self.n,
            template=self.template,
            balanced=False,
            kernel="published",
            mu="published",
            search=self.search,
            solver=self.solver,
            tau=self.tau,
        )
