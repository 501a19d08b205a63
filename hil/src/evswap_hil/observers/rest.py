"""A reader of the REST API.

What can go wrong, as a tree:

* `ApiError`
    * `ApiUnreachable`: no answer at all
    * `UnexpectedAnswer`: an answer that the API's description does not allow here
"""

from collections.abc import Callable, Iterator
from types import TracebackType
from typing import Any, Literal, Self, TypeVar
from urllib.parse import quote

import httpx

from evswap_hil.deadline import Waited, wait_until

TIMEOUT_S = 5.0
PAGE_SIZE = 100

Found = TypeVar("Found")

Station = dict[str, Any]
"""A station as the API gives it: a JSON object, read without the product's own types."""

SEED_FIELDS = (
    "station_id",
    "battery_available",
    "battery_charging",
    "temperature",
    "humidity",
    "status",
    "timestamp",
)
"""What the API has told of every station from the first day on."""


class ApiError(Exception):
    """The API did not do what it promises."""


class ApiUnreachable(ApiError):
    """No answer from `url`."""

    def __init__(self, url: str, cause: str) -> None:
        super().__init__(f"no answer from {url}: {cause}")
        self.url = url
        self.cause = cause


class UnexpectedAnswer(ApiError):
    """`url` answered `status` with `body`, which is not what was asked for."""

    def __init__(self, url: str, status: int, body: str, reason: str) -> None:
        super().__init__(f"{url} answered {status}, {reason}: {body[:200]}")
        self.url = url
        self.status = status
        self.body = body
        self.reason = reason


class RestObserver:
    """Asks the API about stations. A context manager: it keeps one connection open."""

    def __init__(self, api_url: str, *, api_key: str | None = None, timeout: float = TIMEOUT_S) -> None:
        headers = {"x-api-key": api_key} if api_key else {}
        self._client = httpx.Client(base_url=f"{api_url.rstrip('/')}/", headers=headers, timeout=timeout)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Give the connection back. Safe to call twice."""
        self._client.close()

    def station(self, station_id: str) -> Station | None:
        """The latest state of one station; None where the API does not know it."""
        answer = self._get(f"stations/{quote(station_id, safe='')}")
        if answer.status_code == httpx.codes.NOT_FOUND:
            return None
        return self._object(answer)

    def stations(self, *, page_size: int = PAGE_SIZE) -> list[Station]:
        """The latest state of all stations, through all pages."""
        return [station for page in self.pages(page_size=page_size) for station in page]

    def pages(self, *, page_size: int = PAGE_SIZE) -> Iterator[list[Station]]:
        """The pages as the API cuts them."""
        cursor: str | None = None
        while True:
            parameters = {"limit": str(page_size)} | ({"cursor": cursor} if cursor else {})
            answer = self._get("stations", parameters)
            page = self._object(answer)
            stations = page.get("stations")
            if not isinstance(stations, list) or page.get("count") != len(stations):
                raise self._unexpected(answer, "count is not the number of stations on the page")
            yield stations
            following = page.get("next_cursor")
            if not following:
                return
            if following == cursor:
                raise self._unexpected(answer, "the next page is this page")
            cursor = following

    def wait_until(
        self, predicate: Callable[[Self], Found | Literal[False] | None], *, what: str, within: float
    ) -> Waited[Found]:
        """Ask `predicate`, which is given this observer, until its answer is true; return it.

        `what` names what is waited for, `within` is in seconds. Raises NotInTime.
        """
        return wait_until(lambda: predicate(self), what=what, within=within)

    def _get(self, path: str, parameters: dict[str, str] | None = None) -> httpx.Response:
        try:
            return self._client.get(path, params=parameters)
        except httpx.TransportError as failed:
            url = str(failed.request.url)
            raise ApiUnreachable(url, str(failed) or type(failed).__name__) from failed

    def _object(self, answer: httpx.Response) -> dict[str, Any]:
        if answer.status_code != httpx.codes.OK:
            raise self._unexpected(answer, "not 200")
        try:
            body = answer.json()
        except ValueError as not_json:
            raise self._unexpected(answer, "not JSON") from not_json
        if not isinstance(body, dict):
            raise self._unexpected(answer, "not a JSON object")
        return body

    def _unexpected(self, answer: httpx.Response, reason: str) -> UnexpectedAnswer:
        return UnexpectedAnswer(str(answer.url), answer.status_code, answer.text, reason)
