"""What `run.json` says of a run; when it is read, fields of a wrong type are left out."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TypedDict, cast

from robench.record.folder import Fault
from robench.record.journal import KEY
from robench.record.strict_json import described

_KINDS = {
    "name": str, "status": str, "units": list, "expected": int, "failed_models": dict, "geometry": list,
    "failed_jobs": dict, "plan": str, "config": str,
}  # fmt: skip
_MOST_TOLD = 10
"""So many unknown entries of a list are named one by one."""


class RunFacts(TypedDict, total=False):
    """What `run.json` says; a file of an earlier version says less. What is inside mappings is not checked.

    Attributes:
        name: of the plan.
        status: `running`, `interrupted`, `part`, `failed jobs` or `finished`.
        units: keys of the plan's finished records.
        expected: how many records the whole plan leaves.
        failed_models: why models could not be made, by name.
        command: what the user typed.
        asked: options that can change the plan or its bits.
        versions: of the packages that can change a number.
        device: of torch; `machine`, `cores`, `threads` and `gpu` say more of the hardware.
        geometry: keys of the features that were kept.
        failed_jobs: titles of the jobs that failed, by the model whose row lacks them.
        plan: hash of the plan.
        config: SHA-256 of `config.yaml`.
    """

    name: str
    status: str
    units: list[str]
    expected: int
    failed_models: Mapping[str, str]
    command: object
    asked: object
    versions: object
    device: object
    machine: object
    cores: object
    threads: object
    gpu: object
    geometry: list[str]
    failed_jobs: Mapping[str, list[str]]
    plan: str
    config: str


def run_facts(content: object) -> tuple[RunFacts, list[Fault]]:
    """Return what a file says, without what is of a wrong type, and a line for each such thing."""
    if not isinstance(content, dict):
        return {}, [Fault("run.json", f"expected an object, got {described(content)}")]
    wrong = {name for name, kind in _KINDS.items() if name in content and type(content[name]) is not kind}
    faults = [Fault("run.json", f"a wrong type in the field `{name}`") for name in sorted(wrong)]
    facts = {name: value for name, value in content.items() if name not in wrong}
    for name in facts.keys() & {"units", "geometry"}:
        strange = [key for key in facts[name] if not (isinstance(key, str) and KEY.fullmatch(key))]
        if strange:
            facts[name] = [key for key in facts[name] if key not in strange]
        faults += [Fault("run.json", f"no key in `{name}`: {described(key)}") for key in strange[:_MOST_TOLD]]
    return cast("RunFacts", facts), faults
