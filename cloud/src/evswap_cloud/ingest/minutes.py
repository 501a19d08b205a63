"""The minutes that batches bring: whether they may enter, and their way into the history."""

from collections.abc import Iterable, Sequence
from datetime import datetime
from functools import reduce
from typing import Final

from msgspec import Struct

from evswap_cloud.envelope import Envelope
from evswap_cloud.errors import MinuteStoreError, QuarantineError, Reason, Refusal
from evswap_cloud.history import EARLIEST, RETENTION, HistoryWriter, Keeping, Quarter, merged, quarters_of
from evswap_cloud.ingest.receive import Received, put_aside
from evswap_cloud.ingest.records import Each, Failure, refused_message
from evswap_cloud.quarantine import Quarantine, Quarantined
from evswap_schema import Batch, Clock, MinuteAggregate, Span, format_timestamp
from evswap_schema.limits import FUTURE_TOLERANCE, MAX_BATTERIES

_RANGES: Final = {
    "battery_available": (0, MAX_BATTERIES),
    "battery_charging": (0, MAX_BATTERIES),
    "temperature": (-60, 100),
    "humidity": (0, 100),
}


class KeptMinutes(Struct, frozen=True, kw_only=True):
    """How many quarters were new or had something new told of them; messages whose minutes were put aside;
    and records that have to come again."""

    quarters: int
    quarantined: tuple[Quarantined, ...]
    failures: tuple[Failure, ...]


def demand_sound_minutes(minutes: Iterable[MinuteAggregate]) -> None:
    """Raises ``Refusal`` for what no minute can be: no station of ours says it."""
    for index, minute in enumerate(minutes):
        if minute.minute.second or minute.minute.microsecond:
            raise _refusal(index, "minute", "the beginning of a minute", format_timestamp(minute.minute))
        for name, (lowest, highest) in _RANGES.items():
            span: Span | None = getattr(minute, name)
            if span is not None and not lowest <= span.least <= span.mean <= span.greatest <= highest:
                rule = f"{lowest} <= least <= mean <= greatest <= {highest}"
                raise _refusal(index, name, rule, f"{span.least}, {span.mean}, {span.greatest}")


def keep_minutes(
    history: HistoryWriter, quarantine: Quarantine, messages: Iterable[Received[Batch]], each: Each
) -> KeptMinutes:
    """Bring the minutes of ``messages`` to ``history``, each quarter once. Where that fails, all records that
    tell of the quarter failed.

    Minutes that cannot have been are put aside with their message: its samples are in the archive, and say so
    of themselves. Minutes of a clock that nobody vouches for are left out.
    """
    telling_minutes = (
        message for message in messages if message.message.minutes and _knows_the_time(message)
    )
    outcomes = [_admitted(message, quarantine) for message in telling_minutes]
    telling = _by_quarter(outcome for outcome in outcomes if isinstance(outcome, Received))

    def keep(of_quarter: Sequence[_Told]) -> Keeping | MinuteStoreError:
        try:
            return history.keep(reduce(merged, (told.quarter for told in of_quarter)))
        except MinuteStoreError as error:
            return error

    kept = list(zip(telling, each(keep, telling), strict=True))
    unwritten = {
        told.record_id: Failure(record_id=told.record_id, error=outcome)
        for of_quarter, outcome in kept
        if isinstance(outcome, MinuteStoreError)
        for told in of_quarter
    }
    return KeptMinutes(
        quarters=sum(outcome is Keeping.KEPT for _, outcome in kept),
        quarantined=tuple(outcome for outcome in outcomes if isinstance(outcome, Quarantined)),
        failures=(*(one for one in outcomes if isinstance(one, Failure)), *unwritten.values()),
    )


class _Told(Struct, frozen=True):
    record_id: str
    quarter: Quarter


def _by_quarter(messages: Iterable[Received[Batch]]) -> list[list[_Told]]:
    """What would go as soon as it came is left out."""
    telling: dict[tuple[str, datetime], list[_Told]] = {}
    for message in messages:
        since = message.envelope.received_at - RETENTION
        minutes = (minute for minute in message.message.minutes if minute.minute >= since)
        for quarter in quarters_of(message.message.station_id, minutes):
            key = quarter.station_id, quarter.start
            telling.setdefault(key, []).append(_Told(message.record_id, quarter))
    return list(telling.values())


def _knows_the_time(message: Received[Batch]) -> bool:
    """A station whose clock no time source has set knows the time all the same if what it has just measured
    is stamped with the moment of its receipt."""
    batch, received_at = message.message, message.envelope.received_at
    if all(reading.clock is not Clock.ESTIMATED for reading in batch.readings):
        return True
    newest = max(reading.timestamp for reading in batch.readings)
    return not batch.backlog and abs(received_at - newest) <= FUTURE_TOLERANCE


def _admitted(message: Received[Batch], quarantine: Quarantine) -> Received[Batch] | Quarantined | Failure:
    """``message`` where its minutes can have been, else what was put aside."""
    try:
        _demand_past(message.message.minutes, message.envelope)
    except Refusal as refusal:
        try:
            return put_aside(quarantine, refused_message(message.envelope, refusal))
        except QuarantineError as error:
            return Failure(record_id=message.record_id, error=error)
    return message


def _demand_past(minutes: Iterable[MinuteAggregate], envelope: Envelope) -> None:
    latest = envelope.received_at + FUTURE_TOLERANCE
    for index, minute in enumerate(minutes):
        value = format_timestamp(minute.minute)
        if minute.minute > latest:
            rule = f"at most {FUTURE_TOLERANCE} after its receipt at {format_timestamp(envelope.received_at)}"
            raise _refusal(index, "minute", rule, value, reason=Reason.FUTURE_TIMESTAMP)
        if minute.minute < EARLIEST:
            rule = f"not before {format_timestamp(EARLIEST)}"
            raise _refusal(index, "minute", rule, value, reason=Reason.IMPOSSIBLE_TIMESTAMP)


def _refusal(
    index: int, field: str, rule: str, value: str, *, reason: Reason = Reason.INVALID_FIELD
) -> Refusal:
    return Refusal(reason=reason, field=f"minutes[{index}].{field}", rule=rule, value=value)
