"""Records to boards: pure functions. The headline is the worst case over everything tried, image by image."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING

from reports.board.board_types import Board, Doubt, Row, may_have_rank
from reports.board.certificate_checks import certificate_check
from reports.board.certified import (
    bounds_of,
    certified_images,
    gap_of,
    robust_but_for,
    share_of,
    shares_by_method,
)
from reports.board.cross_checks import cross_checks, library_check, radius_check
from reports.board.grouping import split_into_boards
from reports.board.identities import by_attack, fingerprint_of, is_joint, model_of
from reports.board.lifted_findings import lifted_codes
from reports.board.measurements import measurements, median_sizes, transfers
from reports.board.missing_images import missing_from_row
from reports.board.row_checks import row_checks, unbounded_check
from reports.board.samples import Samples
from reports.board.shares import (
    Share,
    clean_share,
    is_random,
    one_draw_share,
    over_batches,
    right,
    robust,
    robust_share,
    worst,
)
from reports.board.size_ranks import by_size, median_of, ranked_by_size
from reports.board.unlifted_findings import unlifted_codes
from robench.record.columns.column_arrays import TOTALS
from robench.record.completeness import count_images
from robench.record.measures.draws import paired_p_value
from robench.record.measures.fresh_outcomes import outcomes
from robench.record.measures.statistics import SIGNIFICANCE, mcnemar
from robench.record.schema import Record

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


def boards(records: Iterable[Record]) -> list[Board]:
    """Return one board per setting: images, norm, radius, goal, box, knowledge, budget; rows best first."""
    return boards_of(split_into_boards(records))


def boards_of(every: Sequence[Samples]) -> list[Board]:
    """Return the boards of grouped records; those of one title have the start of their images' hash in it."""
    every_board = [board_of(samples, every) for samples in every]
    digests: dict[str, set[str]] = {}
    for board in every_board:
        digests.setdefault(board.title.casefold(), set()).add(board.digest)
    return [
        board
        if len(digests[board.title.casefold()]) == 1
        else dataclasses.replace(board, images=board.digest[:6])
        for board in every_board
    ]


def board_of(samples: Samples, every: Sequence[Samples] = ()) -> Board:
    """Return the board of comparable records; checks also use `every` board of the run."""
    setting = samples.setting
    every_record = (*samples.clean, *samples.attacked, *samples.bounds)
    objects = {id(r.target): r.target for r in every_record}  # many records share one
    targets = dict.fromkeys(map(model_of, objects.values()))
    doubts = {target: _doubts(samples, every, target) for target in targets}
    rows = {target: _row(samples, target, doubts[target]) for target in targets}
    rows |= {target: _absent(samples, target) for target in samples.missing if target not in rows}
    return Board(
        dataset=setting.dataset,
        split=setting.split,
        digest=setting.digest,
        n=samples.n,
        eps_text=samples.eps_text,
        **setting.threat._asdict(),
        attacks=tuple(samples.labels.values()),
        rows=_ranked(samples, rows),
        cells=measurements(samples),
        transfers=transfers(samples),
        doubts=tuple(doubt for of_model in doubts.values() for doubt in of_model),
        certificates=tuple(samples.bound_labels.values()),
    )


def _row(samples: Samples, target: str, doubts: Sequence[Doubt]) -> Row:
    mine, white = samples.judged(target), samples.white_box(target)
    clean_records = samples.untouched(target)
    clean = _clean(samples, target)
    groups = by_attack(white)
    attacks = {
        label: robust_share(groups.get(key, []), clean_records) for key, label in samples.labels.items()
    }
    smallest = median_sizes([record for record in mine if record.attack.minimises])
    passes = None
    if white and (images := count_images(white)):
        costs = (record.columns.total(name) for record in white for name in TOTALS)
        passes = sum(costs) / images
    verdict = robust_but_for(samples, target)
    headline = _headline(samples, target, verdict)
    draws = samples.draws(target)
    codes = tuple(sorted(d.code for d in doubts if d.unlifted))
    missing = missing_from_row(samples, target, clean, attacks)
    details = (*samples.everything(target), *samples.bounded(target))[0].target
    return Row(
        model=samples.names[target],
        fingerprint=fingerprint_of(target),
        head=details.detail("head"),
        clean=clean,
        attacks={label: share for label, share in attacks.items() if share is not None},
        worst_case=headline,
        white_box=robust_share(white, clean_records, verdict),
        n=(headline or clean or Share(0, 0)).n,
        median_l2=smallest[0],
        median_linf=smallest[1],
        median_own=smallest[2],
        passes=passes,
        findings=tuple(sorted({d.code for d in doubts})),
        partial=bool(missing),
        missing=missing,
        doubted=bool(codes),
        unlifted=codes,
        joint=any(is_joint(r) for r in _own(samples, target)),
        draws=draws,
        one_draw=_one_draw(samples, mine, clean_records) if draws else None,
        certified=share_of(certified_images(bounds_of(samples, target))),
        certified_by=shares_by_method(samples, target),
        gap=gap_of(samples, target),
    )


