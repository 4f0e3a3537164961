"""The places on Hugging Face's hub of the data sets that robench loads."""

from __future__ import annotations

from collections.abc import Sequence

from robench.errors import ConfigError
from robench.record.schema import Record

HUB = {
    "MNIST": "ylecun/mnist",
    "Fashion-MNIST": "zalando-datasets/fashion_mnist",
    "CIFAR-10": "uoft-cs/cifar10",
    "CIFAR-100": "uoft-cs/cifar100",
    "SVHN": "ufldl-stanford/svhn",
}
"""Identity on the hub by the title in our records. A copy with other pixels is not the data set itself."""


def hub_names(records: Sequence[Record], given: str) -> dict[str, str]:
    """Return the identity on the hub of each data set of some records, by its title.

    Args:
        records: what was measured.
        given: an identity `ORG/NAME` for all that are unknown; empty for none.

    Raises:
        ConfigError: a data set is unknown and no identity is given, or several are.
    """
    titles = list(dict.fromkeys(record.dataset.name for record in records))
    strangers = [title for title in titles if title not in HUB]
    do = "Add --set dataset=ORG/NAME, the repository of these very images on the hub"
    where = "--set dataset"
    if given and not 0 < len(given.strip("/").split("/")) <= 2:
        raise ConfigError(where=where, expected="ORG/NAME", got=repr(given))
    if strangers and not given:
        expected = "the data set's identity on the hub"
        raise ConfigError(where=where, expected=expected, got=f"none for {strangers[0]!r}", do=do)
    if given and len(titles) > 1:
        do = "Export the runs one by one"
        got = ", ".join(titles)
        raise ConfigError(where=where, expected="runs on one data set", got=got, do=do)
    return {title: given or HUB[title] for title in titles}
