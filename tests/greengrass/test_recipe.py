"""The recipe says only what both nuclei understand, and permits exactly what a station says and
hears.

AWS's own schema comes with GDK, which is on no package index; these are its rules that apply here, and those
that nucleus lite 2.6 adds.
"""

import json
import re
import subprocess
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml

from evswap_edge.config import StationFile
from evswap_edge.emulators.greengrass.access import MQTT, is_allowed
from evswap_schema import TOPICS, Channel, Direction, aws_topic, shadow
from evswap_schema.topics import ROOT

CHECKOUT = Path(__file__).parents[2]
GREENGRASS = CHECKOUT / "deploy" / "greengrass"
RECIPE: dict[str, Any] = yaml.safe_load((GREENGRASS / "recipe.yaml").read_text())
(MANIFEST,) = RECIPE["Manifests"]
SCRIPTS = {name: step["Script"] for name, step in MANIFEST["Lifecycle"].items()}
CONFIGURATION = RECIPE["ComponentConfiguration"]["DefaultConfiguration"]

UNSAID = {Channel.CONNECTION, Channel.CERTIFICATE}
"""A core's connection and its certificate are the nucleus's: presence events tell of the one, and the nucleus
replaces the other."""


def levels(row: Any) -> list[str]:
    return ["42"] * row.suffix.count("+")


def test_it_has_the_keys_that_are_known_in_their_spelling() -> None:
    """Nucleus lite does not know `componentname`."""
    assert set(RECIPE) == {
        "RecipeFormatVersion",
        "ComponentName",
        "ComponentVersion",
        "ComponentDescription",
        "ComponentPublisher",
        "ComponentConfiguration",
        "Manifests",
    }
    assert set(RECIPE["ComponentConfiguration"]) == {"DefaultConfiguration"}
    assert set(MANIFEST) == {"Platform", "Lifecycle", "Artifacts"}
    for step in MANIFEST["Lifecycle"].values():
        assert set(step) <= {"Script", "Timeout"}
    for artifact in MANIFEST["Artifacts"]:
        assert set(artifact) == {"URI", "Unarchive"}


def test_it_is_a_component_of_the_format_that_both_nuclei_read() -> None:
    assert RECIPE["RecipeFormatVersion"] == "2020-01-25"
    assert re.fullmatch(r"[a-zA-Z0-9._-]{1,128}", RECIPE["ComponentName"])
    assert re.fullmatch(r"\d+\.\d+\.\d+", RECIPE["ComponentVersion"])
    # Without `runtime` nucleus lite skips the manifest.
    assert MANIFEST["Platform"] == {"os": "linux", "runtime": "*"}


def test_its_version_is_text_also_to_a_reader_that_guesses_types() -> None:
    assert f'ComponentVersion: "{RECIPE["ComponentVersion"]}"' in (GREENGRASS / "recipe.yaml").read_text()


def test_its_lifecycle_has_the_steps_that_nucleus_lite_runs() -> None:
    """No Skipif, shutdown or recover there; the station's own process is what SIGTERM has to reach."""
    assert set(SCRIPTS) == {"install", "run"}
    for script in SCRIPTS.values():
        assert re.search(r"\bexec \S*python3?\b|\bexec \"[^\"]*/python\"", script)
        subprocess.run(["/bin/sh", "-n", "-c", script], check=True)


def test_it_uses_variables_that_nucleus_lite_replaces() -> None:
    """{iot:thingName} is none of them in accessControl, where it would be taken as it stands."""
    text = json.dumps(SCRIPTS)
    assert set(re.findall(r"\{([a-z]+:[A-Za-z/]+)\}", text)) == {"artifacts:path", "work:path"}
    assert not re.search(r"\{\w+:", str(CONFIGURATION["accessControl"][MQTT]))


