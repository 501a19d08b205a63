"""One run of a bench: what it needs is looked for first, then labgrid and pytest drive the suites."""

import platform
import shutil
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from types import FrameType
from typing import Any, Final

import pytest
from labgrid import Environment

from evswap_hil.bench.errors import BenchError, NotUsable
from evswap_hil.bench.recorder import Recorder
from evswap_hil.bench.resources import StationProcess, TcpLink
from evswap_hil.bench.settings import LOGS, STACK_FILE
from evswap_hil.bench.validation import problems_of
from evswap_hil.link import PortTaken, demand_free
from evswap_hil.observers.rest import ApiError, RestObserver
from evswap_hil.programs import EDGE, LOCAL, ProgramMissing
from evswap_hil.report.record import Outcome, Report, complete
from evswap_hil.requirements import Suite, of_suites
from evswap_hil.stack import Stack, StackFileError, read_stack
from evswap_hil.suites import SETTINGS, folder

TARGET: Final = "main"


@dataclass(frozen=True, kw_only=True)
class Order:
    """What is to be run, on what, and where the report goes."""

    bench: Path
    suites: frozenset[Suite]
    stack_file: Path
    report: Path
    edge: Path | None = None
    local: Path | None = None


def run(order: Order, tell: Callable[[Outcome], None]) -> Report:
    """Run the suites; `tell` hears each outcome as it comes. Raises NotUsable before anything has begun."""
    stack = _stack(order.stack_file)
    tools = _programs(order)
    _demand_valid(order.bench)
    _demand_usable(order.bench, stack)
    recorder = Recorder(options=_options(order), tools=tools, tell=tell)
    began, clock = datetime.now(UTC), time.monotonic()
    _drive(order, recorder)
    return Report(
        bench=order.bench.stem,
        suites=tuple(suite.value for suite in Suite if suite in order.suites),
        stack=_told(order.stack_file, stack),
        versions=_versions(recorder.version),
        started=began,
        seconds=time.monotonic() - clock,
        outcomes=complete(of_suites(order.suites), recorder.outcomes),
    )


def _drive(order: Order, recorder: Recorder) -> None:
    """Raises BenchError when pytest could not do its part, and KeyboardInterrupt."""
    ended = _pytest(order, recorder)
    if ended == pytest.ExitCode.INTERRUPTED:
        raise KeyboardInterrupt
    if recorder.problems or ended not in (pytest.ExitCode.OK, pytest.ExitCode.TESTS_FAILED):
        raise BenchError(f"the suites could not be run ({ended!s}): " + "\n".join(recorder.problems))


def _told(file: Path, stack: Stack) -> dict[str, str]:
    return {"file": str(file), "api": stack.api_url, "mqtt": f"{stack.mqtt_host}:{stack.mqtt_port}"}


def _stack(file: Path) -> Stack:
    """A stack that answers."""
    try:
        stack = read_stack(file)
        with RestObserver(stack.api_url, api_key=stack.api_key) as api:
            api.station(stack.visitor_station_id)
    except (StackFileError, ApiError) as error:
        raise NotUsable(str(error), "start the stack: evswap up") from error
    return stack


def _programs(order: Order) -> dict[str, str]:
    try:
        return {EDGE.name: str(EDGE.find(order.edge)), LOCAL.name: str(LOCAL.find(order.local))}
    except ProgramMissing as missing:
        raise NotUsable(str(missing)) from missing


def _demand_valid(bench: Path) -> None:
    if problems := problems_of(bench):
        raise NotUsable("\n".join([f"{bench} describes no bench:", *map(str, problems)]))


def _demand_usable(bench: Path, stack: Stack) -> None:
    """What only this machine can say of a bench that is well described."""
    resources: list[Any] = Environment(str(bench)).get_target(TARGET).resources
    for resource in resources:
        if isinstance(resource, TcpLink) and resource.port:
            _demand_port(resource.port)
        if isinstance(resource, StationProcess):
            _demand_certificate(stack)


def _demand_port(port: int) -> None:
    try:
        demand_free(port)
    except PortTaken as taken:
        raise NotUsable(str(taken)) from taken


def _demand_certificate(stack: Stack) -> None:
    own = stack.certificate_of(stack.visitor_station_id)
    missing = [file for file in (own.certificate, own.key, stack.ca_file) if not file.is_file()]
    if missing:
        raise NotUsable(
            f"{stack.visitor_station_id} has no certificate: {', '.join(map(str, missing))} is not there",
            "have the stack made whole: evswap up",
        )


def _options(order: Order) -> dict[str, str]:
    return {STACK_FILE: str(order.stack_file.absolute()), LOGS: str(_logs(order))}


def _logs(order: Order) -> Path:
    return order.report.absolute() / "logs"


def _pytest(order: Order, recorder: Recorder) -> int:
    shutil.rmtree(_logs(order), ignore_errors=True)
    arguments = [
        *("-c", str(SETTINGS), "--rootdir", str(SETTINGS.parent)),
        *("--disable-plugin-autoload", "-p", "labgrid.pytestplugin"),
        *("-p", "no:cacheprovider", "--capture=no", "--tb=short"),
        *("--lg-env", str(order.bench)),
        f"--junitxml={order.report / 'junit.xml'}",
        *(str(folder(suite)) for suite in Suite if suite in order.suites),
    ]
    with _signals_end_the_run():
        return int(pytest.main(arguments, plugins=[recorder]))


@contextmanager
def _signals_end_the_run() -> Iterator[None]:
    """SIGTERM and SIGHUP end the run as Ctrl-C does: the bench is switched off first."""

    def interrupt(_number: int, _frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    before = {number: signal.signal(number, interrupt) for number in (signal.SIGTERM, signal.SIGHUP)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _versions(station: str) -> dict[str, str]:
    return {
        "station": station or "not told",
        **{name: version(name) for name in ("evswap-hil", "labgrid", "pytest")},
        "python": platform.python_version(),
        "system": platform.platform(),
    }
