"""How the ledger's records lie in their tables: three tables, as ``cloud/stack/tables.yaml`` has them."""

from datetime import datetime, timedelta
from typing import Any, Final

from evswap_cloud.events import RETENTION
from evswap_cloud.ledger.authorisations import Account
from evswap_cloud.ledger.batteries import Battery
from evswap_cloud.ledger.shelves import ENTRY, Layout
from evswap_cloud.ledger.slots import Slot
from evswap_cloud.ledger.swaps import Swap, SwapKey

SlotKey = tuple[str, int]

_SWAP_ENTRY: Final = "swap/"
_SLOT_ENTRY: Final = "bay/"

ACCOUNTS_RETENTION: Final = timedelta(days=90)
"""How long an authorisation is remembered after its expiry: what stations used of it offline has come then.
"""


def _swap_entry(key: SwapKey) -> dict[str, Any]:
    entry = f"{_SWAP_ENTRY}{key.request_id:010}/{key.id_token}"
    return {"station_id": {"S": key.station_id}, ENTRY: {"S": entry}}


def _slot_entry(key: SlotKey) -> dict[str, Any]:
    return {"station_id": {"S": key[0]}, ENTRY: {"S": f"{_SLOT_ENTRY}{key[1]:03}"}}


def _account_expiry(account: Account) -> datetime | None:
    return None if account.grant is None else account.grant.expires_at + ACCOUNTS_RETENTION


BATTERIES: Final = Layout[str, Battery](
    kind=Battery,
    to_item_key=lambda serial: {"serial_number": {"S": serial}},
    key_of=lambda battery: battery.serial_number,
)
SLOTS: Final = Layout[SlotKey, Slot](
    kind=Slot,
    to_item_key=_slot_entry,
    key_of=lambda slot: (slot.station_id, slot.bay),
    entries=_SLOT_ENTRY,
)


def swaps_kept(kept: timedelta = RETENTION) -> Layout[SwapKey, Swap]:
    """A swap is a journey of its customer, and remembered for as long as its events."""
    return Layout(
        kind=Swap,
        to_item_key=_swap_entry,
        key_of=lambda swap: swap.key,
        expires_at=lambda swap: swap.heard_at + kept,
        entries=_SWAP_ENTRY,
    )


ACCOUNTS: Final = Layout[str, Account](
    kind=Account,
    to_item_key=lambda name: {"authorisation_id": {"S": name}},
    key_of=lambda account: account.authorisation_id,
    expires_at=_account_expiry,
)
