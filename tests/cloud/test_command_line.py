"""`evswap command` and `evswap-cloud command`: what a person at a shell says, and is told."""

import argparse
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from botocore.exceptions import EndpointConnectionError

from evswap_cloud.remote.command_line import add_command_arguments, report_command
from evswap_cloud.remote.records import heard
from evswap_schema import Outcome, Reserve, SetCharging, SetConfiguration, Unlock
from tests.cloud.commands_at_hand import STATION, Cloud, result


class Shell:
    """One that has said nothing yet. ``answer`` is what the station says of all that it is sent."""

    def __init__(self, answer: Outcome | None = None) -> None:
        self.cloud, self._answer = Cloud(), answer
        self.cloud.clock.now = datetime.now(UTC)
        publish = self.cloud.plane.publish

        def answered(**message: Any) -> Any:
            publish(**message)
            if self._answer is not None:
                command = self.cloud.plane.published[-1].command
                said = result(command.command_id, self._answer, reason="so it is")
                self.cloud.commands.advance(STATION, command.command_id, heard(said, datetime.now(UTC)))

        self.cloud.plane.publish = answered  # type: ignore[method-assign]

    def say(self, *arguments: str) -> int:
        parser = argparse.ArgumentParser()
        add_command_arguments(parser)
        return report_command(parser.parse_args(arguments), self.cloud.dispatcher, self.cloud.commands)


@pytest.mark.parametrize(
    ("arguments", "action"),
    [
        (["unlock", "--bay", "3"], Unlock(bay=3)),
        (["set_charging", "--bay", "3", "--enabled", "no"], SetCharging(bay=3, enabled=False)),
        (
            ["reserve", "--bay", "3", "--until", "2026-11-23T09:00:00Z", "--token", "a" * 64],
            Reserve(bay=3, until=datetime(2026, 11, 23, 9, tzinfo=UTC), id_token="a" * 64),
        ),
        (
            ["set_configuration", "--configuration", '{"sampling": {"interval_s": 10}}'],
            SetConfiguration(configuration={"sampling": {"interval_s": 10}}),
        ),
    ],
)
def test_what_is_said_is_sent(
    arguments: list[str], action: object, capsys: pytest.CaptureFixture[str]
) -> None:
    shell = Shell()
    assert shell.say(STATION, *arguments, "--expires-in", "60") == 0
    [message] = shell.cloud.plane.published
    assert (message.command.action, message.expiry_s) == (action, 60)
    assert capsys.readouterr().out == f"command {message.command.command_id} sent\n"


@pytest.mark.parametrize(
    ("outcome", "code"), [(Outcome.DONE, 0), (Outcome.REJECTED, 1), (Outcome.UNKNOWN, 1)]
)
def test_whoever_waits_is_told_the_result_and_has_it_as_exit_code(
    outcome: Outcome, code: int, capsys: pytest.CaptureFixture[str]
) -> None:
    assert Shell(outcome).say(STATION, "read_now", "--wait") == code
    assert capsys.readouterr().out.splitlines()[-1].endswith(f"{outcome}: so it is")


def test_whoever_waits_longer_than_the_cloud_should_is_told_so_by_the_exit_code() -> None:
    shell = Shell()
    shell.cloud.clock.now -= timedelta(hours=1)
    assert shell.say(STATION, "read_now", "--wait") == 1


def test_what_cannot_be_sent_now_is_sent_later(capsys: pytest.CaptureFixture[str]) -> None:
    shell = Shell()
    shell.cloud.plane.publish = Down().publish  # type: ignore[method-assign]
    assert shell.say(STATION, "read_now") == 0
    said = capsys.readouterr()
    assert said.out.endswith("pending\n")
    assert "when it asks" in said.err


class Down:
    """Nothing gets through."""

    def publish(self, **_: Any) -> Any:
        raise EndpointConnectionError(endpoint_url="https://nowhere")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["unlock"], "action.bay"),
        (["unlock", "--bay", "0"], "action.bay"),
        (["unlock", "--bay", "3", "--tier", "gold"], "unlock has no tier"),
        (["unlock", "--bay", "3", "--expires-in", "4000"], "--expires-in"),
        (["read_now", "--expires-in", "0"], "--expires-in"),
        (["set_charging", "--bay", "3", "--enabled", "perhaps"], "yes or no"),
        (["set_configuration", "--configuration", "{"], "is not JSON"),
        (["explode"], "invalid choice"),
    ],
)
def test_what_the_contract_refuses_is_wrong_use(
    arguments: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    shell = Shell()
    with pytest.raises(SystemExit) as ended:
        shell.say(STATION, *arguments)
    assert ended.value.code == 2
    assert said in capsys.readouterr().err
    assert shell.cloud.plane.published == []
