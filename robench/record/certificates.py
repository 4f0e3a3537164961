"""Certificates from bounds for the images of a record, beside the judge's verdicts. No torch here."""

from __future__ import annotations

from dataclasses import dataclass

LOWEST = -1e300
"""Stands for minus infinity, the bound that says nothing: JSON has no minus infinity."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Certificates:
    """One entry per image, all lists of the same length.

    Attributes:
        certified: 1 if the prediction is right and stays the same for every admissible image, else 0.
        bound: a lower bound of the smallest margin of the true class over all admissible images.
        domains: number of bounded parts of the region.
        seconds: spent on the image; if images are bounded together, its share.

    Raises:
        ValueError: the lists have different lengths, or `certified` has a value other than 0 and 1.
    """

    certified: list[int]
    bound: list[float]
    domains: list[int]
    seconds: list[float]

    def __post_init__(self) -> None:
        """Refuse lists that do not fit together."""
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
