"""How the paper writes the names of its networks."""

from __future__ import annotations

_NAMES = {"small_cnn": "Small-CNN", "wide_resnet34_10": "WideResNet34-10", "raw_pixels": "pixels"}


def row_name(architecture: str) -> str:
    """Return a network's name in the paper's tables.

    Example:
        >>> row_name("preact_resnet18")
        'PreActResNet18'
    """
    if architecture in _NAMES:
        return _NAMES[architecture]
    return (
        architecture.replace("preact_resnet", "PreActResNet")
        .replace("resnet", "ResNet")
        .replace("vgg", "VGG")
    )
