"""The life of commands under a queue that loses, doubles, delays and reorders, and a clock that goes on.

The station is the contract's: it does a command once, before it expires, and has one result for it, which it
tells again whenever it is asked. The cloud has to end with that result wherever any copy of it came through,
whatever it had concluded before; and with a result in any case.
"""

from datetime import timedelta

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, invariant, rule

from evswap_cloud.ingest import Delivery
from evswap_cloud.memory import MemoryQuarantine
from evswap_cloud.remote import CommandReports, State, expire
from evswap_cloud.remote.records import GRACE, UNDER_WAY, Record
from evswap_schema import Command, CommandResult, Outcome
from tests.cloud.commands_at_hand import STATION, Cloud, asked, order, result, told

FINAL = [Outcome.DONE, Outcome.REJECTED, Outcome.UNKNOWN]


class Station:
    """What ``docs/commands.md`` promises of the edge: once at most, and one result."""

    def __init__(self) -> None:
        self.results: dict[str, CommandResult] = {}
        self.accepted: set[str] = set()

    def receive(
        self, command: Command, expired: bool, outcome: Outcome, at_once: bool
    ) -> list[CommandResult]:
        """What it says of a command that has come, perhaps again."""
        known = self.results.get(command.command_id)
        if known is not None:
            return [known]
        accepted = result(command.command_id, Outcome.ACCEPTED)
        if command.command_id in self.accepted and not at_once:
            return [accepted]
        if expired and command.command_id not in self.accepted:
            outcome = Outcome.EXPIRED
        elif not at_once:
            self.accepted.add(command.command_id)
            return [accepted]
        self.results[command.command_id] = result(command.command_id, outcome)
        return [self.results[command.command_id]]


class Life(RuleBasedStateMachine):
    """Every delivery may be lost (never taken), doubled (taken twice), late and out of order."""

    down = Bundle("down")
    up = Bundle("up")

    def __init__(self) -> None:
        super().__init__()
        self.cloud = Cloud()
        self.reports = CommandReports(
            store=self.cloud.commands, dispatcher=self.cloud.dispatcher, quarantine=MemoryQuarantine()
        )
        self.station = Station()
        self.through: dict[str, CommandResult] = {}
        self.seen: dict[str, Record] = {}
        self.keys: dict[str, str] = {}

    @rule(target=down, key=st.none() | st.sampled_from("ab"), link=st.booleans())
    def issue(self, key: str | None, link: bool) -> Command:
        """Perhaps once more by the same key, perhaps while AWS IoT cannot be reached."""
        self.cloud.plane.down = not link
        command = self.cloud.dispatcher.issue(order(key=key)).record.command
        self.cloud.plane.down = False
        if key is not None:
            assert self.keys.setdefault(key, command.command_id) == command.command_id
        return command

    @rule(target=up, command=down, outcome=st.sampled_from(FINAL), at_once=st.booleans())
    def reach_the_station(self, command: Command, outcome: Outcome, at_once: bool) -> Delivery:
        expired = self.cloud.clock.now >= command.expires_at
        [said] = self.station.receive(command, expired, outcome, at_once)
        return told(said)

    @rule(said=up)
    def bring_up(self, said: Delivery) -> None:
        """It stays where it is, and may be brought up again."""
        self._process(said)

    @rule(first=consumes(up), second=consumes(up))
    def bring_up_together(self, first: Delivery, second: Delivery) -> None:
        self._process(first, second)

    @rule()
    def ask(self) -> None:
        """What waits comes down, and nothing that has a result."""
        self.cloud.plane.published.clear()
        assert self.reports.process([asked()]).failures == ()
        sent = {one.command.command_id for one in self.cloud.plane.published}
        assert sent == {name for name, record in self.seen.items() if record.waits is not None}

    @rule(minutes=st.sampled_from([1, 4, 6, 200]))
    def wait(self, minutes: int) -> None:
        self.cloud.clock.pass_(minutes=minutes)

    @rule()
    def sweep(self) -> None:
        now = self.cloud.clock.now
        expire(self.cloud.commands, now)
        for record in self.cloud.commands.records.values():
            assert record.deadline is None or record.deadline > now

    def _process(self, *deliveries: Delivery) -> None:
        heard = self.reports.process(deliveries)
        assert (heard.failures, heard.quarantined) == ((), ())
        for name, said in self.station.results.items():
            if any(delivery.body == told(said).body for delivery in deliveries):
                self.through.setdefault(name, said)

    @invariant()
    def what_is_known_only_grows(self) -> None:
        for (station_id, name), record in self.cloud.commands.records.items():
            assert station_id == STATION
            before = self.seen.get(name)
            assert before is None or before == record or before.rank < record.rank
            self.seen[name] = record

    @invariant()
    def the_stations_result_is_the_result(self) -> None:
        for name, said in self.through.items():
            record = self.cloud.commands.records[STATION, name]
            assert (record.state.value, record.said_at) == (said.outcome.value, said.timestamp)

    @invariant()
    def what_waits_has_a_deadline_and_nothing_else_has(self) -> None:
        for record in self.cloud.commands.records.values():
            assert (record.waits is None) is (record.deadline is None)

    def teardown(self) -> None:
        """However little came through, in the end every command has a result."""
        long_after = self.cloud.clock.now + timedelta(minutes=5) + GRACE + UNDER_WAY
        expire(self.cloud.commands, long_after)
        for (_, name), record in self.cloud.commands.records.items():
            assert record.waits is None
            if name not in self.through:
                assert record.state in (State.EXPIRED, State.UNKNOWN)
                assert record.said_at is None


TestLife = Life.TestCase
TestLife.settings = settings(max_examples=60, stateful_step_count=25, deadline=None)
