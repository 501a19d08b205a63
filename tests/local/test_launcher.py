"""The launcher refuses a ministack whose holes it does not close."""

import json
import os
import socket
import subprocess
import textwrap
from pathlib import Path

import pytest

from evswap_local.emulator import own_environment
from tests.local.real import ROOT, free_ports

SOURCE = ROOT / "deploy" / "local" / "src"
LAUNCHER = SOURCE / "evswap_local" / "ministack" / "launcher.py"
REFUSED = 3
CANNOT_START = 4


def launch(python: Path, folder: Path, meddling: str, *, port: int = 0) -> tuple[int, str]:
    """Runs the launcher where ``meddling`` was executed before; its exit code and its sentence."""
    main, mqtt = free_ports(2)
    reading, writing = os.pipe()
    script = textwrap.dedent(meddling) + (
        f"\nimport runpy, sys\nsys.argv[0] = {str(LAUNCHER)!r}\n"
        f"runpy.run_path({str(LAUNCHER)!r}, run_name='__main__')\n"
    )
    ended = subprocess.run(
        [
            *(str(python), "-c", script),
            *("--port", str(port or main), "--mqtt-port", str(mqtt), "--report-fd", str(writing)),
            *("--state-dir", str(folder / "state"), "--temporary-dir", str(folder / "tmp")),
        ],
        env=own_environment() | {"AWS_ACCESS_KEY_ID": "AKIAX", "AWS_SECRET_ACCESS_KEY": "secret"},
        pass_fds=[writing],
        capture_output=True,
        timeout=120,
        check=False,
    )
    os.close(writing)
    with os.fdopen(reading) as report:
        said = report.readline()
    assert said, ended.stderr.decode()
    return ended.returncode, json.loads(said).get("error", "")


@pytest.mark.parametrize(
    ("module", "name"),
    [
        ("ministack.services.iot", "_mtls_build_ssl_context"),
        ("ministack.services.iot", "_mtls_start_locked"),
        ("ministack.core.iam_evaluator", "resolve_credential"),
    ],
)
def test_an_upgrade_that_moves_a_mended_function_is_noticed(
    ministack_python: Path, tmp_path: Path, module: str, name: str
) -> None:
    code, sentence = launch(
        ministack_python,
        tmp_path,
        f"""
        import ministack.app, ministack.services.iot, ministack.services.sts, {module}
        import ministack.services.lambda_svc
        del {module}.{name}
        """,
    )
    assert code == REFUSED
    assert f"{module}.{name}" in sentence


@pytest.mark.parametrize(
    ("undone", "hole"),
    [
        ("holes.demand_client_certificates = lambda: None", "without a certificate"),
        ("holes.bind_mqtt_to = lambda host: holes.MqttListener()", "open beyond"),
        ("holes.verify_root_signatures = lambda key, secret: None", "is root without its secret"),
        ("gate.Gate.refusal = lambda self, scope: None", "unsigned S3"),
        ("gate.Gate.refusal = lambda self, scope: None", "administration"),
    ],
)
def test_a_mend_that_has_no_effect_is_noticed(
    ministack_python: Path, tmp_path: Path, undone: str, hole: str
) -> None:
    code, sentence = launch(
        ministack_python,
        tmp_path,
        f"""
        import sys
        sys.path.append({str(SOURCE)!r})
        from evswap_local.ministack import gate, holes
        {undone}
        """,
    )
    assert code == REFUSED
    assert hole in sentence


def test_a_port_that_is_taken_is_one_sentence(ministack_python: Path, tmp_path: Path) -> None:

    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        code, sentence = launch(ministack_python, tmp_path, "", port=port)
    assert code == CANNOT_START
    assert str(port) in sentence