def test_its_artifact_is_the_one_that_is_built_and_stays_packed() -> None:
    (artifact,) = MANIFEST["Artifacts"]
    assert artifact["Unarchive"] == "NONE"
    bucket, component, version, name = artifact["URI"].removeprefix("s3://").split("/")
    assert (bucket, component, version) == ("BUCKET_NAME", "COMPONENT_NAME", "COMPONENT_VERSION")
    assert f"{{artifacts:path}}/{name}" in SCRIPTS["install"]


def test_versions_agree() -> None:
    versions = {
        tomllib.loads((CHECKOUT / name / "pyproject.toml").read_text())["project"]["version"]
        for name in ("edge", "shared")
    }
    gdk = json.loads((GREENGRASS / "gdk-config.json").read_text())["component"]
    assert set(gdk) == {RECIPE["ComponentName"]}
    versions |= {gdk[RECIPE["ComponentName"]]["version"], RECIPE["ComponentVersion"]}
    assert len(versions) == 1


def test_its_configuration_is_one_of_a_station_but_for_the_driver() -> None:
    """A simulated driver is never the silent default on hardware."""
    assert set(CONFIGURATION) == {"station", "accessControl"}
    assert set(CONFIGURATION["station"]) <= set(StationFile.__struct_fields__) - {"station_id", "outbox"}
    assert "driver" not in CONFIGURATION["station"]


# --- access -----------------------------------------------------------------------------------------------


def may(operation: str, resource: str) -> bool:
    return is_allowed(
        CONFIGURATION["accessControl"],
        service=MQTT,
        operation=f"aws.greengrass#{operation}",
        resource=resource,
    )


def filter_of(row: Any, station_id: str) -> str:
    """What a station asks for to hear all of a channel."""
    return f"{ROOT}/{station_id}/{row.suffix}"


@pytest.mark.parametrize("row", TOPICS.values(), ids=lambda row: row.channel)
def test_it_may_say_what_a_station_says_hear_what_one_hears_and_nothing_else(row: Any) -> None:
    topic = aws_topic(row.channel, "station-01", *levels(row))
    says = row.direction is Direction.UP and row.channel not in UNSAID
    assert may("PublishToIoTCore", topic) is says
    assert not may("PublishToIoTCore", f"{topic}/more")
    hears = row.direction is Direction.DOWN
    assert may("SubscribeToIoTCore", filter_of(row, "station-01")) is hears
    assert not may("SubscribeToIoTCore", f"{ROOT}/#")


@pytest.mark.parametrize("what", [*shadow.REQUESTS, *shadow.ANSWERS])
def test_it_may_ask_for_its_configuration_and_hear_the_answers(what: str) -> None:
    topic = shadow.shadow_topic("station-01", what)
    assert may("PublishToIoTCore", topic) is (what in shadow.REQUESTS)
    assert may("SubscribeToIoTCore", topic) is (what in shadow.ANSWERS)
    assert not may("PublishToIoTCore", topic.replace(f"/name/{shadow.NAME}", ""))


def test_no_resource_is_there_for_nothing() -> None:
    says, hears = CONFIGURATION["accessControl"][MQTT].values()
    spoken = [
        aws_topic(row.channel, "X", *("Y" for _ in levels(row))).replace("/X/", "/*/").replace("/Y", "/*")
        for row in TOPICS.values()
        if row.direction is Direction.UP and row.channel not in UNSAID
    ]
    heard = [filter_of(row, "*") for row in TOPICS.values() if row.direction is Direction.DOWN]
    assert sorted(says["resources"]) == sorted(spoken + [shadow.topic_of("*", r) for r in shadow.REQUESTS])
    assert sorted(hears["resources"]) == sorted(heard + [shadow.topic_of("*", a) for a in shadow.ANSWERS])
    assert says["operations"] == ["aws.greengrass#PublishToIoTCore"]
    assert hears["operations"] == ["aws.greengrass#SubscribeToIoTCore"]
    assert set(CONFIGURATION["accessControl"]) == {MQTT}
