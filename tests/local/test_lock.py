"""One command at a time."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from evswap_local.errors import Busy
from evswap_local.lock import exclusive

HOLDS = """
import sys
from pathlib import Path
from evswap_local.lock import exclusive
with exclusive(Path(sys.argv[1])):
    print("held", flush=True)
    sys.stdin.read()
"""


def test_the_second_is_told_who_holds_it(tmp_path: Path) -> None:
    with exclusive(tmp_path / "lock"), pytest.raises(Busy) as refusal, exclusive(tmp_path / "lock"):
        pass
    assert refusal.value.holder == str(os.getpid())


def test_it_is_free_again_afterwards(tmp_path: Path) -> None:
    for _ in range(2):
        with exclusive(tmp_path / "lock"):
            pass


def test_it_is_free_when_its_holder_was_killed(tmp_path: Path) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", HOLDS, str(tmp_path / "lock")],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    ) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == b"held\n"
        with pytest.raises(Busy, match=str(holder.pid)), exclusive(tmp_path / "lock"):
            pass
        holder.kill()
    with exclusive(tmp_path / "lock"):
        pass
