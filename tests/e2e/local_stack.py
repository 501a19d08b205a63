"""A stack on this machine, driven as a person drives it, by `evswap`, and looked at from outside."""

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import boto3
import psutil
import pytest

from evswap_hil.deadline import wait_until
from evswap_hil.observers.mqtt import Visitor, connect
from evswap_hil.observers.rest import RestObserver
from evswap_hil.stack import Stack, read_stack
from evswap_local.terraform.tool import PLUGIN_DIR
from tests.conftest import IS_RELEASE
from tests.terraform.tool import find_plugins

ROOT = Path(__file__).parents[2]
EVSWAP = Path(sys.executable).with_name("evswap")
UP_WITHIN_S = 400
MAKER = os.environ.get("EVSWAP_E2E_WITH", "evswap")
"""Who makes the stacks that the suite runs on: `evswap`, or `terraform` by the configuration for AWS."""

STATIONS = 3
AS_MADE = ("--stations", str(STATIONS), "--interval", "1")
IN_TIME_S = 90
"""What ingest could not take at once comes again after its queue's visibility time-out, 20 s here; perhaps
more than once where the machine has much else to do."""
EVER = datetime.min.replace(tzinfo=UTC)


@dataclass(frozen=True)
class Stored:
    """An object of the archive's bucket."""

    key: str
    body: bytes
    metadata: dict[str, str]


@dataclass(frozen=True)
class Interrupted:
    """What an `evswap up` left behind that was interrupted while it made the stack."""

    exit_code: int
    said: str
    made: int
    left: list[psutil.Process]
    locked: bool
    half_made: bool


class LocalStack:
    """One stack with a state folder and ports of its own, made by `maker`."""

    def __init__(self, state_dir: Path, maker: str = MAKER) -> None:
        self.state_dir, self.maker = state_dir, maker
        self.interrupted: Interrupted | None = None
        self.port, self.mqtt_port = free_ports(2)

    def up(self, *options: str) -> None:
        """`evswap up`, which has to succeed."""
        answer = self.run("up", "--with", self.maker, *self._ports(), *options)
        assert answer.returncode == 0, f"{answer.stdout}\n{answer.stderr}\n{self.logs()}"

    def interrupt_first_up(self) -> None:
        """An `evswap up` that is interrupted while Terraform works, and what it leaves behind."""
        terraform = self.state_dir / "terraform"
        made = terraform / "terraform.tfstate"
        command = [
            *(str(EVSWAP), "up", "--state-dir", str(self.state_dir)),
            *("--with", self.maker, *self._ports()),
        ]
        with subprocess.Popen(
            command, cwd=ROOT, env={**os.environ, **terraform_plugins()}, stderr=subprocess.PIPE, text=True
        ) as up:
            wait_until(
                lambda: self._has_made() or up.poll(), what="Terraform makes something", within=UP_WITHIN_S
            )
            up.send_signal(signal.SIGINT)
            said = up.communicate(timeout=UP_WITHIN_S)[1]
        self.interrupted = Interrupted(
            exit_code=up.returncode,
            said=said,
            made=_resources(made),
            left=self.remains(),
            locked=(terraform / ".terraform.tfstate.lock.info").exists(),
            half_made=(terraform / "begun").exists(),
        )

    def _has_made(self) -> bool:
        """Whether Terraform says that it has made something; its state is written seconds later."""
        log = self.state_dir / "logs" / "terraform.log"
        said = log.read_text(errors="replace").splitlines() if log.exists() else ()
        return any('"type":"apply_complete"' in line and '"action":"create"' in line for line in said)

    def down(self) -> None:
        """`evswap down`, which has to succeed."""
        answer = self.run("down")
        assert answer.returncode == 0, f"{answer.stdout}\n{answer.stderr}"

    def run(self, command: str, *options: str) -> subprocess.CompletedProcess[str]:
        """Any `evswap` command, on this stack."""
        return subprocess.run(
            [EVSWAP, command, "--state-dir", self.state_dir, *options],
            cwd=ROOT,
            capture_output=True,
            text=True,
            timeout=UP_WITHIN_S,
            env={**os.environ, **terraform_plugins()},
            check=False,
        )

    def _ports(self) -> tuple[str, ...]:
        return ("--port", str(self.port), "--mqtt-port", str(self.mqtt_port))

    def logs(self) -> str:
        """The last lines of every log, for a test that has failed."""
        return "\n".join(
            f"== {log.name}\n" + "\n".join(log.read_text(errors="replace").splitlines()[-20:])
            for log in sorted((self.state_dir / "logs").glob("*.log"))
        )

    @property
    def described(self) -> Stack:
        return read_stack(self.state_dir / "stack.json")

    @property
    def described_as_json(self) -> dict[str, Any]:
        """All of stack.json."""
        content: dict[str, Any] = json.loads((self.state_dir / "stack.json").read_text())
        return content

    @property
    def credentials(self) -> dict[str, str]:
        """The administrator's, as the environment variables that programs look for."""
        keys = _credentials(Path(self.described_as_json["credentials_file"]))
        return {name.upper(): value for name, value in keys.items()}

    def api(self) -> RestObserver:
        return RestObserver(self.described.api_url)

    @contextmanager
    def visitor(
        self, *, client_id: str | None = None, certificate_of: str | None = None
    ) -> Iterator[Visitor]:
        """The visitor station's own connection, or one that pretends to be another's."""
        stack = self.described
        with connect(
            stack.mqtt_host,
            stack.mqtt_port,
            ca=stack.ca_file,
            certificate=stack.certificate_of(certificate_of or stack.visitor_station_id),
            client_id=client_id or stack.visitor_station_id,
        ) as visitor:
            yield visitor

    def aws(self, service: str) -> Any:
        """A boto3 client of this stack, as its administrator."""
        described, keys = self.described_as_json, self.credentials
        session = boto3.Session(keys["AWS_ACCESS_KEY_ID"], keys["AWS_SECRET_ACCESS_KEY"])
        return session.client(
            service,  # type: ignore[call-overload]
            endpoint_url=described["aws_endpoint_url"],
            region_name=described["region"],
        )

    def keys(self, prefix: str, *, of: str = "", since: datetime = EVER) -> list[str]:
        """The archive's keys below `prefix`; if so said, only those of one station, or written `since`."""
        pages = self.aws("s3").get_paginator("list_objects_v2")
        return [
            entry["Key"]
            for page in pages.paginate(Bucket=self.described.archive_bucket, Prefix=prefix)
            for entry in page.get("Contents", ())
            if f"/{of}" in entry["Key"] and entry["LastModified"] >= since.replace(microsecond=0)
        ]

    def objects(self, prefix: str, *, of: str = "", since: datetime = EVER) -> list[Stored]:
        """The objects with these keys."""
        s3, bucket = self.aws("s3"), self.described.archive_bucket
        answers = (
            (key, s3.get_object(Bucket=bucket, Key=key)) for key in self.keys(prefix, of=of, since=since)
        )
        return [Stored(key, answer["Body"].read(), answer["Metadata"]) for key, answer in answers]

    def process(self, name: str) -> psutil.Process:
        """The running process that the state folder calls `name`."""
        record = json.loads((self.state_dir / "run" / f"{name}.json").read_text())
        return psutil.Process(record["pid"])

    def remains(self) -> list[psutil.Process]:
        """Every process on this machine that mentions this stack's state folder."""
        return [
            process
            for process in psutil.process_iter(["cmdline", "environ"])
            if process.pid != os.getpid() and str(self.state_dir) in str(process.info)
        ]


