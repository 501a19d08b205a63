"""A station's state in the terms of OCPP's device model: components, their variables, and a value for each.

A bay is an EVSE with one connector. **Available means empty, Occupied means that it holds a battery.** Of all
that a station has sampled, a CSMS is told what is so now, and of that, what it has not heard yet.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Final, NamedTuple

from evswap_edge.ocpp21.checking import checked_request
from evswap_edge.ocpp21.frames import Document
from evswap_edge.ocpp21.naming import event_id_of
from evswap_schema import Bay, Health, Occupancy, Reading, Reservation, StationStatus, format_timestamp

STATUS_NOTIFICATION: Final = "StatusNotification"
NOTIFY_EVENT: Final = "NotifyEvent"
CONNECTOR: Final = 1
"""The one connector of each EVSE."""
EVENTS_A_MESSAGE: Final = 40
"""So many fit into a message of 20 KB."""

_STATION_STATES: Final = {
    StationStatus.OPERATIONAL: "Available",
    StationStatus.DEGRADED: "Available",
    StationStatus.MAINTENANCE: "Unavailable",
    StationStatus.FAULT: "Faulted",
}
_PROBLEMS: Final = {StationStatus.DEGRADED, StationStatus.FAULT}


class Fact(NamedTuple):
    """What a value is of: a component, of an EVSE where there is one for each, and one of its variables."""

    component: str
    variable: str
    evse: int | None = None
    instance: str | None = None

    def document(self) -> Document:
        """``component`` and ``variable`` as OCPP writes them."""
        component: Document = {"name": self.component}
        if self.evse is not None:
            component["evse"] = {"id": self.evse}
        variable: Document = {"name": self.variable}
        if self.instance is not None:
            variable["instance"] = self.instance
        return {"component": component, "variable": variable}


Facts = dict[Fact, str]


def connector_status(bay: Bay) -> str:
    """ConnectorStatusEnumType of a bay. What is broken outweighs what is out of use, and that what is in
    it."""
    if bay.health is Health.FAULT:
        return "Faulted"
    if bay.health is Health.QUARANTINED or bay.occupancy is Occupancy.UNKNOWN:
        return "Unavailable"
    if bay.reservation is Reservation.RESERVED:
        return "Reserved"
    return "Available" if bay.occupancy is Occupancy.EMPTY else "Occupied"


def connector(evse: int) -> Fact:
    """What StatusNotification tells the value of."""
    return Fact("Connector", "AvailabilityState", evse)


def facts_of_bay(bay: Bay) -> Facts:
    """All that is told of a bay. State of charge and of health are in whole percent: a CSMS need not hear
    each step of a charger."""
    cartridge, evse = "BatteryCartridge", bay.bay
    facts = {connector(evse): connector_status(bay)}
    if bay.occupancy is not Occupancy.UNKNOWN:
        facts[Fact(cartridge, "Present", evse)] = _truth(bay.occupancy is Occupancy.OCCUPIED)
    if bay.battery is not None:
        facts[Fact(cartridge, "SerialNumber", evse)] = bay.battery.serial_number
        facts[Fact(cartridge, "SoC", evse)] = f"{bay.battery.soc:.0f}"
        facts[Fact(cartridge, "SoH", evse)] = f"{bay.battery.soh:.0f}"
    return facts


def facts_of_station(reading: Reading) -> Facts:
    """All that is told of the station as a whole. A sensor that failed has no value."""
    facts = {
        Fact("ChargingStation", "AvailabilityState"): _STATION_STATES[reading.status],
        Fact("ChargingStation", "Problem"): _truth(reading.status in _PROBLEMS),
        Fact("BatterySwapCtrlr", "BatteriesAvailable"): str(reading.battery_available),
        Fact("BatterySwapCtrlr", "BatteriesCharging"): str(reading.battery_charging),
    }
    if reading.temperature is not None:
        facts[Fact("TemperatureSensor", "Temperature")] = f"{reading.temperature:.1f}"
    if reading.humidity is not None:
        facts[Fact("HumiditySensor", "Humidity")] = f"{reading.humidity:.0f}"
    return facts


@dataclass(frozen=True, slots=True)
class News:
    """Something to tell, as a request, and what the CSMS knows once it has answered."""

    action: str
    payload: Document
    facts: Mapping[Fact, str]


class Outlook:
    """What is known of a station, and what its CSMS has heard of that."""

    def __init__(self) -> None:
        self._bays: dict[int, Bay] = {}
        self._facts: dict[int | None, Facts] = {}
        self._heard: Facts = {}
        self._as_of: dict[int | None, Reading] = {}

    @property
    def bays(self) -> tuple[Bay, ...]:
        """Those that are known, in order of their number."""
        return tuple(self._bays[number] for number in sorted(self._bays))

    @property
    def facts(self) -> Facts:
        """All that is known."""
        return {fact: value for facts in self._facts.values() for fact, value in facts.items()}

    def take(self, reading: Reading) -> None:
        """This was sampled. What is known better already, of a bay or of the station, stays as it is."""
        if self._is_news(None, reading):
            self._put(None, facts_of_station(reading))
        for bay in reading.bays or ():
            if self._is_news(bay.bay, reading):
                self._bays[bay.bay] = bay
                self._put(bay.bay, facts_of_bay(bay))

    def news(self) -> list[News]:
        """What the CSMS has not heard, in few messages: the bays' states first."""
        return [*self._statuses(), *self._events()]

    def heard(self, news: News) -> None:
        """The CSMS has answered to ``news``."""
        self._heard.update(news.facts)

    def tell_all_again(self) -> None:
        """Who is there now may have heard nothing."""
        self._heard.clear()

    def tell_again(self, evse: int | None) -> bool:
        """The state of the bay ``evse``, or of all, is to be told again. False: it is not known."""
        wanted = [connector(number) for number in self._bays if evse is None or number == evse]
        for fact in wanted:
            self._heard.pop(fact, None)
        return bool(wanted)

    def _put(self, place: int | None, facts: Facts) -> None:
        """What is not so any more is news when it is so again."""
        for gone in self._facts.get(place, {}).keys() - facts.keys():
            self._heard.pop(gone, None)
        self._facts[place] = facts

    def _is_news(self, place: int | None, reading: Reading) -> bool:
        last = self._as_of.get(place)
        if last is not None and _is_older(reading, last):
            return False
        self._as_of[place] = reading
        return True

    def _unheard(self, place: int | None) -> Facts:
        facts = self._facts[place]
        return {fact: value for fact, value in facts.items() if self._heard.get(fact) != value}

    def _statuses(self) -> Iterable[News]:
        for number in sorted(self._bays):
            fact = connector(number)
            value = self._unheard(number).get(fact)
            if value is not None:
                payload = status_notification(number, value, self._as_of[number].timestamp)
                yield News(STATUS_NOTIFICATION, payload, {fact: value})

    def _events(self) -> Iterable[News]:
        told: list[tuple[Fact, str, Document]] = []
        for place in sorted(self._facts, key=lambda number: number or 0):
            as_of = self._as_of[place]
            for fact, value in self._unheard(place).items():
                if fact.component != "Connector":
                    told.append((fact, value, event_data(fact, value, as_of)))
        for start in range(0, len(told), EVENTS_A_MESSAGE):
            some = told[start : start + EVENTS_A_MESSAGE]
            newest = max(reading.timestamp for reading in self._as_of.values())
            payload = notify_event([data for _, _, data in some], newest)
            yield News(NOTIFY_EVENT, payload, {fact: value for fact, value, _ in some})


