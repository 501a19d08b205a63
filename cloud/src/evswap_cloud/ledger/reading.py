"""What the ledger answers when it is asked for a battery."""

from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from msgspec import Struct

from evswap_cloud.ledger import batteries
from evswap_cloud.ledger.batteries import Battery, Seen, Whereabouts
from evswap_cloud.ledger.findings import Finding
from evswap_cloud.ledger.shelves import Shelf
from evswap_cloud.ledger.swaps import Debt, Swap, SwapKey, debt_of


class Answer(Struct, frozen=True, kw_only=True):
    """A battery, where it is, and what is to be said about that. ``is_owed``: a customer has it who brought
    none for it."""

    battery: Battery
    whereabouts: Whereabouts
    is_owed: bool
    is_orphan: bool
    is_unregistered: bool
    findings: tuple[Finding, ...]


class BatteryReader(Protocol):
    """Where the API takes batteries from."""

    def find(self, serial_number: str, now: datetime) -> Answer | None:
        """The battery as of ``now``; None for one that nobody has ever seen; raises ``LedgerError``."""


@dataclass(frozen=True)
class LedgerReader:
    """Reads two of the ledger's shelves."""

    batteries: Shelf[str, Battery]
    swaps: Shelf[SwapKey, Swap]

    def find(self, serial_number: str, now: datetime) -> Answer | None:
        """One read, and a second one where a customer has the battery."""
        battery = self.batteries.get(serial_number)
        if battery is None:
            return None
        return Answer(
            battery=battery,
            whereabouts=batteries.whereabouts(battery),
            is_owed=self._is_owed(battery, now),
            is_orphan=batteries.is_orphan(battery),
            is_unregistered=batteries.is_unregistered(battery),
            findings=tuple(batteries.contradictions(battery)),
        )

    def _is_owed(self, battery: Battery, now: datetime) -> bool:
        """False where the swap is no longer known by which it went."""
        last = battery.last
        if last.seen is not Seen.OUT or last.request_id is None or last.id_token is None:
            return False
        swap = self.swaps.get(SwapKey(last.stamp.station_id, last.request_id, last.id_token))
        return swap is not None and debt_of(swap, now) is Debt.CUSTOMER_OWES
