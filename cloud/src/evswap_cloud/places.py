"""Where on Earth: geohashes, which cells cover a circle, and how far it is from one place to another.

A geohash is latitude and longitude as text: the longer, the smaller the cell that it names, and the cells of
all places near each other begin alike. Twelve characters name a place to within 4 cm.
Source: https://en.wikipedia.org/wiki/Geohash.
"""

import math
from collections.abc import Iterator
from typing import Final

from msgspec import Struct

from evswap_schema import Location

GEOHASH_CHARACTERS: Final = 12
CELL_CHARACTERS: Final = 3
"""A partition of the index: some 156 km square at the equator."""

DECIMALS: Final = 6
"""Of a degree, as far as a position is kept: 11 cm."""

MAX_LATITUDE: Final = 85
"""Cells narrow towards the poles. Beyond this, as in Web Mercator, nothing is looked for."""

KM_PER_DEGREE: Final = 111.195
"""Along a meridian, on a sphere of the radius below."""

_EARTH_RADIUS_KM: Final = 6371.0088
_ALPHABET: Final = "0123456789bcdefghjkmnpqrstuvwxyz"
_BITS: Final = 5
_FINEST_COVER: Final = 9
_MOST_CELLS: Final = 24


class Entry(Struct, frozen=True, kw_only=True):
    """A station in the index of places."""

    station_id: str
    geohash: str


def rounded(location: Location) -> Location:
    """``location`` as far as it is kept."""
    return Location(
        latitude=round(location.latitude, DECIMALS), longitude=round(location.longitude, DECIMALS)
    )


def encode(location: Location, characters: int = GEOHASH_CHARACTERS) -> str:
    """The geohash of the cell of that many ``characters`` that holds ``location``."""
    rows, columns = _grid(characters)
    row = min(int((location.latitude + 90) / 180 * rows), rows - 1)
    column = min(int((location.longitude + 180) / 360 * columns), columns - 1)
    return _name(row, column, characters)


def decode(geohash: str) -> Location:
    """The middle of the cell; of a whole geohash, the place that it was made of, as far as that is kept."""
    row, column = _row_and_column(geohash)
    rows, columns = _grid(len(geohash))
    return rounded(
        Location(
            latitude=(row + 0.5) / rows * 180 - 90,
            longitude=(column + 0.5) / columns * 360 - 180,
        )
    )


def distance_km(one: Location, other: Location) -> float:
    """Along the surface of a sphere: haversine, to within 0.5 %."""
    south, north = math.radians(one.latitude), math.radians(other.latitude)
    across = math.radians(other.longitude - one.longitude)
    half = math.sin((north - south) / 2) ** 2 + math.cos(south) * math.cos(north) * math.sin(across / 2) ** 2
    return 2 * _EARTH_RADIUS_KM * math.asin(min(1.0, math.sqrt(half)))


def cover(centre: Location, radius_km: float) -> tuple[str, ...]:
    """Cells that hold the whole circle, as small as a few can be. None has fewer characters than
    ``CELL_CHARACTERS``: each lies in one partition of the index."""
    for characters in range(_FINEST_COVER, CELL_CHARACTERS, -1):
        south, north, west, east = _box(centre, radius_km, characters)
        if (north - south + 1) * (east - west + 1) <= _MOST_CELLS:
            return tuple(_cells(south, north, west, east, characters))
    return tuple(_cells(*_box(centre, radius_km, CELL_CHARACTERS), CELL_CHARACTERS))


def _box(centre: Location, radius_km: float, characters: int) -> tuple[int, int, int, int]:
    """The first and last row and column of the cells around the circle. Columns go on past the date line."""
    rows, columns = _grid(characters)
    up = radius_km / KM_PER_DEGREE
    lowest, highest = max(centre.latitude - up, -90.0), min(centre.latitude + up, 90.0)
    widest = math.cos(math.radians(max(abs(lowest), abs(highest))))
    across = min(up / max(widest, 1e-9), 180.0)
    south, north = (min(int((edge + 90) / 180 * rows), rows - 1) for edge in (lowest, highest))
    west = math.floor((centre.longitude - across + 180) / 360 * columns)
    east = math.floor((centre.longitude + across + 180) / 360 * columns)
    return south, north, west, min(east, west + columns - 1)


def _cells(south: int, north: int, west: int, east: int, characters: int) -> Iterator[str]:
    _, columns = _grid(characters)
    for row in range(south, north + 1):
        for column in range(west, east + 1):
            yield _name(row, column % columns, characters)


def _grid(characters: int) -> tuple[int, int]:
    """How many rows and columns of cells the Earth has. Of an odd number of bits longitude has one more."""
    bits = characters * _BITS
    return 1 << bits // 2, 1 << (bits + 1) // 2


def _name(row: int, column: int, characters: int) -> str:
    """The bits of the column and the row in turn, the column's first, five to a character."""
    bits = characters * _BITS
    woven = 0
    for index in range(bits):
        source, place = (column, (bits + 1) // 2) if index % 2 == 0 else (row, bits // 2)
        woven = woven << 1 | source >> (place - 1 - index // 2) & 1
    return "".join(
        _ALPHABET[woven >> _BITS * (characters - 1 - index) & 0b11111] for index in range(characters)
    )


def _row_and_column(geohash: str) -> tuple[int, int]:
    bits = "".join(f"{_ALPHABET.index(character):05b}" for character in geohash)
    return int(bits[1::2] or "0", 2), int(bits[::2], 2)
