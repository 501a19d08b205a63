"""The device model as a CSMS reads and changes it: GetVariables, SetVariables, GetBaseReport.

What a station's swaps go by is its configuration; ``BatterySwapCtrlr`` is how OCPP calls a part of that. The
rest of the device model is what was sampled, and is read only.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from evswap_edge.ocpp21.checking import checked_request, checked_response
from evswap_edge.ocpp21.facts import Fact, Facts
from evswap_edge.ocpp21.frames import Document
from evswap_edge.ocpp21.swaps import status_info
from evswap_schema import format_timestamp

GET_VARIABLES: Final = "GetVariables"
SET_VARIABLES: Final = "SetVariables"
GET_BASE_REPORT: Final = "GetBaseReport"
NOTIFY_REPORT: Final = "NotifyReport"

HEARTBEAT: Final = Fact("OCPPCommCtrlr", "HeartbeatInterval")
_CONTROLLER: Final = "BatterySwapCtrlr"
_ACTUAL: Final = "Actual"
_ORDERS: Final = {"in_first": "In-Out", "out_first": "Out-In"}
_GREATEST_HEARTBEAT_S: Final = 86_400
_VARIABLES_A_MESSAGE: Final = 40
_REPORTS: Final = {"ConfigurationInventory", "FullInventory"}


@dataclass(frozen=True, slots=True)
class _Kind:
    """What a value may be: ``data_type`` as in OCPP's ``DataEnumType``."""

    data_type: str
    unit: str | None = None
    values: str | None = None
    least: float | None = None
    greatest: float | None = None

    def characteristics(self) -> Document:
        told = {
            "dataType": self.data_type,
            "supportsMonitoring": False,
            "unit": self.unit,
            "valuesList": self.values,
            "minLimit": self.least,
            "maxLimit": self.greatest,
        }
        return {name: value for name, value in told.items() if value is not None}


@dataclass(frozen=True, slots=True)
class _Setting:
    """A variable that is a key of the station's swap rules. ``write`` makes the key's value of the
    variable's, and raises ``ValueError``."""

    fact: Fact
    key: str
    kind: _Kind
    read: Callable[[Any], str]
    write: Callable[[str], object]


def _order(text: str) -> str:
    try:
        return {name: key for key, name in _ORDERS.items()}[text]
    except KeyError:
        raise ValueError(f"has to be one of {', '.join(_ORDERS.values())}") from None


_SECONDS: Final = _Kind("integer", unit="s", least=1, greatest=3_600)
_PERCENT: Final = _Kind("decimal", unit="Percent", least=0, greatest=100)
_SETTINGS: Final = (
    _Setting(Fact(_CONTROLLER, "TargetSoC"), "target_soc", _PERCENT, "{:g}".format, float),
    _Setting(Fact(_CONTROLLER, "Timeout", None, "In"), "in_timeout_s", _SECONDS, "{:.0f}".format, int),
    _Setting(Fact(_CONTROLLER, "Timeout", None, "Out"), "out_timeout_s", _SECONDS, "{:.0f}".format, int),
    _Setting(
        Fact(_CONTROLLER, "SwapOrder"),
        "order",
        _Kind("OptionList", values=",".join(_ORDERS.values())),
        lambda order: _ORDERS[order],
        _order,
    ),
)
_KINDS: Final = {
    **{setting.fact: setting.kind for setting in _SETTINGS},
    HEARTBEAT: _Kind("integer", unit="s", least=1, greatest=_GREATEST_HEARTBEAT_S),
    Fact(_CONTROLLER, "Available"): _Kind("boolean"),
    Fact(_CONTROLLER, "MaxSoc"): _PERCENT,
}


def configured(station_id: str, rules: Mapping[str, Any], heartbeat_s: float) -> Facts:
    """The variables that are configuration. ``rules`` are those of the station's swaps, key by key; of one
    that is not among them nothing is said.

    A charger fills its battery: ``MaxSoc`` is 100. ``IdToken`` is the station's own name: there are no
    charging transactions that would carry another.
    """
    facts = {
        Fact(_CONTROLLER, "Available"): "true",
        Fact(_CONTROLLER, "MaxSoc"): "100",
        Fact(_CONTROLLER, "IdToken"): station_id,
        HEARTBEAT: f"{heartbeat_s:.0f}",
    }
    for setting in _SETTINGS:
        if setting.key in rules:
            facts[setting.fact] = setting.read(rules[setting.key])
    return facts


def variables_answer(payload: Document, facts: Facts) -> Document:
    """GetVariablesResponse."""
    return checked_response(
        GET_VARIABLES,
        {"getVariableResult": [_got(item, facts) for item in payload["getVariableData"]]},
    )


@dataclass(frozen=True, slots=True)
class Wanted:
    """One change of a SetVariablesRequest. ``status`` is None for one that is to be tried: ``key`` of the
    swaps' rules, or the interval of heartbeats where there is none, becomes ``value``."""

    item: Document
    status: str | None = None
    info: Document | None = None
    key: str | None = None
    value: Any = None


