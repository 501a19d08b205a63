"""Mosquitto for real, as an operator would run it: mutual TLS, access by topic, revocation, persistence.

A station is who its certificate's common name says: that is its user name and its client id, and what it may
write and read follows from it. A test gets one by the fixture `mosquitto` (tests/conftest.py).
"""

import os
import random
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final

from evswap_schema.topics import ROOT
from tests.authority import LOOPBACK, Authority, common_name, key_pem, new_key

SERVER: Final = "mosquitto"
MISSING: Final = f"no `{SERVER}` on PATH or in /usr/sbin: apt-get install {SERVER}"

_OUTSIDE_PATH: Final = "/usr/sbin"
"""Where Debian puts it, which an ordinary user's PATH does not name."""
_PORTS: Final = range(20_000, 32_000)
"""Below the range that the kernel lends to clients: one that dials a port of that range in vain, again and
again, ends up connected to itself."""
_PATIENCE_S: Final = 10.0
_LOOK_EVERY_S: Final = 0.01
_BEGUN: Final = timedelta(days=3)
_LASTS: Final = timedelta(days=365)
"""As a station's certificate: a clock that is a day off does not end it."""
_RELOADS: Final = "Reloading config."

STATION_RULES: Final = (
    f"pattern write {ROOT}/%u/#",
    f"pattern write $aws/rules/+/{ROOT}/%u/#",
    f"pattern read {ROOT}/%u/commands/+",
    f"pattern read {ROOT}/%u/acknowledgement",
)
"""A station speaks for itself alone, on a plain broker's topics and on those of AWS's basic ingest, and hears
what is sent to it."""


@dataclass(frozen=True, slots=True)
class Credentials:
    """What a client shows, and whom it trusts: files in PEM."""

    name: str
    certificate_file: Path
    key_file: Path
    ca_file: Path


def find_mosquitto() -> str | None:
    """The program, if this machine has it."""
    return shutil.which(SERVER) or shutil.which(SERVER, path=_OUTSIDE_PATH)


def free_port() -> int:
    """A port of the loopback that nobody listens on, and that no client is lent meanwhile."""
    for port in random.sample(_PORTS, len(_PORTS)):
        with socket.socket() as candidate, suppress(OSError):
            candidate.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            candidate.bind((LOOPBACK, port))
            return port
    raise OSError(f"all of the ports {_PORTS.start} to {_PORTS.stop - 1} are in use")


