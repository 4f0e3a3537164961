"""Why models of a plan could not be made: accounts in `errors`, beside those of jobs. No torch here."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from robench.plan.spec import content_hash
from robench.record.error_account import ErrorAccount
from robench.record.store import Store


def account_key(name: str) -> str:
    """Return the name, in `errors`, of the account of a model."""
    return f"model-{content_hash(name)[:32]}"


def keep_tracebacks(store: Store, failures: Mapping[str, str], tracebacks: Mapping[str, str]) -> None:
    """Write where models failed, as whoever made them knows it; `settle_accounts` keeps or forgets it.

    Raises:
        StorageError: the disk refused.
    """
    for name, text in tracebacks.items():
        account: ErrorAccount = {**_account(name, failures[name]), "traceback": text}
        store.write_error(account_key(name), account)


def settle_accounts(store: Store, names: Iterable[str], failures: Mapping[str, str]) -> None:
    """Leave an account of every model that failed when the plan was done last, and of no other.

    Args:
        store: the run folder, which is that of the plan by now.
        names: of all models of the plan.
        failures: why models could not be made, by name.

    Raises:
        StorageError: the disk refused.
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
