"""Which stations a request asks for: the parameters, read. Each function raises ``ProblemError``."""

import math
import re
from collections.abc import Mapping
from typing import Final

from msgspec import Struct

from evswap_cloud.api.problems import bad_parameter
from evswap_cloud.latest import Wanted
from evswap_cloud.places import MAX_LATITUDE
from evswap_schema import Location, StationStatus
from evswap_schema.limits import MAX_BATTERIES

DEFAULT_RADIUS_KM: Final = 5.0
MAX_RADIUS_KM: Final = 50.0

_DECIMAL: Final = r"-?[0-9]{1,3}(\.[0-9]{1,15})?"


class Circle(Struct, frozen=True, kw_only=True):
    """Where stations are looked for."""

    centre: Location
    radius_km: float


def parse_wanted(query: Mapping[str, str]) -> Wanted:
    """``status`` and ``min_available``."""
    return Wanted(status=_status(query.get("status")), min_available=_available(query.get("min_available")))


def parse_circle(query: Mapping[str, str]) -> Circle | None:
    """``near`` and ``radius_km``; None where stations are wanted wherever they are."""
    near, radius = query.get("near"), query.get("radius_km")
    if near is None:
        if radius is not None:
            raise bad_parameter("radius_km", "radius_km goes with near.")
        return None
    if "cursor" in query:
        raise bad_parameter("cursor", "near answers on one page: leave cursor out, or raise limit.")
    return Circle(centre=_place(near), radius_km=DEFAULT_RADIUS_KM if radius is None else _radius(radius))


def _status(text: str | None) -> StationStatus | None:
    if text is None:
        return None
    try:
        return StationStatus(text)
    except ValueError:
        raise bad_parameter("status", f"status has to be one of {', '.join(StationStatus)}.") from None


def _available(text: str | None) -> int | None:
    if text is None:
        return None
    if not re.fullmatch(r"[0-9]{1,4}", text) or int(text) > MAX_BATTERIES:
        raise bad_parameter(
            "min_available", f"min_available has to be a whole number from 0 to {MAX_BATTERIES}."
        )
    return int(text)


def _place(text: str) -> Location:
    latitude, comma, longitude = text.partition(",")
    north, east = _number(latitude), _number(longitude)
    if not comma or not abs(north) <= MAX_LATITUDE or not abs(east) <= 180:
        raise bad_parameter(
            "near",
            f"near has to be a latitude from -{MAX_LATITUDE} to {MAX_LATITUDE} and a longitude from -180 to "
            "180 in degrees, as 52.5200,13.4050.",
        )
    return Location(latitude=north, longitude=east)


def _radius(text: str) -> float:
    radius_km = _number(text)
    if not 0 < radius_km <= MAX_RADIUS_KM:
        raise bad_parameter("radius_km", f"radius_km has to be more than 0 and at most {MAX_RADIUS_KM:g}.")
    return radius_km


def _number(text: str) -> float:
    """What ``text`` says in decimals; not a number, which is less than nothing, where it says none."""
    return float(text) if re.fullmatch(_DECIMAL, text, re.ASCII) else math.nan
