"""What a request to the API reads of DynamoDB: as much of a hundred thousand stations as of a thousand."""

import json

import pytest

from evswap_cloud.latest import MOST_EXAMINED, to_item
from evswap_cloud.nearby import MOST_READ
from tests.cloud.large_fleet import CITY, STATIONS, stations
from tests.integration.aws import TABLE, Aws, answer_to

_AT_ONCE = 25
_NEAR = {"near": f"{CITY.latitude},{CITY.longitude}", "limit": "20"}

REQUESTS = {
    "one station": ("/stations/station-000500", {}, 1),
    "a page": ("/stations", {"limit": "100"}, 101),
    "a page of faults": ("/stations", {"limit": "100", "status": "fault"}, MOST_EXAMINED),
    "near, 0.5 km": ("/stations", _NEAR | {"radius_km": "0.5"}, MOST_READ),
    "near, 5 km": ("/stations", _NEAR | {"radius_km": "5"}, MOST_READ),
    "near, 50 km": ("/stations", _NEAR | {"radius_km": "50"}, MOST_READ),
}


@pytest.mark.timeout(900)
@pytest.mark.parametrize("count", [1_000, pytest.param(STATIONS, marks=pytest.mark.release)])
def test_a_request_reads_a_bounded_number_of_items(
    cloud: Aws, count: int, capsys: pytest.CaptureFixture[str]
) -> None:
    load(cloud, count)
    examined = cloud.count_items()
    for name, (path, query, most) in REQUESTS.items():
        examined.clear()
        text = answer_to(path, query)
        with capsys.disabled():
            print(f"\n{name}: {sum(examined)} of {count} items read by {len(examined)} calls")
        assert {"stations", "station_id"} & json.loads(text).keys()
        assert examined, name
        assert sum(examined) <= most, name


def load(cloud: Aws, count: int) -> None:
    items = [{"PutRequest": {"Item": to_item(one)}} for one in stations(count)]
    for start in range(0, count, _AT_ONCE):
        answer = cloud.dynamodb.batch_write_item(RequestItems={TABLE: items[start : start + _AT_ONCE]})
        assert not answer["UnprocessedItems"]
