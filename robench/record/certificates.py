"""What bounds certify of the images of a record, beside what the judge says of them. No torch here."""

from __future__ import annotations

from dataclasses import dataclass

LOWEST = -1e300
"""Stands for a bound that knows nothing: minus infinity has no word in JSON."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Certificates:
    """One entry per image, all lists of the same length.

    Attributes:
        certified: whether no image the threat admits changes the prediction, which is right; 0 or 1.
        bound: a lower bound of the smallest margin of the true class over all these images.
        domains: parts of the region that were bounded.
        seconds: spent on the image; where images are bounded together, its share.

    Raises:
        ValueError: the lists are not of one length, or `certified` holds something else than 0 and 1.
    """

    certified: list[int]
    bound: list[float]
    domains: list[int]
    seconds: list[float]

    def __post_init__(self) -> None:
        """Refuse what does not fit together."""
        if len({len(self.certified), len(self.bound), len(self.domains), len(self.seconds)}) > 1:
            raise ValueError("certificates of several lengths")
        if set(self.certified) - {0, 1}:
            raise ValueError("something else than 0 and 1 in `certified`")

    def plain(self) -> dict[str, list[int] | list[float]]:
        """Return plain JSON data."""
        return {
            "certified": self.certified,
            "bound": self.bound,
            "domains": self.domains,
            "seconds": self.seconds,
        }
