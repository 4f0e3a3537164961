"""Tables 1 to 5 and 11 and Figures 3, 4, 7, 8, 9: heads compared after natural training."""

from __future__ import annotations

from typing import Any

from robench.plan.paper.data_sets import PaperData
from robench.plan.paper.names import row_name
from robench.plan.paper.scales import NaturalScale, PixelScale

BUFFER = 64
"""Width of the layer between network and heads (the paper's buffer block), as wide as ResNet20's features."""
RAW_PIXELS = {"m": 30, "n": 15, "balanced": False, "protocol": "joint"}
SHARD = 500
"""Test images that share a graph."""


def raw_pixels(scale: PixelScale, data: PaperData) -> dict[str, Any]:
    """Return Table 2: a linear layer on pixels, and WNLL with all training images as its template."""
    return {
        "dataset": data.test(scale.test_images),
        "shard": 10_000,
        "models": [
            {
                "name": "softmax",
                "architecture": "raw_pixels",
                "train": {
                    "data": data.training(scale.training_images),
                    "defense": {"natural": {"epochs": scale.epochs, "learning_rate": 0.01, "keep": "last",
                                            "validation": 0.0, "schedule": "cosine"}},
                },
            },
            {"name": "WNLL", "features_of": "softmax", "head": {"wnll": {**RAW_PIXELS, "template": None}}},
        ],
    }  # fmt: skip


def heads(scale: NaturalScale, data: PaperData) -> dict[str, Any]:
    """Return Tables 1, 3, 4, 5: softmax, SVM and WNLL, as long a training for each, by training images."""
    models: list[dict[str, Any]] = []
    for network in scale.networks:
        for images in data.sizes(scale.epochs):
            data_entry = data.training(images)
            name = row_name(network)
            models += [
                _trained(f"{name}-{images}", network, data, data_entry, _softmax(scale, images, data)),
                {
                    "name": f"{name}+WNLL-{images}",
                    "features_of": f"{name}-{images}",
                    "head": _head(),
                },
                _trained(f"{name}-SVM-{images}", network, data, data_entry, _svm(scale, images, data)),
                {
                    **_trained(
                        f"{name}-WNLL-{images}", network, data, data_entry, _wnll(scale, images, data)
                    ),
                    "head": _head(),
                },
            ]
    return {"dataset": data.test(scale.test_images), "shard": SHARD, "models": models}


def semi_supervised(scale: NaturalScale, data: PaperData) -> dict[str, Any]:
    """Return Table 11: few labels, and many images without; approaches I and II of section 3.3."""
    models: list[dict[str, Any]] = []
    for network in scale.networks:
        for labels in data.sizes(scale.unlabelled):
            others = scale.unlabelled[labels]
            data_entry = data.training(labels + others, labelled=labels)
            name = row_name(network)
            base = f"{name}-WNLL-{labels}"
            defense = _wnll(scale, labels, data)["wnll_natural"]
            models += [
                {
                    **_trained(base, network, data, data_entry, {"wnll_natural": defense}),
                    "head": _head(),
                },
                {"name": f"{name}-{labels}-linear-branch", "features_of": base, "head": "linear"},
                {
                    "name": f"{name}-WNLL-{labels}-approach-I",
                    "features_of": base,
                    "head": _head(others),
                },
                {
                    **_trained(
                        f"{name}-WNLL-{labels}-approach-II",
                        network,
                        data,
                        data_entry,
                        {"wnll_semi_supervised": {**defense, "unlabelled": scale.unlabelled_per_step}},
                    ),
                    "head": _head(others),
                },
            ]
    return {"dataset": data.test(scale.test_images), "shard": SHARD, "models": models}


def depths(scale: NaturalScale, data: PaperData) -> dict[str, Any]:
    """Return Figure 3: softmax and WNLL on few images, by depth."""
    full = len(scale.networks) > 1
    models: list[dict[str, Any]] = []
    for network in scale.depths:
        for images in [n for n in scale.epochs if n < 50_000] if full else [min(scale.epochs)]:
            data_entry = data.training(images)
            name = row_name(network)
            models += [
                _trained(f"{name}-{images}", network, data, data_entry, _softmax(scale, images, data)),
                {
                    **_trained(
                        f"{name}-WNLL-{images}", network, data, data_entry, _wnll(scale, images, data)
                    ),
                    "head": _head(),
                },
            ]
    return {"dataset": data.test(scale.test_images), "shard": SHARD, "models": models}


def features(scale: NaturalScale, data: PaperData) -> dict[str, Any]:
    """Return Figures 7 to 9: a network without and with an added layer, and with WNLL; one step of attack."""
    network = scale.networks[0] if len(scale.networks) == 1 else "resnet56"
    images = min(scale.epochs)
    data_entry = data.training(images)
    name = row_name(network)
    plain = _trained(f"{name}", network, data, data_entry, _softmax(scale, images, data))
    del plain["buffer"]
    return {
        "dataset": data.test(scale.test_images),
        "shard": SHARD,
        "models": [
            plain,
            _trained(f"{name}-layer", network, data, data_entry, _softmax(scale, images, data)),
            {
                **_trained(f"{name}-WNLL", network, data, data_entry, _wnll(scale, images, data)),
                "head": _head(),
                "sources": ["straight_through"],
            },
        ],
        "threats": [
            {
                "norm": "Linf",
                "eps": data.eps,
                "attacks": [{"ifgsm": {"steps": 1, "step_size": data.eps}, "label": "IFGSM-1"}],
            }
        ],
    }


def _trained(
    name: str, network: str, data: PaperData, data_entry: dict[str, Any], defense: dict[str, Any]
) -> dict[str, Any]:
    return {
        "name": name,
        "architecture": network,
        "buffer": BUFFER,
        **data.normalize,
        "train": {"data": data_entry, "defense": defense},
    }


def _head(others: int = 0) -> dict[str, Any]:
    extra = {"unlabelled": others} if others else {}
    return {"wnll": {"protocol": "joint", "m": 30, "n": 15, "template": None, **extra}}


def _common(scale: NaturalScale, data: PaperData) -> dict[str, Any]:
    return {
        "learning_rate": scale.learning_rate,
        "schedule": scale.schedule,
        "augmentation": data.augmentation,
        "validation": 0.0,
        "keep": "last",
    }


def _softmax(scale: NaturalScale, images: int, data: PaperData) -> dict[str, Any]:
    return {"natural": {"epochs": scale.epochs[images], **_common(scale, data)}}


def _svm(scale: NaturalScale, images: int, data: PaperData) -> dict[str, Any]:
    # Tang's squared hinge, one class against the rest, at a fifth of the learning rate: with Crammer and
    # Singer's loss, training on 1,000 images of CIFAR-10 does not leave the point where all scores are equal.
    common = {**_common(scale, data), "learning_rate": scale.learning_rate / 5}
    return {"svm": {"epochs": scale.epochs[images], "form": "one_vs_rest", "squared": True, **common}}


def _wnll(scale: NaturalScale, images: int, data: PaperData) -> dict[str, Any]:
    # The paper compares 810 epochs of softmax with two rounds of 400 + 5 epochs of WNLL.
    linear = max(1, scale.epochs[images] // 2 - (scale.wnll_epochs if scale.epochs[images] >= 100 else 0))
    return {
        "wnll_natural": {
            "epochs": linear,
            **_common(scale, data),
            "passes": 2,
            "wnll_epochs": scale.wnll_epochs,
            "wnll_batch_size": scale.wnll_batch_size,
            "template": min(2_000, images // 2),
        }
    }
