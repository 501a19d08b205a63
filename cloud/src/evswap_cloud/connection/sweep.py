"""The round of all stations, by the clock: who has gone silent is noted, and the fleet is counted.

This is the only reading of all states that there is. It reads them once a round, whoever asks meanwhile.
"""

from collections.abc import Iterable
from datetime import datetime
from typing import Protocol

from msgspec import Struct

from evswap_cloud.connection.figures import Count, Figures, FiguresStore
from evswap_cloud.connection.judgement import connection_of
from evswap_cloud.connection.store import ContactWriter
from evswap_cloud.latest import LatestState, Offer


class AllStates(Protocol):
    """Where the round goes."""

    def all(self) -> Iterable[LatestState]:
        """Every state, in no order; raises ``LatestStateError``."""


class Round(Struct, frozen=True, kw_only=True):
    """What a round found: the fleet in figures, and how many stations are no longer as they were noted."""

    figures: Figures
    noted: int


def sweep(states: AllStates, contacts: ContactWriter, figures: FiguresStore, now: datetime) -> Round:
    """Go round all stations; raises ``LatestStateError``, and then the next round does it."""
    count, noted = Count(now), 0
    for state in states.all():
        connection = connection_of(state, now)
        count.add(state, connection)
        if state.contact.noted != connection:
            noted += contacts.note_connection(state, connection) is Offer.MOVED
    counted = count.figures()
    figures.put(counted)
    return Round(figures=counted, noted=noted)
