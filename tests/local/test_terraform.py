"""Running Terraform, with a program in its place that does as told. tests/terraform has the real one."""

import json
import os
import signal
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from evswap_hil.deadline import wait_until
from evswap_local.context import Context
from evswap_local.credentials import Credentials
from evswap_local.errors import BadStack, OtherMaker, TerraformFailed, TerraformMissing
from evswap_local.layout import Checkout, StateFolder
from evswap_local.maker import Maker, choose, discard_half_made
from evswap_local.processes import Processes
from evswap_local.settings import Settings
from evswap_local.stack.change import Change, Outcome
from evswap_local.stack.source import Source, Values
from evswap_local.terraform.apply import Terraform
from evswap_local.terraform.child import NAME
from evswap_local.terraform.workspace import Workspace
from tests.local.real import ROOT

PROGRAM = f"""#!{sys.executable}
import json, os, pathlib, signal, sys, time
folder = pathlib.Path(__file__).parent
verb = sys.argv[2]
with (folder / "calls").open("a") as calls:
    calls.write(json.dumps({{"arguments": sys.argv[1:], "environment": dict(os.environ)}}) + "\\n")
if verb == "init":
    (pathlib.Path(sys.argv[1].removeprefix("-chdir=")) / ".terraform.lock.hcl").write_text("chosen")
def end(*_):
    (folder / "ended").touch()
    sys.exit(1)
signal.signal(signal.SIGTERM, end)
story = folder / verb
for line in story.read_text().splitlines() if story.exists() else ():
    if line == "wait":
        time.sleep(600)
    elif line.startswith("exit "):
        sys.exit(int(line[5:]))
    print(line, flush=True)
"""


def event(kind: str, address: str, **hook: Any) -> str:
    return json.dumps({"type": kind, "hook": {"resource": {"addr": address}, **hook}})


def diagnostic(summary: str, detail: str) -> str:
    return json.dumps(
        {
            "type": "diagnostic",
            "diagnostic": {"severity": "error", "summary": summary, "detail": detail, "address": "aws_x.y"},
        }
    )


