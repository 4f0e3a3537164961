"""The architectures that a configuration can name, one recipe per row of a table. No torch at import.

A recipe's call takes the shape of the images and gives a backbone: an `nn.Module` that maps images
(B, C, H, W) in [0, 1] to features (B, D) and says D in `feature_dim`. A plugin whose module has no
`feature_dim` counts as a whole classifier and is not changed, like a torchvision model.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import make_dataclass
from importlib import import_module
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple, Protocol

from robench.errors import ConfigError
from robench.papers import paper
from robench.recipe import Info

if TYPE_CHECKING:
    from torch import nn


class Architecture(Protocol):
    """The contract of a plugin in the group `robench.models`."""

    info: ClassVar[Info]

    def __call__(self, *, channels: int, size: tuple[int, int], classes: int) -> nn.Module:
        """Return the network with weights drawn from torch's global generator, which the caller seeds.

        Args:
            channels: C of the images.
            size: (H, W) of the images.
            classes: number of classes; backbones do not need it.

        Raises:
            ConfigError: the network does not accept images of this shape or these options.
        """
        ...


class _Option(NamedTuple):
    """An option of an architecture, and the condition on its values."""

    name: str
    default: Any
    meaning: str
    valid: Callable[[Any], bool] = lambda _: True
    range: str = ""


class _Family(NamedTuple):
    """A class below `model_zoo.architectures`, as `module:Class`, and where it comes from."""

    network: str
    paper: str
    bibtex: str = ""
    sized: bool = False  # whether the network depends on the size of the images

    def build(self, **settings: Any) -> nn.Module:
        """Return the network."""
        module, name = self.network.split(":")
        network: nn.Module = getattr(import_module(f"model_zoo.architectures.{module}"), name)(**settings)
        return network


def _recipe(
    name: str, summary: str, family: _Family, *options: _Option, title: str = "", **settings: Any
) -> type[Any]:
    """Return a frozen recipe of options.

    Args:
        name: name of the class.
        summary: the first line of its docstring.
        family: the network.
        options: the options that a configuration may set.
        title: the usual name of the network, if it is not that of the class.
        settings: arguments that the network always gets.
    """

    def check(self: Any) -> None:
        for option in options:
            if not option.valid(value := getattr(self, option.name)):
                raise ConfigError(expected=f"{option.name} {option.range}", got=str(value))

    def call(self: Any, *, channels: int, size: tuple[int, int], classes: int) -> nn.Module:
        """Return the backbone; see `Architecture`."""
        del classes
        values = {option.name: getattr(self, option.name) for option in options}
        shape = {"size": size} if family.sized else {}
        return family.build(channels=channels, **shape, **values, **settings)

    attributes = "".join(f"\n    {option.name}: {option.meaning}." for option in options)
    members = {
        "__module__": __name__,
        "__doc__": f"{summary}\n\nAttributes:{attributes}\n" if options else summary,
        "__post_init__": check,
        "__call__": call,
        "info": Info(title=title or name, paper=family.paper, bibtex=family.bibtex),
    }
    fields = [(option.name, type(option.default).__name__, option.default) for option in options]
    return make_dataclass(name, fields, namespace=members, frozen=True, slots=True, kw_only=True)


def _dropout(default: float, where: str) -> _Option:
    meaning = f"probability of dropout {where} while training, in [0, 1)"
    return _Option("dropout", default, meaning, lambda p: 0 <= p < 1, "in [0, 1)")


_IN_BLOCKS = _dropout(0.0, "inside a block")
_BATCH_NORM = _Option("batch_norm", True, "batch norm after each convolution")
_FINAL_NORM = _Option("final_norm", False, "batch norm and ReLU after the last block, as in the paper")
_SHORTCUT = _Option(
    "activated_shortcut",
    True,
    "project the activated input, as in the paper, rather than the input itself",
)
_ENSEMBLE = (
    _Option(
        "members",
        5,
        "how many ResNets are averaged; the paper has 1, 2 and 5",
        lambda count: count >= 1,
        "of at least 1",
    ),
    _Option(
        "noise",
        0.1,
        "coefficient of the noise, times the standard deviation of what a block returns",
        lambda noise: 0 <= noise < float("inf"),
        "of at least 0",
    ),
    _Option("seed", 0, "of the noise at evaluation"),
)

_SMALL = _Family(
    "small_cnn:SmallCNN", "Zhang et al. 2019, arXiv:1901.08573", paper("zhang2019theoretically"), sized=True
)
_DIGITS = _Family("digits_cnn:DigitsCNN", "none; Small-CNN in miniature", sized=True)
_PIXELS = _Family(
    "raw_pixels:RawPixels", "Wang & Osher 2019, arXiv:1907.06800, Table 2", paper("wang2019graph"), sized=True
)
_CNN_A = _Family(
    "strided_cnn:StridedCNN",
    "Dathathri et al. 2020, arXiv:2010.11645; Wong & Kolter 2018, arXiv:1711.00851",
    paper("dathathri2020enabling"),
    sized=True,
)
_CNN_TINY = _Family(
    "strided_cnn:StridedCNN", "Zhang et al. 2022, arXiv:2206.06589", paper("zhang2022branch"), sized=True
)
_VGG = _Family("vgg:VGG", "Simonyan & Zisserman 2014, arXiv:1409.1556", paper("simonyan2015very"))
_RESNET = _Family("resnet:CifarResNet", "He et al. 2015, arXiv:1512.03385", paper("he2016deep"))
_STAGED = _Family("staged_resnet:StagedResNet", "He et al. 2015, arXiv:1512.03385", paper("he2016deep"))
_PREACT = _Family(
    "staged_resnet:StagedPreActResNet", "He et al. 2016, arXiv:1603.05027", paper("he2016identity")
)
_EN = _Family(
    "en_resnet:EnResNet", "Wang, Yuan, Shi & Osher 2018, arXiv:1811.10745", paper("wang2019resnets")
)
_WIDE = _Family(
    "wide_resnet:WideResNet", "Zagoruyko & Komodakis 2016, arXiv:1605.07146", paper("zagoruyko2016wide")
)

# fmt: off
SmallCNN = _recipe("SmallCNN", "Small-CNN, the MNIST network of TRADES.", _SMALL,
                   _dropout(0.5, "between the fully connected layers"), title="Small-CNN")
DigitsCNN = _recipe("DigitsCNN", "A tiny network for 8x8 digits, for examples and tests that run in seconds.",
                    _DIGITS, title="Digits-CNN")
RawPixels = _recipe("RawPixels", "The pixels themselves as features, for WNLL without a network.",
                    _PIXELS, title="raw pixels")
CNNA = _recipe(
    "CNNA", "CNN-A: conv16-conv32-fc100, 4x4 kernels of stride 2, of Dathathri et al. and Wong & Kolter.",
    _CNN_A, title="CNN-A", widths=(16, 32), kernel=4, padding=1, hidden=100)
CNNTiny = _recipe(
    "CNNTiny", "CNN-Tiny: conv4-conv8-fc128, 5x5 kernels of stride 2, of the attack by branch and bound.",
    _CNN_TINY, title="CNN-Tiny", widths=(4, 8), kernel=5, padding=2, hidden=128)

VGG11 = _recipe("VGG11", "VGG11 for CIFAR, 9.2 million parameters.", _VGG, _BATCH_NORM, depth=11)
VGG13 = _recipe("VGG13", "VGG13 for CIFAR, 9.4 million parameters.", _VGG, _BATCH_NORM, depth=13)
VGG16 = _recipe("VGG16", "VGG16 for CIFAR, 14.7 million parameters.", _VGG, _BATCH_NORM, depth=16)
VGG19 = _recipe("VGG19", "VGG19 for CIFAR, 20.0 million parameters.", _VGG, _BATCH_NORM, depth=19)

ResNet20 = _recipe("ResNet20", "ResNet20 for CIFAR, 0.27 million parameters.", _RESNET, depth=20)
ResNet32 = _recipe("ResNet32", "ResNet32 for CIFAR, 0.46 million parameters.", _RESNET, depth=32)
ResNet44 = _recipe("ResNet44", "ResNet44 for CIFAR, 0.66 million parameters.", _RESNET, depth=44)
ResNet56 = _recipe("ResNet56", "ResNet56 for CIFAR, 0.85 million parameters.", _RESNET, depth=56)
ResNet110 = _recipe("ResNet110", "ResNet110 for CIFAR, 1.7 million parameters.", _RESNET, depth=110)

ResNet18 = _recipe("ResNet18", "ResNet18 with a stem for CIFAR, 11.2 million parameters.", _STAGED, depth=18)
ResNet34 = _recipe("ResNet34", "ResNet34 with a stem for CIFAR, 21.3 million parameters.", _STAGED, depth=34)
ResNet50 = _recipe("ResNet50", "ResNet50 with a stem for CIFAR, 23.5 million parameters.", _STAGED, depth=50)
PreActResNet18 = _recipe("PreActResNet18", "PreActResNet18 with a stem for CIFAR, 11.2 million parameters.",
                         _PREACT, _FINAL_NORM, _SHORTCUT, depth=18)
PreActResNet34 = _recipe("PreActResNet34", "PreActResNet34 with a stem for CIFAR, 21.3 million parameters.",
                         _PREACT, _FINAL_NORM, _SHORTCUT, depth=34)
PreActResNet50 = _recipe("PreActResNet50", "PreActResNet50 with a stem for CIFAR, 23.5 million parameters.",
                         _PREACT, _FINAL_NORM, _SHORTCUT, depth=50)

EnResNet = _recipe("EnResNet", "Ensemble of ResNets of any depth with noise in every block.",
                   _EN, _Option("depth", 20, "of every member, 6k + 2"), *_ENSEMBLE)
EnResNet20 = _recipe(
    "EnResNet20", "Ensemble of ResNet20s with noise in every block, 0.27 million parameters each.",
    _EN, *_ENSEMBLE, depth=20)

WideResNet = _recipe("WideResNet", "WideResNet of any depth and width, as in TRADES and RobustBench.",
                     _WIDE, _Option("depth", 28, "6k + 4, such as 28 or 34"),
                     _Option("width", 10, "what 16-32-64 channels are multiplied with"), _IN_BLOCKS)
WideResNet34x10 = _recipe("WideResNet34x10", "WideResNet34-10 of TRADES, 46.2 million parameters.",
                          _WIDE, _IN_BLOCKS, title="WideResNet34-10", depth=34, width=10)
# fmt: on
