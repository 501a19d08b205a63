"""Starts ministack in this process with its holes closed, and stops it without losing what it acknowledged.

Run as a script by an interpreter that has ministack and cryptography: ``python launcher.py --help``. The
root access key is taken from AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY. On the descriptor ``--report-fd``
one line of JSON says either ``{"ready": true, "python": "3.x"}`` or ``{"error": "<sentence>"}``. SIGTERM or
SIGINT stops it.

Exit codes: 0 stopped, 3 ministack is not the one these mends were written for, 4 a port or the state cannot
be used.
"""

import argparse
import asyncio
import importlib
import json
import os
import signal
import socket
import sys
import tempfile
from contextlib import suppress
from pathlib import Path
from typing import Any

_SOURCE = str(Path(__file__).resolve().parents[2])
sys.path.append(_SOURCE)
from evswap_local.ministack import (  # noqa: E402 - found by the line above
    certification,
    direct,
    gate,
    holes,
    live_page,
    proofs,
    revocation,
    snapshots,
    versions,
)

sys.path.remove(_SOURCE)

EXIT_OTHER_MINISTACK = 3
EXIT_CANNOT_START = 4

SERVICES = (
    "apigateway,athena,budgets,cloudwatch,cognito-idp,dynamodb,events,execute-api,glue,iam,iot,iot-data,kms,lambda,logs,s3,"
    "scheduler,secretsmanager,sns,sqs,ssm,sts,tagging"
)
"""What the stack may use. The rest of ministack would open ports of its own (SFTP, databases) when called."""

Serving = asyncio.Task[None]
LIVE_PAGE = Path(_SOURCE) / "evswap_local" / "live_page"
LOOPBACK = frozenset({"127.0.0.1", "::1", "localhost"})
REVOCATION_S = 2.0
QUIESCE_S = 15.0
CLOSE_S = 10.0
"""From Python 3.12 on a server waits for its last connection, so closing needs an end."""


class CannotStart(Exception):
    """Carries the sentence for the user and the exit code."""

    def __init__(self, sentence: str, exit_code: int) -> None:
        super().__init__(sentence)
        self.exit_code = exit_code


def main() -> int:
    """Runs until a signal; returns the exit code."""
    options = _options()
    report = _Report(options.report_fd)
    try:
        listener = _prepare(options)
        asyncio.run(_serve(options, listener, report))
    except CannotStart as error:
        report.error(str(error))
        return error.exit_code
    return 0


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--host", default="127.0.0.1", help="address to bind, HTTP and MQTT (default: %(default)s)"
    )
    parser.add_argument("--port", type=int, default=4566, help="HTTP port (default: %(default)s)")
    parser.add_argument("--mqtt-port", type=int, default=8883, help="MQTT port (default: %(default)s)")
    parser.add_argument("--state-dir", type=Path, required=True, help="where all state is kept")
    parser.add_argument(
        "--live-file", type=Path, help="the addresses of live updates, once there are any; shows their page"
    )
    parser.add_argument(
        "--temporary-dir", type=Path, required=True, help="for unpacked functions; may be emptied"
    )
    parser.add_argument("--region", default="us-east-1", help="region (default: %(default)s)")
    parser.add_argument(
        "--save-interval",
        type=float,
        default=15.0,
        metavar="SECONDS",
        help="time between two snapshots of the state (default: %(default)s)",
    )
    parser.add_argument("--report-fd", type=int, default=None, help="descriptor for the one line of JSON")
    return parser.parse_args()


class _Report:
    """The one line to the parent; to stderr as well when it is an error."""

    def __init__(self, descriptor: int | None) -> None:
        self._descriptor = descriptor

    def ready(self) -> None:
        self._say({"ready": True, "python": f"{sys.version_info.major}.{sys.version_info.minor}"})

    def error(self, sentence: str) -> None:
        sys.stderr.write(f"launcher: {sentence}\n")
        self._say({"error": sentence})

    def _say(self, line: dict[str, object]) -> None:
        if self._descriptor is not None:
            with suppress(BrokenPipeError):
                os.write(self._descriptor, json.dumps(line).encode() + b"\n")
            os.close(self._descriptor)
            self._descriptor = None


def _prepare(options: argparse.Namespace) -> holes.MqttListener:
    """Sets what ministack reads at import, imports it, and mends it."""
    _set_environment(options)
    tempfile.tempdir = str(options.temporary_dir)
    if absent := [name for name in ("ministack", "cryptography", "hypercorn") if not _is_installed(name)]:
        raise CannotStart(
            f"{sys.executable} has no {' and no '.join(absent)}; make it anew", EXIT_CANNOT_START
        )
    if gone := holes.missing():
        raise CannotStart(
            "refusing to run this ministack: it is not the one whose holes evswap closes, it has no "
            f"{', '.join(gone)}; install the version that requirements/ministack.txt names",
            EXIT_OTHER_MINISTACK,
        )
    holes.demand_client_certificates()
    holes.verify_root_signatures(os.environ["AWS_ACCESS_KEY_ID"], os.environ["AWS_SECRET_ACCESS_KEY"])
    holes.randomise_function_credentials()
    certification.sign_requests_over_mqtt()
    direct.invoke_functions_as_aws_does()
    holes.forget_streams()
    versions.reserve_for_every_version()
    return holes.bind_mqtt_to(options.host)


