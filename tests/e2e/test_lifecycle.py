"""Stopping, starting again, and everything that keeps a stack from starting."""

import socket
from pathlib import Path

import pytest

from evswap_hil.deadline import wait_until
from tests.e2e.local_stack import IN_TIME_S, LocalStack
from tests.e2e.messages import seed_message, telemetry_topic


def test_what_was_written_is_there_after_down_and_up(own_stack: LocalStack) -> None:
    own_stack.up("--stations", "1", "--interval", "1")
    with own_stack.visitor() as visitor:
        visitor.publish(telemetry_topic("visitor"), seed_message("visitor", battery_available=77))
    with own_stack.api() as api:
        wait_until(lambda: api.station("visitor"), what="the visitor's state", within=IN_TIME_S)
    archived = {each.key for each in own_stack.objects("telemetry/")}
    certificate = own_stack.described.certificate_of("station-01").certificate.read_bytes()

    own_stack.down()
    assert own_stack.remains() == []
    assert list((own_stack.state_dir / "run").glob("*.json")) == []
    for port in (own_stack.port, own_stack.mqtt_port):
        socket.create_server(("127.0.0.1", port)).close()

    own_stack.up("--stations", "2", "--interval", "1")
    with own_stack.api() as api:
        assert (api.station("visitor") or {})["battery_available"] == 77
        assert {"station-01", "station-02", "visitor"} <= {each["station_id"] for each in api.stations()}
    assert archived <= {each.key for each in own_stack.objects("telemetry/")}
    assert own_stack.described.certificate_of("station-01").certificate.read_bytes() == certificate


def test_down_where_nothing_runs_is_no_failure(own_stack: LocalStack) -> None:
    own_stack.down()


@pytest.mark.parametrize("taken", ["port", "mqtt_port"])
def test_a_port_that_is_taken_is_named_and_nothing_is_left(own_stack: LocalStack, taken: str) -> None:
    number = getattr(own_stack, taken)
    with socket.create_server(("127.0.0.1", number)):
        answer = own_stack.run(
            "up", "--port", str(own_stack.port), "--mqtt-port", str(own_stack.mqtt_port), "--stations", "1"
        )
    assert answer.returncode != 0
    assert str(number) in answer.stderr
    assert "Traceback" not in answer.stderr
    assert own_stack.remains() == []


def test_an_emulator_that_does_not_start_is_said_and_nothing_is_left(
    own_stack: LocalStack, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("EVSWAP_MINISTACK_PYTHON", "/bin/false")
    answer = own_stack.run("up", "--port", str(own_stack.port), "--mqtt-port", str(own_stack.mqtt_port))
    assert answer.returncode != 0
    assert "Traceback" not in answer.stderr
    assert len(answer.stderr.strip().splitlines()) <= 5
    assert own_stack.remains() == []


def test_a_missing_emulator_is_said_with_its_mend(
    own_stack: LocalStack, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("EVSWAP_MINISTACK_PYTHON", str(tmp_path / "nowhere" / "python"))
    answer = own_stack.run("up", "--port", str(own_stack.port), "--mqtt-port", str(own_stack.mqtt_port))
    assert answer.returncode != 0
    assert "make" in answer.stderr
    assert own_stack.remains() == []
