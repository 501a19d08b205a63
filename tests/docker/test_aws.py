"""The entrypoint of the local AWS: it waits for children that others left to it, or its stop would hang."""

import os
import subprocess
import sys
import textwrap
from pathlib import Path

from evswap_docker import aws
from evswap_hil.deadline import wait_until

RUN = """
import os, sys
from pathlib import Path
from evswap_docker import aws
aws.EVSWAP, aws.READY = sys.argv[1], Path(sys.argv[2])
os._exit(aws.main(["run"]))
"""
EVSWAP = """\
#!/bin/sh
case "$1" in
up) setsid sh -c 'echo $$ > {pid}; exec sleep {lives}' & ;;
down) kill $(cat {pid}); while kill -0 $(cat {pid}) 2>/dev/null; do sleep 0.05; done; echo down >> {done} ;;
esac
"""
"""`up` leaves a process behind and `down` ends it, and waits until it is gone, as the real ones do."""


def start(folder: Path, *, lives: float) -> "subprocess.Popen[bytes]":
    program = folder / "evswap"
    program.write_text(EVSWAP.format(pid=folder / "pid", done=folder / "done", lives=lives))
    program.chmod(0o755)
    environment = {**os.environ, "PYTHONPATH": str(Path(aws.__file__).parents[1])}
    command = [sys.executable, "-c", textwrap.dedent(RUN), str(program), str(folder / "ready")]
    return subprocess.Popen(command, env=environment)


def test_it_stops_in_order_when_told_to(tmp_path: Path) -> None:
    process = start(tmp_path, lives=200)
    wait_until((tmp_path / "ready").exists, what="readiness", within=60)
    process.terminate()
    assert process.wait(60) == 0
    assert (tmp_path / "done").read_text() == "down\n"
    assert not (tmp_path / "ready").exists()


def test_it_ends_when_the_emulator_has_ended_by_itself(tmp_path: Path) -> None:
    assert start(tmp_path, lives=0.2).wait(60) == 1
    assert not (tmp_path / "done").exists()
