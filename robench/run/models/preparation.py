"""From model specifications to models: networks with their weights, heads, and inference defenses."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path

from robench import plugins
from robench.data.images import ImageSet
from robench.data.seen_images import SeenImages
from robench.errors import InputError, JobError, RobenchError
from robench.intake.code_places import traceback_of
from robench.model.builder import Builder
from robench.model.interface import Model
from robench.model.out_of_memory import FREE, is_out_of_memory, reason_of
from robench.model.user_defenses import defense_of
from robench.plan.spec import TEMPLATE, DataSpec, ModelSpec, Plan, content_hash
from robench.randomness import seed_from
from robench.run.evaluated_model import EvaluatedModel, with_stand_in
from robench.run.image_loader import ImageLoader, NotedLoad
from robench.run.keeper import last_line
from robench.run.models.bound_checks import check_bounded
from robench.run.models.inference_defenses import defended, defenses_in_front, undefended
from robench.run.models.networks import Network, Networks
from robench.run.models.radius_checks import warn_of_wide_radii
from robench.run.models.training_data_checks import check_training_data
from robench.run.progress import QUIET, Reporter
from robench.run.settings import Environment

ORIGIN = frozenset({"training", "checkpoint", "checkpoint_key", "checkpoint_card", "checkpoint_notes"})
"""Details that say whence weights came, and nothing of the function that they make."""


@dataclass(slots=True)
class Workshop:
    """Makes the models of one plan; every network is made once, even if several heads share it.

    Args:
        plan: the plan.
        folder: folder of trained weights, one folder in it per training key.
        environment: device and permissions of the run.
        reporter: shows progress.
        failures: why models could not be made, by name.
        builder: makes networks and puts heads on them.
        trains: whether untrained networks are trained; otherwise they keep their initial weights.
        tracebacks: tracebacks of the models that failed here, by name.
        load: returns the images of a specification.
    """

    plan: Plan
    folder: Path
    environment: Environment
    reporter: Reporter = QUIET
    failures: dict[str, str] = field(default_factory=dict)
    trains: bool = True
    tracebacks: dict[str, str] = field(default_factory=dict)
    builder: Builder = field(init=False)
    load: ImageLoader = field(init=False)
    _seen_images: dict[str, SeenImages] = field(init=False, default_factory=dict)

    def __post_init__(self) -> None:
        """Resolve the device and the builder.

        Raises:
            DeviceError: the device does not exist here.
        """
        self.environment = self.environment.resolved()
        self.builder = plugins.find("builders", "zoo")()
        self.load = ImageLoader(self.environment, self.plan.seed)

    def models(self, shape: tuple[int, int, int], classes: int) -> list[EvaluatedModel]:
        """Return every model that could be made; a model that failed in training is in `failures`.

        Args:
            shape: (C, H, W) of the evaluation images.
            classes: number of classes.

        Raises:
            RobenchError: a checkpoint, template or option is refused: nothing was evaluated yet.
        """
        networks = self._checked(shape, classes)
        models = {}
        for spec in sorted(self.plan.models, key=lambda s: s.features_of is not None):
            owner = self._owner(spec)
            if spec.name in self.failures:  # the model killed an earlier process
                continue
            if owner.name in self.failures:
                self._fail(spec.name, f"its network, {owner.name!r}, failed")
                continue
            self.reporter.model(spec.name)
            try:
                network = networks.network(owner)
                self.reporter.stage(f"preparing {spec.name}")
                models[spec.name] = self._evaluated(spec, network, classes)
            except JobError as error:
                self._fail(spec.name, str(error), error)
            except SystemExit as error:
                self._fail(spec.name, f"a call of sys.exit({error.code!r}) in its code", error)
            except Exception as error:
                if not is_out_of_memory(error):
                    raise
                self._fail(spec.name, f"its network does not fit: {reason_of(error)}. {FREE}.", error)
        self.load.forget()  # an evaluation may take long and needs no training data
        return [models[spec.name] for spec in self.plan.models if spec.name in models]

    def train(self, shape: tuple[int, int, int], classes: int) -> list[Path]:
        """Train every network that the plan trains and return their checkpoints."""
        networks = self._checked(shape, classes)
        paths = []
        for spec in self.plan.models:
            if spec.train is None:
                continue
            try:
                networks.network(spec)
            except JobError as error:
                self._fail(spec.name, str(error), error)
                continue
            paths.append(networks.weights(spec))
        return paths

    def untrained(self, shape: tuple[int, int, int], classes: int) -> list[str]:
        """Return the names of the models whose trained weights are not in the folder."""
        return self._networks(shape, classes).untrained()

    def _networks(self, shape: tuple[int, int, int], classes: int) -> Networks:
        return Networks(
            plan=self.plan,
            folder=self.folder,
            environment=self.environment,
            reporter=self.reporter,
            builder=self.builder,
            load=self.load,
            shape=shape,
            classes=classes,
            trains=self.trains,
        )

    def _checked(self, shape: tuple[int, int, int], classes: int) -> Networks:
        """Refuse invalid models before hours of training."""
        networks = self._networks(shape, classes)
        for spec in self.plan.models:  # a user's file must be read to know its defense's stage
            for choice in spec.inference:
                defense_of(choice, trust_code=self.environment.trust_code, stage="inference")
        networks.check()
        warn_of_wide_radii(self.plan.threats, shape)
        if any(threat.bounds for threat in self.plan.threats):
            check_bounded(self.plan, networks, self.failures)
        check_training_data(
            self.plan,
            classes=classes,
            load=self.load,
            training_data=self._training_data,
            trust_code=self.environment.trust_code,
        )
        return networks

    def _owner(self, spec: ModelSpec) -> ModelSpec:
        """Return the model that owns a model's network: the model itself, or another."""
        return next(s for s in self.plan.models if s.name == (spec.features_of or spec.name))

    def _training_split(self, spec: ModelSpec) -> DataSpec:
        """Return the split a template is drawn from: never the evaluation split."""
        owner = self._owner(spec)
        return owner.train.data if owner.train else DataSpec(dataset=self.plan.data.dataset, split="train")

    def _training_data(self, spec: ModelSpec) -> Callable[[], ImageSet]:
        """Return what loads the split a template is drawn from."""
        split = self._training_split(spec)
        return lambda: self.load(split)

    def _evaluated(self, spec: ModelSpec, network: Network, classes: int) -> EvaluatedModel:
        """Return a model, and a stand-in where a threat withholds its template."""
        split = NotedLoad(self._training_data(spec))
        model = self._model(spec, network, classes, "template", training_data=split)
        entry = self._identified(model, network, spec)
        if split.is_loaded or self._owner(spec).train is not None:
            entry = replace(entry, seen_images=self._seen_by(spec))
        if model.template and any(TEMPLATE not in threat.knowledge for threat in self.plan.threats):
            other = self._model(spec, network, classes, "stand-in template", training_data=split)
            return with_stand_in(entry, self._identified(other, network, spec))
        return entry

    def _seen_by(self, spec: ModelSpec) -> Callable[[], SeenImages]:
        """Return what gives the images a model learned from: read once, and only where somebody asks."""

        def seen() -> SeenImages:
            split = self._training_split(spec)
            key = content_hash(split)
            if key not in self._seen_images:
                try:
                    self._seen_images[key] = SeenImages(self.load(split))
                except InputError as error:  # stored weights need no training images
                    self._seen_images[key] = SeenImages()
                    self.reporter.finding(
                        f"{spec.name}: whether it learned from judged images is not known, for its training "
                        f"images cannot be read: {last_line(str(error))}"
                    )
                self.load.forget()
            return self._seen_images[key]

        return seen

    def _model(
        self,
        spec: ModelSpec,
        network: Network,
        classes: int,
        template: str,
        *,
        training_data: Callable[[], ImageSet],
    ) -> Model:
        """Return a network with head and defenses; `template` names the draw of its template."""
        model = self.builder.model(
            undefended(spec),
            network.module,
            classes=classes,
            training_data=training_data,
            seed=seed_from(self.plan.seed, template),
            device=self.environment.device,
        )
        return defended(
            model,
            spec,
            training_data=training_data,
            seed=self.plan.seed,
            trust_code=self.environment.trust_code,
        )

    def _identified(self, model: Model, network: Network, spec: ModelSpec) -> EvaluatedModel:
        model = replace(model, details={**model.details, **network.facts})
        fingerprint = model.fingerprint()
        # Remarks are added after the fingerprint: a new card or wording must not change the model's identity.
        in_front = defenses_in_front(model, spec, trust_code=self.environment.trust_code)
        contents = {"network_sha256": model.contents(without=ORIGIN)}
        model = replace(model, details={**model.details, **network.remarks, **in_front, **contents})
        return EvaluatedModel(model=model, fingerprint=fingerprint, sources=spec.sources or ())

    def _fail(self, name: str, text: str, error: BaseException | None = None) -> None:
        self.failures[name] = text
        if error is not None and (error.__cause__ or not isinstance(error, RobenchError)):
            self.tracebacks[name] = traceback_of(error)
        self.reporter.failed(f"{name}: {last_line(text)}")
