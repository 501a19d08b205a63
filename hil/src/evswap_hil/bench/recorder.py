"""Turns what pytest reports of the tests into outcomes, and says each as it comes."""

from collections.abc import Callable, Generator, Mapping
from functools import partial

import pytest
from labgrid.pytestplugin.hooks import LABGRID_ENV_KEY

from evswap_hil.bench.measuring import MEASUREMENTS, requirement_of
from evswap_hil.bench.strategy import StationStrategy
from evswap_hil.report.record import Measurement, Outcome, Verdict
from evswap_hil.requirements import Requirement

LOG_LINES = 40

Reports = list[pytest.TestReport]


class Recorder:
    """A pytest plug-in for one run. `options` and `tools` are set over those of the bench's YAML."""

    def __init__(
        self, *, options: Mapping[str, str], tools: Mapping[str, str], tell: Callable[[Outcome], None]
    ) -> None:
        self.outcomes: list[Outcome] = []
        self.version = ""
        """Of the station's program, once there was a station to ask."""
        self.problems: list[str] = []
        self._options = options
        self._tools = tools
        self._tell = tell
        self._reports: dict[str, Reports] = {}

    @pytest.hookimpl(trylast=True)
    def pytest_configure(self, config: pytest.Config) -> None:
        """This recorder tells what there is to tell. (labgrid needs the options of pytest's own reporter.)"""
        config.pluginmanager.unregister(name="terminalreporter")

    def pytest_sessionstart(self, session: pytest.Session) -> None:
        """labgrid has read the YAML by now, and has made nothing of it yet."""
        config = session.config.stash[LABGRID_ENV_KEY].config
        for name, value in self._options.items():
            config.set_option(name, value)
        config.data.setdefault("tools", {}).update(self._tools)

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        if report.failed:
            self.problems.append(report.longreprtext)

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_makereport(
        self, item: pytest.Item
    ) -> Generator[None, pytest.TestReport, pytest.TestReport]:
        report = yield
        reports = self._reports.setdefault(item.nodeid, [])
        reports.append(report)
        if report.when == "teardown":
            self._conclude(item, reports)
        return report

    def _conclude(self, item: pytest.Item, reports: Reports) -> None:
        strategy = _strategy_of(item)
        self.version = self.version or (strategy.version() if strategy else "")
        if required := requirement_of(item):
            log = partial(strategy.last_words, LOG_LINES) if strategy else str
            outcome = outcome_of(required, item.stash.get(MEASUREMENTS, []), reports, log=log)
            self.outcomes.append(outcome)
            self._tell(outcome)


def outcome_of(
    required: Requirement, measurements: list[Measurement], reports: Reports, *, log: Callable[[], str]
) -> Outcome:
    """A requirement is met when its test passed, and measured all that has a limit."""
    unmeasured = {limit.name for limit in required.limits} - {each.limit.name for each in measurements}
    failed = next((report for report in reports if report.failed), None)
    skipped = next((report for report in reports if report.skipped), None)
    if failed is not None:
        verdict, reason = Verdict.NOT_MET, _why_failed(failed)
    elif skipped is not None:
        verdict, reason = Verdict.NOT_MEASURED, _why_skipped(skipped)
    elif unmeasured:
        verdict, reason = Verdict.NOT_MEASURED, f"not measured: {', '.join(sorted(unmeasured))}"
    else:
        verdict, reason = Verdict.MET, ""
    return Outcome(
        requirement=required,
        verdict=verdict,
        measurements=tuple(measurements),
        seconds=sum(report.duration for report in reports),
        reason=reason,
        trace=failed.longreprtext if failed is not None else "",
        log="" if verdict is Verdict.MET else log(),
    )


def _why_failed(report: pytest.TestReport) -> str:
    """The message of the error that ended the test, without the path through the code."""
    crash = getattr(report.longrepr, "reprcrash", None)
    message = crash.message if crash is not None else report.longreprtext
    return str(message).partition(": ")[2] or str(message)


def _why_skipped(report: pytest.TestReport) -> str:
    """pytest gives file, line and reason."""
    why = str(report.longrepr[2]) if isinstance(report.longrepr, tuple) else report.longreprtext
    return why.removeprefix("Skipped: ")


def _strategy_of(item: pytest.Item) -> StationStrategy | None:
    """The strategy that the test has used, if it came to that."""
    found = item.funcargs.get("strategy") if isinstance(item, pytest.Function) else None
    return found if isinstance(found, StationStrategy) else None
