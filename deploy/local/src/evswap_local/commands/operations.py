"""``evswap smoke``, ``redrive``, ``restore`` and ``rollback``: an operator's commands, on the running stack.

``smoke`` tries any other deployment as well, when it is told where that is.
"""

import argparse
import asyncio
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Final

from evswap_cloud.operations.command_line import Report
from evswap_cloud.operations.deployment import Deployment
from evswap_cloud.operations.errors import SmokeFailure
from evswap_cloud.operations.smoke import BROKER, DEADLINE_S, Api, Step, smoke
from evswap_edge.clock import SystemTime
from evswap_edge.keys import certificate_path, key_path
from evswap_edge.message import Message
from evswap_edge.transports import Caller, TransportError
from evswap_edge.transports.aws_iot import KIND, Settings
from evswap_local.context import Context

if TYPE_CHECKING:
    from types_boto3_s3 import S3Client

CONNECT_S: Final = 20.0
"""How long a connection may take to come about."""

Steps = Iterator[Step]


def on_running_stack(report: Report) -> Callable[[Context, argparse.Namespace], int]:
    """``report`` for the stack that runs; raises ``NotRunning``."""

    def run(context: Context, options: argparse.Namespace) -> int:
        settings, _described = context.demand_running()
        return report(options, Deployment(context.clients(settings)))

    return run


def add_smoke_arguments(parser: argparse.ArgumentParser) -> None:
    """Where; all of it is known of the running stack."""
    other = parser.add_argument_group("another deployment than the running stack")
    other.add_argument("--api-url", metavar="URL", help="`terraform output -raw api_url`")
    other.add_argument("--api-key", metavar="KEY", help="where reading needs one")
    other.add_argument("--host", help="the account's endpoint iot:Data-ATS")
    other.add_argument("--port", type=int, default=8883, help="(default: %(default)s)")
    other.add_argument("--ca-file", type=Path, metavar="FILE", help="(default: the system's trust store)")
    other.add_argument("--certificates", type=Path, metavar="DIR", help="with ID.cert.pem and ID.key.pem")
    other.add_argument("--station-id", metavar="ID", help="a provisioned station that no device is")
    parser.add_argument(
        "--deadline", type=float, default=DEADLINE_S, metavar="S", help="for each step (default: %(default)g)"
    )
    parser.set_defaults(refuse=parser.error)


def run_smoke(context: Context, options: argparse.Namespace) -> int:
    """Says each step; 1 at the first that fails."""
    steps = _elsewhere(options) if options.api_url else _here(context, options)
    try:
        for step in steps:
            sys.stdout.write(f"ok    {step.name}: {step.detail} ({step.seconds:.2f} s)\n")
    except SmokeFailure as error:
        sys.stdout.write(f"fail  {error}\n")
        return 1
    return 0


def _here(context: Context, options: argparse.Namespace) -> Steps:
    settings, described = context.demand_running()
    return _steps(
        options,
        api=Api(described.api_url, described.api_key),
        station=Station(
            station_id=described.visitor_station_id,
            host=described.mqtt_host,
            port=described.mqtt_port,
            ca_file=Path(described.ca_file),
            certificates=Path(described.certificates_dir),
        ),
        archive=(context.clients(settings).s3, described.archive_bucket),
    )


def _elsewhere(options: argparse.Namespace) -> Steps:
    missing = [name for name in ("host", "certificates", "station_id") if getattr(options, name) is None]
    if missing:
        options.refuse(f"--api-url also needs {', '.join('--' + name.replace('_', '-') for name in missing)}")
    return _steps(
        options,
        api=Api(options.api_url, options.api_key),
        station=Station(
            station_id=options.station_id,
            host=options.host,
            port=options.port,
            ca_file=options.ca_file,
            certificates=options.certificates,
        ),
        archive=None,
    )


@dataclass(frozen=True, kw_only=True)
class Station:
    """Whose connection is used, and where it leads."""

    station_id: str
    host: str
    port: int
    ca_file: Path | None
    certificates: Path

    def publish(self, topic: str, payload: bytes) -> None:
        """As the station itself would; raises ``SmokeFailure``."""
        try:
            asyncio.run(self._publish(Message(topic, payload)))
        except TimeoutError as error:
            raise SmokeFailure(step=BROKER, problem=f"no connection within {CONNECT_S:.0f} s") from error
        except TransportError as error:
            raise SmokeFailure(step=BROKER, problem=str(error)) from error

    async def _publish(self, message: Message) -> None:
        transport = await KIND.open(self._settings(), Caller(station_id=self.station_id, time=SystemTime()))
        try:
            async with asyncio.timeout(CONNECT_S):
                await transport.connect()
            await transport.send(message)
        finally:
            await transport.aclose()

    def _settings(self) -> Settings:
        return Settings(
            host=self.host,
            port=self.port,
            ca_file=self.ca_file,
            certificate_file=certificate_path(self.certificates, self.station_id),
            key_file=key_path(self.certificates, self.station_id),
        )


def _steps(
    options: argparse.Namespace, *, api: Api, station: Station, archive: "tuple[S3Client, str] | None"
) -> Steps:
    return smoke(
        station_id=station.station_id,
        api=api,
        publisher=station,
        now=lambda: datetime.now(UTC),
        archive=archive,
        deadline_s=options.deadline,
    )
