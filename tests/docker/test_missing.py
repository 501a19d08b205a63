"""What is missing is named, with the mend: no engine, none that answers, no compose, a port that is taken."""

import os
import time
from pathlib import Path

import pytest

from evswap_docker.__main__ import main
from evswap_docker.compose import Compose
from evswap_docker.context import ABANDONED_S, sweep
from evswap_docker.engine import Engine
from evswap_docker.errors import (
    BadSetting,
    BaseImageMissing,
    CommandFailed,
    ComposeMissing,
    EngineSilent,
    NotRunning,
    PortTaken,
    PythonUnsuitable,
)
from evswap_docker.images import keep_base_image, target_of
from evswap_docker.settings import Settings
from evswap_docker.wheels import Target


def put(folder: Path, name: str, script: str) -> None:
    """A program called `name` that does what `script` says."""
    program = folder / name
    program.write_text(f"#!/bin/sh\n{script}\n")
    program.chmod(0o755)


def docker(folder: Path, **answers: str) -> Engine:
    """A docker that answers `version`, and each first word of `answers` by its script."""
    cases = "\n".join(f"{word}) {script} ;;" for word, script in {"version": "echo 1", **answers}.items())
    put(folder, "docker", f'case "$1" in\n{cases}\n*) exit 9 ;;\nesac')
    return Engine.find({"PATH": str(folder)})


def test_no_docker(clean_environment: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["status"]) == 1
    said = capsys.readouterr().err
    assert "docker is not on the PATH" in said
    assert "apt install docker.io" in said


def test_no_engine_answers(clean_environment: Path, capsys: pytest.CaptureFixture[str]) -> None:
    put(clean_environment, "docker", "echo Cannot connect to the Docker daemon >&2; exit 1")
    with pytest.raises(EngineSilent):
        Engine.find()
    assert main(["up", "3"]) == 1
    said = capsys.readouterr().err
    assert "Cannot connect to the Docker daemon" in said
    assert "systemctl start docker" in said


def test_no_compose(clean_environment: Path) -> None:
    with pytest.raises(ComposeMissing, match="docker-compose"):
        Compose.find(docker(clean_environment), Settings())


@pytest.mark.parametrize("plugin", [True, False])
def test_either_kind_of_compose_will_do(clean_environment: Path, plugin: bool) -> None:
    put(clean_environment, "docker-compose", "exit 0")
    engine = docker(clean_environment, **({"compose": "exit 0"} if plugin else {}))
    program = Compose.find(engine, Settings()).program
    assert program[-1] == ("compose" if plugin else str(clean_environment / "docker-compose"))


def test_a_base_image_that_cannot_be_pulled(clean_environment: Path) -> None:
    engine = docker(clean_environment, image="exit 1", pull="echo no such host >&2; exit 1")
    with pytest.raises(BaseImageMissing, match=r"no such host.*BASE_IMAGE"):
        keep_base_image(engine, "python:3.13-slim", lambda _: None)


@pytest.mark.parametrize("answer", ["exit 127", "echo x86_64 3.9.2", "echo x86_64 3.14.0"])
def test_a_base_image_with_another_python(clean_environment: Path, answer: str) -> None:
    with pytest.raises(PythonUnsuitable, match="BASE_IMAGE"):
        target_of(docker(clean_environment, run=answer), "busybox")


def test_the_target_is_that_of_the_base_image(clean_environment: Path) -> None:
    found = target_of(docker(clean_environment, run="echo aarch64 3.12.7"), "image")
    assert found == Target("aarch64", "3.12")
    assert "--abi=cp312" in " ".join(found.options()).replace("--abi cp312", "--abi=cp312")


def test_a_port_that_is_taken(clean_environment: Path) -> None:
    put(
        clean_environment,
        "docker-compose",
        "echo 'Bind for 127.0.0.1:4566 failed: port is already allocated' >&2; exit 1",
    )
    compose = Compose.find(docker(clean_environment), Settings())
    with pytest.raises(PortTaken, match="EVSWAP_PORT=4567"):
        compose.up(3)


def test_whatever_else_compose_says_is_shown(clean_environment: Path) -> None:
    put(clean_environment, "docker-compose", "echo no space left on device >&2; exit 1")
    with pytest.raises(CommandFailed, match="no space left"):
        Compose.find(docker(clean_environment), Settings()).up(3)


def test_status_of_nothing(clean_environment: Path) -> None:
    put(clean_environment, "docker-compose", "exit 0")
    compose = Compose.find(docker(clean_environment, ps="exit 0"), Settings())
    with pytest.raises(NotRunning, match="make stations"):
        compose.aws()


@pytest.mark.parametrize("count", ["0", "-1", "501", "many"])
def test_a_number_of_stations_that_cannot_be_meant(count: str) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["up", count])
    assert ended.value.code == 2


def test_what_a_killed_build_left_is_swept_away_and_nothing_else(tmp_path: Path) -> None:
    for name in (".aws-killed", ".wheels-under-way", "wheels-0123"):
        (tmp_path / name).mkdir()
    then = time.time() - ABANDONED_S - 60
    for name in (".aws-killed", "wheels-0123"):
        os.utime(tmp_path / name, (then, then))
    sweep(tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == {".wheels-under-way", "wheels-0123"}


@pytest.mark.parametrize("port", ["x", "0", "70000", "-1"])
def test_a_port_that_cannot_be_meant(port: str) -> None:
    with pytest.raises(BadSetting, match="EVSWAP_PORT"):
        Settings.of({"EVSWAP_PORT": port})


def test_what_the_environment_chooses() -> None:
    assert Settings.of({}) == Settings()
    chosen = Settings.of({"BASE_IMAGE": "debian", "EVSWAP_PORT": "5000", "EVSWAP_STATE_DIR": "/s"})
    assert (chosen.base_image, chosen.port, chosen.cache) == ("debian", 5000, Path("/s/docker"))