class Played:
    """A Terraform whose program plays what `tells` has written for it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder / "program"
        self.folder.mkdir()
        program = self.folder / "terraform"
        program.write_text(PROGRAM)
        program.chmod(0o755)
        self.state = StateFolder(folder / "state")
        self.state.make()
        self.processes = Processes(run=self.state.run, logs=self.state.logs)
        self.workspace = Workspace(self.state.terraform)
        self.said: list[str] = []
        stack = ROOT / "cloud" / "stack"
        self.source = Source(stack, Values.of(stack, region="us-east-1", account_id="000000000000"))

    def tells(self, verb: str, *lines: str) -> None:
        (self.folder / verb).write_text("\n".join(lines))

    def apply(self) -> Iterator[Change]:
        made = Terraform(
            processes=self.processes,
            workspace=self.workspace,
            configuration=ROOT / "cloud" / "terraform",
            settings=Settings(port=4999),
            credentials=Credentials("AKIAONE", "secret"),
            say=self.said.append,
        )
        return made.apply(self.source, self.folder / "packages" / "x.zip")

    def calls(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in (self.folder / "calls").read_text().splitlines()]

    def verbs(self) -> list[str]:
        return [call["arguments"][1] for call in self.calls()]


@pytest.fixture
def played(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Played]:
    made = Played(tmp_path)
    monkeypatch.setenv("PATH", str(made.folder), prepend=os.pathsep)
    yield made
    made.processes.stop(NAME)


def test_what_terraform_says_becomes_changes(played: Played) -> None:
    played.tells(
        "apply",
        "a line that is no JSON",
        event("refresh_complete", "aws_a.kept"),
        event("refresh_complete", "aws_a.corrected"),
        event("apply_progress", "aws_a.new", elapsed_seconds=10),
        event("apply_complete", "aws_a.new", action="create"),
        event("apply_complete", "aws_a.corrected", action="update"),
        event("apply_complete", "data.aws_a.read", action="read"),
    )
    assert list(played.apply()) == [
        Change("resource", "aws_a.new", Outcome.CREATED),
        Change("resource", "aws_a.corrected", Outcome.UPDATED),
        Change("resource", "aws_a.kept", Outcome.UNCHANGED),
    ]
    assert any("aws_a.new" in line and "10 s" in line for line in played.said)
    assert played.workspace.is_in_use() is False, "a Terraform that makes nothing has no state"


def test_it_sees_the_local_aws_and_none_of_the_callers_own(
    played: Played, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("AWS_PROFILE", "production")
    monkeypatch.setenv("AWS_SESSION_TOKEN", "of somebody")
    monkeypatch.setenv("TF_CLI_CONFIG_FILE", str(tmp_path / "missing"))
    list(played.apply())
    init, apply = played.calls()
    aws = {name: value for name, value in apply["environment"].items() if name.startswith("AWS_")}
    assert aws == {
        "AWS_ACCESS_KEY_ID": "AKIAONE",
        "AWS_SECRET_ACCESS_KEY": "secret",
        "AWS_ENDPOINT_URL": "http://127.0.0.1:4999",
        "AWS_CONFIG_FILE": os.devnull,
        "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
        "AWS_EC2_METADATA_DISABLED": "true",
    }
    assert [name for name in init["environment"] if name.startswith("AWS_")] == []
    assert "TF_CLI_CONFIG_FILE" not in apply["environment"]
    values = json.loads(played.workspace.values.read_text())
    assert values["account_id"] == "000000000000"
    assert values["without"] == ["iot-logging", "saved-queries", "tls-only"]


def test_it_is_made_ready_once_and_again_for_other_plugins(
    played: Played, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    list(played.apply())
    list(played.apply())
    monkeypatch.setenv("EVSWAP_TERRAFORM_PLUGIN_DIR", str(tmp_path))
    list(played.apply())
    assert played.verbs() == ["init", "apply", "apply", "init", "apply"]
    assert f"-plugin-dir={tmp_path}" in played.calls()[3]["arguments"]


def test_nothing_of_a_persons_own_work_is_taken_along(played: Played, tmp_path: Path) -> None:
    configuration = tmp_path / "configuration"
    configuration.mkdir()
    (configuration / "local.yaml").write_text("{}")
    for name in ("main.tf", "backend.tf", "mine.auto.tfvars", "terraform.tfstate", ".terraform.lock.hcl"):
        (configuration / name).touch()
    played.workspace.prepare(configuration, played.source, tmp_path / "x.zip")
    copied = {file.name for file in played.workspace.configuration.iterdir()}
    assert copied == {"main.tf", "local.yaml", "backend.tf.json"}


def test_a_list_of_exceptions_that_cannot_be_read_is_named(played: Played, tmp_path: Path) -> None:
    configuration = tmp_path / "configuration"
    configuration.mkdir()
    (configuration / "local.yaml").write_text("[")
    with pytest.raises(BadStack, match=r"local\.yaml"):
        played.workspace.prepare(configuration, played.source, tmp_path / "x.zip")


def test_a_failure_is_said_in_terraforms_words_and_may_be_repeated(played: Played) -> None:
    played.tells("apply", diagnostic("creating Queue", "the\n  cause."), "exit 1")
    with pytest.raises(TerraformFailed, match=r"aws_x\.y: creating Queue: the cause.*again") as failed:
        list(played.apply())
    assert failed.value.log.is_file()
    assert not played.workspace.is_half_made()
    played.tells("apply")
    list(played.apply())


@pytest.mark.parametrize(
    ("said", "mend"),
    [
        (
            diagnostic("creating Role", "EntityAlreadyExists: Role with name x already exists."),
            "state folder",
        ),
        (diagnostic("Unsupported Terraform Core version", "1.2"), r"1\.9 or newer"),
    ],
)
def test_a_failure_that_is_known_comes_with_its_mend(played: Played, said: str, mend: str) -> None:
    played.tells("apply", said, "exit 1")
    with pytest.raises(TerraformFailed, match=mend):
        list(played.apply())


def test_a_provider_that_cannot_be_had_is_said_with_its_mend(played: Played) -> None:
    played.tells(
        "init", "Initializing", "│ Error: Failed to query available provider packages", "│ no route", "exit 1"
    )
    with pytest.raises(TerraformFailed, match=r"no route.*EVSWAP_TERRAFORM_PLUGIN_DIR"):
        list(played.apply())
    played.tells("init")
    list(played.apply())
    assert played.verbs() == ["init", "init", "apply"]


def test_no_terraform_is_said_with_its_mend(played: Played, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    with pytest.raises(TerraformMissing, match="install Terraform"):
        list(played.apply())
    with pytest.raises(TerraformMissing):
        choose(played.state, Maker.TERRAFORM)
    assert choose(played.state, None) is Maker.EVSWAP, "which needs none"


# --- interrupted, killed ---


def begin(played: Played) -> Iterator[Change]:
    """An apply that has made one thing and goes on for ever."""
    played.tells("apply", event("apply_complete", "aws_a.new", action="create"), "wait")
    changes = played.apply()
    assert next(changes).name == "aws_a.new"
    return changes


def process_of(played: Played) -> psutil.Process:
    running = played.processes.find(NAME)
    assert running is not None
    return psutil.Process(running.pid)


def test_interrupted_it_lets_terraform_end_in_good_order_and_is_begun_anew(played: Played) -> None:
    changes = begin(played)
    process = process_of(played)
    with pytest.raises(KeyboardInterrupt):
        changes.throw(KeyboardInterrupt())  # type: ignore[attr-defined]
    assert (played.folder / "ended").exists()
    assert not process.is_running()
    assert played.processes.find(NAME) is None
    assert played.workspace.is_half_made(), "a call under way may have been carried out all the same"


def test_a_terraform_that_is_killed_leaves_a_stack_that_is_begun_anew(played: Played) -> None:
    changes = begin(played)
    process_of(played).send_signal(signal.SIGKILL)
    with pytest.raises(TerraformFailed):
        list(changes)
    assert played.workspace.is_half_made()

    (played.state.ministack / "services").mkdir()
    context = Context(Checkout(ROOT), played.state)
    assert discard_half_made(context)
    assert not played.workspace.folder.exists()
    assert list(played.state.ministack.iterdir()) == []
    assert not discard_half_made(context), "once"


def test_a_terraform_left_running_by_a_command_that_was_killed_is_ended_first(played: Played) -> None:
    left = begin(played)
    process = process_of(played)
    context = Context(Checkout(ROOT), played.state)
    assert discard_half_made(context)
    wait_until(
        lambda: not process.is_running() or process.status() == psutil.STATUS_ZOMBIE,
        what="its end",
        within=60,
    )
    assert (played.folder / "ended").exists()
    left.close()  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("error", "anew"),
    [
        (("creating API Gateway Resource", "ConflictException: Another resource has this name"), True),
        (("creating Budget", "DuplicateRecordException: A notification already exists"), True),
        (("creating Role", "MalformedPolicyDocument: no such action"), False),
    ],
)
def test_a_first_apply_that_finds_what_it_has_not_made_is_begun_anew(
    played: Played, error: tuple[str, str], anew: bool
) -> None:
    """Its first answer got lost."""
    played.tells("apply", diagnostic(*error), "exit 1")
    with pytest.raises(TerraformFailed) as failed:
        list(played.apply())
    assert (failed.value.is_conflict, played.workspace.is_half_made()) == (anew, anew)


def test_what_was_whole_once_is_never_thrown_away(played: Played) -> None:
    list(played.apply())
    changes = begin(played)
    process_of(played).kill()
    with pytest.raises(TerraformFailed):
        list(changes)
    assert not discard_half_made(Context(Checkout(ROOT), played.state))


# --- who made it ---


@pytest.mark.parametrize(
    ("file", "wanted", "chosen"),
    [
        (None, None, Maker.EVSWAP),
        (None, Maker.TERRAFORM, Maker.TERRAFORM),
        ("stack.json", None, Maker.EVSWAP),
        ("terraform/terraform.tfstate", None, Maker.TERRAFORM),
        ("terraform/begun", Maker.TERRAFORM, Maker.TERRAFORM),
    ],
)
def test_a_stack_stays_with_its_maker(
    played: Played, file: str | None, wanted: Maker | None, chosen: Maker
) -> None:
    mark(played.state, file)
    assert choose(played.state, wanted) is chosen


@pytest.mark.parametrize(
    ("file", "wanted"), [("stack.json", Maker.TERRAFORM), ("terraform/terraform.tfstate", Maker.EVSWAP)]
)
def test_the_other_maker_is_refused_with_what_to_do(played: Played, file: str, wanted: Maker) -> None:
    mark(played.state, file)
    with pytest.raises(OtherMaker, match="--state-dir"):
        choose(played.state, wanted)


def mark(state: StateFolder, file: str | None) -> None:
    if file is not None:
        path = state.path / file
        path.parent.mkdir(exist_ok=True)
        path.touch()
