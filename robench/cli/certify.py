"""`robench certify`: what cannot be broken, image by image: by smoothing with noise, or by bounds."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from robench.cli.certificate_options import SMOOTHING, limits_of, radii_of, refuse, smoothed, threats_of
from robench.cli.console import printable
from robench.cli.option_types import Config
from robench.cli.options import Options, check_order, taking
from robench.cli.pace import span
from robench.cli.session import SOME_FAILED, interruptible
from robench.errors import ConfigError
from robench.plurals import counted

if TYPE_CHECKING:
    from robench.audit.certify import Certified
    from robench.audit.certify_bounds import Bounded
    from robench.plan.spec import Choice, Plan
    from robench.run.progress import Reporter

RADII = "0,0.25,0.5,0.75,1"
N0, N, ALPHA = 100, 100_000, 0.001
"""Noisy copies and risk of Cohen et al. 2019, section 4 (arXiv:1902.02918)."""
BY_BOUNDS, BY_SMOOTHING = "Certified by bounds", "Certified by smoothing"
CERTIFIED = "images that no attack can break, certified"


@taking(
    "out", "overrides", "limit", "seed", "device", "data_root", "download", "batch_size", "threads",
    "trust_code", "quiet",
)  # fmt: skip
def certify(
    config: Config,
    model: Annotated[str, typer.Argument(metavar="MODEL", help="A model of the configuration.")],
    method: Annotated[
        list[str] | None,
        typer.Option(
            "--method",
            help="ibp, crown, alpha_crown, branch_and_bound or smoothing; repeatable. By default smoothing "
            "where MODEL has it, else the bounds of CONFIG, else crown.",
        ),
    ] = None,
    norm: Annotated[
        Literal["Linf", "L2", "L1"] | None,
        typer.Option("--norm", help="Norm of --eps. [Linf]", rich_help_panel=BY_BOUNDS),
    ] = None,
    eps: Annotated[
        str | None,
        typer.Option(
            "--eps",
            help="Radius such as 2/255, several with commas; by default those of CONFIG.",
            rich_help_panel=BY_BOUNDS,
        ),
    ] = None,
    seconds: Annotated[
        float | None,
        typer.Option(
            "--seconds", help="branch_and_bound: most seconds for an image.", rich_help_panel=BY_BOUNDS
        ),
    ] = None,
    domains: Annotated[
        int | None,
        typer.Option(
            "--domains", min=1, help="branch_and_bound: most nodes for an image.", rich_help_panel=BY_BOUNDS
        ),
    ] = None,
    n0: Annotated[
        int | None,
        typer.Option(
            "--n0", min=1, help=f"Noisy copies to guess the class from. [{N0}]", rich_help_panel=BY_SMOOTHING
        ),
    ] = None,
    n: Annotated[
        int | None,
        typer.Option(
            "--n", min=1, help=f"Noisy copies to bound its probability. [{N}]", rich_help_panel=BY_SMOOTHING
        ),
    ] = None,
    alpha: Annotated[
        float | None,
        typer.Option(
            "--alpha", help=f"Risk that a certificate is wrong. [{ALPHA:g}]", rich_help_panel=BY_SMOOTHING
        ),
    ] = None,
    radii: Annotated[
        str | None,
        typer.Option(
            "--radii",
            help=f"L2 radii to report, with commas between. [{RADII}]",
            rich_help_panel=BY_SMOOTHING,
        ),
    ] = None,
    *,
    options: Options,
) -> None:
    """Certify the images of a configuration on one model: how many no attack can break; nothing is attacked.

    A model with `inference: smoothing` is certified by smoothing: in L2, by as many noisy copies as Cohen et
    al. 2019 took, with a risk alpha of each certificate. Any other model is certified by bounds: without a
    risk, under the threats of the configuration or --eps.
    """
    for_bounds = {"--norm": norm, "--eps": eps, "--seconds": seconds, "--domains": domains}
    for_smoothing = {"--n0": n0, "--n": n, "--alpha": alpha, "--radii": radii}
    check_order("certify", config, model)
    plan, _ = options.plan(config)
    if smoothed(plan, model, method):
        refuse(for_bounds, "a model or a --method of bounds", "smoothing")
        _by_smoothing(
            plan,
            model,
            options,
            n0=N0 if n0 is None else n0,
            n=N if n is None else n,
            alpha=ALPHA if alpha is None else alpha,
            radii=radii_of(RADII if radii is None else radii),
        )
        return
    refuse(for_smoothing, "a model with `inference: smoothing`", "bounds")
    _by_bounds(plan, model, options, methods=limits_of(method, seconds, domains), radii=threats_of(norm, eps))


def _by_bounds(
    plan: Plan,
    model: str,
    options: Options,
    *,
    methods: list[Choice],
    radii: list[tuple[str, float, str]],
) -> None:
    folder = options.folder(plan)

    def work(reporter: Reporter) -> Bounded:
        from robench.audit.certify_bounds import Radius, bounded_plan, certify_by_bounds

        smaller = bounded_plan(plan, model, methods, [Radius(*one) for one in radii])
        return certify_by_bounds(smaller, model, folder, environment=options.environment, reporter=reporter)

    result = interruptible(work, folder, quiet=options.quiet, threads=options.threads)
    from robench.audit.certify_bounds import certified_counts

    typer.echo(printable(f"{model}: {CERTIFIED} by bounds, without a risk"))
    for (threat, label), (count, n) in certified_counts(result.records).items():
        typer.echo(printable(_line(threat, label, count, n)))
    _tell_files(result.seconds, result.path, quiet=options.quiet)
    if result.failed:
        typer.echo(
            f"{counted(result.failed, 'job')} failed: see {printable(str(folder / 'errors'))}", err=True
        )
        raise typer.Exit(SOME_FAILED)


def _by_smoothing(
    plan: Plan, model: str, options: Options, *, n0: int, n: int, alpha: float, radii: list[float]
) -> None:
    if not 0 < alpha < 1:
        raise ConfigError(where="--alpha", expected="a number between 0 and 1", got=f"{alpha:g}")
    folder = options.folder(plan)

    def work(reporter: Reporter) -> tuple[list[Certified], Path, float]:
        from robench.audit.certify import certify_plan

        return certify_plan(
            plan, model, folder, n0=n0, n=n, alpha=alpha, environment=options.environment, reporter=reporter
        )

    images, path, seconds = interruptible(work, folder, quiet=options.quiet, threads=options.threads)
    title = (
        f"{model}: {CERTIFIED} by smoothing, with risk {alpha:g} each, {counted(n, 'noisy copy', digits=',')}"
    )
    for line in _table(images, radii, title):
        typer.echo(printable(line))
    _tell_files(seconds, path, quiet=options.quiet)


def _tell_files(seconds: float, path: Path, *, quiet: bool) -> None:
    """Print the time and the path of the file; nothing if only the result is wanted."""
    if not quiet:
        typer.echo(f"Time: {span(seconds)}.")
        typer.echo(f"Files: {printable(str(path))}")


def _line(threat: str, method: str, count: int, n: int) -> str:
    """Return the share of images count under a threat in one way, with its Wilson interval."""
    from robench.record.measures.statistics import wilson

    low, high = wilson(count, n)
    share = f"{count / max(n, 1):7.2%}  [{low:.2%}, {high:.2%}]  {count} of {n}"
    return f"  {threat:<12} {method:<18} {share}"


def _table(images: list[Certified], radii: list[float], title: str) -> list[str]:
    """Return the share certified at each radius, with its Wilson interval, and the abstentions."""
    from robench.audit.certify import certified_at

    lines = [title]
    for radius in radii:
        lines.append(_line(f"L2 {radius:g}", SMOOTHING, certified_at(images, radius), len(images)))
    abstentions = sum(image.certificate.prediction < 0 for image in images)
    return [*lines, f"  abstained on {abstentions} of {len(images)}"]
