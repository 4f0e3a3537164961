"""The networks of a plan: each is built and loaded or trained once, even if several heads share it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from robench import recipe
from robench.data.images import ImageSet, check_coverage
from robench.data.own_files import content_of
from robench.errors import CheckpointError, InputError
from robench.intake.user_code import is_reference, short_name
from robench.model.builder import Builder
from robench.model.defense import Defense
from robench.model.fingerprint import network_digest
from robench.model.trained import BeforeTraining
from robench.model.user_defenses import code_of, defense_of
from robench.plan.data_root import located
from robench.plan.spec import DataSpec, ModelSpec, Plan, TrainSpec, content_hash
from robench.randomness import seed_from
from robench.record.exchange.model_card import WeightRemarks
from robench.record.training_history import UNCHANGED, unchanged_text
from robench.run.models.network_training import NetworkTraining
from robench.run.models.radius_checks import warn_of_wide_training
from robench.run.models.training_folder import WEIGHTS, kept_training, refuse_changed
from robench.run.models.training_identity import TrainingIdentity
from robench.run.progress import Reporter
from robench.run.settings import Environment

FILES = "training_files"
"""Name of the hash of a user's own training images in the identity of a training."""


@dataclass(frozen=True, slots=True)
class Network:
    """A network with its weights.

    Attributes:
        module: the `torch.nn.Module`.
        facts: identifies it, together with its weights.
        remarks: notes on the weights that are not part of the identity.
    """

    module: Any
    facts: dict[str, str]
    remarks: WeightRemarks


