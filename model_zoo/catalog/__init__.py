"""The architectures a configuration can name, as recipes. No torch at import.

A recipe's call takes the shape of the images and gives a backbone: an `nn.Module` that maps images
(B, C, H, W) in [0, 1] to features (B, D) and says D in `feature_dim`. A plugin whose module has no
`feature_dim` is taken for a whole classifier and kept intact, like a torchvision model.
"""

from model_zoo.catalog.contract import (
    Architecture,
)
from model_zoo.catalog.en_resnets import (
    EnResNet,
    EnResNet20,
)
from model_zoo.catalog.resnets import (
    PreActResNet18,
    PreActResNet34,
    PreActResNet50,
    ResNet18,
    ResNet20,
    ResNet32,
    ResNet34,
    ResNet44,
    ResNet50,
    ResNet56,
    ResNet110,
)
from model_zoo.catalog.small import (
    DigitsCNN,
    RawPixels,
    SmallCNN,
)
from model_zoo.catalog.strided import (
    CNNA,
    CNNTiny,
)
from model_zoo.catalog.vgg import (
    VGG11,
    VGG13,
    VGG16,
    VGG19,
)
from model_zoo.catalog.wide import (
    WideResNet,
    WideResNet34x10,
)

__all__ = [
    "CNNA",
    "VGG11",
    "VGG13",
    "VGG16",
    "VGG19",
    "Architecture",
    "CNNTiny",
    "DigitsCNN",
    "EnResNet",
    "EnResNet20",
    "PreActResNet18",
    "PreActResNet34",
    "PreActResNet50",
    "RawPixels",
    "ResNet18",
    "ResNet20",
    "ResNet32",
    "ResNet34",
    "ResNet44",
    "ResNet50",
    "ResNet56",
    "ResNet110",
    "SmallCNN",
    "WideResNet",
    "WideResNet34x10",
]
