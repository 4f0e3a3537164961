"""The plugin: `.eval_results` files of Hugging Face, in a folder for each model.

The layout is that of the hub's documentation, "Evaluation Results" (docs/hub/eval-results.md and
eval_results.yaml of the repository huggingface/hub-docs; `EvalResultEntry` of huggingface_hub reads it).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

from reports.board.board_types import Board
from reports.board.by_model import MeasuredModel, by_model, file_part
from reports.exports.claims import Claim, clean_claim, robust_claim
from reports.exports.hub_data import hub_names
from robench.errors import ConfigError
from robench.plan.spec import KNOWN, WEIGHTS
from robench.plan.yaml_writer import write_text
from robench.recipe import Info
from robench.record.files import write_atomic
from robench.record.schema import Record

FOLDER = ".eval_results"
TASK = "{metric}_{norm}_{eps}"


@dataclass(frozen=True, slots=True, kw_only=True)
class EvalResults:
    """Hugging Face evaluation results: MODEL/.eval_results/TASK.yaml, for the model's repository.

    Each file holds one number: clean accuracy, or the worst case under one threat, in percent.

    Attributes:
        dataset: the data set on the hub, `ORG/NAME`; known for MNIST, Fashion-MNIST, CIFAR and SVHN.
        task: the task in the benchmark's `eval.yaml`, in which {metric}, {norm}, {eps} and {goal} stand for
            what the number is. A targeted goal without {goal}, and what an attacker does not know, a budget
            or an unusual box, are added to it.
        revision: commit of the data set; empty for none.
        source_url: link to where the run can be seen; empty for none.
        source_name: its name on the page.
        source_user: the user or organisation on the hub that measured.
        date: when it was measured, as 2026-01-31; empty leaves it to the date of the commit.
    """

    info: ClassVar[Info] = Info(title="Hugging Face .eval_results", paper="none; hub-docs, eval_results.yaml")
    dataset: str = ""
    task: str = TASK
    revision: str = ""
    source_url: str = ""
    source_name: str = ""
    source_user: str = ""
    date: str = ""

    def __post_init__(self) -> None:
        """Refuse a source without a link, and an invalid date.

        Raises:
            ValueError: says which.
        """
        if (self.source_name or self.source_user) and not self.source_url:
            raise ValueError("source_url beside source_name and source_user, as the hub wants it")
        if self.date:
            from datetime import datetime

            datetime.fromisoformat(self.date)

    def __call__(self, records: Sequence[Record], folder: Path) -> list[Path]:
        """Write the files and return the folders of the models.

        Raises:
            ConfigError: a data set is not known on the hub and none is named, or `task` has an unknown part.
            StorageError: writing to disk failed; older files are intact.
        """
        hub = hub_names(records, self.dataset)
        folders = []
        for model in by_model(records):
            for name, entry in self.entries(model, hub):
                write_atomic(folder / model.file / FOLDER / f"{name}.yaml", write_text([entry]))
            folders.append(folder / model.file)
        return folders

    def entries(self, model: MeasuredModel, hub: dict[str, str]) -> Iterator[tuple[str, dict[str, Any]]]:
        """Yield the name of a file without its suffix, and its entry, for each number of a model.

        Args:
            model: with its results.
            hub: identity on the hub of each data set, by title.
        """
        file_names: set[str] = set()
        images: set[str] = set()
        for result in model.results:
            board = result.board
            claims = [robust_claim(board, result.row)]
            if board.digest not in images or not board.digest:  # boards of the same images share it
                images.add(board.digest)
                claims.insert(0, clean_claim(board, result.row))
            for claim in claims:
                if claim is None:
                    continue
                task = self._task(board, claim, has_template=result.row.head not in {"", "linear"})
                name = file_part(f"{hub[board.dataset].rpartition('/')[2]}-{task}")
                while name in file_names:
                    name += "-2"
                file_names.add(name)
                yield name, self._entry(hub[board.dataset], task, claim)

    def _task(self, board: Board, claim: Claim, *, has_template: bool) -> str:
        if claim.metric == "accuracy":
            return claim.metric
        parts = {
            "metric": claim.metric,
            "norm": board.norm.lower(),
            "eps": board.eps_text.replace("/", "_"),
            "goal": board.goal,
        }
        try:
            return "_".join([self.task.format(**parts), *self._unusual(board, has_template)])
        except (KeyError, ValueError, IndexError) as error:
            expected = f"a name in which only {', '.join(f'{{{part}}}' for part in parts)} stand in braces"
            raise ConfigError(where="--set task", expected=expected, got=repr(self.task)) from error

    def _unusual(self, board: Board, has_template: bool) -> list[str]:
        """Return the differences of a threat from the usual one: a hub distinguishes results only by task."""
        threat, words = board.threat, []
        if board.goal != "untargeted" and "{goal}" not in self.task:
            words.append(board.goal)
        if threat.knowledge is not None:
            could_know = KNOWN if has_template else (WEIGHTS,)
            words += [f"without_{name}" for name in could_know if name not in threat.knowledge]
        if threat.budget is not None:
            words.append(f"budget_{threat.budget}")
        if threat.bounds is not None and threat.bounds != (0.0, 1.0):
            words.append("pixels_{:g}_{:g}".format(*threat.bounds))
        return words

    def _entry(self, dataset: str, task: str, claim: Claim) -> dict[str, Any]:
        entry: dict[str, Any] = {
            "dataset": {
                "id": dataset,
                "task_id": task,
                **({"revision": self.revision} if self.revision else {}),
            },
            "value": claim.value,
        }
        if self.date:
            entry["date"] = self.date
        if self.source_url:
            source = {"url": self.source_url, "name": self.source_name, "user": self.source_user}
            entry["source"] = {name: text for name, text in source.items() if text}
        return {**entry, "notes": claim.notes}
