"""Tables 6 to 10, Figures 5, 6, 10: heads after PGD training, under the published and under our attacks."""

from __future__ import annotations

from typing import Any

from robench.plan.paper.data_sets import PaperData
from robench.plan.paper.names import row_name
from robench.plan.paper.natural import BUFFER
from robench.plan.paper.scales import RobustScale

PUBLISHED_SOURCE = "straight_through"
"""The function that the paper differentiates instead of WNLL (Eq. 24)."""
SMALL_CNN_BUFFER = 128


def heads(scale: RobustScale, data: PaperData) -> dict[str, Any]:
    """Return Tables 6 to 9: a softmax network, WNLL on its features, and its twin trained for WNLL.

    The attacks of the paper (FGSM, IFGSM, C&W, through Eq. 24) and the authors' code are the published
    protocol; the adaptive attack through all gradient sources and Square, with every image crafted on the
    other models, the honest one.
    """
    models = [model for network in scale.networks for model in _models(network, scale, data)]
    return _plan(models, scale, data, honest=True)


def neighbours(scale: RobustScale, data: PaperData) -> dict[str, Any]:
    """Return Table 10: the network trained for WNLL with other (m, n), under the paper's attacks."""
    network = scale.networks[1] if len(scale.networks) > 1 else scale.networks[0]
    *_, twin = _models(network, scale, data)
    others = [
        {
            "name": f"{row_name(network)}-WNLL ({m}, {n})",
            "features_of": twin["name"],
            "head": _head(scale, (m, n)),
            "sources": [PUBLISHED_SOURCE],
        }
        for m, n in scale.graphs
    ]
    return _plan([twin, *others], scale, data, honest=False)


def _models(network: str, scale: RobustScale, data: PaperData) -> list[dict[str, Any]]:
    name = row_name(network)
    images = data.training(scale.training_images)
    inner = {
        "epochs": scale.epochs,
        "eps": data.eps,
        "steps": scale.steps,
        "step_size": scale.step_size,
        "learning_rate": 0.05 if data.name == "mnist" and scale.schedule == "cyclic" else 0.1,
        "schedule": scale.schedule,
        "augmentation": data.augmentation,
        "validation": 0.0,
        "keep": "last",
        "warmup_epochs": 2 if data.name == "mnist" and scale.epochs not in {1, 100} else 0,
    }
    m, n = scale.graph
    stages = {
        "passes": scale.passes,
        "wnll_epochs": scale.wnll_epochs,
        "wnll_batch_size": scale.wnll_batch_size,
        "template": scale.template,
        "m": m,
        "n": n,
    }
    base = {
        "architecture": network,
        "buffer": SMALL_CNN_BUFFER if network == "small_cnn" else BUFFER,
        **data.normalize,
    }
    return [
        {"name": name, **base, "train": {"data": images, "defense": {"pgd_training": inner}}},
        {
            "name": f"{name}+WNLL",
            "features_of": name,
            "head": _head(scale, scale.graph),
            "sources": [PUBLISHED_SOURCE],
        },
        {
            "name": f"{name}-WNLL",
            **base,
            "train": {"data": images, "defense": {"wnll_pgd": {**inner, **stages}}},
            "head": _head(scale, scale.graph),
            "sources": [PUBLISHED_SOURCE],
        },
    ]


def _head(scale: RobustScale, graph: tuple[int, int]) -> dict[str, Any]:
    m, n = graph
    return {"wnll": {"protocol": "joint", "m": m, "n": n, "template": scale.template}}


def _plan(
    models: list[dict[str, Any]], scale: RobustScale, data: PaperData, *, honest: bool
) -> dict[str, Any]:
    short = 40 if data.name == "mnist" else 20
    rate = 0.003 if data.name == "mnist" else 0.006
    attacks: list[Any] = [
        {"fgsm": {}, "label": "FGSM"},
        {"ifgsm": {"steps": short, "step_size": data.step_size}, "label": f"IFGSM{short}"},
        {"ifgsm": {"steps": 100, "step_size": data.step_size}, "label": "IFGSM100"},
    ]
    if honest:
        attacks += [
            {"wnll_published": {"steps": short, "step_size": data.step_size}, "label": "authors' code"},
            {"graph_adaptive": {"steps": scale.adaptive_steps}, "label": "adaptive"},
            {"square": {"queries": scale.queries}, "label": "Square"},
        ]
    smallest = {"c": 10, "kappa": 0, "steps": scale.cw_steps, "learning_rate": rate, "speed_up": 1}
    return {
        "dataset": data.test(scale.test_images),
        "shard": scale.shard,
        "models": models,
        "threats": [
            {"norm": "Linf", "eps": data.eps, "attacks": attacks},
            {"norm": "L2", "eps": "inf", "attacks": [{"cw": smallest, "label": "C&W"}]},
        ],
    }
