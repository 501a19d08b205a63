"""The simulated riders, who may swap at their station as customers do who have paid."""

from collections.abc import Sequence
from datetime import UTC, datetime

from evswap_cloud import signing
from evswap_cloud.ledger import Book
from evswap_cloud.remote import Dispatcher
from evswap_edge.simulation.names import tokens
from evswap_local.network import Network
from evswap_local.settings import Settings
from evswap_schema import Authorisation

ISSUER = "evswap up"
MAX_SWAPS = 1_000
"""Of one rider in one term: the most that an authorisation allows. He comes every three days, and ten times
as often where time passes ten times as fast."""


def authorise_riders(
    settings: Settings, network: Network, ledger: Book, dispatcher: Dispatcher, *, now: datetime
) -> int:
    """Let the riders of every station swap, and tell the stations; how many riders there are. Doing it again
    sends it again and changes nothing. Raises ``LedgerError``, ``CommandError``."""
    count = 0
    for station_id in settings.station_ids():
        wanted = authorisations(station_id, settings.bays, network, now=now)
        signing.authorise(
            wanted,
            [station_id],
            key=network.signing_key,
            ledger=ledger,
            dispatcher=dispatcher,
            issued_by=ISSUER,
            now=now,
        )
        count += len(wanted)
    return count


def authorisations(station_id: str, bays: int, network: Network, *, now: datetime) -> Sequence[Authorisation]:
    """What the riders of a station with so many bays may do: the same throughout a calendar month, so that
    what is said again is known already."""
    begins, ends = term(now)
    hashes = [network.token_hash(token) for token in tokens(station_id, bays=bays)]
    return [
        Authorisation(
            authorisation_id=f"rider-{begins:%Y-%m}-{id_token[:32]}",
            id_token=id_token,
            valid_from=begins,
            expires_at=ends,
            max_swaps=MAX_SWAPS,
            stations=(station_id,),
        )
        for id_token in hashes
    ]


def term(now: datetime) -> tuple[datetime, datetime]:
    """From the beginning of this month to the end of the next, in UTC."""
    begins = _first_of_month(now.astimezone(UTC).year, now.astimezone(UTC).month)
    return begins, _first_of_month(begins.year, begins.month + 2)


def _first_of_month(year: int, month: int) -> datetime:
    """Months beyond December are those of the next year."""
    years, index = divmod(month - 1, 12)
    return datetime(year + years, index + 1, 1, tzinfo=UTC)