def _set_environment(options: argparse.Namespace) -> None:
    if not os.environ.get("AWS_ACCESS_KEY_ID") or not os.environ.get("AWS_SECRET_ACCESS_KEY"):
        raise CannotStart(
            "AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY name the root key: both are needed",
            EXIT_CANNOT_START,
        )
    for directory in (options.state_dir, options.temporary_dir):
        directory.mkdir(parents=True, exist_ok=True, mode=0o700)
    os.umask(0o077)
    os.environ.update(
        AUTH="true",
        BIND_HOST=options.host,
        GATEWAY_PORT=str(options.port),
        IOT_MTLS_PORT=str(options.mqtt_port),
        LAMBDA_EXECUTOR="local",
        LOG_LEVEL="WARNING",
        MINISTACK_HOST="127.0.0.1" if options.host in LOOPBACK else "localhost",
        MINISTACK_REGION=options.region,
        PERSIST_STATE="1",
        S3_DATA_DIR=str(options.state_dir / "s3"),
        S3_PERSIST="1",
        SERVICES=SERVICES,
        SFTP_ENABLED="0",
        STATE_DIR=str(options.state_dir / "services"),
        TMPDIR=str(options.temporary_dir),
        DOCKER_HOST="unix:///nonexistent",
    )


def _is_installed(name: str) -> bool:
    try:
        importlib.import_module(name)
    except ImportError:
        return False
    return True


async def _serve(options: argparse.Namespace, listener: holes.MqttListener, report: _Report) -> None:
    """Serves until a signal arrives, reporting ready once the proofs have held."""
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    end_workers = importlib.import_module("ministack.core.lambda_runtime").reset
    server = asyncio.create_task(_hypercorn(options, _listen(options), stop))
    try:
        await _until_up(options, listener, server)
        await _prove(options)
        report.ready()
        await _until_stopped(options, stop, server)
    finally:
        await snapshots.quiesce(QUIESCE_S)
        await asyncio.to_thread(end_workers)
        await asyncio.to_thread(snapshots.save)
        stop.set()
        with suppress(OSError, TimeoutError):
            await asyncio.wait_for(server, CLOSE_S)
        await asyncio.to_thread(end_workers)


async def _hypercorn(options: argparse.Namespace, listening: int, stop: asyncio.Event) -> None:
    serve = importlib.import_module("hypercorn.asyncio").serve
    config = importlib.import_module("hypercorn.config").Config()
    config.bind = [f"fd://{listening}"]
    config.keep_alive_timeout = 75
    config.graceful_timeout = 3
    config.accesslog = None
    config.loglevel = "WARNING"
    application: Any = importlib.import_module("ministack.app").app
    names = gate.LOOPBACK_NAMES if options.host in LOOPBACK else frozenset[str]()
    page = options.live_file and live_page.LivePage(files=LIVE_PAGE, addresses=options.live_file)
    guarded = gate.Gate(inner=application, names=names, live=page)
    await serve(guarded, config, shutdown_trigger=stop.wait)


async def _until_up(options: argparse.Namespace, listener: holes.MqttListener, server: Serving) -> None:
    """Waits for the MQTT listener: ministack opens it last, when its state is loaded."""
    iot: Any = importlib.import_module("ministack.services.iot")
    while not iot.mtls_is_listening():
        if listener.failure is not None:
            raise CannotStart(_cannot_listen(options.mqtt_port, listener.failure), EXIT_CANNOT_START)
        if server.done():
            raise CannotStart(f"the server ended at once: {server.exception()}", EXIT_CANNOT_START)
        await asyncio.sleep(0.05)


def _listen(options: argparse.Namespace) -> int:
    """A descriptor of the HTTP listener. Bound here, as hypercorn would only log that it could not."""
    try:
        return socket.create_server((options.host, options.port), backlog=100).detach()
    except OSError as error:
        raise CannotStart(_cannot_listen(options.port, error), EXIT_CANNOT_START) from error


def _cannot_listen(port: int, error: OSError) -> str:
    return f"cannot listen on port {port}: {os.strerror(error.errno or 0)}"


async def _prove(options: argparse.Namespace) -> None:
    found = await asyncio.to_thread(proofs.open_holes, options.host, options.port, options.mqtt_port)
    if found:
        raise CannotStart(
            f"refusing to run ministack with a hole open: {'; '.join(found)}", EXIT_OTHER_MINISTACK
        )


async def _until_stopped(options: argparse.Namespace, stop: asyncio.Event, server: Serving) -> None:
    tasks = {
        asyncio.create_task(snapshots.save_every(options.save_interval)),
        asyncio.create_task(revocation.disconnect_revoked_every(REVOCATION_S)),
        asyncio.create_task(_set(stop)),
    }
    try:
        await asyncio.wait({server, *tasks}, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in tasks:
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task


async def _set(event: asyncio.Event) -> None:
    await event.wait()


if __name__ == "__main__":
    sys.exit(main())
