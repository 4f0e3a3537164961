"""RobustBench's models by name, as our architectures with their normalisation. No torch at import.

A name is the path of the file in RobustBench, without its ending: `cifar10/Linf/Carmon2019Unlabeled`.
The weights come from a file the user has; nothing is downloaded. What each model is, is read from RobustBench
(Croce et al. 2021, arXiv:2010.09670), `robustbench/model_zoo/cifar10.py` and `cifar100.py`. Left out are
those of other families (DeepMind's WideResNets with Swish, ResNeXt, XCiT, ensembles) or with other
preprocessing.
"""

from __future__ import annotations

from dataclasses import dataclass

from model_zoo.catalog import Architecture, PreActResNet18, ResNet18, ResNet50, WideResNet
from robench.errors import ConfigError, nearest

PREFIX = "robustbench:"
Statistics = tuple[tuple[float, ...], tuple[float, ...]]

_CIFAR10 = ((0.4914, 0.4822, 0.4465), (0.2471, 0.2435, 0.2616))
_ROUNDED = ((0.491, 0.482, 0.447), (0.247, 0.243, 0.262))
_ENGSTROM = ((0.4914, 0.4822, 0.4465), (0.2023, 0.1994, 0.2010))
_AUGUSTIN = (
    (0.4913997551666284, 0.48215855929893703, 0.4465309133731618),
    (0.24703225141799082, 0.24348516474564, 0.26158783926049628),
)
_CIFAR100 = ((0.5071, 0.4867, 0.4408), (0.2675, 0.2565, 0.2761))
_CIFAR100_EXACT = (
    (0.5070751592371323, 0.48654887331495095, 0.4409178433670343),
    (0.2673342858792401, 0.2564384629170883, 0.27615047132568404),
)
_HALF = ((0.5,) * 3, (0.5,) * 3)

_WRN28_10 = WideResNet(depth=28, width=10)
_WRN34_10 = WideResNet(depth=34, width=10)
_WRN34_20 = WideResNet(depth=34, width=20)
_PREACT_RAW = PreActResNet18(activated_shortcut=False)
_PREACT_NORM = PreActResNet18(final_norm=True)


@dataclass(frozen=True, slots=True, kw_only=True)
class Published:
    """The architecture of a published model.

    Attributes:
        recipe: the architecture.
        normalize: per-channel (mean, standard deviation), None for none.
    """

    recipe: Architecture
    normalize: Statistics | None = None


