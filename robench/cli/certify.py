"""`robench certify`: the L2 radius within which a smoothed model's answer cannot change, image by image."""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from robench.cli.argument_order import check_order
from robench.cli.console import printable
from robench.cli.options import Config, Options, taking
from robench.cli.session import interruptible
from robench.errors import ConfigError

if TYPE_CHECKING:
    from robench.audit.certify import Certified
    from robench.run.progress import Reporter

RADII = "0,0.25,0.5,0.75,1"


@taking(
    "out", "overrides", "limit", "seed", "device", "data_root", "download", "batch_size", "threads",
    "trust_code", "quiet",
)  # fmt: skip
def certify(
    config: Config,
    model: Annotated[str, typer.Argument(metavar="MODEL", help="A model with `inference: smoothing`.")],
    n0: Annotated[int, typer.Option("--n0", min=1, help="Noisy copies to guess the class from.")] = 100,
    n: Annotated[int, typer.Option("--n", min=1, help="Noisy copies to bound its probability.")] = 1000,
    alpha: Annotated[float, typer.Option("--alpha", help="Risk that a certificate is wrong.")] = 0.001,
    radii: Annotated[str, typer.Option("--radii", help="L2 radii to report, with commas between.")] = RADII,
    *,
    options: Options,
) -> None:
    """Certify the images of a configuration on one smoothed model; nothing is attacked."""
    wanted = _radii(radii)
    if not 0 < alpha < 1:
        raise ConfigError(where="--alpha", expected="a number between 0 and 1", got=f"{alpha:g}")
    check_order("certify", config, model)
    plan, _ = options.plan(config)
    folder = options.folder(plan)

    def work(reporter: Reporter) -> tuple[list[Certified], Path, float]:
        from robench.audit.certify import certify_plan

        return certify_plan(
            plan, model, folder, n0=n0, n=n, alpha=alpha, environment=options.environment, reporter=reporter
        )

    images, path, seconds = interruptible(work, folder, quiet=options.quiet, threads=options.threads)
    for line in _table(images, wanted, f"{model}: certified accuracy, alpha {alpha:g}, {n} noisy copies"):
        typer.echo(printable(line))
    typer.echo(f"Time: {seconds:.1f} s.")
    typer.echo(f"Files: {printable(str(path))}")


def _radii(text: str) -> list[float]:
    """Return the radii of an option such as `0,0.25`."""
    try:
        radii = [float(part) for part in text.split(",")]
        if not all(0 <= radius < math.inf for radius in radii):
            raise ValueError
    except ValueError:
        expected = "numbers of at least 0 with commas between, such as 0,0.25"
        raise ConfigError(where="--radii", expected=expected, got=repr(text)) from None
    return radii


def _table(images: list[Certified], radii: list[float], title: str) -> list[str]:
    """Return the share certified at each radius, with its Wilson interval, and the abstentions."""
    from robench.audit.certify import certified_at
    from robench.record.statistics import wilson

    lines = [title]
    for radius in radii:
        right = certified_at(images, radius)
        low, high = wilson(right, len(images))
        share = f"{right / len(images):7.2%}  [{low:.2%}, {high:.2%}]  {right} of {len(images)}"
        lines.append(f"  L2 {radius:<6g} {share}")
    abstained = sum(image.certificate.prediction < 0 for image in images)
    return [*lines, f"  abstained on {abstained} of {len(images)}"]
