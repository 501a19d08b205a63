"""Changes of state: each moves its station's latest state and bays at once, and nothing else.

A change is the newest sample of a batch that is still filling. The batch archives it, so a change that is
lost on the way costs a minute of freshness and no history.
"""

from collections.abc import Sequence

from evswap_cloud.ingest.admit import admit_change
from evswap_cloud.ingest.receive import Received, receive
from evswap_cloud.ingest.records import Delivery, Each, Failure, Report, by_itself
from evswap_cloud.ingest.states import candidate_of, move_states
from evswap_cloud.latest import LatestWriter
from evswap_cloud.quarantine import Quarantine, Quarantined
from evswap_schema import Reading


class ChangeIngest:
    """Takes what the change rule hands over. No change is acknowledged: only the state has it."""

    def __init__(self, *, latest: LatestWriter, quarantine: Quarantine, each: Each = map) -> None:
        self._latest = latest
        self._quarantine = quarantine
        self._each = each

    def process(self, deliveries: Sequence[Delivery]) -> Report:
        """Offer the states in ``deliveries``; what could not be offered is in the report's ``failures``."""
        taken = tuple(self._each(by_itself(self._receive), deliveries))
        candidates = [
            candidate_of(one.record_id, one.message, one.envelope)
            for one in taken
            if isinstance(one, Received)
        ]
        moves = move_states(self._latest, candidates, self._each)
        return Report(
            failures=(*(one for one in taken if isinstance(one, Failure)), *moves.failures),
            quarantined=tuple(one for one in taken if isinstance(one, Quarantined)),
            moved=moves.moved,
            bays=moves.bays,
        )

    def _receive(self, delivery: Delivery) -> Received[Reading] | Quarantined:
        return receive(delivery, admit_change, self._quarantine)
