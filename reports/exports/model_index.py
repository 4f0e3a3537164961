"""The plugin: model cards with Hugging Face's `model-index` on top, in a folder for each model.

The layout of the metadata is that of the hub's modelcard.md (repository huggingface/hub-docs);
`huggingface_hub.ModelCardData` reads it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

from reports.board.by_model import MeasuredModel, by_model
from reports.board.run_folder import Run, read_trainings
from reports.cards.card import text_of
from reports.exports.claims import Claim, clean_claim, robust_claim
from reports.exports.hub_data import HUB
from robench.plan.yaml_writer import write_text
from robench.recipe import Info
from robench.record.files import write_atomic
from robench.record.schema import Record
from robench.visible_text import visible

TASK = {"type": "image-classification", "name": "Image classification"}


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelIndex:
    """Hugging Face model cards: MODEL/README.md with `model-index` metadata above the model card.

    Attributes:
        dataset: the data set on the hub, `ORG/NAME`; known for MNIST, Fashion-MNIST, CIFAR and SVHN. Without
            one a data set bears its own title.
        license: licence of the weights, as the hub names it; empty leaves it out.
        source_url: link to where the run can be seen; empty for none.
        source_name: its name on the page.
    """

    info: ClassVar[Info] = Info(title="Hugging Face model-index", paper="none; hub-docs, modelcard.md")
    dataset: str = ""
    license: str = ""
    source_url: str = ""
    source_name: str = ""

    def __post_init__(self) -> None:
        """Refuse a source without a link.

        Raises:
            ValueError: says so.
        """
        if self.source_name and not self.source_url:
            raise ValueError("source_url beside source_name, as the hub wants it")

    def __call__(self, records: Sequence[Record], folder: Path, *, runs: Sequence[Path] = ()) -> list[Path]:
        """Write the cards and return their paths.

        Args:
            records: what was measured.
            folder: where to write.
            runs: the run folders of the records, which hold how models were trained.

        Raises:
            StorageError: writing to disk failed; older files are intact.
        """
        run = Run(
            records=tuple(records), trainings=tuple(one for root in runs for one in read_trainings(root))
        )
        paths = []
        for model in by_model(records):
            paths.append(folder / model.file / "README.md")
            head = write_text(self.metadata(model))
            write_atomic(paths[-1], f"---\n{head}---\n\n{text_of(run, model)}")
        return paths

    def metadata(self, model: MeasuredModel) -> dict[str, Any]:
        """Return the metadata of a model's card."""
        identities = {result.board.dataset: self._hub(result.board.dataset) for result in model.results}
        hub = [identity for identity in identities.values() if "/" in identity]
        return {
            **({"license": self.license} if self.license else {}),
            "pipeline_tag": TASK["type"],
            "tags": ["adversarial-robustness", "robench"],
            **({"datasets": hub} if hub else {}),
            "metrics": ["accuracy"],
            "model-index": [{"name": visible(model.name), "results": self._results(model)}],
        }

    def _hub(self, title: str) -> str:
        return self.dataset or HUB.get(title, title)

    def _results(self, model: MeasuredModel) -> list[dict[str, Any]]:
        """Return one result for each data set and split, with a metric for each number."""
        claims: dict[tuple[str, str], dict[str, Claim]] = {}
        for result in model.results:
            board = result.board
            own = claims.setdefault((board.dataset, board.split), {})
            for claim in (clean_claim(board, result.row), robust_claim(board, result.row)):
                if claim is not None:
                    own.setdefault(f"{claim.name} {claim.arguments}", claim)
        source = {"name": self.source_name, "url": self.source_url} if self.source_url else {}
        return [
            {
                "task": TASK,
                "dataset": {"name": visible(title), "type": self._hub(title), "split": split},
                "metrics": [
                    {
                        "type": claim.metric,
                        "value": claim.value,
                        "name": visible(claim.name),
                        "args": claim.arguments,
                    }
                    for claim in own.values()
                ],
                **({"source": {name: text for name, text in source.items() if text}} if source else {}),
            }
            for (title, split), own in claims.items()
        ]
