"""The configuration of one model from the few arguments of `robench eval`. No torch here."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from robench import plugins
from robench.errors import ConfigError, nearest
from robench.intake.user_code import is_reference, parts_of
from robench.plan.presets import PRESETS, attacks_of
from robench.plan.spec import LIBRARIES
from robench.plan.yaml_reader import read_value


@dataclass(frozen=True, slots=True, kw_only=True)
class SingleModel:
    """One model, its images, threat and attacks, as given on one command line.

    Attributes:
        model: `file.py:function`, the name of an architecture, or `torchvision:`, `timm:`, `robustbench:` or
            `hf:` and a name.
        data: a data set's name, an `.npz` file, or a folder with a folder for each class.
        norm: such as `Linf`.
        eps: radius as text, such as `8/255`; several with commas between; `inf` for the smallest
            perturbation.
        attacks: presets and attacks with commas between, or a list in YAML.
        bounds: bounding methods with commas between, or a list in YAML; none by default.
        checkpoint: file with weights.
        key: the part of the file with the weights.
        name: of the model's row; made from the model and its checkpoint by default.
        output: `logits`, `log_probabilities` or `simplex`.
        mean: of the images' channels, with commas between; subtracted inside the model.
        std: their standard deviations; the model divides by them.
        targeted: aim at the class after the true one.
        limit: images to evaluate; by default the preset's number.
        seed: seed of all random numbers.
        batch_size: most images per pass.
    """

    model: str
    data: str
    norm: str
    eps: str
    attacks: str
    bounds: str | None = None
    checkpoint: str | None = None
    key: str | None = None
    name: str | None = None
    output: str = "logits"
    mean: str | None = None
    std: str | None = None
    targeted: bool = False
    limit: int | None = None
    seed: int | None = None
    batch_size: int | None = None

    def configuration(self) -> dict[str, Any]:
        """Return the equivalent configuration; paths are absolute, so that it is valid in any folder.

        Raises:
            ConfigError: a model, norm, data set or attack that does not exist; the nearest are named.
        """
        from robench.plan.norm_names import NORMS

        if self.norm not in NORMS:
            do = nearest(self.norm, NORMS)
            raise ConfigError(where="--norm", expected="the name of a norm", got=repr(self.norm), do=do)
        model = self._model()
        name = self.name or plain_name(self.model, self.checkpoint)
        radii = [part.strip() for part in self.eps.split(",")]
        if len(radii) > 1 and "0" in radii:  # some languages write 0.1 as 0,1
            is_number = len(radii) == 2 and radii[0] == "0" and radii[1].isdigit()
            do = f"A comma parts radii; write {'.'.join(radii)} for one number" if is_number else ""
            raise ConfigError(where="--eps", expected="radii above 0", got=repr(self.eps), do=do)
        attacks, limit = self._attacks(smallest=radii == ["inf"])
        dataset = data_entry(self.data)
        count: dict[str, Any] = {"limit": self.limit} if self.limit else {"at_most": limit} if limit else {}
        if count and dataset["name"] == "image_folder":  # sorted by class: its first images are of a few
            count["subset"] = "random"
        threat = {
            "norm": self.norm,
            "eps": _radius(radii[0]) if len(radii) == 1 else list(map(_radius, radii)),
            **({"goal": "targeted"} if self.targeted else {}),
            "attacks": attacks,
            **({"bounds": _entries("--bounds", self.bounds)} if self.bounds is not None else {}),
        }
        size = radii[0].replace("/", "-") if len(radii) == 1 else "several"
        return {
            "schema": 1,
            "name": _plain(f"{name}-{data_name(self.data)}-{self.norm}-{size}"),
            **({"seed": self.seed} if self.seed is not None else {}),
            **({"batch_size": self.batch_size} if self.batch_size is not None else {}),
            "dataset": {**dataset, **count},
            "models": [{"name": name, **model}],
            "threats": [threat],
        }

    def _model(self) -> dict[str, Any]:
        entry: dict[str, Any] = {"architecture": architecture(self.model)}
        if self.checkpoint is not None:
            entry["checkpoint"] = _file("--checkpoint", self.checkpoint)
        if self.key is not None:
            entry["key"] = self.key
        if self.output != "logits":
            entry["output"] = self.output
        if (self.mean is None) != (self.std is None):
            lacking = "--std" if self.std is None else "--mean"
            raise ConfigError(where=lacking, expected="--mean and --std together", got="one of them")
        if self.mean is not None and self.std is not None:
            entry["normalize"] = {"mean": _numbers("--mean", self.mean), "std": _numbers("--std", self.std)}
        return entry

    def _attacks(self, *, smallest: bool) -> tuple[list[Any], int | None]:
        """Return the attacks, and the number of images if only presets are named."""
        words = _entries("--attacks", self.attacks)
        entries: list[Any] = []
        limits: list[int | None] = []
        for word in words:
            if isinstance(word, str) and word in PRESETS:
                entries += attacks_of(PRESETS[word], norm=self.norm, smallest=smallest)
                limits.append(PRESETS[word].limit)
                continue
            entries.append(attack_entry(word))
        distinct = [attack for place, attack in enumerate(entries) if attack not in entries[:place]]
        numbers = [limit for limit in limits if limit is not None]
        return distinct, max(numbers) if numbers and len(numbers) == len(limits) == len(words) else None


def architecture(text: str) -> str:
    """Return the name of an architecture as a configuration has it, the path of a file absolute.

    Raises:
        ConfigError: no file, no network of a library and no architecture of ours is called so.
    """
    if is_reference(text):
        return _reference("MODEL", text)
    prefix, colon, name = text.partition(":")
    if colon and prefix in LIBRARIES and name:
        return text
    if text.endswith(".py"):
        do = f"Name the function that makes it: {text}:make"
        raise ConfigError(where="MODEL", expected="file.py:function", got=repr(text), do=do)
    choices = plugins.names("models")
    if text not in choices:
        expected = "file.py:function, an architecture, or torchvision:, timm:, robustbench: or hf:NAME"
        raise ConfigError(where="MODEL", expected=expected, got=repr(text), do=nearest(text, choices))
    return text


def attack_entry(word: Any) -> Any:
    """Return an attack as a configuration writes it, the path of a file absolute.

    Raises:
        ConfigError: no such file or attack, or no text or mapping at all; the nearest attacks and presets
            are given.
    """
    if isinstance(word, dict) and word:
        names = [name for name in word if name != "label"]
        return {_attack_name(str(n)) if n in names[:1] else n: value for n, value in word.items()}
    if not isinstance(word, str) or not word:
        raise ConfigError(where="--attacks", expected="names of attacks", got=repr(word))
    return _attack_name(word)


def _attack_name(name: str) -> str:
    if is_reference(name):
        return _reference("--attacks", name)
    proper = plugins.proper("attacks", name)
    if proper is None:
        close = nearest(name, [*PRESETS, *plugins.names("attacks")])
        do = (
            f"{close} `robench list attacks` shows all"
            if close.endswith("?")
            else f"Presets: {', '.join(PRESETS)}"
        )
        raise ConfigError(where="--attacks", expected="a preset or an attack", got=repr(name), do=do)
    return proper


def data_entry(text: str) -> dict[str, Any]:
    """Return a data set as in a configuration: by name, or the data set that reads a file or a folder.

    Raises:
        ConfigError: neither; the nearest names are given.
    """
    choices = plugins.names("datasets")
    if text in choices:
        return {"name": text}
    path = Path(text).expanduser()
    if path.suffix == ".npz" and path.is_file():
        return {"name": "npz", "options": {"path": str(path.resolve())}}
    if path.is_dir():
        return {"name": "image_folder", "options": {"path": str(path.resolve())}}
    if path.suffix == ".npz":
        do = "Give the path of an .npz file with x and y"
        raise ConfigError(where="--data", expected="a file", got=f"no file {str(path.absolute())!r}", do=do)
    expected = "a data set's name, an .npz file, or a folder with a folder for each class"
    do = nearest(text, choices)
    if path.suffix == ".zip" and path.stem in choices:
        do = f"Say --data {path.stem} --data-root {path.parent}"
    raise ConfigError(where="--data", expected=expected, got=repr(text), do=do)


def data_name(text: str) -> str:
    """Return the name of a data set in the name of a run: its own name, or the name of its file or folder."""
    return text if text in plugins.names("datasets") else Path(text).expanduser().resolve().stem


def plain_name(model: str, checkpoint: str | None) -> str:
    """Return a short name for a model: of its file or network, and of its checkpoint."""
    base = parts_of(model)[0].stem if is_reference(model) else model.rpartition(":")[2].rpartition("/")[2]
    return _plain(f"{base}-{Path(checkpoint).stem}" if checkpoint else base)


def _plain(text: str) -> str:
    return re.sub(r"[^\w.+-]+", "-", text).strip("-. ")[:90] or "model"


def _radius(text: str) -> float | str:
    """Return a radius as a configuration writes it: a number as one, a fraction or anything else as text."""
    try:
        number = float(text)
    except ValueError:
        return text
    return number if math.isfinite(number) else text


def _entries(option: str, text: str) -> list[Any]:
    """Return what an option lists: names with commas between, or YAML."""
    text = text.strip()
    if not text.startswith(("[", "{")):
        return [word.strip() for word in text.split(",")]
    value = read_value(text, source=option)
    return value if isinstance(value, list) else [value]


def _reference(where: str, text: str) -> str:
    path, name = parts_of(text)
    return f"{_file(where, str(path))}:{name}"


def _file(where: str, text: str) -> str:
    try:
        path = Path(text).expanduser()
        if text.startswith("$DATA_ROOT/"):
            return text
        exists, path = path.is_file(), path.resolve()
    except (OSError, RuntimeError, ValueError):  # too long, an unknown ~user, a NUL
        exists, path = False, Path(text)
    if not exists:
        raise ConfigError(where=where, expected="a file", got=f"no file {str(path)!r}")
    return str(path)


def _numbers(where: str, text: str) -> list[float]:
    try:
        return [float(part) for part in text.split(",")]
    except ValueError:
        expected = "numbers with commas between, one for each channel"
        raise ConfigError(where=where, expected=expected, got=repr(text)) from None
