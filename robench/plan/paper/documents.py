"""The experiments of each table and figure of Wang & Osher 2019 (arXiv:1907.06800)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from robench.errors import ConfigError, nearest

TABLE, FIGURE = "table", "figure"


@dataclass(frozen=True, slots=True)
class PaperDocument:
    """A table or figure of the paper.

    Attributes:
        name: `table8`, `figure3`.
        title: what it shows.
        experiments: names of the experiments to run for it, see `robench.plan.paper.experiments`.
        figure: the figure plugin that draws it; empty for a table, and for pictures on the run's page.
        others: experiments on other images than the paper's, run if their data set is requested by name.
    """

    name: str
    title: str
    experiments: tuple[str, ...]
    figure: str = ""
    others: tuple[str, ...] = ()

    @property
    def number(self) -> str:
        """Its number in the paper."""
        return self.name.removeprefix(TABLE).removeprefix(FIGURE)

    @property
    def is_table(self) -> bool:
        """Whether it is a table."""
        return self.name.startswith(TABLE)

    @property
    def compares_heads(self) -> bool:
        """Whether it compares a head with softmax; Table 10 compares WNLL with WNLL."""
        return self.is_table and self.name != "table10"


def _documents() -> dict[str, PaperDocument]:
    entries: tuple[tuple[Any, ...], ...] = (
        ("table1", "Test error of softmax networks by depth and training images", ("natural-cifar10",)),
        (
            "table2",
            "Softmax and WNLL on raw pixels",
            ("raw-pixels-cifar10", "raw-pixels-mnist", "raw-pixels-svhn"),
        ),
        ("table3", "Test error of softmax, WNLL and SVM on CIFAR-10", ("natural-cifar10",)),
        ("table4", "Test error of softmax and WNLL on CIFAR-100", ("natural-cifar100",)),
        ("table5", "Test error of softmax and WNLL on SVHN", ("natural-svhn",)),
        ("table6", "White-box accuracy on MNIST after PGD training", ("robust-mnist",)),
        ("table7", "Accuracy on MNIST of images crafted on the softmax network", ("robust-mnist",)),
        ("table8", "White-box accuracy on CIFAR-10 after PGD training", ("robust-cifar10",)),
        ("table9", "Accuracy on CIFAR-10 of images crafted on the softmax network", ("robust-cifar10",)),
        (
            "table10",
            "Accuracy by neighbours m and normalising neighbour n",
            ("neighbours-cifar10",),
            "",
            ("neighbours-mnist",),
        ),
        ("table11", "Semi-supervised test error on CIFAR-10", ("semi-supervised-cifar10",)),
        ("figure3", "Test error by depth, few training images", ("depth-cifar10",), "depth"),
        ("figure4", "Accuracy by epoch, softmax and WNLL", ("natural-cifar10",), "training"),
        ("figure5", "Adversarial images of MNIST", ("robust-mnist",)),
        ("figure6", "Adversarial images of CIFAR-10", ("robust-cifar10",)),
        ("figure7", "Accuracy by epoch with and without an added layer", ("features-cifar10",), "training"),
        ("figure8", "Features of softmax and WNLL networks", ("features-cifar10",), "features"),
        ("figure9", "Features of attacked images", ("features-cifar10",), "features"),
        (
            "figure10",
            "Nearest training images of an attacked image",
            ("robust-mnist", "robust-cifar10"),
            "neighbours",
        ),
    )
    return {entry[0]: PaperDocument(*entry) for entry in entries}


DOCUMENTS = _documents()
"""Every table and figure by name; Figures 1 and 2 are drawings without a measurement."""


def document(name: str) -> PaperDocument:
    """Return a table or figure by name; `8` and `Table 8` mean `table8`.

    Raises:
        ConfigError: the paper has none of that name, or it shows no measurement.
    """
    plain = name.lower().replace(" ", "").replace("-", "").replace("fig.", "figure")
    plain = f"{TABLE}{plain}" if plain.isdigit() else plain
    entry = DOCUMENTS.get(plain)
    if entry is None:
        raise ConfigError(
            where="robench paper",
            expected=f"a table or figure of Wang & Osher 2019: {', '.join(DOCUMENTS)}",
            got=repr(name),
            do=nearest(plain, DOCUMENTS),
        )
    return entry
