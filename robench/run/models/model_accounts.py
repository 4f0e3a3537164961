"""Error files about models that could not be made, in `errors`, beside those of jobs. No torch here."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from robench.plan.spec import content_hash
from robench.record.error_account import ErrorAccount
from robench.record.store import Store


def account_key(name: str) -> str:
    """Return the name of a model's error file in `errors`."""
    return f"model-{content_hash(name)[:32]}"


def keep_tracebacks(store: Store, failures: Mapping[str, str], tracebacks: Mapping[str, str]) -> None:
    """Write the tracebacks of failed models; `settle_accounts` keeps or deletes them later.

    Raises:
        StorageError: writing to disk failed.
    """
    for name, text in tracebacks.items():
        account: ErrorAccount = {**_account(name, failures[name]), "traceback": text}
        store.write_error(account_key(name), account)


def settle_accounts(store: Store, names: Iterable[str], failures: Mapping[str, str]) -> None:
    """Leave an error file for every model that failed in the last run of the plan, and for no other.

    Args:
        store: the run folder, which now belongs to the plan.
        names: of all models of the plan.
        failures: why models could not be made, by name.

    Raises:
        StorageError: writing to disk failed.
    """
    for name in names:
        key = account_key(name)
        if name not in failures:
            store.forget_error(key)
            continue
        before = store.read_error(key)
        details = before if before.get("error") == failures[name] else ErrorAccount()
        store.write_error(key, {**details, **_account(name, failures[name])})


def _account(name: str, text: str) -> ErrorAccount:
    return {"job": f"model {name}", "model": name, "error": text}
