"""The plugin: threat model and gradient-masking diagnostics in the words of OWASP's AI Exchange draft."""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any, ClassVar

from reports.board.board_types import Board
from reports.board.by_model import Result, by_model
from reports.board.cross_checks import BLACK_BOX, LARGER, MORE_STEPS, NOISE, asked
from reports.board.samples import Samples
from reports.board.shares import Share
from reports.exports.owasp_layout import (
    Diagnostic,
    Diagnostics,
    Document,
    Evaluation,
    PerturbationBudget,
    Proportion,
    Threat,
)
from robench.recipe import Info
from robench.record.files import write_atomic
from robench.record.schema import Record

ACCESS = {"gradient": "gradients", "score": "scores", "decision": "labels"}
"""The model access of attacks, by its name in records; the largest access first."""
INPUT_CONTROL = (
    "digital: every pixel value of the image, from {low:g} to {high:g}; no physical capture between"
)
TIMING = "inference time: each image is changed before the model sees it; the model does not change meanwhile"


@dataclass(frozen=True, slots=True, kw_only=True)
class Owasp:
    """OWASP AI Exchange: owasp.json with threat fields and three diagnostics, owasp.schema.json beside it.

    The layout is robench's own; the draft names the fields in words.
    """

    info: ClassVar[Info] = Info(title="OWASP AI Exchange", paper="none; AI Exchange, evasion testing (draft)")

    def __call__(self, records: Sequence[Record], folder: Path) -> list[Path]:
        """Write both files and return their paths.

        Raises:
            StorageError: writing to disk failed; older files are intact.
        """
        paths = [folder / "owasp.json", folder / "owasp.schema.json"]
        text = json.dumps(dataclasses.asdict(document(records)), indent=1, allow_nan=False)
        write_atomic(paths[0], text + "\n")
        write_atomic(paths[1], json.dumps(json_schema(), indent=1) + "\n")
        return paths


def json_schema() -> dict[str, Any]:
    """Return the JSON Schema of owasp.json; it allows no other keys."""
    from pydantic import ConfigDict, TypeAdapter

    for part in (Document, Evaluation, Threat, PerturbationBudget, Proportion, Diagnostics, Diagnostic):
        setattr(part, "__pydantic_config__", ConfigDict(extra="forbid"))  # noqa: B010 - not a field of the draft
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        **TypeAdapter(Document).json_schema(mode="serialization"),
    }


def document(records: Sequence[Record]) -> Document:
    """Return the contents of owasp.json for some records, without results of clean accuracy alone."""
    results = [result for model in by_model(records) for result in model.results]
    every = list({id(result.samples): result.samples for result in results}.values())
    attack_results = [result for result in results if result.board.norm]
    return Document(
        robench=version("robench"), evaluations=tuple(evaluation(one, every) for one in attack_results)
    )


def evaluation(result: Result, every: Sequence[Samples]) -> Evaluation:
    """Return one model under one threat.

    Args:
        result: the model on its board.
        every: all boards, for other radii.
    """
    board, row = result.board, result.row
    return Evaluation(
        model=row.model,
        fingerprint=row.fingerprint,
        dataset=board.dataset,
        split=board.split,
        digest=board.digest,
        threat=threat(result),
        attacks={label: _required(share) for label, share in row.attacks.items() if share.n},
        clean=_proportion(row.clean),
        worst_case=_proportion(row.worst_case),
        passes_per_image=row.passes,
        diagnostics=diagnostics(result, every),
        doubted=row.doubted,
        findings=row.findings,
        partial=row.partial,
    )


def threat(result: Result) -> Threat:
    """Return the draft's seven fields of a board's threat."""
    board = result.board
    low, high = board.bounds or (0.0, 1.0)
    needs = {r.attack.needs for r in result.records if not (r.attack.is_clean or r.attack.control)}
    return Threat(
        knowledge=board.knowledge,
        access=tuple(ACCESS.get(need, need) for need in sorted(needs, key=_order)),
        input_control=INPUT_CONTROL.format(low=low, high=high),
        goal=board.goal,
        perturbation_budget=PerturbationBudget(
            norm=board.norm, eps=None if math.isinf(board.eps) else board.eps, eps_text=board.eps_text
        ),
        query_budget=board.budget,
        timing=TIMING,
    )


def diagnostics(result: Result, every: Sequence[Samples]) -> Diagnostics:
    """Return the draft's three diagnostics of one model on its board."""
    counts = asked(result.samples, every, result.target)

    def diagnostic(codes: tuple[str, ...], lacking: str) -> Diagnostic:
        doubts = [d for d in result.board.doubts if d.model == result.row.model and d.code in codes]
        total = sum(counts[code] for code in codes)
        if doubts:
            evidence = "; ".join(doubt.evidence for doubt in doubts)
            doubt_codes = tuple(doubt.code for doubt in doubts)
            return Diagnostic(status="raised", evidence=evidence, findings=doubt_codes, comparisons=total)
        if total:
            return Diagnostic(status="not raised", evidence="", findings=(), comparisons=total)
        return Diagnostic(
            status="not tested", evidence=_why(result.board, lacking), findings=(), comparisons=0
        )

    return Diagnostics(
        black_box_beats_white_box=diagnostic(
            (BLACK_BOX,), "an attack with gradients, and one without them or images of another model"
        ),
        non_monotonic_in_budget=diagnostic(
            (MORE_STEPS, LARGER), "the same attack with two numbers of steps, or two radii"
        ),
        random_noise_succeeds=diagnostic((NOISE,), "an attack, and the control `noise`"),
    )


def _why(board: Board, lacking: str) -> str:
    if math.isinf(board.eps):
        return "without a radius a larger perturbation proves nothing"
    return f"needs {lacking}"


def _order(need: str) -> tuple[int, str]:
    levels = list(ACCESS)
    return (levels.index(need) if need in levels else len(levels), need)


def _proportion(share: Share | None) -> Proportion | None:
    return _required(share) if share and share.n else None


def _required(share: Share) -> Proportion:
    return Proportion(value=share.count / share.n, low=share.low, high=share.high, n=share.n)
