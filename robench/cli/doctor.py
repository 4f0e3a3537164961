"""`robench doctor`: versions, devices, disk, and what is wrong with the installation."""

from __future__ import annotations

import platform
import shutil
from pathlib import Path

import typer

from robench.cli.console import printable

PACKAGES = ("robench", "torch", "torchvision", "numpy", "scipy", "pandas", "safetensors")
LIBRARIES = {
    "adversarial-robustness-toolbox": "pip install adversarial-robustness-toolbox",
    # Its metadata pins a `requests` with known vulnerabilities that it never imports.
    "torchattacks": "pip install --no-deps torchattacks",
    "faiss-gpu": "pip install faiss-gpu",
}
LITTLE_DISK_BYTES = 2 * 10**9
GATE_FAILED = 1


def doctor() -> None:
    """Say what is installed, which devices there are, and what to repair."""
    wrong = [*_versions(), *_plugins(), *_devices(), *_disk()]
    for problem in wrong:
        typer.echo(printable(f"! {problem}"))
    typer.echo("All is well." if not wrong else f"{len(wrong)} to look at.")
    if wrong:
        raise typer.Exit(GATE_FAILED)


def _versions() -> list[str]:
    from importlib.metadata import PackageNotFoundError, version

    wrong = []
    typer.echo(f"python {platform.python_version()} on {platform.system()} {platform.machine()}")
    for package in (*PACKAGES, *LIBRARIES):
        try:
            typer.echo(f"{package} {version(package)}")
        except PackageNotFoundError:
            typer.echo(f"{package} absent")
            remedy = LIBRARIES.get(package, f"pip install {package}")
            wrong.append(f"{package} is absent: what needs it cannot run. Remedy: {remedy}")
    return wrong


def _plugins() -> list[str]:
    from robench import plugins
    from robench.errors import RobenchError

    wrong = []
    try:
        plugins.check_shadows()
    except RobenchError as error:
        wrong.append(str(error))
    for kind in plugins.KINDS:
        for name in plugins.names(kind):
            try:
                plugins.find(kind, name)
            except RobenchError as error:
                wrong.append(str(error))
    wrong += [
        f"the attacks of {name!r} do not load: {why}" for name, why in plugins.broken_catalogues().items()
    ]
    typer.echo(f"plugins: {', '.join(f'{len(plugins.names(k))} {k}' for k in plugins.KINDS)}")
    return wrong


def _devices() -> list[str]:
    try:
        import torch
    except ImportError as error:
        return [f"torch cannot be imported: {error}"]
    typer.echo(f"cpu: {torch.get_num_threads()} threads")
    for index in range(torch.cuda.device_count()):
        typer.echo(f"cuda:{index}: {torch.cuda.get_device_name(index)}")
    if not torch.cuda.is_available():
        typer.echo("cuda: none")
    return []


def _disk() -> list[str]:
    free = shutil.disk_usage(Path.cwd()).free
    typer.echo(f"disk: {free / 1e9:.1f} GB free here")
    return [f"only {free / 1e9:.1f} GB of disk left here"] if free < LITTLE_DISK_BYTES else []
