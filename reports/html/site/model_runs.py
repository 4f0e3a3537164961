"""Who measured a model: the runs behind its row on each board, and what they call it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from reports.board.identities import Setting, model_of, setting_of
from reports.board.joined_names import names_of_weights
from robench.record.exchange.board_entry import BoardEntry

NOT_JUDGED_AGAIN = "not re-judged"
MOST_RUNS = 3
"""Most runs that a row of a board names; the others are counted, and the model's page has all."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelRuns:
    """The runs of a site by model.

    Attributes:
        everywhere: those that hold records of a model, by its identity.
        by_board: the same by board and identity.
        names: what each run calls the model, by the run's title and the model's fingerprint.
    """

    everywhere: Mapping[str, Sequence[BoardEntry]]
    by_board: Mapping[tuple[Setting, str], Sequence[BoardEntry]]
    names: Mapping[tuple[str, str], Sequence[str]]

    def on(self, setting: Setting, identity: str) -> Sequence[BoardEntry]:
        """Return the runs whose records make a model's row on one board.

        A run that has only clean answers so far is behind a row where no other run is.
        """
        own = self.by_board.get((setting, identity))
        return own or self.by_board.get((setting.unattacked, identity), ())

    def names_on(self, setting: Setting, identity: str, fingerprint: str) -> tuple[str, ...]:
        """Return what the runs behind a row call the model, the first run's name first."""
        runs = self.on(setting, identity)
        return tuple(
            dict.fromkeys(name for run in runs for name in self.names.get((run.title, fingerprint), ()))
        )


def runs_of_models(entries: Sequence[BoardEntry], originals: Sequence[BoardEntry]) -> ModelRuns:
    """Return the runs by model.

    Args:
        entries: the runs, with one fingerprint and one name for each network.
        originals: the same runs with one fingerprint for each network, under the names that they give.
    """
    everywhere: dict[str, list[BoardEntry]] = {}
    by_board: dict[tuple[Setting, str], list[BoardEntry]] = {}
    for entry in entries:
        places = dict.fromkeys((setting_of(record), model_of(record.target)) for record in entry.records)
        for identity in dict.fromkeys(identity for _, identity in places):
            everywhere.setdefault(identity, []).append(entry)
        for place in places:
            by_board.setdefault(place, []).append(entry)
    names = {
        (entry.title, fingerprint): own
        for entry in originals
        for fingerprint, own in names_of_weights([entry]).items()
    }
    return ModelRuns(everywhere=everywhere, by_board=by_board, names=names)


def judged_again(name: str, runs: Sequence[BoardEntry]) -> str:
    """Return the results of evaluating a model again on the images that broke it, as texts of its runs."""
    if not runs:
        return ""
    texts = dict.fromkeys(entry.judged_again.get(name, NOT_JUDGED_AGAIN) for entry in runs)
    return "; ".join(texts)


def titles_of(runs: Sequence[BoardEntry]) -> str:
    """Return the titles of the first runs, and how many more there are."""
    more = len(runs) - MOST_RUNS
    return ", ".join([*(run.title for run in runs[:MOST_RUNS]), *([f"and {more} more"] if more > 0 else [])])
