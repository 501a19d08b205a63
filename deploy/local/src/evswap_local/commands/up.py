"""``evswap up``: AWS, the stack and the stations on this machine."""

import argparse
import json
import shutil
import signal
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from types import FrameType
from typing import Any

import msgspec

from evswap_local import credentials, emulator, fleet
from evswap_local.api import await_visible
from evswap_local.certificates import keep_certificates
from evswap_local.claim import claim_certificate, claim_key, keep_claim
from evswap_local.clients import Clients
from evswap_local.context import Context
from evswap_local.errors import BadStack, OtherSettings, TerraformFailed
from evswap_local.files import write_private
from evswap_local.lock import exclusive
from evswap_local.maker import Maker, choose, discard_half_made, make_stack
from evswap_local.network import Network, keep_network
from evswap_local.package import keep_package
from evswap_local.processes import Processes
from evswap_local.progress import Progress
from evswap_local.riders import authorise_riders
from evswap_local.settings import VISITOR, Reporting, Settings
from evswap_local.stack.api import api_url, find_api
from evswap_local.stack.commands import dispatcher_of
from evswap_local.stack.ledger import ledger_of
from evswap_local.stack.live import find_live_api, live_stage
from evswap_local.stack.provisioning import template_name
from evswap_local.stack.source import Source
from evswap_local.stack_file import StackFile
from evswap_local.terraform.workspace import Workspace
from evswap_schema.limits import MAX_BAYS

