"""The entrypoint of a station's container: a drawer, a certificate, then the station itself.

A *drawer* is a folder of the data volume, named after the station that it belongs to; key, certificate and
outbox lie in it. Containers that share a volume (replicas of one compose service) take the lowest drawer that
no other has: the kernel's lock on it (flock(2)) is held by a descriptor that the station inherits, so it is
free again as soon as the station is gone, however it went. A replica that is killed and started again, or
scaled away and back, so finds its outbox again.

Standard library only; it stands alone in the image.
"""

import fcntl
import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Any, NoReturn

PROGRAM = "/opt/evswap/bin/evswap-edge"
CONFIG = Path("/run/evswap/station.yaml")
"""Where the health check finds it too."""

MOST_DRAWERS = 999
PROVISION_WITHIN_S = 600
EXIT_CONFIGURATION = 2
EXIT_NO_DRAWER = 5
NAME = re.compile(r"[A-Za-z0-9_-]{1,64}")
PREFIX = re.compile(r"[A-Za-z0-9_-]{1,58}")


class CannotStart(Exception):
    """Carries the sentence for the operator and the exit code."""

    def __init__(self, sentence: str, exit_code: int) -> None:
        super().__init__(sentence)
        self.exit_code = exit_code


@dataclass(frozen=True, kw_only=True)
class Wishes:
    """What the container was told, by its environment."""

    host: str
    port: int
    template: str
    claim_dir: Path
    data: Path
    station_id: str | None
    prefix: str
    bays: int
    interval_s: float
    reporting: str
    reconnect_max_s: float

    @classmethod
    def of(cls, environment: Mapping[str, str]) -> "Wishes":
        """Raises CannotStart for what is missing or cannot be meant."""
        host = environment.get("EVSWAP_MQTT_HOST", "")
        if not host:
            raise _misconfigured("EVSWAP_MQTT_HOST is not set: name the MQTT endpoint of the cloud")
        return cls(
            host=host,
            port=int(_number(environment, "EVSWAP_MQTT_PORT", 8883)),
            template=environment.get("EVSWAP_TEMPLATE", "evswap-station"),
            claim_dir=Path(environment.get("EVSWAP_CLAIM_DIR", "/run/claim")),
            data=Path(environment.get("EVSWAP_DATA", "/data")),
            station_id=_name(environment, "EVSWAP_STATION_ID", NAME),
            prefix=_name(environment, "EVSWAP_STATION_PREFIX", PREFIX) or "docker-",
            bays=int(_number(environment, "EVSWAP_BAYS", 8)),
            interval_s=_number(environment, "EVSWAP_INTERVAL_S", 5.0),
            reporting=environment.get("EVSWAP_REPORTING", "every-sample"),
            reconnect_max_s=_number(environment, "EVSWAP_RECONNECT_MAX_S", 60.0),
        )

    def candidates(self) -> Iterator[str]:
        """The stations that this container may be, the first choice first."""
        if self.station_id is not None:
            return iter([self.station_id])
        return (f"{self.prefix}{number:02d}" for number in range(1, MOST_DRAWERS + 1))


def main(arguments: Sequence[str]) -> NoReturn:
    """Becomes the station, or another command of the same image (`docker run IMAGE check --config ...`)."""
    try:
        become = arguments or prepared()
    except CannotStart as error:
        sys.stderr.write(f"station: {error}\n")
        sys.exit(error.exit_code)
    os.execv(PROGRAM, [PROGRAM, *become])  # noqa: S606 - what is executed is fixed


def prepared() -> Sequence[str]:
    """All that a station needs is there afterwards; the arguments that run it. Raises CannotStart."""
    wishes = Wishes.of(os.environ)
    station_id = take_drawer(wishes)
    provision(wishes, station_id)
    CONFIG.write_text(json.dumps(configuration(wishes, station_id), indent=2), encoding="utf-8")
    return ["run", "--config", str(CONFIG)]


