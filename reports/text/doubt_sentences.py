"""A doubt as one short sentence for a reader, with its code."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from reports.board.board_types import Board, Doubt

_HEADLINES = {
    "batch-dependence": "its answers depend on the rest of the batch",
    "below-card": "it is far less accurate than its card says",
    "black-box-stronger": "its gradients or the loss mislead",
    "broken-certificate": "an image that was certified is broken",
    "changes-input": "the network writes into the images it is given",
    "copied-images": "many of the images are there several times, so that its interval is too narrow",
    "dead-pixels": "dark or bright pixels have no gradient, and asked further inside they break more",
    "exploding-output": "its scores are too large for small changes to show in them",
    "failed-jobs": "some of its jobs failed",
    "inadmissible": "an attack left what is allowed, and was judged where it was put back",
    "class-order": "its outputs stand for the classes in another order",
    "class-map": "only the outputs that stand for classes of the data count",
    "flat-output": "its scores hide the way from the usual loss",
    "label-only": "it tells a class and nothing else, so gradients lead nowhere",
    "larger-radius-weaker": "an attack that may do more breaks less",
    "library-weaker": "a library's version of an attack breaks fewer images than ours",
    "low-clean": "it is hardly better than guessing",
    "more-steps-weaker": "more steps break fewer images",
    "no-gradient": "its gradient is zero for every image",
    "noise-stronger": "random noise breaks more images than an attack",
    "nonfinite": "its outputs or gradients stop being numbers",
    "nonfinite-output": "its output is NaN or infinite for some images",
    "nonfinite-proposal": "an attack proposed images with NaN or infinite pixels",
    "not-a-distribution": "its outputs are declared as probabilities and are none",
    "not-converged": "the attack was still getting stronger when it stopped",
    "not-reproduced": "asked again, the network does not say what the run says",
    "one-answer": "it gives one answer to every image",
    "one-step-stronger": "a single step breaks more images than many",
    "other-input": "it was trained on images in another form, such as normalised ones",
    "random-output": "the same image gets another answer each time",
    "saturated-output": "its loss is exactly zero where it is sure, so gradients vanish",
    "scale-tried": "another loss breaks hardly more, so that its scores hide nothing from this attack",
    "seen-images": "it learned from the images it is judged on, with their labels",
    "shattered-gradients": "neighbouring points have other gradients, and along their average more break",
    "shard-size": "its graphs are not all of the size that was asked for",
    "silent-success": "an attack broke images and returned others; they were judged by what broke them",
    "tied-output": "several classes share its largest output",
    "too-few-images": "too few images for a rank",
    "transfer-failure": "the attack fooled what it differentiates, and not the model",
    "unbounded-survives": "an attack without a limit leaves images standing: the attack fails",
    "unchanged-weights": "its training changed nothing",
    "unconfirmed": "images that an attack saw broken are right when asked again",
    "undeclared-simplex": "it hands out probabilities as if they were scores, which flattens the loss",
    "unreachable": "images stand although every pixel may become anything: attacks cannot find their way",
    "unstable-predictions": "its loss jumps within a hair's breadth",
    "weaker-than-pgd": "ten plain steps of PGD break what it left standing",
    "weak-attacks-only": "nothing stronger than one step was tried on it",
    "wrong-gradient": "its gradients do not add up to its loss",
    "zero-gradient": "an attack had no gradient to follow on some images",
}
_NUMBERS = {
    "black-box-stronger": (
        (r"images crafted on .* break (\d+) more", "transferred images break {0} more"),
        (r"(.+), without gradients, breaks (\d+) more", "{0}, which needs none, breaks {1} more"),
    ),
    "flat-output": (
        (
            r"an ascent of the usual loss breaks (\d+) of (\d+) images?, and (\d+) where .* at Linf (\S+) ",
            "another one breaks {2} of {1} images at Linf {3}, it breaks {0}",
        ),
        (
            r"(\d+) steps on the margin, .* broke (\d+) of (\d+) ",
            "their margin breaks {1} of {2} that it left",
        ),
    ),
    "scale-tried": ((r"(\d+) steps on the margin, .* broke (\d+) of (\d+) ", "{1} of {2} that it left"),),
    "dead-pixels": ((r"(\d+%) of the pixels .* broke (\d+) of (\d+) ", "{1} of {2} that it left"),),
    "larger-radius-weaker": (
        (r"(.+) breaks? (\d+) fewer (?:images )?at (\S+) than at (\S+)", "{0}: {1} fewer at {2} than at {3}"),
    ),
    "library-weaker": ((r"(.+) breaks (\d+) fewer images than (.+), with", "{0}: {1} fewer than {2}"),),
    "more-steps-weaker": (
        (r"(.+): (\d+) steps break (\d+) fewer images than (\d+)", "{0}: {2} fewer with {1} than with {3}"),
    ),
    "noise-stronger": ((r"(.+) breaks (\d+) more than (.+?)(?: \(p|$)", "{1} more than {2}"),),
    "one-step-stronger": ((r"(.+) breaks (\d+) more than (.+?)(?: \(p|$)", "{0} breaks {1} more than {2}"),),
    "shattered-gradients": ((r".* broke (\d+) of (\d+) images?", "{0} of {1} that it left"),),
    "unbounded-survives": ((r"(.+) leaves (\d+) of (\d+) images?", "{0} leaves {1} of {2}"),),
    "failed-jobs": ((r"(\d+) of its jobs failed", "{0} in all"),),
    "too-few-images": ((r"(\d+) images?; a rank needs (\d+)", "{0}, and it takes {1}"),),
}
"""The numbers in the evidence of a code, and the sentence with them."""
_SHORT = {"adversarial-robustness-toolbox": "ART", "adv_lib": "adv-lib"}
"""Libraries by the name people use."""


@dataclass(frozen=True, slots=True)
class Case:
    """One model of a group: the numbers in short, and the attacks that met it, each with its library.

    Attributes:
        doubt: the doubt.
        short: its sentence.
        attacks: such as `pgd (robench)`; empty where it was found by comparing, or without an attack.
    """

    doubt: Doubt
    short: str
    attacks: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class DoubtGroup:
    """All models of a board that one code was met on.

    Attributes:
        code: the code.
        headline: its meaning, in a few words.
        cases: the models.
        remedy: what to do, where it is the same for all.
    """

    code: str
    headline: str
    cases: tuple[Case, ...]
    remedy: str


def headline(code: str, evidence: str = "") -> str:
    """Return the meaning of a code in a few words; for an unknown code its evidence, or the code."""
    return _HEADLINES.get(code) or evidence or code


def short_sentence(doubt: Doubt) -> str:
    """Return a doubt as one short sentence, such as `too few images for a rank: 9, and it takes 100`."""
    words = headline(doubt.code, doubt.evidence)
    numbers = _numbers(doubt)
    return f"{words}: {numbers}" if numbers else words


def _numbers(doubt: Doubt) -> str:
    for pattern, template in _NUMBERS.get(doubt.code, ()):
        if match := re.match(pattern, doubt.evidence):
            return template.format(*match.groups())
    return ""


def doubt_groups(board: Board, *, unlifted: bool) -> list[DoubtGroup]:
    """Return the doubts of a board by code: those that stand, or those that are lifted.

    Args:
        board: the board.
        unlifted: whether those that put a number in doubt, or those that were lifted.
    """
    by_code: dict[str, list[Doubt]] = {}
    for doubt in board.doubts:
        if doubt.unlifted == unlifted:
            by_code.setdefault(doubt.code, []).append(doubt)
    models = {doubt.model for own in by_code.values() for doubt in own}
    attacks = {model: _met_by(board, model) for model in models}
    return [
        DoubtGroup(
            code=code,
            headline=headline(code, own[0].evidence),
            cases=tuple(Case(one, short_sentence(one), attacks[one.model].get(code, ())) for one in own),
            remedy=own[0].remedy if len({one.remedy for one in own}) == 1 else "",
        )
        for code, own in by_code.items()
    ]


def _met_by(board: Board, model: str) -> dict[str, tuple[str, ...]]:
    """Return the white-box attacks that met each code, with the library that made them."""
    names: dict[str, dict[str, None]] = {}
    for cell in board.white_box(model):
        for code in cell.findings:
            names.setdefault(code, {})[attack_and_library(cell.attack, cell.library)] = None
    return {code: tuple(own) for code, own in names.items()}


def attack_and_library(attack: str, library: str) -> str:
    """Return an attack with its library, such as `pgd (robench)`; a name like `art/pgd` says it already."""
    if not library or "/" in attack:
        return attack
    return f"{attack} ({_SHORT.get(library, library)})"


def listed_in_words(names: Iterable[str], *, most: int = 3) -> str:
    """Return names as a reader says them: `a, b and c`, or `a, b, c and 4 more`."""
    every: Sequence[str] = tuple(names)
    if len(every) > most + 1:
        return f"{', '.join(every[:most])} and {len(every) - most} more"
    return " and ".join(part for part in (", ".join(every[:-1]), *every[-1:]) if part)
