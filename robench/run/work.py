"""All the work of an evaluation, listed and checked; nothing is run yet."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

from robench.attack.craft import check_attack
from robench.attack.protocol import Attack, check_attackable
from robench.attack.visibility import check_noise
from robench.data.images import ImageSet
from robench.errors import InputError
from robench.model.answer_checks import check_networks
from robench.model.interface import Coupling
from robench.run.bounding import Bounding, bounding_slices
from robench.run.crafting import Board, Crafting
from robench.run.evaluated_model import EvaluatedModel
from robench.run.jobs import Job, bounding_jobs, clean_job, crafting_job
from robench.run.settings import Settings
from robench.run.shards import Shard, slices


@dataclass(frozen=True, slots=True, kw_only=True)
class Work:
    """Models, images and boards, and every crafting that results from them.

    Attributes:
        models: the models.
        data: the images.
        boards: threat models with their attacks.
        settings: settings of the evaluation.
        begin: called with the name of every model before the model is called for the first time.
        craftings: every attack on every model through each of its gradient sources, in order.
        boundings: every bounding method on each of its models, in order.

    Raises:
        ConfigError: an attack does not support its threat, or needs something that the threat withholds; or a
            model cannot be bounded because of a layer, which is named.
        InputError: two models share a name, or a model has another number of classes than the data, or fails
            on a few of its images (`robench.model.answer_checks`).
    """

    models: Sequence[EvaluatedModel]
    data: ImageSet
    boards: Sequence[Board]
    settings: Settings = field(default_factory=Settings)
    begin: Callable[[str], None] | None = field(default=None, repr=False, compare=False)
    craftings: tuple[Crafting, ...] = field(init=False)
    boundings: tuple[Bounding, ...] = field(init=False)

    def __post_init__(self) -> None:
        """Refuse invalid work before anything is run."""
        self._check_models()
        craftings: list[Crafting] = []
        for board in self.boards:
            for label, attack in board.attacks.items():
                check_attack(attack, board.threat, label=label)
                for source in self.models:
                    check_attackable(attack, source.model, board.threat, self.data.shape, label=label)
                craftings += (
                    Crafting.of(board, label, source, name, targets=self._targets(source))
                    for source in self.models
                    for name in _gradient_sources(attack, source)
                )
            for entry in self.models:
                check_noise(entry.model, board.threat)
        boundings = tuple(
            Bounding(
                target=target,
                threat=board.threat,
                eps_text=board.eps_text,
                label=label,
                method=column.method,
            )
            for board in self.boards
            for label, column in board.bounds.items()
            for target in self.models
            if not column.models or target.model.name in column.models
        )
        for bounding in boundings:
            bounding.check(self.data.shape)
        object.__setattr__(self, "boundings", boundings)
        check_networks([entry.model for entry in self.models], self.data, begin=self.begin)
        object.__setattr__(self, "craftings", tuple(craftings))

    def _check_models(self) -> None:
        names = [entry.model.name for entry in self.models]
        if len(set(names)) != len(names):
            do = 'In Python name them in a mapping: {"one": net, "other": net_2}'
            raise InputError(where="models", expected="different names", got=", ".join(names), do=do)
        for entry in self.models:
            if entry.model.classes != len(self.data.classes):
                raise InputError(
                    where=f"model {entry.model.name!r}",
                    expected=f"{len(self.data.classes)} classes, as {self.data.name} has",
                    got=str(entry.model.classes),
                )

    def shards(self) -> Iterator[Shard]:
        """Return the data in shards: all but the last full, or even ones where a model is joint."""
        return Shard.split(self.data, self.settings.shard, even=self._joint)

    def jobs(self, shard: Shard) -> list[Job]:
        """Return the jobs of a shard: every model on clean images, every crafting, every bound."""
        settings = self.settings
        clean_jobs = [clean_job(target, shard, settings) for target in self.models]
        crafting_jobs = [crafting_job(crafting, shard, settings) for crafting in self.craftings]
        bound_jobs = [job for bounding in self.boundings for job in bounding_jobs(bounding, shard, settings)]
        return [*clean_jobs, *crafting_jobs, *bound_jobs]

    def units(self) -> int:
        """Return how many records the whole work makes."""
        verdict_count = len(self.models) + sum(len(crafting.targets) for crafting in self.craftings)
        bound_count = sum(self.count_bounding_jobs(bounding) for bounding in self.boundings)
        return len(self._shard_sizes()) * verdict_count + bound_count

    def count_bounding_jobs(self, bounding: Bounding) -> int:
        """Return the number of jobs of one bounding."""
        return sum(len(bounding_slices(size, bounding)) for size in self._shard_sizes())

    def _shard_sizes(self) -> list[int]:
        cut = slices(len(self.data), self.settings.shard, even=self._joint)
        return [part.stop - part.start for part in cut]

    @property
    def _joint(self) -> bool:
        return any(entry.model.coupling is Coupling.JOINT for entry in self.models)

    def _targets(self, source: EvaluatedModel) -> Sequence[EvaluatedModel]:
        """Return the models that judge the images crafted on one of them."""
        return self.models if self.settings.transfer else [source]


def _gradient_sources(attack: Attack, source: EvaluatedModel) -> tuple[str, ...]:
    """Return the gradient sources of an attack: its own choice, or each source of the model."""
    return (attack.info.own_source,) if attack.info.own_source else source.sources
