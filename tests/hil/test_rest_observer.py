import pytest

from evswap_hil.deadline import NotInTime
from evswap_hil.observers.rest import ApiUnreachable, RestObserver, UnexpectedAnswer


@pytest.fixture
def observer(api):
    with RestObserver(api.url) as running:
        yield running


def stations(*numbers):
    return [{"station_id": f"station-{number:02}"} for number in numbers]


def test_a_station_is_asked_for_by_its_id(api, observer):
    api.answer = lambda _request: (200, {"station_id": "station-01", "status": "operational"})
    assert observer.station("station-01") == {"station_id": "station-01", "status": "operational"}
    assert api.requests[0].path == "/prod/stations/station-01"


def test_an_unknown_station_is_none(observer):
    assert observer.station("station-99") is None


def test_all_pages_are_read(api, observer):
    following = {
        None: (stations(1, 2), "two"),
        "two": (stations(3, 4), "three"),
        "three": (stations(5), None),
    }

    def page(request):
        content, cursor = following[request.query.get("cursor")]
        return 200, {"count": len(content), "stations": content} | ({"next_cursor": cursor} if cursor else {})

    api.answer = page
    assert observer.stations(page_size=2) == stations(1, 2, 3, 4, 5)
    assert {request.query["limit"] for request in api.requests} == {"2"}


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        ((500, {}), "not 200"),
        ((200, b"<html>"), "not JSON"),
        ((200, []), "not a JSON object"),
        ((200, {"count": 2, "stations": [{}]}), "count"),
        ((200, {"count": 0}), "count"),
    ],
)
def test_an_answer_that_breaks_the_promise_is_reported_with_its_text(api, observer, answer, reason):
    api.answer = lambda _request: answer
    with pytest.raises(UnexpectedAnswer, match=reason) as failure:
        observer.stations()
    assert failure.value.status == answer[0]


def test_pages_that_never_end_are_reported(api, observer):
    api.answer = lambda _request: (200, {"count": 0, "stations": [], "next_cursor": "again"})
    with pytest.raises(UnexpectedAnswer, match="the next page is this page"):
        observer.stations()


def test_the_key_is_sent_where_there_is_one(api):
    with RestObserver(api.url, api_key="opens the door") as observer:
        observer.station("station-01")
    assert api.requests[0].headers["x-api-key"] == "opens the door"


def test_no_key_is_sent_where_there_is_none(api, observer):
    observer.station("station-01")
    assert "x-api-key" not in api.requests[0].headers


def test_no_answer_names_the_address(closed_port):
    with (
        RestObserver(f"http://127.0.0.1:{closed_port}") as observer,
        pytest.raises(ApiUnreachable) as failure,
    ):
        observer.stations()
    assert str(closed_port) in str(failure.value)


def test_waiting_returns_what_was_waited_for(api, observer):
    api.answer = lambda _request: (200, {"asked": len(api.requests)}) if len(api.requests) > 2 else (404, {})
    waited = observer.wait_until(lambda asked: asked.station("station-01"), what="it", within=10)
    assert waited.found == {"asked": 3}


def test_waiting_in_vain_names_what_was_waited_for(observer):
    with pytest.raises(NotInTime, match="the station"):
        observer.wait_until(lambda asked: asked.station("station-01"), what="the station", within=0)
