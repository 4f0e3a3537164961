"""What `import robench` promises: names and signatures are those in `public_surface.txt`, documented, typed.

Where a change is meant, write the file anew: `python -m tests.robench.test_public_surface`, look at its diff,
and say in CHANGELOG.md what a user must change.
"""

import dataclasses
import inspect
import re
from enum import EnumMeta
from pathlib import Path

import robench

FILE = Path(__file__).with_name("public_surface.txt")
RENEW = "python -m tests.robench.test_public_surface"


def shown(signature):
    return re.sub(r" object at 0x[0-9a-f]+", "", str(signature).replace("'", "").replace("typing.", ""))


def members(kind):
    """Public methods and properties of a class, of its own and of ours that it inherits from."""
    for name in sorted(dir(kind)):
        value = inspect.getattr_static(kind, name)
        owner = next((base for base in kind.__mro__ if name in vars(base)), kind)
        if (name.startswith("_") and name != "__call__") or not owner.__module__.startswith("robench"):
            continue
        if isinstance(value, property | staticmethod | classmethod) or inspect.isfunction(value):
            yield name, value


def lines_of(name, value):
    if isinstance(value, EnumMeta):
        return [f"{name}: {', '.join(member.value for member in value)}"]
    if isinstance(value, type):
        lines = [f"{name}{shown(inspect.signature(value))}"]
        for member, what in members(value):
            if isinstance(what, property):
                returns = inspect.signature(what.fget).return_annotation
                lines.append(f"  .{member}: {returns}".replace("'", ""))
            elif not dataclasses.is_dataclass(what):
                function = getattr(what, "__func__", what)
                lines.append(f"  .{member}{shown(inspect.signature(inspect.unwrap(function)))}")
        return lines
    if callable(value):
        return [f"{name}{shown(inspect.signature(inspect.unwrap(value)))}"]
    return [f"{name}: {type(value).__name__}"]


def surface():
    return "".join(f"{line}\n" for name in robench.__all__ for line in lines_of(name, getattr(robench, name)))


def test_names_and_signatures_are_as_promised():
    promise = FILE.read_text("utf-8")
    assert surface() == promise, f"Where the change is meant, renew the list: {RENEW}"


def public():
    import robench.api

    for name in robench.__all__:
        value = robench.api.attack if name == "attack" else getattr(robench, name)
        yield name, value
        if isinstance(value, type) and not isinstance(value, EnumMeta):
            for member, what in members(value):
                function = what.fget if isinstance(what, property) else getattr(what, "__func__", what)
                yield f"{name}.{member}", function


def test_everything_public_is_documented_and_typed():
    bare = [name for name, value in public() if not (inspect.getdoc(value) or "").strip()]
    without_types = []
    for name, value in public():
        if isinstance(value, type) or not callable(value):
            continue
        signature = inspect.signature(inspect.unwrap(value))
        parameters = [p for p in signature.parameters.values() if p.name != "self"]
        if (
            any(p.annotation is p.empty for p in parameters)
            or signature.return_annotation is inspect.Signature.empty
        ):
            without_types.append(name)
    assert (bare, without_types) == ([], [])


if __name__ == "__main__":
    FILE.write_text(surface(), "utf-8")
