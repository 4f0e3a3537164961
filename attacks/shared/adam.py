"""The steps of Adam, for attacks in which each image moves independently."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from robench.types import Images


@dataclass(slots=True)
class Adam:
    """Running means of gradients and of their squares, and the step they give (Kingma & Ba 2015).

    arXiv:1412.6980, Algorithm 1. Nothing of one image depends on another.

    Attributes:
        mean: running mean of the gradients, (B, C, H, W).
        square: running mean of their squares.
        steps: how many there were.
    """

    mean: Images
    square: Images
    steps: int = 0

    @classmethod
    def at_rest(cls, x: Images) -> Adam:
        """Return the state before the first step, for images like x (B, C, H, W)."""
        return cls(mean=torch.zeros_like(x), square=torch.zeros_like(x))

    def direction(self, gradient: Images) -> Images:
        """Take in a gradient (B, C, H, W) and return the step of length 1 that it leads to."""
        self.steps += 1
        self.mean = 0.9 * self.mean + 0.1 * gradient
        self.square = 0.999 * self.square + 0.001 * gradient.square()
        return self.mean / (1 - 0.9**self.steps) / self.scale()

    def scale(self) -> Images:
        """Return the divisor of the mean, (B, C, H, W), above 0."""
        return (self.square / (1 - 0.999**self.steps)).sqrt() + 1e-8
