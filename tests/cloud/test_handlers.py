"""Between SQS and ingest: the partial batch response, and what is written to the log."""

import json

import pytest

from evswap_cloud.errors import MissingSetting
from evswap_cloud.handlers.sqs import ingest_event
from evswap_cloud.wiring import setting
from evswap_schema import encode_reading
from tests.cloud.logs import Log
from tests.cloud.messages import delivered, delivery, envelope, reading, sqs_event
from tests.cloud.stores import Stores


@pytest.fixture
def stores() -> Stores:
    return Stores()


def test_success_is_an_empty_list_and_silence_at_warning(stores: Stores) -> None:
    log = Log(level="WARNING")
    assert ingest_event(sqs_event([delivered(reading())]), stores.live, stores.acknowledger, log.logger) == {
        "batchItemFailures": []
    }
    assert log.lines == []


def test_what_failed_is_named_once_and_alone(stores: Stores) -> None:
    stores.latest.refused = {"station-01"}
    event = sqs_event([delivered(reading(), "a"), delivered(reading(station_id="station-02"), "b")])
    log = Log()
    answer = ingest_event(event, stores.live, stores.acknowledger, log.logger)
    assert answer == {"batchItemFailures": [{"itemIdentifier": "a"}]}
    [failure, summary] = log.lines
    assert (failure["level"], failure["record"], failure["code"]) == ("WARNING", "a", "ThrottlingException")
    assert (summary["records"], summary["archived"], summary["failed"]) == (2, 2, 1)


def test_a_quarantine_is_one_json_line_that_leads_to_the_object_and_shows_no_value(stores: Stores) -> None:
    payload = encode_reading(reading()).replace(b'"operational"', b'"Jane Doe"')
    event = sqs_event([delivery(envelope(payload))])
    log = Log(level="WARNING")
    ingest_event(event, stores.live, stores.acknowledger, log.logger)
    [line] = log.lines
    assert (line["level"], line["reason"], line["field"]) == ("WARNING", "invalid-field", "status")
    assert line["quarantine_key"] in stores.quarantine.messages
    assert "Jane Doe" not in json.dumps(line)


def test_a_defect_is_logged_with_its_traceback(stores: Stores) -> None:
    class Broken(Exception):
        pass

    def add(item: object) -> None:
        raise Broken("no bytes of a message in here")

    stores.archive.add = add  # type: ignore[method-assign, assignment]
    log = Log()
    answer = ingest_event(
        sqs_event([delivered(reading(), "a")]), stores.live, stores.acknowledger, log.logger
    )
    assert answer == {"batchItemFailures": [{"itemIdentifier": "a"}]}
    assert log.lines[0]["exception_name"] == "Broken"


def test_a_missing_setting_names_the_variable() -> None:
    assert setting("A", {"A": "b"}) == "b"
    with pytest.raises(MissingSetting, match="EVSWAP_STATIONS_TABLE"):
        setting("EVSWAP_STATIONS_TABLE", {"EVSWAP_STATIONS_TABLE": ""})
