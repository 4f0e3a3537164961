"""Which classes a targeted try of an untargeted attack aims at, one after another."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from robench.attack.oracle import Oracle
    from robench.types import Images, Labels


def likeliest(oracle: Oracle, x: Images, count: int) -> list[Labels]:
    """Return, for the likeliest wrong class, the second likeliest, ..., the pairs (label, class), (B, 2).

    Croce & Hein 2020 (arXiv:2003.01690), section 4: at most `count` of the other classes, in the order of the
    model's scores at the clean images, which costs one forward pass.
    """
    import torch

    outputs = oracle.outputs(x)
    # Rows of images that got no answer are no numbers; any order does for them.
    others = outputs.nan_to_num(0.0).scatter(1, oracle.y[:, None], -torch.inf)
    order = others.argsort(dim=1, descending=True, stable=True)
    classes = min(count, outputs.shape[1] - 1)
    return [torch.stack([oracle.y, order[:, rank]], dim=1) for rank in range(classes)]