def wanted_changes(payload: Document, facts: Facts) -> list[Wanted]:
    """What a SetVariablesRequest asks for, each judged as far as that needs no station."""
    return [_wanted(item, facts) for item in payload["setVariableData"]]


def changes_answer(wanted: Iterable[Wanted], refused: Document | None) -> Document:
    """SetVariablesResponse. What was to be tried was done, or ``refused``: the reason."""
    return checked_response(SET_VARIABLES, {"setVariableResult": [_set(each, refused) for each in wanted]})


def report_answer(payload: Document) -> Document:
    """GetBaseReportResponse."""
    status = "Accepted" if payload["reportBase"] in _REPORTS else "NotSupported"
    return checked_response(GET_BASE_REPORT, {"status": status})


def base_report(payload: Document, facts: Facts, generated_at: datetime) -> list[Document]:
    """The NotifyReportRequests that a GetBaseReportRequest asks for, in order."""
    full = payload["reportBase"] == "FullInventory"
    told = [_report_data(fact, value) for fact, value in facts.items() if full or _is_configuration(fact)]
    starts = range(0, len(told), _VARIABLES_A_MESSAGE)
    return [
        checked_request(
            NOTIFY_REPORT,
            {
                "requestId": payload["requestId"],
                "generatedAt": format_timestamp(generated_at),
                "seqNo": number,
                "tbc": number < len(starts) - 1,
                "reportData": told[start : start + _VARIABLES_A_MESSAGE],
            },
        )
        for number, start in enumerate(starts)
    ]


def _fact_of(item: Document) -> Fact:
    component, variable = item["component"], item["variable"]
    evse = component.get("evse", {}).get("id")
    return Fact(component["name"], variable["name"], evse, variable.get("instance"))


def _found(item: Document, facts: Facts) -> tuple[Fact, str] | str:
    """The fact that ``item`` names (OCPP's names are the same in any case) and its value, or in a word why
    there is none."""
    wanted = _folded(_fact_of(item))
    for fact, value in facts.items():
        if _folded(fact) == wanted:
            return fact, value
    same = any(_folded(fact)[::2] == wanted[::2] for fact in facts)
    return "UnknownVariable" if same else "UnknownComponent"


def _folded(fact: Fact) -> tuple[str, str, int | None, str]:
    return fact.component.lower(), fact.variable.lower(), fact.evse, (fact.instance or "").lower()


def _got(item: Document, facts: Facts) -> Document:
    result = {"component": item["component"], "variable": item["variable"]}
    if "attributeType" in item:
        result["attributeType"] = item["attributeType"]
    if item.get("attributeType", _ACTUAL) != _ACTUAL:
        return {**result, "attributeStatus": "NotSupportedAttributeType"}
    found = _found(item, facts)
    if isinstance(found, str):
        return {**result, "attributeStatus": found}
    return {**result, "attributeStatus": "Accepted", "attributeValue": found[1]}


def _wanted(item: Document, facts: Facts) -> Wanted:
    if item.get("attributeType", _ACTUAL) != _ACTUAL:
        return Wanted(item, "NotSupportedAttributeType")
    found = _found(item, facts)
    if isinstance(found, str):
        return Wanted(item, found)
    setting = next((each for each in _SETTINGS if each.fact == found[0]), None)
    if setting is None and found[0] != HEARTBEAT:
        return Wanted(item, "Rejected", status_info("ReadOnly", "the station does not let it be changed"))
    write, key = (setting.write, setting.key) if setting else (int, None)
    try:
        value = write(item["attributeValue"])
        _require_range(value, _KINDS[found[0]])
    except ValueError as error:
        return Wanted(item, "Rejected", status_info("InvalidValue", str(error)))
    return Wanted(item, key=key, value=value)


def _require_range(value: object, kind: _Kind) -> None:
    if kind.least is None or kind.greatest is None:
        return
    if not (isinstance(value, int | float) and kind.least <= value <= kind.greatest):
        raise ValueError(f"has to be from {kind.least:g} to {kind.greatest:g}; found {value}")


def _set(wanted: Wanted, refused: Document | None) -> Document:
    item = wanted.item
    result = {"component": item["component"], "variable": item["variable"]}
    if "attributeType" in item:
        result["attributeType"] = item["attributeType"]
    status, info = wanted.status, wanted.info
    if status is None:
        info = refused if wanted.key is not None else None
        status = "Accepted" if info is None else "Rejected"
    result["attributeStatus"] = status
    return result if info is None else {**result, "attributeStatusInfo": info}


def _is_configuration(fact: Fact) -> bool:
    return fact == HEARTBEAT or any(setting.fact == fact for setting in _SETTINGS)


def _report_data(fact: Fact, value: str) -> Document:
    writable = _is_configuration(fact)
    kind = _KINDS.get(fact, _Kind("string"))
    mutability = "ReadWrite" if writable else "ReadOnly"
    return {
        **fact.document(),
        "variableAttribute": [{"type": _ACTUAL, "value": value, "mutability": mutability}],
        "variableCharacteristics": kind.characteristics(),
    }
