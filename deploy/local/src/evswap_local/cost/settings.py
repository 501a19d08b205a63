"""What Terraform's variables change of a bill: read from the file that Terraform itself is given."""

from collections.abc import Mapping
from pathlib import Path

import msgspec
from msgspec import Struct

from evswap_local.cost.capacity import Capacity
from evswap_local.errors import LocalError


class BadSettings(LocalError):
    """``path`` is no file of Terraform's variables in JSON; ``why``."""

    def __init__(self, path: Path, why: str) -> None:
        self.path = path
        self.why = why
        super().__init__(f"{path}: {why}")


class Settings(Struct, frozen=True, kw_only=True):
    """The variables of cloud/terraform/variables.tf that a bill follows; None is what cloud/stack says."""

    tracing_share: float = 0.05
    windows_s: Mapping[str, float] = {}
    events_kept_days: float | None = None
    provisioned_tables: Mapping[str, Capacity] = {}
    table_utilisation: float = 70
    dashboard: bool = True


def read_settings(path: Path) -> Settings:
    """A ``.tfvars.json``, of which the variables that cost nothing are left out; raises ``BadSettings``."""
    try:
        return msgspec.json.decode(path.read_bytes(), type=Settings)
    except (OSError, msgspec.MsgspecError) as error:
        raise BadSettings(path, str(error)) from error
