"""The worst point met for each image, over tries of different kinds, judged by the model itself."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from robench.attack.losses import Loss
    from robench.attack.oracle import Oracle
    from robench.types import Images, Mask


class Worst:
    """Keeps, image by image, the point of the highest margin, or another loss, on the model's own outputs.

    Args:
        oracle: the road to the model; each point shown costs one forward pass.
        x: clean images (B, C, H, W), kept until something better is met.
        loss: what to compare by; positive exactly where the attack succeeds. The margin by default.
    """

    def __init__(self, oracle: Oracle, x: Images, loss: Loss | None = None) -> None:
        from robench.attack.losses import margin

        self._oracle, self._loss = oracle, loss or margin
        self.points = x
        self.value = oracle.best_size.new_full((len(x),), -float("inf"))

    @property
    def broken(self) -> Mask:
        """Which images (B,) the points break, as far as the model was asked; dropped ones are broken."""
        if self._joint:
            return self.value > 0
        return (self.value > 0) | self._oracle.broken

    @property
    def _joint(self) -> bool:
        from robench.model.interface import Coupling

        return self._oracle.model.coupling is Coupling.JOINT

    def meet(self, points: Images) -> None:
        """Keep those of `points` (B, C, H, W) that are worse for the model than what was kept.

        In a joint batch they come from different batches, so what is kept has not been asked as one batch:
        see `assemble`.
        """
        import torch

        from robench.attack.norms import per_image

        value = self._oracle.value(self._loss, points)
        better = value > self.value
        self.value = torch.where(better, value, self.value)
        self.points = torch.where(per_image(better, points), points, self.points)

    def assemble(self) -> None:
        """Ask a joint model about the points kept, as the one batch they are now."""
        if self._joint:
            self.value = self._oracle.value(self._loss, self.points)

    def replace(self, points: Images) -> None:
        """Like `meet`, but in a joint batch keep all of `points` or none: the batch that breaks more."""
        if not self._joint:
            self.meet(points)
            return
        value = self._oracle.value(self._loss, points)
        gained = int((value > 0).sum()) - int((self.value > 0).sum())
        if gained > 0 or (gained == 0 and float(value.mean()) > float(self.value.mean())):
            self.points, self.value = points, value
