"""Where Terraform works: a copy of ``cloud/terraform`` in the state folder, with this machine's values."""

import hashlib
import json
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from evswap_cloud.package import LOCAL
from evswap_local.errors import BadStack
from evswap_local.files import write_private
from evswap_local.stack.source import Source

EXCEPTIONS = "local.yaml"
ENVIRONMENT = Path("environments") / "dev.tfvars"
LEFT_BEHIND = (".terraform*", "*.tfstate*", "*.tfplan", "backend.tf", "*.auto.tfvars", "crash.log")
"""What a person's own work with the configuration leaves in it."""


@dataclass(frozen=True)
class Workspace:
    """``folder`` holds the copy, Terraform's state, and notes on how far it came."""

    folder: Path

    @property
    def configuration(self) -> Path:
        """The copy."""
        return self.folder / "configuration"

    @property
    def data(self) -> Path:
        """TF_DATA_DIR: providers and modules."""
        return self.folder / "data"

    @property
    def state(self) -> Path:
        """What Terraform has made."""
        return self.folder / "terraform.tfstate"

    @property
    def lock_file(self) -> Path:
        """The provider that ``terraform init`` has chosen."""
        return self.configuration / ".terraform.lock.hcl"

    @property
    def values(self) -> Path:
        """The variables for this machine."""
        return self.folder / "local.tfvars.json"

    @property
    def begun(self) -> Path:
        """There from the beginning of an apply until it has ended by itself, be it with a failure, and knows
        all that there is."""
        return self.folder / "begun"

    @property
    def applied(self) -> Path:
        """There once an apply has succeeded."""
        return self.folder / "applied"

    @property
    def initialised(self) -> Path:
        """What ``terraform init`` was last done for."""
        return self.folder / "initialised"

    def is_in_use(self) -> bool:
        """Whether Terraform has begun to make a stack here."""
        return self.state.exists() or self.begun.exists()

    def is_half_made(self) -> bool:
        """Whether the first apply was interrupted, or found what it had not made: resources may be there that
        Terraform does not know of."""
        return self.begun.exists() and not self.applied.exists()

    def prepare(self, configuration: Path, source: Source, package: Path) -> None:
        """Copies ``configuration`` anew and writes the variables; raises BadStack."""
        self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        chosen = self.lock_file.read_bytes() if self.lock_file.is_file() else None
        shutil.rmtree(self.configuration, ignore_errors=True)
        shutil.copytree(configuration, self.configuration, ignore=shutil.ignore_patterns(*LEFT_BEHIND))
        if chosen is not None:
            self.lock_file.write_bytes(chosen)
        backend = {"terraform": {"backend": {"local": {"path": str(self.state)}}}}
        write_private(self.configuration / "backend.tf.json", json.dumps(backend))
        write_private(self.values, json.dumps(_values(configuration, source, package), indent=2))

    def fingerprint(self) -> str:
        """Of everything that ``terraform init`` depends on."""
        digest = hashlib.sha256()
        for file in sorted(self.configuration.rglob("*.tf*")):
            digest.update(str(file.relative_to(self.configuration)).encode() + b"\0" + file.read_bytes())
        return digest.hexdigest()


def exceptions(configuration: Path) -> dict[str, Any]:
    """What the local AWS cannot have, each with its cause; raises BadStack."""
    try:
        return dict(yaml.safe_load((configuration / EXCEPTIONS).read_text(encoding="utf-8")))
    except (OSError, yaml.YAMLError, TypeError, ValueError) as error:
        raise BadStack(EXCEPTIONS, str(error)) from error


def _values(configuration: Path, source: Source, package: Path) -> dict[str, Any]:
    return {
        "account_id": source.values.account_id,
        "region": source.values.region,
        "prefix": source.values.prefix,
        "stack_folder": str(source.folder.absolute()),
        "packages": str(package.parent.absolute()),
        "package_target": LOCAL,
        "without": sorted(exceptions(configuration)),
        "live_origins": _live_origins(source),
    }


def _live_origins(source: Source) -> list[str]:
    """From where pages may watch on this machine, which on AWS is no part of cloud/stack."""
    functions = source.yaml("functions.yaml")["functions"]
    return str(functions["watch-authorise"]["environment"]["EVSWAP_LIVE_ORIGINS"]).split()
