"""A station that needs no OpenSSL has none in its memory, and one that does finds it."""

import subprocess
import sys
from pathlib import Path

import pytest

from tests.authority import Authority, common_name, key_pem, new_key

BEGIN = "import sys, evswap_edge.__main__; from evswap_edge import drivers, transports\n"
HEAVY = ("_ssl", "_hashlib", "cryptography", "importlib.metadata")
END = f"\nprint(*[name for name in {HEAVY} if sys.modules.get(name)])"


LOOK = """
from pathlib import Path
from evswap_edge.clock import SystemTime
kind, folder = transports.load_transport("aws-iot"), Path({folder!r})
files = dict(certificate_file=folder / "c", key_file=folder / "k", ca_file=folder / {ca!r})
kind.check(kind.settings(host="h", **files), SystemTime())
import evswap_edge.app
"""
METRICS = """
from evswap_edge.config import MetricsEndpoint
from evswap_edge.hosting import shown_at
import socket
with socket.create_server(("127.0.0.1", 0)) as probe:
    port = probe.getsockname()[1]
with shown_at(MetricsEndpoint(port=port)):
    pass
"""


def carried(lines: str) -> list[str]:
    """Which of the heavy modules a program of ours has in memory after ``lines``."""
    command = [sys.executable, "-W", "error", "-c", BEGIN + lines + END]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout.split()


@pytest.mark.parametrize("transport", ["aws-iot", "greengrass", "memory"])
def test_a_station_with_tls_of_its_own_carries_no_openssl(transport: str) -> None:
    assert carried(f"transports.load_transport({transport!r}); drivers.load_driver('simulated')") == []


def test_a_station_that_has_looked_at_its_certificate_carries_none_either(tmp_path: Path) -> None:
    key, authority = new_key(), Authority(tmp_path)
    (tmp_path / "c").write_bytes(authority.sign(common_name("s"), key.public_key()))
    (tmp_path / "k").write_bytes(key_pem(key))
    assert carried(LOOK.format(folder=str(tmp_path), ca=authority.certificate.name)) == []


def test_digests_are_the_same_without_it() -> None:
    assert carried("import hashlib, hmac; assert hashlib.sha256(b'').hexdigest()[:8] == 'e3b0c442'") == []


@pytest.mark.parametrize(
    "lines",
    [
        "transports.load_transport('mqtt'); import evswap_edge.transports.mqtt_transport",
        "drivers.load_driver('modbus')",
        METRICS,
    ],
)
def test_what_needs_it_finds_it(lines: str) -> None:
    assert "_ssl" in carried(lines)


def test_what_others_bring_along_may_need_it() -> None:
    lines = "try: drivers.load_driver('nobody-s')\nexcept Exception: pass\nimport ssl"
    assert "_ssl" in carried(lines)


def test_many_threads_allocate_from_one_heap() -> None:
    """malloc_info(3) has an element for each."""
    lines = """
import ctypes, os, threading
many = threading.Barrier(9)
def work():
    kept = [bytearray(3_000) for _ in range(1_000)]
    many.wait(30)
threads = [threading.Thread(target=work) for _ in range(8)]
[thread.start() for thread in threads]
many.wait(30)
[thread.join() for thread in threads]
libc = ctypes.CDLL(None)
libc.fdopen.restype = ctypes.c_void_p
reading, writing = os.pipe()
stream = ctypes.c_void_p(libc.fdopen(writing, b"w"))
assert libc.malloc_info(0, stream) == 0 and libc.fclose(stream) == 0
assert os.read(reading, 65536).count(b"<heap nr=") == 1
"""
    assert carried(lines) == []