@dataclass(slots=True, kw_only=True)
class Networks:
    """Builds the networks of one plan, for images of one shape.

    Args:
        plan: the plan.
        folder: folder of trained weights, one folder in it per training key.
        environment: machine settings; the device is resolved.
        reporter: shows progress.
        builder: makes networks, and saves their weights.
        load: returns the images of a specification.
        shape: (C, H, W) of the images.
        classes: number of classes.
        trains: whether untrained networks are trained; otherwise they keep their initial weights.
    """

    plan: Plan
    folder: Path
    environment: Environment
    reporter: Reporter
    builder: Builder
    load: Callable[[DataSpec], ImageSet]
    shape: tuple[int, int, int]
    classes: int
    trains: bool = True
    _networks: dict[str, Network] = field(default_factory=dict)
    _starts: dict[str, dict[str, str]] = field(default_factory=dict)
    _contents: dict[str, dict[str, str]] = field(default_factory=dict)
    _unreadable: bool = False

    def check(self) -> None:
        """Refuse a missing file, an invalid defense, a training changed half-way or a missing class early.

        Raises:
            CheckpointError: a checkpoint file is missing.
            ConfigError: a training was changed half-way.
            InputError: a class has no training images.
        """
        self._check_checkpoints()
        to_train = [(spec, spec.train) for spec in self.plan.models if spec.train and self._to_train(spec)]
        if not self.environment.force:
            for spec, _ in to_train:
                refuse_changed(spec, self.weights(spec).parent, self._identity(spec))
        for spec, train in to_train:
            warn_of_wide_training(self._defense(train), self.shape)
            where = f"{spec.where or self.plan.name}, training data of {spec.name!r}"
            check_coverage(self.load(train.data), where=where)

    def network(self, spec: ModelSpec) -> Network:
        """Return the network of a model, built, loaded or trained the first time.

        Raises:
            JobError: its training failed.
            RobenchError: a checkpoint or option is refused.
        """
        if spec.name not in self._networks:
            self._networks[spec.name] = self._new(spec)
        return self._networks[spec.name]

    def weights(self, spec: ModelSpec) -> Path:
        """Return where the trained weights of a model lie, or will lie."""
        identity = self._identity(spec)
        place = self.folder / f"{spec.name}-{identity.digest()[:12]}"
        if self._unreadable and not place.is_dir():
            place = kept_training(self.folder, spec.name, identity, apart=FILES) or place
        return place / WEIGHTS

    def untrained(self) -> list[str]:
        """Return the names of the models whose trained weights are not in the folder."""
        specs = [spec for spec in self.plan.models if spec.train is not None]
        return [spec.name for spec in specs if not self.weights(spec).is_file()]

    def _check_checkpoints(self) -> None:
        """Refuse a missing checkpoint file before hours of training."""
        for spec in self.plan.models:
            if (path := self._checkpoint(spec)) is not None and not path.is_file():
                raise CheckpointError(
                    where=spec.where or f"model {spec.name!r}",
                    expected="an existing checkpoint file",
                    got=str(path),
                    do="Put it there, or correct `checkpoint`: relative to the configuration's folder",
                )

    def _checkpoint(self, spec: ModelSpec) -> Path | None:
        """Return the path of a model's checkpoint, None if it names none."""
        where = spec.where or f"model {spec.name!r}"
        return spec.checkpoint and located(spec.checkpoint, self.environment.data_root, where=where)

    def _to_train(self, spec: ModelSpec) -> bool:
        return self.environment.force or not self.weights(spec).is_file()

    def _identity(self, spec: ModelSpec) -> TrainingIdentity:
        """Return everything that can change the trained weights."""
        train = spec.train
        assert train is not None
        name = train.defense.name
        defense_code = code_of(name, trust_code=self.environment.trust_code, where=train.defense.where)
        return TrainingIdentity(
            architecture=spec.architecture,
            buffer=spec.buffer,
            normalize=spec.normalize,
            defense=short_name(name) if is_reference(name) else name,
            options=recipe.identity_of(self._defense(train)),
            data=train.data,
            shape=self.shape,
            classes=self.classes,
            seed=self.plan.seed,
            code={
                **self.builder.code(spec),
                **defense_code,
                **self._start(spec),
                **self._training_files(train),
            },
        )

    def _start(self, spec: ModelSpec) -> dict[str, str]:
        """Return a hash of the first weights of a user's network, which it may read from a file.

        Empty for a network that draws other weights each time: its trainings cannot be told apart.
        """
        if spec.architecture is None or not is_reference(spec.architecture.name):
            return {}
        if spec.name not in self._starts:
            first, again = (network_digest(self.fresh(spec)).hex() for _ in range(2))
            self._starts[spec.name] = {"first_weights": first} if first == again else {}
        return self._starts[spec.name]

    def _training_files(self, train: TrainSpec) -> dict[str, str]:
        """Return a hash of a user's training images, which may be replaced under the same path."""
        key = content_hash(train.data)
        if key not in self._contents:
            try:
                content = content_of(train.data, root=self.environment.data_root)
            except InputError:  # stored weights need no images; a new training will report the error
                content, self._unreadable = "", True
            self._contents[key] = {FILES: content} if content else {}
        return self._contents[key]

    def _defense(self, train: TrainSpec) -> Defense:
        defense: Defense = defense_of(train.defense, trust_code=self.environment.trust_code)
        return defense

    def fresh(self, spec: ModelSpec) -> Any:
        """Return the network of a model with its initial weights."""
        return self.builder.network(
            spec,
            shape=self.shape,
            classes=self.classes,
            seed=seed_from(self.plan.seed, "init"),
            trust_code=self.environment.trust_code,
        )

    def _new(self, spec: ModelSpec) -> Network:
        module = self.fresh(spec)
        remarks: WeightRemarks = {}
        facts = {
            "architecture": spec.architecture.name if spec.architecture else "",
            "training": "none",
            **self.builder.code(spec),
        }
        if (checkpoint := self._checkpoint(spec)) is not None:
            facts["checkpoint"] = self.builder.load(
                module, checkpoint, sha256=spec.sha256, key=spec.key, remarks=remarks.update
            )
            facts["training"] = "checkpoint"
        if spec.train is not None:
            name = spec.train.defense.name
            facts["training"] = short_name(name) if is_reference(name) else name
            unchanged_count = 0
            if self._to_train(spec) and not self.trains:
                self.reporter.stage(f"{spec.name}: would be trained")
            elif self._to_train(spec):
                facts["checkpoint"], unchanged_count = self._train(spec, spec.train, module)
            else:
                facts["checkpoint"], unchanged_count = self._earlier_weights(spec, spec.train, module)
            if unchanged_count:
                remarks[UNCHANGED] = unchanged_count
        return Network(module, facts, remarks)

    def _earlier_weights(self, spec: ModelSpec, train: TrainSpec, module: Any) -> tuple[str, int]:
        """Load the weights of an earlier training; return what `_train` does."""
        before, card_remarks = BeforeTraining.of(module), WeightRemarks()
        digest = self.builder.load(module, self.weights(spec), sha256=None, remarks=card_remarks.update)
        # An older card does not tell it, and another version of torch may draw other first weights.
        unchanged_count = card_remarks.get(UNCHANGED, 0) or before.unchanged(module, self._defense(train))
        doubt = f"; {unchanged_text(unchanged_count)}" if unchanged_count else ""
        self.reporter.stage(f"{spec.name}: weights found, not trained again{doubt}")
        return digest, unchanged_count

    def _train(self, spec: ModelSpec, train: TrainSpec, module: Any) -> tuple[str, int]:
        """Train a network, and write its weights; see `NetworkTraining`."""
        training = NetworkTraining(
            plan=self.plan,
            spec=spec,
            identity=self._identity(spec),
            path=self.weights(spec),
            defense=self._defense(train),
            environment=self.environment,
            reporter=self.reporter,
            builder=self.builder,
        )
        return training(module, self.load(train.data))
