"""Live updates as data: the API, its feed, and what is promised about both."""

import json
import re
from typing import Any, get_args

import pytest
import yaml

from evswap_cloud.latest import LatestState
from evswap_cloud.marks import NEWS, VERSION, marks, shown_number
from evswap_cloud.watching import frames, limits, requests
from evswap_cloud.watching.limits import FRAME_EVERY, MAX_AGE, SECOND
from evswap_cloud.watching.shown import Shown
from tests.cloud.messages import NOW, STACK
from tests.cloud.test_stack import FUNCTIONS, allowed, load

LIVE = load("live.yaml")
TABLES = load("tables.yaml")


def test_the_api_and_its_feed_name_what_exists() -> None:
    api, feed = LIVE["api"], LIVE["feed"]
    assert {api["function"], api["authoriser"]["function"], feed["function"]} <= FUNCTIONS.keys()
    assert TABLES[feed["table"]]["stream"] == "NEW_AND_OLD_IMAGES"
    assert {"$connect", "$disconnect", "$default"} == set(api["routes"])


def test_one_function_alone_sends_and_it_is_called_once_a_second() -> None:
    assert FUNCTIONS[LIVE["feed"]["function"]]["reserved_concurrency"] == 1
    assert LIVE["feed"]["window_s"] * SECOND == FRAME_EVERY


def test_a_change_that_could_not_be_sent_is_given_up_when_nobody_is_left_who_lacks_it() -> None:
    assert LIVE["feed"]["maximum_record_age_s"] * SECOND == MAX_AGE


def test_who_connects_shows_a_ticket_and_api_gateway_demands_it() -> None:
    assert LIVE["api"]["authoriser"]["identity_source"] == "route.request.querystring.ticket"


def test_the_stage_is_the_one_that_the_roles_may_send_at() -> None:
    for name in ("function-watch", "function-push"):
        stages = {
            resource.split("/")[1] for action, resource in allowed(name) if action.startswith("execute-api:")
        }
        assert stages == {LIVE["api"]["stage"]}


def test_only_the_tickets_functions_reach_tickets_and_neither_reads_them() -> None:
    reach = {
        (name, action)
        for name, one in FUNCTIONS.items()
        for action, resource in allowed(one["role"])
        if resource.endswith("table/evswap-tickets")
    }
    assert reach == {("ticket", "dynamodb:PutItem"), ("watch-authorise", "dynamodb:DeleteItem")}


# --- marks ---


def state(**changes: Any) -> LatestState:
    fields: dict[str, Any] = {
        "station_id": "station-01",
        "battery_available": 5,
        "battery_charging": 3,
        "temperature": 21.0,
        "humidity": 40.0,
        "status": "operational",
        "timestamp": NOW,
        "observed_at": NOW,
        "received_at": NOW,
    }
    return LatestState(**fields | changes)


@pytest.mark.parametrize(
    ("change", "is_news"),
    [
        ({"humidity": 41.0, "sequence": 7}, False),
        ({"temperature": 22.4}, False),
        ({"temperature": 29.0}, True),
        ({"temperature": None}, True),
        ({"status": "fault"}, True),
        ({"battery_available": 4}, True),
        ({"battery_charging": 4}, True),
    ],
)
def test_what_watchers_see_alone_makes_another_number(change: dict[str, Any], is_news: bool) -> None:
    assert (shown_number(state()) != shown_number(state(**change))) is is_news


def test_the_number_is_exact_wherever_it_is_read() -> None:
    assert 0 <= shown_number(state()) < 2**53


def test_versions_of_a_new_table_go_on_above_those_of_the_old_one() -> None:
    first = int(marks(state()).values[":first_version"]["N"])
    assert first == NOW.timestamp() * SECOND


def test_the_filter_looks_at_what_is_written() -> None:
    """By the attributes' names: that AWS's patterns fit is tried on the local AWS."""
    [filter_] = LIVE["feed"]["filters"]
    assert filter_["dynamodb"] == {"NewImage": {NEWS: {"N": [{"anything-but": ["0"]}]}}}
    assert any(f"#{VERSION} =" in assignment for assignment in marks(state()).assignments)
    assert len(json.dumps(filter_)) < 4_096


def test_the_published_messages_are_the_ones_that_are_spoken() -> None:
    document = yaml.safe_load((STACK / "asyncapi.yaml").read_text())
    schemas = document["components"]["schemas"]
    for struct in (*get_args(frames.Frame), *get_args(requests.Request), requests.Scope, Shown):
        schema = schemas[struct.__name__]
        fields = set(struct.__struct_fields__) | {struct.__struct_config__.tag_field} - {None}
        assert set(schema["properties"]) == fields, struct.__name__
    assert document["x-limits"] == {name: getattr(limits, name) for name in document["x-limits"]}
    assert re.fullmatch(r"3\.\d\.\d", document["asyncapi"])
