"""The exact attack on the nearest neighbour of raw pixels: the nearest Voronoi cell of another class."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from attacks.shared.smallest_step import smallest_step
from robench.attack.protocol import AttackInfo
from robench.errors import ConfigError
from robench.papers import paper

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from robench.attack.oracle import Oracle
    from robench.attack.threat import ThreatModel
    from robench.model.interface import Model
    from robench.randomness import Randomness
    from robench.types import Images

    Vector = NDArray[np.float64]

_INSIDE = 1e-5
"""How much nearer the cell's own point should be than others, as a share of their distance."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Voronoi:
    """The smallest perturbation of an image that makes a template image of another class its nearest.

    For the head `knn` with k = 1 on raw pixels. An image is misclassified exactly where a template image t of
    another class is nearer than all of the own class: the intersection of half-spaces with the box of valid
    pixels. Its nearest point is found by quadratic programming under L2 and by linear programming under Linf,
    t after t in the order of a lower bound, the farthest of the half-spaces alone, until no bound is below
    the best. The result is the smallest there is (Wang et al. 2019, arXiv:1906.03972, section 3, who solve
    the same programs by their duals), up to a share of 1e-5 that keeps the nearest image the nearest in
    float32.
    """

    info: ClassVar[AttackInfo] = AttackInfo(
        title="Voronoi cells",
        paper="Wang et al. 2019, arXiv:1906.03972; Sitawarin & Wagner 2020, arXiv:2003.06559",
        bibtex=paper("wang2019evaluating", "sitawarin2020minimum"),
        norms=("L2", "Linf"),
        minimises=True,
        goals=("untargeted",),
        own_source="cells",
    )

    def check_model(self, model: Model, threat: ThreatModel, shape: tuple[int, ...], /) -> None:
        """Refuse everything but the nearest neighbour of pixels.

        Raises:
            ConfigError: the model is another one.
        """
        import torch

        del threat
        around = model.neighbourhood
        got = f"{type(model.net).__name__} without a template"
        if around is not None:
            got = f"the head {model.details.get('head')!r} with {around.reach} neighbours"
            if model.details.get("head") == "knn" and around.reach == 1:
                probe = torch.linspace(0, 1, 2 * shape[0] * shape[1] * shape[2], device=model.device)
                probe = probe.view(2, *shape)
                with torch.no_grad():
                    z = around.features(probe)
                if z.shape == probe.flatten(1).shape and torch.equal(z, probe.flatten(1)):
                    return
                got = "features that are not the pixels"
        raise ConfigError(
            where=f"model {model.name!r}",
            expected="the head `knn` with k = 1 over the architecture `raw_pixels`",
            got=got,
            do="Attack it by knn_guides or graph_adaptive",
        )

    def __call__(self, oracle: Oracle, rng: Randomness) -> Images:
        """Return the nearest adversarial point of each image, or the image if there is none; see `Attack`.

        Raises:
            ConfigError: the model is not the nearest neighbour of pixels.
        """
        import torch

        del rng
        self.check_model(oracle.model, oracle.threat, tuple(oracle.x.shape[1:]))
        around = oracle.model.neighbourhood
        assert around is not None  # just checked
        memory = around.memory()
        points, labels = memory.points.double().cpu().numpy(), memory.labels.cpu().numpy()
        norm, eps = oracle.threat.norm.name, oracle.threat.eps
        oracle.begin_try()
        rows = []
        for image, label in zip(oracle.x.flatten(1).double().cpu().numpy(), oracle.y.tolist(), strict=True):
            step = nearest_cell(
                image, points[labels == label], points[labels != label], oracle.threat.bounds, eps, norm
            )
            rows.append(torch.as_tensor(image if step is None else image + step))
        x_adv = torch.stack(rows).view(oracle.x.shape).to(oracle.x).clamp(*oracle.threat.bounds)
        oracle.outputs(x_adv)
        return x_adv


def nearest_cell(
    image: Vector, own: Vector, others: Vector, box: tuple[float, float], eps: float, norm: str
) -> Vector | None:
    """Return the smallest step (D,) to where one of `others` is nearer than all of `own`.

    Args:
        image: (D,) in the box.
        own: (S, D) template points of the image's class.
        others: (T, D) those of other classes.
        box: lowest and highest value of a pixel.
        eps: larger steps are not searched.
        norm: `L2` or `Linf`.

    Returns:
        None if no step of at most that size exists.
    """
    import numpy as np

    best: Any = None
    limit = eps
    low, high = box[0] - image, box[1] - image
    bounds = []
    for point in others:
        rows, least = _half_spaces(image, point, own)
        dual = np.linalg.norm(rows, axis=1) if norm == "L2" else np.abs(rows).sum(1)
        bounds.append(float(np.max(least / np.maximum(dual, 1e-300), initial=0.0)))
    for number in np.argsort(bounds, kind="stable"):
        if bounds[number] > limit:
            break
        rows, least = _half_spaces(image, others[number], own)
        if not rows.any(axis=1).all():
            continue  # an equal image of the own class exists, which is never farther
        step = smallest_step(rows, least, low, high, norm=norm)
        if step is None:
            continue
        size = float(np.linalg.norm(step) if norm == "L2" else np.abs(step).max(initial=0.0))
        if size <= limit:
            best, limit = step, size
    return best  # type: ignore[no-any-return]


def _half_spaces(image: Vector, point: Vector, own: Vector) -> tuple[Vector, Vector]:
    """Return rows (S, D) and least (S,): a step v brings `point` nearer than `own` where rows v >= least."""
    import numpy as np

    rows = 2 * (point - own)
    gap = np.square(image - point).sum() - np.square(image - own).sum(1)
    return rows, gap + _INSIDE * np.square(point - own).sum(1)
