"""What was allowed of swaps without a link, and what was used of it, over all stations.

A station counts for itself alone: two that are offline may both honour the last swap. The ledger adds up
when their events have come.
"""

from collections.abc import Iterable
from datetime import datetime

from msgspec import Struct

from evswap_cloud.ledger.findings import Code, Finding


class Grant(Struct, frozen=True, array_like=True):
    """What was signed: ``max_swaps`` until ``expires_at`` for the customer with ``id_token``."""

    id_token: str
    max_swaps: int
    expires_at: datetime


class Account(Struct, frozen=True, array_like=True):
    """An authorisation: its grant, unless the cloud knows of none, and the swaps that were made with it."""

    authorisation_id: str
    grant: Grant | None
    spent: tuple[str, ...]


def granted(account: Account | None, authorisation_id: str, grant: Grant) -> Account:
    """The account after ``grant``; one that is granted again is as it was granted last."""
    return Account(authorisation_id, grant, () if account is None else account.spent)


def absorb(account: Account | None, authorisation_id: str, swaps: Iterable[str]) -> Account:
    """The account after ``swaps``, each by its station and request: once, however often it is heard of."""
    grant, spent = (None, ()) if account is None else (account.grant, account.spent)
    return Account(authorisation_id, grant, tuple(sorted({*spent, *swaps})))


def contradictions(account: Account) -> list[Finding]:
    """Swaps that nobody had allowed."""
    count, subject = len(account.spent), account.authorisation_id
    if not count:
        return []
    if account.grant is None:
        detail = f"{count} swaps, and the cloud knows of no such authorisation"
        return [Finding(code=Code.UNKNOWN_AUTHORISATION, subject=subject, detail=detail)]
    if count > account.grant.max_swaps:
        detail = f"{count} swaps instead of {account.grant.max_swaps}: {', '.join(account.spent)}"
        return [Finding(code=Code.OVERSPENT, subject=subject, detail=detail)]
    return []
