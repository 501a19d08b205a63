"""The artifact: complete, the same each time, and clear about what keeps it from being installed."""

import hashlib
import json
import os
import sys
import tomllib
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

from deploy.greengrass.artifact import __main__ as installer
from tests.greengrass.conftest import GREENGRASS, build
from tests.greengrass.device import Device

ARTIFACT = "evswap-station.zip"


@pytest.fixture
def empty_device(built: Path, tmp_path: Path) -> Device:
    """A device with an artifacts folder of its own, and nothing in it."""
    artifacts = tmp_path / "artifacts"
    artifacts.mkdir()
    return Device(tmp_path / "device", built / "recipes" / "recipe.yaml", artifacts)


def altered(original: Path, copy: Path, name: str, change: Callable[[bytes], bytes]) -> None:
    """Copy an artifact with one of its files changed."""
    with zipfile.ZipFile(original) as source, zipfile.ZipFile(copy, "w") as target:
        for entry in source.infolist():
            content = source.read(entry)
            target.writestr(entry, change(content) if entry.filename == name else content)


def test_it_holds_everything_and_the_hash_of_everything(artifacts: Path) -> None:
    with zipfile.ZipFile(artifacts / ARTIFACT) as archive:
        names = archive.namelist()
        requirements = archive.read("requirements.txt").decode()
        wheels = {name: archive.read(name) for name in names if name.startswith("wheels/")}
    distributions = {name.removeprefix("wheels/").split("-")[0] for name in wheels}
    assert {"evswap_edge", "evswap_schema", "awscrt", "awsiotsdk", "msgspec", "pymodbus"} <= distributions
    for name, content in wheels.items():
        assert hashlib.sha256(content).hexdigest() in requirements, name


@pytest.mark.release
def test_the_same_sources_make_the_same_bytes(artifacts: Path, tmp_path: Path) -> None:
    again = build(tmp_path, "local")
    assert again.returncode == 0, again.stderr
    first, second = artifacts / ARTIFACT, tmp_path / artifacts.relative_to(artifacts.parents[2]) / ARTIFACT
    assert first.read_bytes() == second.read_bytes()
    assert hashlib.sha256(first.read_bytes()).hexdigest() in again.stdout


def test_the_recipe_lies_where_gdk_looks_and_without_a_bucket_where_a_local_deployment_does(
    built: Path,
) -> None:
    for_gdk = yaml.safe_load((built / "recipes" / "recipe.yaml").read_text())
    local_text = (built / "local" / "recipes" / "com.evswap.Station-0.1.0.yaml").read_text()
    (manifest,) = for_gdk["Manifests"]
    del manifest["Artifacts"]
    assert yaml.safe_load(local_text) == for_gdk
    assert 'ComponentVersion: "0.1.0"' in local_text


@pytest.mark.parametrize("target", ["windows-x86_64-cp311", "linux-aarch64", "linux-aarch64-cp27"])
def test_an_unknown_target_is_refused_before_anything_is_built(target: str, tmp_path: Path) -> None:
    done = build(tmp_path / "out", target)
    assert (done.returncode, (tmp_path / "out").exists()) == (1, False)
    assert f"unknown target {target}: use local, linux-aarch64-cp311" in done.stderr


# --- on the device ----------------------------------------------------------------------------------------


def test_installing_again_changes_nothing(device: Device) -> None:
    python = (device.work / "venv" / "bin" / "python").stat()
    done = device.install()
    assert (done.returncode, "0.1.0 is installed" in done.stdout) == (0, True)
    assert (device.work / "venv" / "bin" / "python").stat() == python
    assert sorted(path.name for path in device.work.glob("venv*")) == ["venv", "venvs"]


def test_without_an_artifact_it_says_what_to_build(empty_device: Device) -> None:
    done = empty_device.install()
    assert done.returncode == 1
    assert f"{empty_device.artifacts} holds no {ARTIFACT}: build it" in done.stderr


def test_without_python_it_says_what_to_install(empty_device: Device, tmp_path: Path) -> None:
    (tmp_path / "device" / "bin" / "python3").unlink()
    done = empty_device.install(path=str(tmp_path / "device" / "bin"))
    assert (done.returncode, "install Python 3.11 or later" in done.stderr) == (1, True)


def test_an_artifact_for_another_device_says_for_which_and_for_which_to_build(
    empty_device: Device, artifacts: Path
) -> None:
    manifest = json.dumps({"version": "0.1.0", "targets": ["linux-riscv64-cp311"]}).encode()
    altered(
        artifacts / ARTIFACT, empty_device.artifacts / ARTIFACT, "manifest.json", lambda content: manifest
    )
    done = empty_device.install()
    assert done.returncode == 1
    here = installer.this_device()
    assert f"this device is {here}, and the artifact holds linux-riscv64-cp311" in done.stderr
    assert f"--target {here}" in done.stderr
    assert list(empty_device.work.iterdir()) == []


def test_a_python_that_is_too_old_is_told_which_would_do(
    artifacts: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    project = tomllib.loads((GREENGRASS.parents[1] / "edge" / "pyproject.toml").read_text())["project"]
    assert project["requires-python"] == f">={installer.OLDEST_PYTHON[0]}.{installer.OLDEST_PYTHON[1]}"
    monkeypatch.setattr(sys, "version_info", (3, 9, 2, "final", 0))
    with pytest.raises(installer.InstallationError, match=r"the station needs 3\.11 or later"):
        installer.install(artifacts / ARTIFACT, tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_an_artifact_that_was_tampered_with_is_not_installed(empty_device: Device, artifacts: Path) -> None:
    """The link that the station is started by appears only when all is there."""
    with zipfile.ZipFile(artifacts / ARTIFACT) as archive:
        victim = next(name for name in archive.namelist() if "evswap_schema" in name)
    altered(artifacts / ARTIFACT, empty_device.artifacts / ARTIFACT, victim, lambda content: content + b" ")
    done = empty_device.install()
    assert done.returncode == 1
    assert "the artifact's wheels cannot be installed: build it again" in done.stderr
    assert "hash" in done.stderr.lower()
    assert not (empty_device.work / "venv").exists()
    assert not list(empty_device.work.rglob(installer.COMPLETE))


def test_an_installation_that_was_interrupted_is_begun_again(device: Device) -> None:
    """The device's fixture has left half a one there."""
    assert list(device.work.glob("venvs/*/half-made")) == []
    assert len(list(device.work.glob(f"venvs/*/{installer.COMPLETE}"))) == 1


def test_an_update_leaves_the_environment_that_still_runs(tmp_path: Path) -> None:
    """And forgets those before it, also half-made ones."""
    environments = [tmp_path / "venvs" / name for name in ("a", "b", "c")]
    for environment in environments:
        environment.mkdir(parents=True)
    half_made = tmp_path / "venvs" / "half"
    half_made.mkdir()
    for moment, environment in enumerate(environments):
        installer.point(tmp_path / "venv", environment)
        os.utime(environment / installer.COMPLETE, (moment, moment))
    installer.forget_old(environments[-1])
    assert sorted(path.name for path in (tmp_path / "venvs").iterdir()) == ["b", "c"]
    assert (tmp_path / "venv").resolve() == environments[-1]