class Mosquitto:
    """A broker in `folder`, on one port for as long as this object lives, however often it is restarted.

    `observers` are users who may read and write every topic. `options` are further lines of
    mosquitto.conf(5). With `persistence` it keeps sessions and retained messages over `stop` and `start`, not
    over `kill`: that loses what it did not save, although it was acknowledged.
    """

    host: Final = LOOPBACK

    def __init__(
        self,
        folder: Path,
        *,
        authority: Authority | None = None,
        rules: Iterable[str] = STATION_RULES,
        observers: Sequence[str] = ("observer",),
        persistence: bool = True,
        options: Sequence[str] = (),
    ) -> None:
        program = find_mosquitto()
        if program is None:
            raise FileNotFoundError(MISSING)
        folder.mkdir(parents=True, exist_ok=True)
        self._program = program
        self._folder = folder
        self._process: subprocess.Popen[bytes] | None = None
        self._revoked: list[bytes] = []
        self.authority = authority or Authority(folder, name="broker-authority")
        self.ca_file = self.authority.certificate
        self.port = free_port()
        self._write_files([*rules, *_rules_of(observers)], persistence=persistence, options=options)

    # --- running ----------------------------------------------------------------------------------------

    def __enter__(self) -> "Mosquitto":
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    @property
    def running(self) -> bool:
        return self._process is not None and self._process.poll() is None

    @property
    def log(self) -> str:
        """All that it has said so far."""
        return self._log_file.read_text(errors="replace") if self._log_file.exists() else ""

    def start(self) -> None:
        """Return when it takes connections. Safe to call while it runs."""
        if self.running:
            return
        with self._log_file.open("ab") as log:
            self._process = subprocess.Popen(
                [self._program, "-c", str(self._folder / "mosquitto.conf")], stdout=log, stderr=log
            )
        self._wait_until_it_listens(self._process)

    def stop(self) -> None:
        """SIGTERM: it says goodbye to its clients and saves what it is to keep. Safe to call twice."""
        self._end(signal.SIGTERM)

    def kill(self) -> None:
        """SIGKILL: no goodbye; what it did not save is lost."""
        self._end(signal.SIGKILL)

    def restart(self) -> None:
        """Stop and start again on the same port."""
        self.stop()
        self.start()

    def pause(self) -> None:
        """SIGSTOP: it holds its connections and answers nothing, until `resume`."""
        self._signal(signal.SIGSTOP)

    def resume(self) -> None:
        self._signal(signal.SIGCONT)

    # --- who may come -----------------------------------------------------------------------------------

    def station_credentials(self, name: str) -> Credentials:
        """A certificate of the broker's authority with the common name `name`, and its key, the same each
        time."""
        mine = Credentials(
            name=name,
            certificate_file=self._folder / f"{name}.cert.pem",
            key_file=self._folder / f"{name}.key.pem",
            ca_file=self.ca_file,
        )
        if not mine.certificate_file.exists():
            key = new_key()
            mine.key_file.write_bytes(key_pem(key))
            mine.key_file.chmod(0o600)
            now = datetime.now(UTC)
            signed = self.authority.sign(
                common_name(name), key.public_key(), begins=now - _BEGUN, ends=now + _LASTS
            )
            mine.certificate_file.write_bytes(signed)
        return mine

    def revoke(self, certificate_file: Path, *, restart: bool = True) -> None:
        """Put a certificate on the revocation list, and restart: that ends its connection, too. Without
        `restart` the list is only read again: an open connection stays."""
        self._revoked.append(certificate_file.read_bytes())
        self._write_revocation_list()
        if self.running:
            (self.restart if restart else self.reload)()

    def reload(self) -> None:
        """SIGHUP: return when it has read access rules, certificates and the revocation list again."""
        times = self.log.count(_RELOADS)
        self._signal(signal.SIGHUP)
        deadline = time.monotonic() + _PATIENCE_S
        while self.log.count(_RELOADS) == times:
            if time.monotonic() > deadline:
                raise RuntimeError(f"mosquitto does not reload:\n{self.log}")
            time.sleep(_LOOK_EVERY_S)

    # --- inside -----------------------------------------------------------------------------------------

    @property
    def _log_file(self) -> Path:
        return self._folder / "mosquitto.log"

    def _write_files(self, rules: Iterable[str], *, persistence: bool, options: Sequence[str]) -> None:
        own = self.station_credentials(SERVER)
        self._write_revocation_list()
        (self._folder / "acl").write_text("\n".join([*rules, ""]))
        lines = [
            f"listener {self.port} {self.host}",
            f"cafile {self.ca_file}",
            f"certfile {own.certificate_file}",
            f"keyfile {own.key_file}",
            f"crlfile {self._folder / 'revoked.pem'}",
            "require_certificate true",
            "use_identity_as_username true",
            "use_username_as_clientid true",
            "allow_anonymous false",
            f"acl_file {self._folder / 'acl'}",
            f"persistence {str(persistence).lower()}",
            f"persistence_location {self._folder}/",
            "max_queued_messages 0",
            "set_tcp_nodelay true",
            "log_dest stderr",
            "log_type all",
            "log_timestamp_format %Y-%m-%dT%H:%M:%S",
            *options,
        ]
        if os.getuid() == 0:
            lines.append("user root")  # it would become a user to whom a test's folder is closed
        (self._folder / "mosquitto.conf").write_text("\n".join([*lines, ""]))

    def _write_revocation_list(self) -> None:
        (self._folder / "revoked.pem").write_bytes(self.authority.revocation_list(self._revoked))

    def _wait_until_it_listens(self, process: "subprocess.Popen[bytes]") -> None:
        deadline = time.monotonic() + _PATIENCE_S
        while process.poll() is None and time.monotonic() < deadline:
            with suppress(OSError), socket.create_connection((self.host, self.port), timeout=1):
                return
            time.sleep(_LOOK_EVERY_S)
        self.kill()
        raise RuntimeError(f"mosquitto does not listen on port {self.port}:\n{self.log}")

    def _end(self, how: signal.Signals) -> None:
        process, self._process = self._process, None
        if process is None:
            return
        process.send_signal(how)
        try:
            process.wait(_PATIENCE_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()

    def _signal(self, number: signal.Signals) -> None:
        if self._process is not None:
            self._process.send_signal(number)


def _rules_of(observers: Iterable[str]) -> Iterable[str]:
    for name in observers:
        yield from (f"user {name}", "topic readwrite #", "topic readwrite $aws/#")