def status_notification(evse: int, status: str, timestamp: datetime) -> Document:
    """StatusNotificationRequest."""
    return checked_request(
        STATUS_NOTIFICATION,
        {
            "timestamp": format_timestamp(timestamp),
            "connectorStatus": status,
            "evseId": evse,
            "connectorId": CONNECTOR,
        },
    )


def event_data(fact: Fact, value: str, as_of: Reading) -> Document:
    """``EventDataType`` of a value that has changed."""
    return {
        "eventId": event_id_of(as_of.stream_id, as_of.sequence, *fact),
        "timestamp": format_timestamp(as_of.timestamp),
        "trigger": "Delta",
        "actualValue": value,
        "eventNotificationType": "HardWiredNotification",
        **fact.document(),
    }


def notify_event(
    data: list[Document], generated_at: datetime, *, number: int = 0, more: bool = False
) -> Document:
    """NotifyEventRequest, the ``number``-th (from 0) of those that belong together."""
    payload: Document = {"generatedAt": format_timestamp(generated_at), "seqNo": number, "eventData": data}
    if more:
        payload["tbc"] = True
    return checked_request(NOTIFY_EVENT, payload)


def _is_older(reading: Reading, than: Reading) -> bool:
    if reading.stream_id == than.stream_id and reading.sequence is not None and than.sequence is not None:
        return reading.sequence < than.sequence
    return reading.timestamp < than.timestamp


def _truth(value: bool) -> str:
    return "true" if value else "false"
