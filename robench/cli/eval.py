"""`robench eval MODEL`: evaluate one model by one line; the run folder keeps the configuration it means."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Annotated, Any

import typer

from robench.cli.eval_folder import free_folder
from robench.cli.options import Options, check_device, taking
from robench.cli.run_and_report import evaluate
from robench.errors import ConfigError
from robench.plan.data_root import check_checkpoints
from robench.run.models.torchrun import refuse_several

if TYPE_CHECKING:
    from robench.plan.spec import Plan


@taking(
    "out", "overrides", "limit", "seed", "device", "data_root", "download", "batch_size", "threads",
    "trust_code", "dry_run", "force", "strict", "quiet", "format", "engine", "workers", "timeout_per_job",
    "memory_per_job", "retry_failed", "executor", "address", "shard", "deterministic", "log",
)  # fmt: skip
def evaluate_one(
    model: Annotated[
        str,
        typer.Argument(
            metavar="MODEL",
            help="file.py:function, an architecture of ours (`robench list models`), or torchvision:NAME, "
            "timm:NAME, robustbench:NAME, hf:ORG/NAME.",
        ),
    ],
    data: Annotated[
        str, typer.Option("--data", help="A data set's name, an .npz file, or a folder of class folders.")
    ],
    eps: Annotated[
        str, typer.Option("--eps", help="Radius such as 8/255, several with commas, or inf for the smallest.")
    ],
    norm: Annotated[str, typer.Option("--norm", help="Linf, L2, L1 or L0.")] = "Linf",
    attacks: Annotated[
        str,
        typer.Option(
            "--attacks",
            help="quick, standard, full, or attacks with commas between; also file.py:NAME, or a YAML list.",
        ),
    ] = "standard",
    bounds: Annotated[
        str | None,
        typer.Option(
            "--bounds",
            help="Certify too: ibp, crown, alpha_crown or branch_and_bound, with commas; or a YAML list.",
        ),
    ] = None,
    checkpoint: Annotated[
        str | None, typer.Option("--checkpoint", help="Weights: safetensors or a PyTorch state_dict.")
    ] = None,
    random_weights: Annotated[
        bool,
        typer.Option("--random-weights", help="Take the network as it is drawn by --seed: a trial run."),
    ] = False,
    key: Annotated[
        str | None, typer.Option("--key", help="Part of the checkpoint, such as state_dict or ema.module.")
    ] = None,
    name: Annotated[str | None, typer.Option("--name", help="Name of the model's row.")] = None,
    output: Annotated[
        str, typer.Option("--output", help="What it returns: logits, log_probabilities or simplex.")
    ] = "logits",
    mean: Annotated[
        str | None,
        typer.Option("--mean", help="Mean of each channel, to subtract inside the model: 0.49,0.48,0.45."),
    ] = None,
    std: Annotated[
        str | None,
        typer.Option("--std", help="Deviation of each channel, to divide by: 0.25,0.24,0.26."),
    ] = None,
    targeted: Annotated[
        bool, typer.Option("--targeted", help="Aim at the class after the true one.")
    ] = False,
    *,
    options: Options,
) -> None:
    """Evaluate one model and print its row; the run folder keeps the configuration, to go on from.

    Files of code that are named here may run: naming them is the permission, and --trust-code adds nothing.
    Nothing is downloaded without --download.
    """
    from robench.plan.norm_names import proper_norm
    from robench.plan.single_model import SingleModel

    refuse_several("robench eval", "Start it without torchrun")
    check_device(options.device)
    request = SingleModel(
        model=model,
        data=data,
        norm=proper_norm(norm),
        eps=eps,
        attacks=attacks,
        bounds=bounds,
        checkpoint=checkpoint,
        key=key,
        name=name,
        output=output,
        mean=mean,
        std=std,
        targeted=targeted,
        limit=options.limit,
        seed=options.seed,
        batch_size=options.batch_size,
    )
    options = replace(options, trust_code=True, limit=None, seed=None, batch_size=None)
    configuration = _overridden(request.configuration(), options)
    plan, _ = _read(configuration)
    if random_weights and checkpoint is not None:
        raise ConfigError(where="--random-weights", expected="no weights", got=f"--checkpoint {checkpoint}")
    if not random_weights and (complete := _weights(configuration, options)) is not None:
        configuration = complete
    plan, text = _read(configuration)
    check_checkpoints(plan, options.data_root)
    options = replace(options, overrides=None, out=free_folder(plan, text, options))
    evaluate(plan, text, options, tell_configuration=True)


def _overridden(configuration: dict[str, Any], options: Options) -> dict[str, Any]:
    """Return the configuration with the changes of --set."""
    from robench.plan.config import override
    from robench.plan.yaml_reader import Document

    document = Document(configuration, "robench eval")
    for text in options.overrides or []:
        document = override(document, text)
    data: dict[str, Any] = document.data
    return data


def _read(configuration: dict[str, Any]) -> tuple[Plan, str]:
    """Return the plan of a configuration and its text; errors have no line numbers."""
    from robench.plan.config import from_dict
    from robench.plan.yaml_writer import write_text

    return from_dict(configuration, source="robench eval"), write_text(configuration, comment=COMMENT)


COMMENT = "Written by `robench eval`; `robench run` on this file is the same plan."


def _weights(configuration: dict[str, Any], options: Options) -> dict[str, Any] | None:
    """Return the configuration with published weights if the model needs some and names none; else None.

    Raises:
        ConfigError: no weights are published, or they are not in a cache and may not be downloaded.
    """
    from robench import plugins
    from robench.intake.user_code import is_reference
    from robench.plan.spec import LIBRARIES

    model = configuration["models"][0]
    name = model["architecture"] if isinstance(model.get("architecture"), str) else ""
    if not name or is_reference(name) or {"checkpoint", "train", "features_of"} & set(model):
        return None
    if name.partition(":")[0] not in LIBRARIES or ":" not in name:
        raise ConfigError(
            where="MODEL",
            expected=f"weights for {name!r}, which has random ones",
            got="none",
            do="Add --checkpoint FILE, or --random-weights for a trial run",
        )
    from robench.model.builder import Builder

    builder: Builder = plugins.find("builders", "zoo")()
    root = options.data_root
    weights = builder.published(name, root=root, download=options.download, where="MODEL")
    additions = {key: value for key, value in weights.items() if key not in model or key == "architecture"}
    return {**configuration, "models": [{**model, **additions}, *configuration["models"][1:]]}
