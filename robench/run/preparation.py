"""From model specifications to models: build, load or train each network once, then put heads on."""

from __future__ import annotations

import traceback
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any, Protocol

from robench import plugins, recipe
from robench.data.images import ImageSet, check_coverage
from robench.data.loading import load_data
from robench.errors import CheckpointError, JobError, RobenchError
from robench.model.builder import Builder
from robench.model.defense import Defense, TrainingContext
from robench.model.interface import Model
from robench.plan.data_root import located
from robench.plan.spec import SCHEMA, TEMPLATE, DataSpec, ModelSpec, Plan, TrainSpec, content_hash, to_json
from robench.randomness import seed_from
from robench.record.training_history import robust_overfitting
from robench.run.evaluated_model import Subject, stand_in_for
from robench.run.inference_defenses import defended, undefended
from robench.run.interrupted_trainings import STATE, WEIGHTS, abandon, begin, refuse_changed
from robench.run.model_card import model_card
from robench.run.training_data_checks import refuse_early

LAST = "last.safetensors"
"""The weights of a training's last epoch, beside the chosen ones."""


class TrainingWatcher(Protocol):
    """Who is told how training goes on."""

    def stage(self, text: str) -> None:
        """Note what begins now."""
        ...

    def training(self, row: dict[str, float]) -> None:
        """Note a step or an epoch."""
        ...

    def finding(self, text: str) -> None:
        """Note a reason to doubt a trained network."""
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
    _remarks: dict[str, dict[str, Any]] = field(default_factory=dict)
    _builder: Builder | None = None
    _loaded: tuple[str, ImageSet] | None = None

    def load(self, spec: DataSpec) -> ImageSet:
        """Return the images of a specification; those asked for last are at hand."""
        key = content_hash(spec)
        if self._loaded is None or self._loaded[0] != key:
            images = load_data(spec, root=self.data_root, download=self.download, seed=self.plan.seed)
            self._loaded = (key, images)
        return self._loaded[1]

    def subjects(self, shape: tuple[int, int, int], classes: int) -> list[Subject]:
        """Return every model that could be made; one that failed while training is in `failures`.

        Args:
            shape: (C, H, W) of the evaluation images.
            classes: number of classes.

        Raises:
            RobenchError: a checkpoint, template or option is refused: nothing was evaluated yet.
        """
        self._check_trainings(shape, classes)
        self._refuse_early(classes)
        made = []
        for spec in sorted(self.plan.models, key=lambda s: s.features_of is not None):
            owner = spec.features_of or spec.name
            if owner in self.failures:
                self._fail(spec.name, f"its network, {owner!r}, failed")
                continue
            try:
                network = self._network(self._spec(owner), shape, classes)
                self.watcher.stage(f"preparing {spec.name}")
                model = self._model(spec, network, classes, "template")
            except JobError as error:
                self._fail(spec.name, str(error))
                continue
            subject = self._subject(model, owner, spec)
            if model.template and any(TEMPLATE not in threat.knowledge for threat in self.plan.threats):
                other = self._model(spec, network, classes, "stand-in template")
                subject = replace(subject, stand_in=stand_in_for(subject, self._subject(other, owner, spec)))
            made.append(subject)
        self._loaded = None  # an evaluation may take long and needs no training data
        order = {spec.name: i for i, spec in enumerate(self.plan.models)}
        return sorted(made, key=lambda s: order[s.model.name])

    def _model(self, spec: ModelSpec, network: Any, classes: int, template: str) -> Model:
        """Return a trained network with head and defenses; `template` names the draw of its template."""
        given = self._training_data(spec.features_of or spec.name)
        model = self._build().model(
            undefended(spec),
            network,
            classes=classes,
            training_data=given,
            seed=seed_from(self.plan.seed, template),
            device=self.device,
        )
        return defended(model, spec, training_data=given, seed=self.plan.seed)

    def _subject(self, model: Model, owner: str, spec: ModelSpec) -> Subject:
        model = replace(model, details={**model.details, **self._facts.get(owner, {})})
        fingerprint = model.fingerprint()
        # What is only said of the weights comes after: a new card or wording makes no other model.
        model = replace(model, details={**model.details, **self._remarks.get(owner, {})})
        return Subject(model=model, fingerprint=fingerprint, sources=spec.sources or ())

    def train(self, shape: tuple[int, int, int], classes: int) -> list[Path]:
        """Train every network that the plan trains and return their checkpoints."""
        self._check_trainings(shape, classes)
        self._refuse_early(classes)
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

    def untrained(self, shape: tuple[int, int, int], classes: int) -> list[str]:
        """Return the names of the models whose trained weights are not in the folder."""
        trained = [spec for spec in self.plan.models if spec.train is not None]
        return [spec.name for spec in trained if not self._weights(spec, shape, classes).is_file()]

    def _check_checkpoints(self) -> None:
        """Refuse a missing file before hours of training."""
        for spec in self.plan.models:
            if (path := self._checkpoint(spec)) is not None and not path.is_file():
                raise CheckpointError(
                    where=spec.where or f"model {spec.name!r}",
                    expected="an existing checkpoint file",
                    got=str(path),
                    do="Paths are relative to the configuration file",
                )

    def _checkpoint(self, spec: ModelSpec) -> Path | None:
        """Return where a model's weights lie, None if it names none."""
        where = spec.where or f"model {spec.name!r}"
        return spec.checkpoint and located(spec.checkpoint, self.data_root, where=where)

    def _check_trainings(self, shape: tuple[int, int, int], classes: int) -> None:
        """Refuse a missing file, a training changed half-way or a missing class before anything is done."""
        self._check_checkpoints()
        for spec in self.plan.models:
            if spec.train is None or not self._to_train(spec, shape, classes):
                continue
            if not self.force:
                folder = self._weights(spec, shape, classes).parent
                refuse_changed(spec, folder, self._identity(spec, shape, classes))
        for spec in self.plan.models:
            if spec.train is not None and self._to_train(spec, shape, classes):
                where = f"{spec.where or self.plan.name}, training data of {spec.name!r}"
                check_coverage(self.load(spec.train.data), where=where)

    def _to_train(self, spec: ModelSpec, shape: tuple[int, int, int], classes: int) -> bool:
        return self.force or not self._weights(spec, shape, classes).is_file()

    def _refuse_early(self, classes: int) -> None:
        """Refuse training data that a head or a defense cannot use before hours of training."""
        refuse_early(self.plan, classes=classes, load=self.load, training_data=self._training_data)

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
            "options": recipe.identity_of(defense),
            "data": to_json(train.data),
            "shape": list(shape),
            "classes": classes,
            "seed": self.plan.seed,
            **self._build().code(spec),
        }

    def _defense(self, train: TrainSpec) -> Defense:
        kind = plugins.find("defenses", train.defense.name, where=train.defense.where)
        made: Defense = recipe.build(kind, train.defense.options, where=train.defense.where)
        return made

    def _weights(self, spec: ModelSpec, shape: tuple[int, int, int], classes: int) -> Path:
        key = content_hash(self._identity(spec, shape, classes))
        return self.folder / f"{spec.name}-{key[:12]}" / WEIGHTS

    def _network(self, spec: ModelSpec, shape: tuple[int, int, int], classes: int) -> Any:
        if spec.name in self._networks:
            return self._networks[spec.name]
        builder = self._build()
        seed = seed_from(self.plan.seed, "init")
        network = builder.network(spec, shape=shape, classes=classes, seed=seed, trust_code=self.trust_code)
        facts: dict[str, Any] = {
            "architecture": spec.architecture.name if spec.architecture else "",
            "training": "none",
            **builder.code(spec),
        }
        if (given := self._checkpoint(spec)) is not None:
            remarks = self._remarks.setdefault(spec.name, {})
            facts["checkpoint"] = builder.load(
                network, given, sha256=spec.sha256, key=spec.key, remarks=remarks.update
            )
            facts["training"] = "checkpoint"
        if spec.train is not None:
            path = self._weights(spec, shape, classes)
            facts["training"] = spec.train.defense.name
            if not self._to_train(spec, shape, classes):
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
        if not self._defense(train).info.uses_unlabelled:
            data = data.labelled()
        self.watcher.stage(f"training {spec.name}: {train.defense.name} on {len(data)} images of {data.name}")
        if self.force:
            abandon(path.parent, spec.name)
        begin(path.parent, identity)
        state, last = path.parent / STATE, dict[str, Any]()
        context = TrainingContext(
            seed=seed_from(self.plan.seed, "train"),
            device=self.device,
            state=state,
            identity=identity,
            progress=self.watcher.training,
            history=path.parent / "history.csv",
            last=last.update,
        )
        try:
            history = self._defense(train)(network, data, context=context)
        except RobenchError:
            raise
        except Exception as error:
            # A defense is a plugin: whatever it raises fails this model only.
            text = "".join(traceback.format_exception(error))
            raise JobError(where=f"training {spec.name}", expected="weights", got=text) from error
        card = partial(
            model_card,
            plan=self.plan,
            spec=spec,
            identity=identity,
            defense=self._defense(train),
            data=data,
            parameters=sum(parameter.numel() for parameter in network.parameters()),
            rows=history,
        )
        if last:
            chosen = {name: tensor.clone() for name, tensor in network.state_dict().items()}
            network.load_state_dict(last)
            self._build().save(network, path.with_name(LAST), card=card(kind="last"))
            network.load_state_dict(chosen)
        digest = self._build().save(network, path, card=card(kind="chosen"))
        state.unlink(missing_ok=True)
        if doubt := robust_overfitting(history):
            self.watcher.finding(f"{spec.name}: {doubt}")
        return digest

    def _fail(self, name: str, text: str) -> None:
        self.failures[name] = text
        self.watcher.failed(f"{name}: {text.strip().splitlines()[-1]}")
