"""Several tries on one image: which classes they aim at, and which of their points is kept."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from robench.attack.losses import Loss
    from robench.attack.oracle import Oracle
    from robench.types import Images, Labels, Mask, PerSample


def likeliest(oracle: Oracle, x: Images, count: int) -> list[Labels]:
    """Return, for the likeliest wrong class, the second likeliest, ..., the pairs (label, class), (B, 2).

    Croce & Hein 2020 (arXiv:2003.01690), section 4: at most `count` of the other classes, in the order of the
    model's scores at x, (B, C, H, W), which costs one forward pass; they take the clean images.
    """
    import torch

    outputs = oracle.outputs(x)
    # Rows of images without an answer are NaN; their order does not matter.
    others = outputs.nan_to_num(0.0).scatter(1, oracle.y[:, None], -torch.inf)
    order = others.argsort(dim=1, descending=True, stable=True)
    classes = min(count, outputs.shape[1] - 1)
    return [torch.stack([oracle.y, order[:, rank]], dim=1) for rank in range(classes)]


def strongest(oracle: Oracle, restarts: int, attempt: Callable[[int], Images], loss: Loss) -> Images:
    """Return, per image, the try whose last point has the highest loss on the model itself.

    Images the oracle dropped keep what they had. In a joint batch points of different tries must not be
    mixed, so the whole batch of the highest mean loss is returned. Comparing costs one forward pass a try;
    a single try is returned without an evaluation.

    Args:
        oracle: the road to the model.
        restarts: number of tries.
        attempt: gives the last point of try 0, 1, ...
        loss: the loss that is compared.
    """
    import torch

    from robench.attack.norms import per_image
    from robench.model.interface import Coupling

    oracle.begin_try()
    strongest_points = attempt(0)
    if restarts == 1:
        return strongest_points
    best = oracle.value(loss, strongest_points)
    for restart in range(1, restarts):
        if oracle.finished:
            break
        oracle.begin_try()
        point = attempt(restart)
        value = oracle.value(loss, point)
        if oracle.model.coupling is Coupling.JOINT:
            better = (value.mean() > best.mean()).expand(len(value))
        else:
            better = value > best
        best = torch.where(better, value, best)
        strongest_points = torch.where(per_image(better, strongest_points), point, strongest_points)
    return strongest_points


class StrongestPoints:
    """Keeps, image by image, the point of the highest margin, or another loss, on the model's own outputs.

    Args:
        oracle: the road to the model; each point shown costs one forward pass. Its clean images are kept
            until something better is met.
        loss: the loss that is compared; positive exactly where the attack succeeds. The margin by default.
    """

    def __init__(self, oracle: Oracle, loss: Loss | None = None) -> None:
        from robench.attack.losses import margin

        self._oracle, self._loss = oracle, loss or margin
        self.points = self._candidates = oracle.x
        self.value = self._promise = oracle.best_size.new_full((len(oracle.x),), -float("inf"))

    @property
    def broken(self) -> Mask:
        """Which images (B,) the points break, as far as they were evaluated; dropped images are broken."""
        if self._joint:
            return self.value > 0
        return (self.value > 0) | self._oracle.broken

    @property
    def _joint(self) -> bool:
        from robench.model.interface import Coupling

        return self._oracle.model.coupling is Coupling.JOINT

    def meet(self, points: Images) -> None:
        """Keep those of `points` (B, C, H, W) that are worse for the model than the stored points.

        In a joint batch they come from different batches, so what is kept has not been asked as one batch:
        see `assemble`.
        """
        import torch

        from robench.attack.norms import per_image

        value = self._oracle.value(self._loss, points)
        self._remember(points, value)
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
        self._remember(points, value)
        gain = int((value > 0).sum()) - int((self.value > 0).sum())
        if gain > 0 or (gain == 0 and float(value.mean()) > float(self.value.mean())):
            self.points, self.value = points, value

    def merge(self, passes: int) -> None:
        """Put points that broke images in other batches into the joint batch that broke the most.

        Greedy; the whole batch is evaluated again each time; see `attacks.shared.joint_merge`.
        If images are alone, this does nothing.

        Args:
            passes: forward passes of the whole batch, at most.
        """
        if not self._joint or passes < 1:
            return
        from attacks.shared.joint_merge import merge

        self.points = merge(self._oracle, self._candidates, self._promise, passes=passes)
        self.assemble()

    def _remember(self, points: Images, value: PerSample) -> None:
        """Keep, for a merge, each image's worst point in whatever joint batch it was met."""
        import torch

        from robench.attack.norms import per_image

        if self._joint:
            better = value > self._promise
            self._promise = torch.where(better, value, self._promise)
            self._candidates = torch.where(per_image(better, points), points, self._candidates)
