"""Published weights of networks by name: from the caches of their libraries, fetched only if allowed.

The result is a configuration: architecture, checkpoint, normalisation. No torch at import.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any, TypeVar

from model_zoo.installed_library import library
from robench.errors import ConfigError, InputError, nearest
from robench.intake.limits import CONFIGURATION
from robench.intake.regular_file import read_regular
from robench.model.builder import NormalizeEntry, PublishedEntry, Statistics

T = TypeVar("T")

WEIGHT_FILES = ("model.safetensors", "pytorch_model.bin")
"""Files of a Hugging Face repository from which weights are read, the best first."""


def published(name: str, *, root: Path | None, download: bool, where: str) -> PublishedEntry:
    """Return the configuration of a network with its published weights.

    Args:
        name: `torchvision:NAME`, `timm:NAME`, `robustbench:DATASET/THREAT/NAME` or `hf:ORG/NAME`.
        root: folder of data sets and checkpoints, None for none.
        download: whether the network may be used.
        where: for messages.

    Raises:
        ConfigError: unknown name, a package that is not installed, or weights that are not on this machine;
            the message says how to get them.
    """
    prefix, _, rest = name.partition(":")
    source: Callable[..., PublishedEntry] = {
        "torchvision": _torchvision,
        "timm": _timm,
        "robustbench": _robustbench,
        "hf": _hugging_face,
    }[prefix]
    return source(rest, root=root, download=download, where=where)


def _missing(name: str, where: str, place: str, *, do: str) -> ConfigError:
    return ConfigError(
        where=where, expected=f"the published weights of {name}", got=f"none in {place}", do=do
    )


ALLOW = "Add --download to fetch them once, or name a file with --checkpoint"


def _torchvision(name: str, *, root: Path | None, download: bool, where: str) -> PublishedEntry:
    import torch
    import torchvision.models

    del root
    choices = torchvision.models.list_models(module=torchvision.models)
    if name not in choices:
        expected = "the name of a torchvision classifier"
        raise ConfigError(where=where, expected=expected, got=repr(name), do=nearest(name, choices))
    weights = torchvision.models.get_model_weights(name).DEFAULT
    folder = Path(torch.hub.get_dir()) / "checkpoints"
    file = folder / weights.url.rpartition("/")[2]
    if not file.is_file():
        if not download:
            raise _missing(
                f"torchvision:{name}",
                where,
                str(folder),
                do=f"{ALLOW}, or take --random-weights for a trial run",
            )
        folder.mkdir(parents=True, exist_ok=True)
        digits = file.stem.rpartition("-")[2]
        _fetched(lambda: torch.hub.download_url_to_file(weights.url, str(file), digits, progress=False), name)
    preset = weights.transforms()
    return {
        "architecture": f"torchvision:{name}",
        "checkpoint": str(file),
        "normalize": {"mean": list(preset.mean), "std": list(preset.std)},
    }


def _timm(name: str, *, root: Path | None, download: bool, where: str) -> PublishedEntry:
    timm = library("timm", f"timm:{name}", where)
    plain = name.partition(".")[0]
    if plain not in (choices := timm.list_models()):
        expected = "the name of a timm classifier"
        raise ConfigError(where=where, expected=expected, got=repr(name), do=nearest(plain, choices))
    facts = timm.models.get_pretrained_cfg(name)
    if facts is None or not facts.hf_hub_id:
        do = "Name a file with --checkpoint"
        raise ConfigError(where=where, expected=f"published weights of timm:{name}", got="none", do=do)
    entry = _hugging_face(facts.hf_hub_id, root=root, download=download, where=where)
    normalize: Statistics = {"mean": list(facts.mean), "std": list(facts.std)}
    return {**entry, "architecture": f"timm:{plain}", "normalize": normalize}


def _robustbench(name: str, *, root: Path | None, download: bool, where: str) -> PublishedEntry:
    from model_zoo.robustbench import PREFIX
    from model_zoo.robustbench import published as known

    del download
    known(name, where=where)
    folders = [Path("models"), *([root / "models"] if root else [])]
    for folder in folders:
        if (file := folder / f"{name}.pt").is_file():
            return {"architecture": f"{PREFIX}{name}", "checkpoint": str(file.resolve())}
    place = " or ".join(str(folder / f"{name}.pt") for folder in folders)
    do = "RobustBench's own `load_model` puts them there; or name the file with --checkpoint"
    raise _missing(f"{PREFIX}{name}", where, place, do=do)


def _hugging_face(name: str, *, root: Path | None, download: bool, where: str) -> PublishedEntry:
    del root
    repository = name.removeprefix("hf-hub:")
    if repository.count("/") != 1 or not all(_plain(part) for part in repository.split("/")):
        raise ConfigError(where=where, expected="hf:ORG/NAME", got=repr(f"hf:{name}"))
    config = _cached(repository, "config.json")
    file = next((path for weights in WEIGHT_FILES if (path := _cached(repository, weights))), None)
    if config is None or file is None:
        if not download:
            place = str(cache_folder() / f"models--{repository.replace('/', '--')}")
            raise _missing(f"hf:{repository}", where, place, do=ALLOW)
        config, file = _downloaded(repository, where)
    facts = read_facts(config)
    if "architecture" in facts:  # written by timm
        statistics = facts.get("pretrained_cfg", facts)
        return {
            "architecture": f"timm:{facts['architecture']}",
            "checkpoint": str(file),
            **_normalize(statistics.get("mean"), statistics.get("std")),
        }
    kinds = [str(kind) for kind in facts.get("architectures") or []]
    if not any(kind.endswith("ForImageClassification") for kind in kinds):
        got = ", ".join(kinds) or "neither `architecture` (timm) nor `architectures` (transformers)"
        raise ConfigError(where=where, expected=f"an image classifier in {config}", got=got)
    preprocessor = _cached(repository, "preprocessor_config.json")
    preparation = read_facts(preprocessor) if preprocessor else {}
    normalize = NormalizeEntry()
    if preparation.get("do_normalize", True):
        normalize = _normalize(preparation.get("image_mean"), preparation.get("image_std"))
    return {"architecture": f"hf:{repository}", "checkpoint": str(file), **normalize}


def read_facts(path: Path) -> dict[str, Any]:
    """Return the mapping in a JSON file of a repository.

    Raises:
        InputError: the file does not contain a mapping.
    """
    text = read_regular(path, CONFIGURATION, error=InputError, expected="a readable JSON file")
    try:
        facts = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise InputError(where=str(path), expected="JSON", got=str(error)) from None
    if not isinstance(facts, dict):
        raise InputError(where=str(path), expected="a mapping", got=type(facts).__name__)
    return facts


def cache_folder() -> Path:
    """Return the folder in which huggingface_hub keeps fetched files."""
    if folder := os.environ.get("HF_HUB_CACHE"):
        return Path(folder)
    home = os.environ.get("HF_HOME") or Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache") / "huggingface"
    return Path(home).expanduser() / "hub"


def cached_config(repository: str, *, where: str) -> Path:
    """Return the configuration of a repository in the cache.

    Raises:
        ConfigError: it is not there.
    """
    config = _cached(repository, "config.json")
    if config is None:
        raise _missing(
            f"hf:{repository}", where, str(cache_folder()), do="`robench eval --download` fetches them"
        )
    return config


def _cached(repository: str, name: str) -> Path | None:
    """Return a file of a repository's newest revision in the cache."""
    folder = cache_folder() / f"models--{repository.replace('/', '--')}"
    try:
        revision = (folder / "refs" / "main").read_text("utf-8").strip()
    except OSError:
        return None
    file = folder / "snapshots" / revision / name
    return file if _plain(revision) and file.is_file() else None