@contextmanager
def stack_in(folder: Path, maker: str = MAKER) -> Iterator[LocalStack]:
    """A stack that is gone afterwards, whatever happened."""
    stack = LocalStack(folder / "state", maker)
    try:
        yield stack
    finally:
        stack.run("down")
        for process in stack.remains():
            process.kill()
        shutil.rmtree(stack.state_dir, ignore_errors=True)


def begin_stack(
    config: pytest.Config, new_folder: Callable[[], Path], maker: str = MAKER
) -> "Future[LocalStack]":
    """Begins, in the background, to make the one running stack of this test run.

    Kept by the run and not by a fixture: suites in several folders look at it, and Terraform takes a minute,
    most of which it waits.
    """
    stacks = config.stash.setdefault(SHARED, {})
    if maker not in stacks:
        kept = ExitStack()
        config.add_cleanup(kept.close)
        stack = kept.enter_context(stack_in(new_folder(), maker))
        worker = kept.enter_context(ThreadPoolExecutor(1))
        stacks[maker] = worker.submit(_bring_up, stack)
    return stacks[maker]


def shared_stack(config: pytest.Config, new_folder: Callable[[], Path], maker: str = MAKER) -> LocalStack:
    """The one running stack of this test run, up with a few stations that sample each second."""
    return begin_stack(config, new_folder, maker).result()


SHARED = pytest.StashKey[dict[str, "Future[LocalStack]"]]()


def _bring_up(stack: LocalStack) -> LocalStack:
    """Before a release by Terraform in two goes, the first of them interrupted: all holds after that, too."""
    if stack.maker == "terraform" and IS_RELEASE:
        stack.interrupt_first_up()
    stack.up(*AS_MADE)
    return stack


def _resources(state: Path) -> int:
    """How many resources Terraform's state holds."""
    try:
        return len(json.loads(state.read_text())["resources"])
    except (FileNotFoundError, ValueError, KeyError):
        return 0


def terraform_plugins() -> dict[str, str]:
    """Where this machine has the provider, when it needs no registry for it."""
    plugins = find_plugins()
    return {PLUGIN_DIR: str(plugins)} if plugins else {}


def free_ports(count: int) -> list[int]:
    """TCP ports on loopback that nobody listens on at the moment."""
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [each.getsockname()[1] for each in sockets]
    for each in sockets:
        each.close()
    return ports


def _credentials(file: Path) -> dict[str, str]:
    lines = (line.partition("=") for line in file.read_text().splitlines() if "=" in line)
    return {key.strip(): value.strip() for key, _, value in lines if key.strip().startswith("aws_")}
