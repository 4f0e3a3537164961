"""`robench certify`: what cannot be broken, image by image: by smoothing with noise, or by bounds."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from robench.cli.argument_order import check_order
from robench.cli.console import printable
from robench.cli.option_types import Config
from robench.cli.options import Options, taking
from robench.cli.pace import span
from robench.cli.session import SOME_FAILED, interruptible
from robench.errors import ConfigError, nearest
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
SMOOTHING = "smoothing"
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
            "--eps", help="Radius such as 2/255; by default those of CONFIG.", rich_help_panel=BY_BOUNDS
        ),
    ] = None,
    seconds: Annotated[
        float | None,
        typer.Option(
            "--seconds", help="branch_and_bound: most of them for an image.", rich_help_panel=BY_BOUNDS
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
    if _smoothed(plan, model, method):
        _refuse(for_bounds, "a model or a --method of bounds", "smoothing")
        _by_smoothing(
            plan,
            model,
            options,
            n0=N0 if n0 is None else n0,
            n=N if n is None else n,
            alpha=ALPHA if alpha is None else alpha,
            radii=_radii(RADII if radii is None else radii),
        )
        return
    _refuse(for_smoothing, "a model with `inference: smoothing`", "bounds")
    _by_bounds(plan, model, options, methods=_methods(method, seconds, domains), radius=_radius(norm, eps))


def _smoothed(plan: Plan, name: str, method: list[str] | None) -> bool:
    """Tell whether a model is certified by smoothing.

    Raises:
        ConfigError: there is no such model, or the method cannot be used with it.
    """
    from robench.plan.bounds import METHODS

    specs = {spec.name: spec for spec in plan.models}
    if strangers := [one for one in method or () if one not in (*METHODS, SMOOTHING)]:
        expected, do = (
            f"one of {', '.join(METHODS)}, {SMOOTHING}",
            nearest(strangers[0], (*METHODS, SMOOTHING)),
        )
        raise ConfigError(where="--method", expected=expected, got=repr(strangers[0]), do=do)
    if name not in specs:
        expected = "the name of a model of the configuration"
        raise ConfigError(where="MODEL", expected=expected, got=repr(name), do=nearest(name, specs))
    has_defense = bool(specs[name].inference)
    choices = set(method or [SMOOTHING] if has_defense else method or [])
    if not has_defense and SMOOTHING in choices:
        expected = "a model with `inference: smoothing`, listed first"
        do = "Bounds do without: leave --method out"
        raise ConfigError(where="--method", expected=expected, got=f"{name!r}, which has none", do=do)
    if has_defense and choices != {SMOOTHING}:
        got = f"{name!r}, which has inference defenses"
        raise ConfigError(
            where="--method",
            expected="a model that is bounded as it is",
            got=got,
            do="Use --method smoothing",
        )
    return has_defense


def _refuse(options: Mapping[str, object], expected: str, got: str) -> None:
    for name, value in options.items():
        if value is not None:
            raise ConfigError(where=name, expected=expected, got=got)


def _methods(names: list[str] | None, seconds: float | None, domains: int | None) -> list[Choice]:
    """Return the ways to bound that were asked for, with their limits.

    Raises:
        ConfigError: a limit without a search, or one that means nothing.
    """
    from robench.plan.bounds import method_of
    from robench.plan.spec import Choice

    limits: dict[str, float | int | None] = {}
    if seconds is not None or domains is not None:
        limits = {"seconds": seconds, "domains": domains}
        if "branch_and_bound" not in (names or ()):
            option = "--seconds" if seconds is not None else "--domains"
            got = ", ".join(names or ()) or "none"
            raise ConfigError(where=option, expected="--method branch_and_bound", got=got)
    choices = [
        Choice(name=name, options=dict(limits) if name == "branch_and_bound" else {})
        for name in dict.fromkeys(names or ())
    ]
    for choice in choices:
        method_of(choice.name, choice.options, where="--method")
    return choices


def _radius(norm: str | None, eps: str | None) -> tuple[str, float, str] | None:
    """Return norm and radius of the options, None where there are none.

    Raises:
        ConfigError: a norm without a radius, or no radius.
    """
    if eps is None:
        if norm is not None:
            raise ConfigError(where="--norm", expected="--eps beside --norm", got="none")
        return None
    from robench.plan.radius import read_radius

    try:
        value, text = read_radius(eps)
        if value == math.inf:
            raise ValueError
    except ValueError:
        expected = "a finite radius of at least 0, such as 2/255"
        raise ConfigError(where="--eps", expected=expected, got=repr(eps)) from None
    if norm in {None, "Linf"} and value > 1:
        do = f"Pixels live in [0, 1]: write {value:g}/255"
        raise ConfigError(where="--eps", expected="an Linf radius of at most 1", got=text, do=do)
    return norm or "Linf", value, text


def _by_bounds(
    plan: Plan,
    model: str,
    options: Options,
    *,
    methods: list[Choice],
    radius: tuple[str, float, str] | None,
) -> None:
    folder = options.folder(plan)

    def work(reporter: Reporter) -> Bounded:
        from robench.audit.certify_bounds import Radius, bounded_plan, certify_by_bounds

        smaller = bounded_plan(plan, model, methods, Radius(*radius) if radius else None)
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
    """Print how long it took and where the file lies; nothing where only the result is wanted."""
    if not quiet:
        typer.echo(f"Time: {span(seconds)}.")
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


def _line(threat: str, method: str, count: int, n: int) -> str:
    """Return the share of images count under a threat in one way, with its Wilson interval."""
    from robench.record.statistics import wilson

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
