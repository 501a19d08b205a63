"""Asking the REST API, as anyone may."""

import base64
import json
import time
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from datetime import datetime
from typing import Any

from evswap_local.errors import StationsMissing
from evswap_schema import parse_timestamp

PAGE = 500
POLL_S = 0.5


def stations(api_url: str) -> Iterator[dict[str, Any]]:
    """Every station that the API knows; raises OSError or ValueError when it does not answer."""
    cursor: str | None = None
    while True:
        query = {"limit": str(PAGE)} | ({"cursor": cursor} if cursor else {})
        with urllib.request.urlopen(  # noqa: S310 - the address is our own
            f"{api_url}/stations?{urllib.parse.urlencode(query)}", timeout=30
        ) as answer:
            page = json.load(answer)
        yield from page["stations"]
        cursor = page.get("next_cursor")
        if not cursor:
            return


def fetch_token(endpoint_url: str, client_id: str, secret: str, *, scopes: Sequence[str] = ()) -> str:
    """An access token by the client's secret, with ``scopes``, or all that the client may have; raises
    OSError."""
    form = {"grant_type": "client_credentials"} | ({"scope": " ".join(scopes)} if scopes else {})
    basic = base64.b64encode(f"{client_id}:{secret}".encode()).decode()
    request = urllib.request.Request(  # noqa: S310 - the address is our own
        f"{endpoint_url}/oauth2/token",
        data=urllib.parse.urlencode(form).encode(),
        headers={"Authorization": f"Basic {basic}"},
    )
    with urllib.request.urlopen(request, timeout=30) as answer:  # noqa: S310
        return str(json.load(answer)["access_token"])


def visible(api_url: str, station_ids: Sequence[str], since: datetime) -> set[str]:
    """Those of ``station_ids`` whose newest reading was received after ``since``."""
    wanted = set(station_ids)
    return {
        station["station_id"]
        for station in stations(api_url)
        if station["station_id"] in wanted and parse_timestamp(station["received_at"]) >= since
    }


def await_visible(
    api_url: str,
    station_ids: Sequence[str],
    *,
    since: datetime,
    deadline_s: float,
    progress: Callable[[int], None],
    demand_alive: Callable[[], None],
) -> None:
    """Waits until all are visible, telling ``progress`` how many are; raises StationsMissing."""
    deadline = time.monotonic() + deadline_s
    seen: set[str] = set()
    while time.monotonic() < deadline:
        demand_alive()
        try:
            seen = visible(api_url, station_ids, since)
        except (OSError, ValueError):
            seen = set()
        progress(len(seen))
        if seen == set(station_ids):
            return
        time.sleep(POLL_S)
    raise StationsMissing([name for name in station_ids if name not in seen], deadline_s)