_GROUPS: tuple[tuple[Published, tuple[str, ...]], ...] = (
    (
        Published(recipe=_WRN28_10),
        (
            "cifar10/Linf/Carmon2019Unlabeled",
            "cifar10/Linf/Sehwag2020Hydra",
            "cifar10/Linf/Wang2020Improving",
            "cifar10/Linf/Wu2020Adversarial_extra",
            "cifar10/Linf/Zhang2020Geometry",
            "cifar10/Linf/Sridhar2021Robust",
            "cifar10/Linf/Standard",
            "cifar10/L2/Standard",
            "cifar10/corruptions/Standard",
        ),
    ),
    (
        Published(recipe=_WRN34_10),
        (
            "cifar10/Linf/Zhang2019Theoretically",
            "cifar10/Linf/Zhang2019You",
            "cifar10/Linf/Huang2020Self",
            "cifar10/Linf/Zhang2020Attacks",
            "cifar10/Linf/Wu2020Adversarial",
            "cifar10/Linf/Sehwag2021Proxy",
            "cifar10/Linf/Sitawarin2020Improving",
            "cifar10/Linf/Cui2020Learnable_34_10",
            "cifar10/Linf/Addepalli2021Towards_WRN34",
            "cifar10/Linf/Addepalli2022Efficient_WRN_34_10",
            "cifar10/Linf/Chen2021LTD_WRN34_10",
            "cifar10/Linf/Jia2022LAS-AT_34_10",
            "cifar10/L2/Wu2020Adversarial",
            "cifar10/L2/Sehwag2021Proxy",
            "cifar10/corruptions/Addepalli2021Towards_WRN34",
            "cifar10/corruptions/Addepalli2022Efficient_WRN_34_10",
            "cifar100/Linf/Cui2020Learnable_34_10_LBGAT0",
            "cifar100/Linf/Cui2020Learnable_34_10_LBGAT6",
            "cifar100/Linf/Sitawarin2020Improving",
            "cifar100/Linf/Addepalli2021Towards_WRN34",
            "cifar100/Linf/Chen2021LTD_WRN34_10",
            "cifar100/corruptions/Addepalli2021Towards_WRN34",
        ),
    ),
    (
        Published(recipe=_WRN34_20),
        (
            "cifar10/Linf/Cui2020Learnable_34_20",
            "cifar10/Linf/Chen2021LTD_WRN34_20",
            "cifar100/Linf/Cui2020Learnable_34_20_LBGAT6",
        ),
    ),
    (Published(recipe=WideResNet(depth=34, width=15)), ("cifar10/Linf/Sridhar2021Robust_34_15",)),
    (Published(recipe=WideResNet(depth=70, width=16)), ("cifar10/Linf/Jia2022LAS-AT_70_16",)),
    (
        Published(recipe=_WRN28_10, normalize=_HALF),
        ("cifar10/Linf/Hendrycks2019Using", "cifar100/Linf/Hendrycks2019Using"),
    ),
    (
        Published(recipe=WideResNet(depth=40, width=2), normalize=_HALF),
        ("cifar10/corruptions/Hendrycks2020AugMix_WRN", "cifar100/corruptions/Hendrycks2020AugMix_WRN"),
    ),
    (Published(recipe=_WRN34_20, normalize=_CIFAR10), ("cifar10/Linf/Rice2020Overfitting",)),
    (Published(recipe=_WRN34_10, normalize=_CIFAR10), ("cifar10/Linf/Chen2020Efficient",)),
    (Published(recipe=_WRN34_10, normalize=_CIFAR100), ("cifar100/Linf/Chen2020Efficient",)),
    (Published(recipe=_WRN34_10, normalize=_CIFAR100_EXACT), ("cifar100/Linf/Wu2020Adversarial",)),
    (Published(recipe=_WRN28_10, normalize=_ROUNDED), ("cifar10/L2/Rony2019Decoupling",)),
    (
        Published(recipe=_WRN34_10, normalize=_AUGUSTIN),
        ("cifar10/L2/Augustin2020Adversarial_34_10", "cifar10/L2/Augustin2020Adversarial_34_10_extra"),
    ),
    (Published(recipe=ResNet50(), normalize=_AUGUSTIN), ("cifar10/L2/Augustin2020Adversarial",)),
    (
        Published(recipe=ResNet50(), normalize=_ENGSTROM),
        ("cifar10/Linf/Engstrom2019Robustness", "cifar10/L2/Engstrom2019Robustness"),
    ),
    (
        Published(recipe=ResNet18()),
        (
            "cifar10/Linf/Sehwag2021Proxy_R18",
            "cifar10/Linf/Addepalli2021Towards_RN18",
            "cifar10/Linf/Addepalli2022Efficient_RN18",
            "cifar10/L2/Sehwag2021Proxy_R18",
        ),
    ),
    (Published(recipe=_PREACT_RAW), ("cifar10/Linf/Andriushchenko2020Understanding",)),
    (Published(recipe=_PREACT_RAW, normalize=_CIFAR10), ("cifar10/Linf/Wong2020Fast",)),
    (
        Published(recipe=_PREACT_NORM, normalize=_CIFAR10),
        (
            "cifar10/L2/Rice2020Overfitting",
            "cifar10/corruptions/Kireev2021Effectiveness_Gauss50percent",
            "cifar10/corruptions/Kireev2021Effectiveness_AugMixNoJSD",
            "cifar10/corruptions/Kireev2021Effectiveness_RLAT",
            "cifar10/corruptions/Kireev2021Effectiveness_RLATAugMixNoJSD",
            "cifar10/corruptions/Kireev2021Effectiveness_RLATAugMix",
        ),
    ),
    (Published(recipe=_PREACT_NORM, normalize=_CIFAR100_EXACT), ("cifar100/Linf/Rice2020Overfitting",)),
    (
        Published(recipe=_PREACT_NORM),
        ("cifar100/Linf/Addepalli2021Towards_PARN18", "cifar100/corruptions/Addepalli2021Towards_PARN18"),
    ),
)
_PUBLISHED = {name: model for model, names in _GROUPS for name in names}


def names() -> list[str]:
    """Return the known names, sorted, without the prefix."""
    return sorted(_PUBLISHED)


def published(name: str, *, where: str) -> Published:
    """Return architecture and normalisation of a model of RobustBench.

    Args:
        name: such as `cifar10/Linf/Carmon2019Unlabeled`, without the prefix.
        where: for the message.

    Raises:
        ConfigError: unknown name.
    """
    if name not in _PUBLISHED:
        raise ConfigError(
            where=where,
            expected="a model of RobustBench, DATASET/THREAT/NAME, of a family known here",
            got=repr(name),
            do=nearest(name, _PUBLISHED),
        )
    return _PUBLISHED[name]
