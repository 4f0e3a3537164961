"""From model specifications to models: build, load or train each network once, then put heads on."""

from __future__ import annotations

import traceback
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Protocol

from robench import plugins, recipe
from robench.builder import Builder
from robench.data import ImageSet
from robench.defense import Defense, TrainingContext
from robench.errors import CheckpointError, JobError, RobenchError
from robench.jobs import Subject
from robench.plan import SCHEMA, DataSpec, ModelSpec, Plan, TrainSpec, content_hash, to_json
from robench.provenance import versions
from robench.randomness import seed_from
from robench.selection import load_data


class TrainingWatcher(Protocol):
    """Who is told how training goes on."""

    def stage(self, text: str) -> None:
        """Note what begins now."""
        ...

    def training(self, row: dict[str, float]) -> None:
        """Note a step or an epoch."""
        ...

    def failed(self, text: str) -> None:
        """Note that a model failed."""
        ...


@dataclass(slots=True)
class Workshop:
    """Builds the models of one plan; every network is made once, however many heads share it.

    Args:
        plan: what is wanted.
        folder: where trained weights are kept, one folder per training key.
        device: where models live.
        data_root: folder with data sets, or None for the cache.
        download: whether the network may be used.
        trust_code: whether a user's Python file may be imported.
        force: train again even if the weights are there.
        watcher: who is told.
    """

    plan: Plan
    folder: Path
    device: str
    data_root: Path | None
    download: bool
    trust_code: bool
    force: bool
    watcher: TrainingWatcher
    failures: dict[str, str] = field(default_factory=dict)
    _networks: dict[str, Any] = field(default_factory=dict)
    _facts: dict[str, dict[str, Any]] = field(default_factory=dict)
    _builder: Builder | None = None

    def load(self, spec: DataSpec) -> ImageSet:
        """Return the images of a specification."""
        return load_data(spec, root=self.data_root, download=self.download, seed=self.plan.seed)

    def subjects(self, shape: tuple[int, int, int], classes: int) -> list[Subject]:
        """Return every model that could be made; one that failed while training is in `failures`.

        Args:
            shape: (C, H, W) of the evaluation images.
            classes: number of classes.

        Raises:
            RobenchError: a checkpoint, template or option is refused: nothing was evaluated yet.
        """
        self._check_checkpoints()
        made = []
        for spec in sorted(self.plan.models, key=lambda s: s.features_of is not None):
            owner = spec.features_of or spec.name
            if owner in self.failures:
                self._fail(spec.name, f"its network, {owner!r}, failed")
                continue
            try:
                network = self._network(self._spec(owner), shape, classes)
                self.watcher.stage(f"preparing {spec.name}")
                model = self._build().model(
                    spec,
                    network,
                    classes=classes,
                    training_data=self._training_data(owner),
                    seed=seed_from(self.plan.seed, "template"),
                    device=self.device,
                )
            except JobError as error:
                self._fail(spec.name, str(error))
                continue
            facts = {**model.details, **self._facts.get(owner, {})}
            model = replace(model, details=facts)
            made.append(Subject(model=model, fingerprint=model.fingerprint(), sources=spec.sources or ()))
        order = {spec.name: i for i, spec in enumerate(self.plan.models)}
        return sorted(made, key=lambda s: order[s.model.name])

    def train(self, shape: tuple[int, int, int], classes: int) -> list[Path]:
        """Train every network that the plan trains and return their checkpoints."""
        self._check_checkpoints()
        paths = []
        for spec in self.plan.models:
            if spec.train is None:
                continue
            try:
                self._network(spec, shape, classes)
            except JobError as error:
                self._fail(spec.name, str(error))
                continue
            paths.append(self._weights(spec, shape, classes))
        return paths

    def _check_checkpoints(self) -> None:
        """Refuse a missing file before hours of training."""
        for spec in self.plan.models:
            if spec.checkpoint is not None and not spec.checkpoint.is_file():
                raise CheckpointError(
                    where=spec.where or f"model {spec.name!r}",
                    expected="an existing checkpoint file",
                    got=str(spec.checkpoint),
                    do="Paths are relative to the configuration file",
                )

    def _build(self) -> Builder:
        if self._builder is None:
            self._builder = plugins.find("builders", "zoo")()
        return self._builder

    def _spec(self, name: str) -> ModelSpec:
        return next(s for s in self.plan.models if s.name == name)

    def _training_data(self, owner: str) -> Callable[[], ImageSet]:
        """Return a function that loads the split a template is drawn from: never the evaluation split."""
        spec = self._spec(owner)
        chosen = spec.train.data if spec.train else DataSpec(dataset=self.plan.data.dataset, split="train")
        return lambda: self.load(chosen)

    def _identity(self, spec: ModelSpec, shape: tuple[int, int, int], classes: int) -> dict[str, Any]:
        """Return plain JSON that names everything that can change the trained weights."""
        train = spec.train
        assert train is not None
        defense = self._defense(train)
        return {
            "schema": SCHEMA,
            "architecture": to_json(spec.architecture),
            "buffer": spec.buffer,
            "normalize": to_json(spec.normalize),
            "defense": train.defense.name,
            "options": recipe.options_of(defense),
            "data": to_json(train.data),
            "shape": list(shape),
            "classes": classes,
            "seed": self.plan.seed,
        }

    def _defense(self, train: TrainSpec) -> Defense:
        kind = plugins.find("defenses", train.defense.name, where=train.defense.where)
        made: Defense = recipe.build(kind, train.defense.options, where=train.defense.where)
        return made

    def _weights(self, spec: ModelSpec, shape: tuple[int, int, int], classes: int) -> Path:
        key = content_hash(self._identity(spec, shape, classes))
        return self.folder / f"{spec.name}-{key[:12]}" / "weights.safetensors"

    def _network(self, spec: ModelSpec, shape: tuple[int, int, int], classes: int) -> Any:
        if spec.name in self._networks:
            return self._networks[spec.name]
        builder = self._build()
        seed = seed_from(self.plan.seed, "init")
        network = builder.network(spec, shape=shape, classes=classes, seed=seed, trust_code=self.trust_code)
        facts: dict[str, Any] = {
            "architecture": spec.architecture.name if spec.architecture else "",
            "training": "none",
        }
        if spec.checkpoint is not None:
            facts["checkpoint"] = builder.load(network, spec.checkpoint, sha256=spec.sha256)
            facts["training"] = "checkpoint"
        if spec.train is not None:
            path = self._weights(spec, shape, classes)
            facts["training"] = spec.train.defense.name
            if path.is_file() and not self.force:
                self.watcher.stage(f"{spec.name}: weights found, not trained again")
                facts["checkpoint"] = builder.load(network, path, sha256=None)
            else:
                facts["checkpoint"] = self._trained(spec, network, path, shape, classes)
        self._networks[spec.name], self._facts[spec.name] = network, facts
        return network

    def _trained(
        self, spec: ModelSpec, network: Any, path: Path, shape: tuple[int, int, int], classes: int
    ) -> str:
        train = spec.train
        assert train is not None
        identity = self._identity(spec, shape, classes)
        data = self.load(train.data)
        self.watcher.stage(f"training {spec.name}: {train.defense.name} on {len(data)} images of {data.name}")
        state = path.parent / "state.pt"
        path.parent.mkdir(parents=True, exist_ok=True)
        if self.force:
            state.unlink(missing_ok=True)
        context = TrainingContext(
            seed=seed_from(self.plan.seed, "train"),
            device=self.device,
            state=state,
            identity=identity,
            progress=self.watcher.training,
        )
        try:
            history = self._defense(train)(network, data, context=context)
        except RobenchError:
            raise
        except Exception as error:
            # A defense is a plugin: whatever it raises fails this model only.
            text = "".join(traceback.format_exception(error))
            raise JobError(where=f"training {spec.name}", expected="weights", got=text) from error
        card = {
            "name": spec.name,
            **identity,
            "data_digest": data.digest(),
            "images": len(data),
            "history": history,
            "versions": versions(),
        }
        digest = self._build().save(network, path, card=card)
        state.unlink(missing_ok=True)
        return digest

    def _fail(self, name: str, text: str) -> None:
        self.failures[name] = text
        self.watcher.failed(f"{name}: {text.strip().splitlines()[-1]}")
