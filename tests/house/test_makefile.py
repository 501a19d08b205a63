"""`make` is the front door: it lists what there is and passes on what it was given."""

import os
import re
import subprocess
from pathlib import Path

CHECKOUT = Path(__file__).parents[2]
UP = re.compile(r"evswap up *(.*)")


def make(*arguments, **environment):
    outcome = subprocess.run(
        ["make", "--no-print-directory", *arguments],
        cwd=CHECKOUT,
        env={"PATH": os.environ["PATH"], **environment},
        capture_output=True,
        text=True,
        check=True,
    )
    return outcome.stdout


def options_of_up(*arguments, **environment):
    found = UP.search(make("--dry-run", "up", *arguments, **environment))
    assert found
    return found.group(1).split()


def test_make_alone_lists_every_target():
    declared = re.search(r"^\.PHONY: (.*)$", (CHECKOUT / "Makefile").read_text(), re.MULTILINE)
    assert declared
    listed = [line.split()[1] for line in make().splitlines()]
    assert sorted(listed) == sorted(declared.group(1).split())


def test_what_is_given_is_passed_on():
    assert options_of_up("STATIONS=25", "MQTT_PORT=9883", "REPORTING=on-change") == [
        "--stations",
        "25",
        "--mqtt-port",
        "9883",
        "--reporting",
        "on-change",
    ]


def test_what_is_not_given_is_left_to_the_command():
    assert options_of_up() == []


def test_the_environment_is_not_taken_for_an_option():
    assert options_of_up(PORT="8080") == []
