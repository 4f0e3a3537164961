"""Which names may become rows, columns and folders: safe on every file system, no paths in disguise."""

from __future__ import annotations

import unicodedata

from robench.errors import ConfigError

LONGEST = 100

_WINDOWS_DEVICES = {"con", "prn", "aux", "nul"} | {f"{d}{i}" for d in ("com", "lpt") for i in range(1, 10)}
_WINDOWS_SIGNS = '<>:"|?*'


def check_name(name: str, *, what: str, where: str = "") -> str:
    """Return a name that can be a file's on every system.

    Raises:
        ConfigError: empty, too long, a leading dot or space, a trailing one, a slash or a backslash, control
            or invisible direction characters, a character or a device name that Windows reserves.
    """

    def refuse(reason: str) -> ConfigError:
        return ConfigError(where=where, expected=f"{what}: a plain name", got=f"{name[:LONGEST]!r}, {reason}")

    if not name.strip():
        raise refuse("which is empty")
    if len(name) > LONGEST:
        raise refuse(f"... with more than {LONGEST} characters")
    if any(sign in name for sign in "/\\"):
        raise refuse("which has a path separator")
    if invisible := [sign for sign in name if unicodedata.category(sign) in {"Cc", "Cf", "Cs", "Zl", "Zp"}]:
        raise refuse(f"which has the invisible character U+{ord(invisible[0]):04X}")
    if name[0] in ". " or name[-1] in ". ":
        raise refuse("which starts or ends with a dot or a space")
    if signs := [sign for sign in name if sign in _WINDOWS_SIGNS]:
        raise refuse(f"which has {signs[0]!r}, reserved on Windows")
    if name.partition(".")[0].strip().lower() in _WINDOWS_DEVICES:
        raise refuse("a device name on Windows")
    return name


def check_label(label: str, *, where: str = "") -> str:
    """Return an attack's label: any visible text of reasonable length but `clean`, which means no attack.

    Raises:
        ConfigError: empty, too long, reserved, or with invisible characters.
    """
    has_invisible = any(unicodedata.category(sign) in {"Cc", "Cf", "Cs", "Zl", "Zp"} for sign in label)
    if not label.strip() or len(label) > LONGEST or has_invisible:
        expected = f"label: one line of visible text of at most {LONGEST} characters"
        raise ConfigError(where=where, expected=expected, got=repr(label[:LONGEST]))
    if label == "clean":
        raise ConfigError(
            where=where, expected="another label", got="'clean', the name of the row without attack"
        )
    return label
