"""Certified L2 robustness of a smoothed model (Cohen, Rosenfeld & Kolter 2019, arXiv:1902.02918).

If a base classifier answers class A on noise N(x, sigma^2 I) with probability at least p > 1/2, then the
class most noisy copies get is A everywhere closer to x than sigma * Phi^-1(p) (theorem 1, binary form). The
probability is bounded from below by samples, so a certificate is wrong with probability at most alpha.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from robench.errors import ConfigError
from robench.model.evaluation import evaluation_mode
from robench.model.interface import Coupling, Model
from robench.types import ClassCounts, Images

ABSTAIN = -1
"""The prediction of an image for which nothing can be certified."""


@runtime_checkable
class Certifiable(Protocol):
    """A network that takes a vote over copies of an image with Gaussian noise.

    Attributes:
        sigma: standard deviation of the noise.
    """

    sigma: float

    def counts(self, x: Images, copies: int, *, use: str) -> ClassCounts:
        """Return how many of `copies` noisy copies get each class, (B, K); see `defenses.inference.smoothed`.

        The noise of another `use` is independent; a copy with a tie or NaN counts for no class.
        """
        ...


@dataclass(frozen=True, slots=True)
class Certificate:
    """The certificate of one image.

    Attributes:
        prediction: the class of every image closer than `radius`, ABSTAIN if no class is certain.
        radius: L2 distance in units of pixels in [0, 1]; 0 without a prediction.
    """

    prediction: int
    radius: float


def clopper_pearson_lower(successes: int, n: int, alpha: float) -> float:
    """Return the one-sided lower confidence bound of a proportion (Clopper & Pearson 1934).

    The true proportion is below the bound with probability at most `alpha`.

    Args:
        successes: number of successes.
        n: number of trials.
        alpha: the risk, between 0 and 1.

    Example:
        >>> round(clopper_pearson_lower(10, 10, 0.05), 6)  # 0.05 ** (1 / 10)
        0.741134
    """
    if successes == 0:
        return 0.0
    from scipy.stats import beta

    return float(beta.ppf(alpha, successes, n - successes + 1))


def certify(
    model: Model, x: Images, *, n0: int = 100, n: int = 100_000, alpha: float = 0.001
) -> list[Certificate]:
    """Certify images one by one, by the algorithm CERTIFY of Cohen et al. 2019 (section 3.2.2).

    Args:
        model: smoothed; its network is `Certifiable`.
        x: images (B, C, H, W).
        n0: number of noisy copies to guess the class.
        n: number of other noisy copies to bound its probability.
        alpha: risk that a certificate is wrong.

    Raises:
        ConfigError: the model is not smoothed, is joint, or a number is invalid.
    """
    net = smoothed_network(model)
    if n0 < 1 or n < 1 or not 0 < alpha < 1:
        got = f"n0 = {n0}, n = {n}, alpha = {alpha}"
        raise ConfigError(where="certify", expected="n0 and n of at least 1, alpha between 0 and 1", got=got)
    with evaluation_mode(model.net):
        guesses = net.counts(x, n0, use="certify: guess").argmax(dim=1)
        votes = net.counts(x, n, use="certify: bound").gather(1, guesses[:, None]).squeeze(1)
    return [
        _certificate(guess, count, n, alpha, net.sigma)
        for guess, count in zip(guesses.tolist(), votes.tolist(), strict=True)
    ]


def smoothed_network(model: Model) -> Certifiable:
    """Return the network of a model that can be certified.

    Raises:
        ConfigError: the noise is not the first transform of an image, or images influence each other.
    """
    if not isinstance(model.net, Certifiable):
        raise ConfigError(
            where=f"model {model.name!r}",
            expected="a model with `inference: smoothing`, listed first",
            got="another one",
            do="Only a smoothed model has a certificate; a transform before the noise voids it",
        )
    if model.coupling is Coupling.JOINT:
        raise ConfigError(
            where=f"model {model.name!r}",
            expected="a model that classifies each image alone",
            got="a joint one",
            do="Use the independent protocol",
        )
    return model.net


def _certificate(guess: int, votes: int, n: int, alpha: float, sigma: float) -> Certificate:
    from scipy.stats import norm

    probability = clopper_pearson_lower(votes, n, alpha)
    if probability <= 0.5:
        return Certificate(ABSTAIN, 0.0)
    return Certificate(guess, sigma * float(norm.ppf(probability)))