def _headline(samples: Samples, target: str, verdict: Callable[[Record], NDArray[np.bool_]]) -> Share | None:
    """Return the share of images that survive everything."""
    mine, judgement = samples.judged(target), samples.judgement(target)
    if judgement is None or verdict is not robust:
        return robust_share(mine, samples.untouched(target), verdict)
    verdicts = judgement.robust()
    batches = over_batches(mine, judgement.images, verdicts)
    return Share(int(verdicts.sum()), len(verdicts), batches)


def _absent(samples: Samples, target: str) -> Row:
    """Return the row of a planned model without any record."""
    return Row(
        model=samples.names[target],
        fingerprint="",
        head="",
        clean=None,
        attacks={},
        worst_case=None,
        white_box=None,
        n=0,
        median_l2=None,
        median_linf=None,
        passes=None,
        findings=(),
        partial=True,
        doubted=False,
        missing=samples.missing[target],
    )


def _one_draw(samples: Samples, attack_records: Sequence[Record], clean: Sequence[Record]) -> Share | None:
    """Return the worst case of a random model, or its clean accuracy, in the attacked draw."""
    return one_draw_share(attack_records) if samples.labels else one_draw_share(clean, right)


def _clean(samples: Samples, target: str) -> Share | None:
    if records := samples.untouched(target):
        return clean_share(records)
    return one_draw_share(samples.judged(target), right)


def _ranked(samples: Samples, rows: dict[str, Row]) -> tuple[Row, ...]:
    """Return rows best first; a row shares the rank of the best row that is not significantly better.

    The paired test is McNemar's, or for means over draws the sign-flip test, which includes McNemar's.

    A row is compared with the first row of the rank, not with its neighbour: in a chain of neighbours, each
    slightly worse than the previous one, every row of a board could share the first rank. Without a radius
    the size of a perturbation counts instead: see `size_ranks`.
    """
    if by_size(samples, rows):
        return ranked_by_size(samples, rows)

    def order(item: tuple[str, Row]) -> tuple[float, float, float, str]:
        row = item[1]
        headline = row.worst_case if samples.labels else row.clean
        median = median_of(row, samples.setting.threat.norm)
        return (-_value(headline), -(median or 0.0), -_value(row.clean), row.model)

    ranking: list[Row] = []
    rest: list[Row] = []
    first: list[str] | NDArray[np.bool_] | None = None
    for target, row in sorted(rows.items(), key=order):
        if not may_have_rank(row, samples.n):
            rest.append(row)
            continue
        now = _verdicts(samples, target)
        rank = len(ranking) + 1
        if first is not None and _p_value(first, now) >= SIGNIFICANCE:
            rank = ranking[-1].rank or rank
        else:
            first = now
        ranking.append(dataclasses.replace(row, rank=rank))
    return (*ranking, *rest)


def _value(share: Share | None) -> float:
    return -1.0 if share is None or share.value is None else share.value


def _p_value(first: list[str] | NDArray[np.bool_], second: list[str] | NDArray[np.bool_]) -> float:
    """Return the p-value for "two paired rows are equal"."""
    if isinstance(first, list) or isinstance(second, list):
        draws = (rows if isinstance(rows, list) else ["01"[one] for one in rows.tolist()]
                 for rows in (first, second))  # fmt: skip
        return paired_p_value(*draws)
    return mcnemar(int((first & ~second).sum()), int((second & ~first).sum()))


def _verdicts(samples: Samples, target: str) -> list[str] | NDArray[np.bool_]:
    """Return per image, in index order, the outcomes that the headline of a complete row counts.

    Whether it stands; for a random model one 0 or 1 for each draw.
    """
    clean = samples.untouched(target)
    records = samples.judged(target) if samples.labels else clean
    verdict = robust_but_for(samples, target) if samples.labels else right
    judgement = samples.judgement(target) if verdict is robust else None
    if judgement is not None:
        return judgement.robust()
    if is_random(records):
        return list(outcomes(records, clean).values())
    return worst(records, verdict)[1]


def _own(samples: Samples, target: str) -> list[Record]:
    """Return the records about a model itself: clean and white-box ones."""
    return [*samples.untouched(target), *samples.white_box(target)]


def _doubts(samples: Samples, every: Sequence[Samples], target: str) -> tuple[Doubt, ...]:
    """Return the doubts about one model's number, one entry per code."""
    own, by_code = _own(samples, target), dict[str, Doubt]()
    codes = unlifted_codes(own, lifted_codes(own))
    for record in own:
        for finding in record.findings:
            before = by_code.get(finding.code)
            by_code[finding.code] = Doubt(
                model=samples.names[target],
                code=finding.code,
                count=before.count + 1 if before else 1,
                evidence=before.evidence if before else finding.evidence,
                remedy=finding.remedy,
                unlifted=finding.code in codes,
            )
    checks = (
        *row_checks(samples, target),
        *cross_checks(samples, target),
        radius_check(samples, every, target),
        unbounded_check(samples, target),
        library_check(samples, target),
        certificate_check(samples, every, target),
    )
    return (*by_code.values(), *(doubt for doubt in checks if doubt))