def _downloaded(repository: str, where: str) -> tuple[Path, Path]:
    """Return configuration and weights of a repository, fetched by huggingface_hub."""
    try:
        hub: Any = import_module("huggingface_hub")
    except ImportError as error:
        do = "Run: pip install huggingface_hub"
        expected = f"the package huggingface_hub to fetch hf:{repository}"
        raise ConfigError(where=where, expected=expected, got=str(error), do=do) from None

    def fetch() -> tuple[Path, Path]:
        there = hub.list_repo_files(repository)
        weights = next((name for name in WEIGHT_FILES if name in there), None)
        if weights is None or "config.json" not in there:
            expected = f"config.json and one of {', '.join(WEIGHT_FILES)} in hf:{repository}"
            raise ConfigError(where=where, expected=expected, got=", ".join(there[:8]) or "nothing")
        if "preprocessor_config.json" in there:
            hub.hf_hub_download(repository, "preprocessor_config.json")
        config, file = (hub.hf_hub_download(repository, name) for name in ("config.json", weights))
        return Path(config), Path(file)

    return _fetched(fetch, f"hf:{repository}")


def _fetched(fetch: Callable[[], T], name: str) -> T:
    """Return the result of a download.

    Raises:
        InputError: the download failed, or the server refused it.
    """
    from robench.errors import RobenchError

    try:
        return fetch()
    except RobenchError:
        raise
    except Exception as error:
        # The boundary to other people's servers and clients.
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        got = f"{type(error).__name__}: {reason}"
        raise InputError(expected=f"to fetch the weights of {name}", got=got) from error


def _normalize(mean: Any, std: Any) -> NormalizeEntry:
    if not mean or not std:
        return {}
    return {"normalize": {"mean": [float(v) for v in mean], "std": [float(v) for v in std]}}


def _plain(part: str) -> bool:
    return bool(part) and part not in {".", ".."} and all(sign.isalnum() or sign in "-_." for sign in part)
