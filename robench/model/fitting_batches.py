"""The batches in which a model is asked about images: as small as memory demands, a joint one never split."""

from __future__ import annotations

from robench.model.interface import Coupling, Model
from robench.model.out_of_memory import FittingBatches


def fitting_batches(model: Model, images: int) -> FittingBatches:
    """Return the batches in which works about so many images of a model are done; see `FittingBatches`.

    Args:
        model: who is asked; its name is for messages.
        images: how many there are. The batch of a joint model is never split.
    """
    joint_batch = f"a joint batch of {images} images" if model.coupling is Coupling.JOINT else ""
    return FittingBatches(images=images, where=f"model {model.name!r}", whole=joint_batch)
