"""One running stack for the tests that only look at it, and one of their own for those that break it."""

import os
from collections.abc import Iterable, Iterator
from pathlib import Path

import pytest

from tests.conftest import IS_RELEASE, SkipAloud, leave_out
from tests.e2e.local_stack import MAKER, ROOT, LocalStack, shared_stack, stack_in
from tests.functions_zip import lend_functions_zip
from tests.terraform.tool import find_plugins, find_terraform, ready_terraform

MARKER = "any_maker"
LONGEST_S = 600
"""For a test that brings up a stack, perhaps twice, on a machine that has much else to do."""
OWN = "own_stack"
ONCE = "EVSWAP_E2E_ONCE"
"""Set by `make test`: each test runs on one maker's stack, on Terraform's where the machine has that."""


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line(
        "markers",
        f"{MARKER}(each=False): holds whoever made the stack (EVSWAP_E2E_WITH={MAKER}); `each`: seen on all",
    )


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """On Terraform's stack: what holds there too, and last, before a release, what breaks the stack, as there
    is only one, and to make it again takes minutes."""
    ours = [item for item in items if Path(__file__).parent in item.path.parents]
    on_any = {item for item in ours if item.get_closest_marker(MARKER)}
    if MAKER == "terraform":
        here = on_any if IS_RELEASE else {item for item in on_any if not _breaks_the_stack(item)}
        leave_out(config, items, set(ours) - here)
        items.sort(key=_breaks_the_stack)
    elif _terraform_has_them():
        leave_out(config, items, {item for item in on_any if not _is_for_each(item)})
    _give_time(ours)


def _terraform_has_them() -> bool:
    """Whether the suite `terraform` looks at what holds on any stack, so that `system` need not."""
    return bool(os.environ.get(ONCE)) and find_terraform() is not None and find_plugins() is not None


def _is_for_each(item: pytest.Item) -> bool:
    marker = item.get_closest_marker(MARKER)
    return marker is not None and bool(marker.kwargs.get("each"))


def _give_time(items: Iterable[pytest.Item]) -> None:
    for item in items:
        item.add_marker(pytest.mark.timeout(LONGEST_S))


def _breaks_the_stack(item: pytest.Item) -> bool:
    return OWN in getattr(item, "fixturenames", ())


@pytest.fixture(scope="session")
def local_aws(skip_aloud: SkipAloud, tmp_path_factory: pytest.TempPathFactory) -> None:
    """What every stack needs: the emulator's environment, which `make` makes; Terraform where asked for."""
    if MAKER == "terraform":
        ready_terraform(skip_aloud, tmp_path_factory.mktemp("terraform"))
    if not (ROOT / ".venv-ministack").exists():
        skip_aloud(
            "the local AWS is not installed; run the tests by `make test` or `make system`", could_run=True
        )


@pytest.fixture(scope="session")
def stack(
    local_aws: None, pytestconfig: pytest.Config, tmp_path_factory: pytest.TempPathFactory
) -> LocalStack:
    """A few stations that sample each second. Tests share it, so none of them may stop a part of it."""
    return shared_stack(pytestconfig, lambda: tmp_path_factory.mktemp("stack"))


@pytest.fixture
def own_stack(
    local_aws: None,
    pytestconfig: pytest.Config,
    tmp_path: Path,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[LocalStack]:
    """A stack for a test that stops, kills and starts parts of it: not up yet, or used by others before."""
    if MAKER == "terraform":
        yield shared_stack(pytestconfig, lambda: tmp_path_factory.mktemp("stack"))
        return
    with stack_in(tmp_path) as own:
        lend_functions_zip(own.state_dir)
        yield own