def take_drawer(wishes: Wishes) -> str:
    """The name of a drawer that is this process's alone, and that of what it becomes by exec."""
    for station_id in wishes.candidates():
        folder = wishes.data / station_id
        try:
            folder.mkdir(mode=0o700, exist_ok=True)
            descriptor = os.open(folder / ".drawer.lock", os.O_RDWR | os.O_CREAT, 0o600)
        except OSError as error:
            raise CannotStart(
                f"{folder} cannot be used ({error.strerror}): mount a volume on {wishes.data} that belongs "
                f"to user {os.getuid()}",
                EXIT_NO_DRAWER,
            ) from error
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(descriptor)
            continue
        os.set_inheritable(descriptor, True)
        return station_id
    taken = wishes.station_id or f"each of the {MOST_DRAWERS} drawers"
    raise CannotStart(
        f"{taken} on {wishes.data} is in use by another container: stop that one, or give this one a volume "
        f"or an EVSWAP_STATION_ID of its own",
        EXIT_NO_DRAWER,
    )


def provision(wishes: Wishes, station_id: str) -> None:
    """Obtains the certificate, when there is none yet; raises CannotStart.

    A child, so that nothing of it stays behind in what this process becomes. SIGTERM ends both.
    """
    before = signal.signal(signal.SIGTERM, _end)
    try:
        done = subprocess.run([PROGRAM, *provisioning(wishes, station_id)], check=False)
    finally:
        signal.signal(signal.SIGTERM, before)
    if done.returncode != 0:
        raise CannotStart(f"{station_id} has no certificate (see above)", done.returncode)


def provisioning(wishes: Wishes, station_id: str) -> list[str]:
    """The command that obtains the certificate."""
    authority = wishes.claim_dir / "ca.pem"
    return [
        *("provision", "--station-id", station_id, "--directory", str(wishes.data / station_id)),
        *("--host", wishes.host, "--port", str(wishes.port), "--template", wishes.template),
        *("--claim-certificate", str(wishes.claim_dir / "claim.cert.pem")),
        *("--claim-key", str(wishes.claim_dir / "claim.key.pem")),
        *(("--ca-file", str(authority)) if authority.is_file() else ()),
        *("--within", str(PROVISION_WITHIN_S)),
    ]


def configuration(wishes: Wishes, station_id: str) -> dict[str, Any]:
    """station.yaml; JSON is YAML too."""
    folder, authority = wishes.data / station_id, wishes.claim_dir / "ca.pem"
    transport = {
        "name": "aws-iot",
        "host": wishes.host,
        "port": wishes.port,
        "certificate_file": str(folder / f"{station_id}.cert.pem"),
        "key_file": str(folder / f"{station_id}.key.pem"),
        "reconnect_max_s": wishes.reconnect_max_s,
    }
    return {
        "station_id": station_id,
        "driver": {"name": "simulated", "bays": wishes.bays},
        "outbox": {"path": str(folder / "outbox.sqlite")},
        "sampling": {"interval_s": wishes.interval_s},
        "reporting": {"mode": wishes.reporting},
        "transport": transport | ({"ca_file": str(authority)} if authority.is_file() else {}),
    }


def _end(number: int, _frame: FrameType | None) -> NoReturn:
    sys.exit(128 + number)


def _name(environment: Mapping[str, str], variable: str, pattern: re.Pattern[str]) -> str | None:
    value = environment.get(variable, "")
    if value and not pattern.fullmatch(value):
        raise _misconfigured(f"{variable} is {value!r}: letters, digits, - and _ only")
    return value or None


def _number(environment: Mapping[str, str], variable: str, default: float) -> float:
    value = environment.get(variable, "")
    try:
        return float(value) if value else default
    except ValueError:
        raise _misconfigured(f"{variable} is {value!r}: not a number") from None


def _misconfigured(sentence: str) -> CannotStart:
    return CannotStart(sentence, EXIT_CONFIGURATION)


if __name__ == "__main__":
    main(sys.argv[1:])