VISIBLE_S = 60.0
VISIBLE_PER_STATION_S = 1.0
MOST_STATIONS = 5000
SLOWEST, FASTEST = 0.1, 10.0
ANYWHERE = "0.0.0.0"  # noqa: S104 - only where --bind says so


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options without a default keep what the running stack has."""
    normal = Settings()
    parser.add_argument(
        "--stations", type=_stations, metavar="N", help=f"simulated stations (default: {normal.stations})"
    )
    parser.add_argument(
        "--interval",
        type=_seconds,
        metavar="SECONDS",
        dest="interval_s",
        help=f"time between two samples (default: {normal.interval_s:g})",
    )
    parser.add_argument(
        "--reporting",
        type=Reporting,
        choices=list(Reporting),
        help=f"a message for each sample, or changes and batches (default: {normal.reporting})",
    )
    parser.add_argument(
        "--batch-age",
        type=_seconds,
        metavar="SECONDS",
        dest="batch_age_s",
        help=f"how old the oldest sample of a batch gets (default: {normal.batch_age_s:g})",
    )
    parser.add_argument(
        "--bays", type=_bays, metavar="N", help=f"bays of each station (default: {normal.bays})"
    )
    parser.add_argument(
        "--speed",
        type=_speed,
        metavar="X",
        help=f"how fast time passes at the stations: up to {FASTEST:g}, beyond which customers lose patience "
        f"before a station has looked (default: {normal.speed:g})",
    )
    parser.add_argument(
        "--port", type=_port, metavar="PORT", help=f"AWS and the REST API (default: {normal.port})"
    )
    parser.add_argument(
        "--mqtt-port", type=_port, metavar="PORT", help=f"MQTT over TLS (default: {normal.mqtt_port})"
    )
    parser.add_argument(
        "--bind",
        choices=["127.0.0.1", ANYWHERE],
        help=f"where both listen (default: {normal.bind}; {ANYWHERE} is for containers)",
    )
    parser.add_argument(
        "--with",
        dest="maker",
        type=Maker,
        choices=list(Maker),
        help=f"who makes the stack: {Maker.EVSWAP} in seconds, or {Maker.TERRAFORM} in a minute, by the "
        f"configuration for AWS in cloud/terraform (default: the one that made it, else {Maker.EVSWAP})",
    )
    parser.add_argument(
        "--no-fleet", action="store_true", help="AWS and certificates only; a running fleet goes on"
    )


def run(context: Context, options: argparse.Namespace) -> int:
    """Starts what does not run yet. When that fails, stops what it has started and leaves the rest alone."""
    context.state.make()
    with exclusive(context.state.lock), _signals_are_errors():
        before = {name for name in (emulator.NAME, fleet.NAME) if context.processes.find(name)}
        try:
            _bring_up_at_last(context, options, Progress())
        except BaseException:
            _stop_new(context, before)
            raise
    return 0


def _bring_up_at_last(context: Context, options: argparse.Namespace, progress: Progress) -> None:
    """An answer that gets lost in Terraform's first apply leaves what its state does not know: then all is
    begun anew, once."""
    try:
        _bring_up(context, options, progress)
    except TerraformFailed as failure:
        if not (failure.is_conflict and Workspace(context.state.terraform).is_half_made()):
            raise
        progress.step(str(failure))
        _bring_up(context, options, progress)


def _bring_up(context: Context, options: argparse.Namespace, progress: Progress) -> None:
    maker = choose(context.state, options.maker)
    if discard_half_made(context):
        progress.step("the first apply was cut short, and there may be more than is known of: beginning anew")
    running = context.running_settings()
    settings = merge(_given(options), running)
    if running is None:
        _start_emulator(context, settings, progress)
    context.settings_file.write(settings)

    clients = context.clients(settings)
    source = context.source(clients)
    package = keep_package(context.state.packages, context.checkout.root / "requirements" / "lambda.txt")
    progress.changes(
        "stack", make_stack(maker, context, settings, clients, source, package, say=progress.count)
    )
    described = _describe(context, settings, clients, source)
    context.stack_file.write(described)
    _open_live_page(context, clients, source, described)

    emulator.fetch_trust_anchor(settings, context.state.ca)
    station_ids = [*settings.station_ids(), VISITOR]
    issued = progress.changes(
        "certificates", keep_certificates(clients, source, context.state.certificates, station_ids)
    )
    progress.changes("claim", [keep_claim(clients, source, context.state.claim, context.state.ca)])
    if not options.no_fleet:
        network = keep_network(context.state)
        _bring_up_fleet(context, settings, network, described, progress, anew=issued)
        riders = authorise_riders(
            settings,
            network,
            ledger_of(clients, source.values),
            dispatcher_of(clients, source),
            now=datetime.now(UTC),
        )
        progress.step(f"riders: {riders} may swap")
    _say_where(context, described)


def _start_emulator(context: Context, settings: Settings, progress: Progress) -> None:
    python = context.checkout.ministack_python()
    progress.step(f"starting AWS on this machine (ministack), ports {settings.port} and {settings.mqtt_port}")
    emulator.start_emulator(
        context.processes, python, context.state, settings, credentials.keep(context.state.credentials)
    )


def _given(options: argparse.Namespace) -> dict[str, Any]:
    """The options that were on the command line."""
    named = {name: getattr(options, name, None) for name in Settings.__struct_fields__}
    return {name: value for name, value in named.items() if value is not None}


def merge(given: Mapping[str, Any], running: Settings | None) -> Settings:
    """The options given, over what runs, over the defaults. What only a restart changes has to agree."""
    base = running or Settings()
    for name, flag in (("port", "--port"), ("mqtt_port", "--mqtt-port"), ("bind", "--bind")):
        if running is not None and given.get(name, getattr(running, name)) != getattr(running, name):
            raise OtherSettings(flag, given[name], getattr(running, name))
    return msgspec.structs.replace(base, **given)


def _describe(context: Context, settings: Settings, clients: Clients, source: Source) -> StackFile:
    title = source.yaml("openapi.yaml")["info"]["title"]
    api_id = find_api(clients, title)
    if api_id is None:
        raise BadStack("the API of the stack", "it is gone right after it was made")
    return StackFile(
        api_url=api_url(settings.endpoint_url, api_id),
        api_key=None,
        dashboard_url=None,
        mqtt_host="127.0.0.1",
        mqtt_port=settings.mqtt_port,
        ca_file=str(context.state.ca),
        aws_endpoint_url=settings.endpoint_url,
        region=settings.region,
        archive_bucket=source.values.archive_bucket,
        stations_table=source.values.stations_table,
        certificates_dir=str(context.state.certificates),
        visitor_station_id=VISITOR,
        credentials_file=str(context.state.credentials),
        claim_certificate=str(claim_certificate(context.state.claim)),
        claim_key=str(claim_key(context.state.claim)),
        provisioning_template=template_name(source),
        live_url=f"ws://127.0.0.1:{settings.port}/live",
        live_page_url=f"{settings.endpoint_url}/live/",
    )


def _open_live_page(context: Context, clients: Clients, source: Source, described: StackFile) -> None:
    """Tells the page for live updates where to ask. Paths alone: it is opened under more than one name."""
    api_id = find_live_api(clients, source)
    if api_id is None:
        raise BadStack("the WebSocket API of the stack", "it is gone right after it was made")
    tickets = f"{described.api_url.removeprefix(described.aws_endpoint_url)}/live/tickets"
    socket = f"/_aws/execute-api/{api_id}/{live_stage(source)}"
    addresses = json.dumps({"tickets": tickets, "socket": socket})
    write_private(context.state.live_addresses, addresses + "\n")


def _bring_up_fleet(
    context: Context,
    settings: Settings,
    network: Network,
    described: StackFile,
    progress: Progress,
    *,
    anew: bool,
) -> None:
    processes = context.processes
    since = datetime.now(UTC)
    started = fleet.keep_fleet(processes, context.state, settings, network, anew=anew)
    progress.step(f"fleet: {'started' if started else 'runs as asked for'}")
    if not started:
        since = _started_at(processes)
    total = settings.stations
    await_visible(
        described.api_url,
        settings.station_ids(),
        since=since,
        deadline_s=_visible_within(settings),
        progress=lambda count: progress.count(f"stations visible {count}/{total}"),
        demand_alive=lambda: fleet.demand_alive(processes),
    )


def _started_at(processes: Processes) -> datetime:
    running = processes.find(fleet.NAME)
    return datetime.fromtimestamp(running.created, UTC) if running else datetime.now(UTC)


def _visible_within(settings: Settings) -> float:
    """Seconds until even the last station must have been heard: whatever the reporting, its first state comes
    at once."""
    return VISIBLE_S + 2 * settings.interval_s + VISIBLE_PER_STATION_S * settings.stations


def _say_where(context: Context, described: StackFile) -> None:
    sys.stderr.write("\n")
    sys.stdout.write(
        f"api_url     {described.api_url}\n"
        f"try         curl {described.api_url}/stations\n"
        f"live        {described.live_page_url}\n"
        f"mqtt        {described.mqtt_host}:{described.mqtt_port} (TLS, certificates in "
        f"{described.certificates_dir})\n"
        f"stack.json  {context.state.stack_file}\n"
    )
    sys.stdout.flush()


def _stop_new(context: Context, before: set[str]) -> None:
    for name in (fleet.NAME, emulator.NAME):
        if name not in before:
            context.processes.stop(name)
    if emulator.NAME not in before:
        context.settings_file.path.unlink(missing_ok=True)
        shutil.rmtree(context.state.temporary, ignore_errors=True)


@contextmanager
def _signals_are_errors() -> Iterator[None]:
    """SIGTERM and SIGHUP end the command like Ctrl-C does: what it has started is stopped first."""

    def interrupt(_number: int, _frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    before = {number: signal.signal(number, interrupt) for number in (signal.SIGTERM, signal.SIGHUP)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _stations(text: str) -> int:
    number = int(text)
    if not 1 <= number <= MOST_STATIONS:
        raise argparse.ArgumentTypeError(f"{number} is not between 1 and {MOST_STATIONS}")
    return number


def _seconds(text: str) -> float:
    seconds = float(text)
    if not 0.05 <= seconds <= 3600:
        raise argparse.ArgumentTypeError(f"{text} is not between 0.05 and 3600 seconds")
    return seconds


def _bays(text: str) -> int:
    number = int(text)
    if not 1 <= number <= MAX_BAYS:
        raise argparse.ArgumentTypeError(f"{number} is not between 1 and {MAX_BAYS}")
    return number


def _speed(text: str) -> float:
    speed = float(text)
    if not SLOWEST <= speed <= FASTEST:
        raise argparse.ArgumentTypeError(f"{text} is not between {SLOWEST:g} and {FASTEST:g}")
    return speed


def _port(text: str) -> int:
    number = int(text)
    if not 1024 <= number <= 65535:
        raise argparse.ArgumentTypeError(f"{number} is not between 1024 and 65535")
    return number
