"""Terraform and its AWS provider, wherever a machine has them."""

import json
import os
import shutil
import subprocess
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from evswap_local.terraform.tool import PLUGIN_DIR
from tests.conftest import SkipAloud

ROOT = Path(__file__).parents[2]
CONFIGURATION = ROOT / "cloud" / "terraform"
PROVIDER = "*/hashicorp/aws/*/*/terraform-provider-aws*"
"""Below a folder of plug-ins: the registry's host, the provider, its version, the platform."""


def find_terraform() -> str | None:
    return shutil.which("terraform")


@cache
def find_plugins() -> Path | None:
    """A folder of plug-ins that holds the AWS provider."""
    return next((folder for folder in _candidates() if any(folder.glob(PROVIDER))), None)


def _candidates() -> Iterator[Path]:
    for variable in (PLUGIN_DIR, "TF_PLUGIN_CACHE_DIR"):
        if named := os.environ.get(variable):
            yield Path(named)
    home = Path.home()
    yield from (home / ".terraform.d" / "plugins", home / ".terraform.d" / "plugin-cache")
    yield from (Path("/usr/share/terraform/plugins"), Path("/usr/local/share/terraform/plugins"))
    yield from sorted(Path("/opt").glob("*/")) if Path("/opt").is_dir() else ()


@dataclass(frozen=True)
class Terraform:
    """Terraform on a copy of the configuration, made ready once."""

    program: str
    folder: Path

    @property
    def configuration(self) -> Path:
        return self.folder / "configuration"

    def run(
        self, verb: str, *options: str, environment: Mapping[str, str] | None = None
    ) -> subprocess.CompletedProcess[str]:
        """Any Terraform command, without the caller's AWS."""
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("AWS_", "TF_"))}
        nowhere = {"AWS_CONFIG_FILE": os.devnull, "AWS_SHARED_CREDENTIALS_FILE": os.devnull}
        settings = {"TF_DATA_DIR": str(self.folder / "data"), "AWS_EC2_METADATA_DISABLED": "true"}
        return subprocess.run(
            [self.program, f"-chdir={self.configuration}", verb, *options],
            env={**kept, **nowhere, **settings, **(environment or {})},
            capture_output=True,
            text=True,
            timeout=170,
            check=False,
        )

    def init(self) -> subprocess.CompletedProcess[str]:
        """With the plug-ins that this machine has; else from the registry."""
        shutil.copytree(
            CONFIGURATION, self.configuration, ignore=shutil.ignore_patterns(".terraform*", "*.tfstate*")
        )
        plugins = find_plugins()
        return self.run("init", "-input=false", "-no-color", *([f"-plugin-dir={plugins}"] if plugins else []))

    def plan(self, *options: str, environment: Mapping[str, str]) -> "Plan":
        """What an apply would do."""
        file = self.folder / "plan"
        answer = self.run(
            "plan", "-input=false", "-no-color", f"-out={file}", *options, environment=environment
        )
        assert answer.returncode == 0, answer.stdout + answer.stderr
        shown = self.run("show", "-json", str(file), environment=environment)
        return Plan(json.loads(shown.stdout))


@dataclass(frozen=True)
class Plan:
    """A plan, as `terraform show -json` gives it."""

    document: dict[str, Any]

    def changes(self) -> Iterator[dict[str, Any]]:
        """Every resource that the plan would touch."""
        for change in self.document["resource_changes"]:
            if change["mode"] == "managed" and change["change"]["actions"] != ["no-op"]:
                yield change

    def after(self, kind: str) -> dict[str, dict[str, Any]]:
        """The resources of a kind as they would be afterwards, by address."""
        return {
            change["address"]: change["change"]["after"]
            for change in self.document["resource_changes"]
            if change["type"] == kind and change["mode"] == "managed" and change["change"]["after"]
        }


def ready_terraform(skip_aloud: SkipAloud, folder: Path) -> Terraform:
    """Terraform with its provider in place; where either cannot be had, its tests are skipped."""
    program = find_terraform()
    if program is None:
        skip_aloud("terraform is not on the PATH", could_run=False)
    made = Terraform(program, folder)
    answer = made.init()
    if answer.returncode != 0:
        skip_aloud(
            f"the AWS provider can be had neither from a folder nor from its registry: {answer.stderr}",
            could_run=find_plugins() is not None,
        )
    return made
