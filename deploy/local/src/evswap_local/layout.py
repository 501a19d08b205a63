"""Where things are: in the checkout, and in the state folder of one stack."""

import os
from dataclasses import dataclass
from pathlib import Path

from evswap_local.errors import MinistackMissing, NotACheckout

MINISTACK_PYTHON = "EVSWAP_MINISTACK_PYTHON"
STATE_DIR = "EVSWAP_STATE_DIR"


@dataclass(frozen=True)
class Checkout:
    """The source tree of evswap."""

    root: Path

    @classmethod
    def around(cls, start: Path) -> "Checkout":
        """The checkout at or above ``start``; raises NotACheckout."""
        for folder in (start, *start.parents):
            if (folder / "cloud" / "stack" / "openapi.yaml").is_file():
                return cls(folder)
        raise NotACheckout(start)

    @property
    def stack(self) -> Path:
        """The stack as data."""
        return self.root / "cloud" / "stack"

    @property
    def terraform(self) -> Path:
        """The stack for AWS, as Terraform's configuration."""
        return self.root / "cloud" / "terraform"

    def ministack_python(self) -> Path:
        """The interpreter that has ministack; raises MinistackMissing."""
        named = os.environ.get(MINISTACK_PYTHON)
        python = Path(named) if named else self.root / ".venv-ministack" / "bin" / "python"
        if not os.access(python, os.X_OK):
            raise MinistackMissing(python)
        return python

    def state_folder(self, named: Path | None) -> "StateFolder":
        """The state folder: as ``named``, else by EVSWAP_STATE_DIR, else ``.evswap`` in the checkout."""
        by_environment = os.environ.get(STATE_DIR)
        chosen = named or (Path(by_environment) if by_environment else self.root / ".evswap")
        return StateFolder(chosen.absolute())


@dataclass(frozen=True)
class StateFolder:
    """Everything one stack keeps; only ``run`` and ``temporary`` are emptied when it stops."""

    path: Path

    def make(self) -> None:
        """Makes the folders, readable for their owner alone."""
        for folder in (
            self.path,
            self.run,
            self.logs,
            self.certificates,
            self.claim,
            self.stations,
            self.ministack,
            self.temporary,
            self.packages,
        ):
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)

    @property
    def run(self) -> Path:
        """One file for each process that runs."""
        return self.path / "run"

    @property
    def logs(self) -> Path:
        """One file for each process, and the one before it."""
        return self.path / "logs"

    @property
    def certificates(self) -> Path:
        """``<station_id>.cert.pem`` and ``<station_id>.key.pem`` of every station, and ``ca.pem``."""
        return self.path / "certificates"

    @property
    def ca(self) -> Path:
        """The trust anchor of the MQTT listener."""
        return self.certificates / "ca.pem"

    @property
    def claim(self) -> Path:
        """All that a new station needs to obtain a certificate of its own, and nothing else."""
        return self.path / "claim"

    @property
    def stations(self) -> Path:
        """A folder for each station, with its outbox."""
        return self.path / "stations"

    @property
    def ministack(self) -> Path:
        """What the local AWS remembers."""
        return self.path / "ministack"

    @property
    def temporary(self) -> Path:
        """Unpacked functions, while the local AWS runs."""
        return self.path / "tmp"

    @property
    def packages(self) -> Path:
        """The zip of the functions."""
        return self.path / "packages"

    @property
    def history(self) -> Path:
        """Files of the compacted history that `evswap query` has fetched."""
        return self.path / "history"

    @property
    def terraform(self) -> Path:
        """Terraform's state, where Terraform makes the stack."""
        return self.path / "terraform"

    @property
    def authorisation_key(self) -> Path:
        """The private key that authorisations are signed with."""
        return self.path / "authorisations.key.pem"

    @property
    def authorisation_public_key(self) -> Path:
        """Its public half, for the stations."""
        return self.path / "authorisations.pub.pem"

    @property
    def token_key(self) -> Path:
        """The network's key that makes customers' tokens into hashes, in hex."""
        return self.path / "tokens.key"

    @property
    def fleet_config(self) -> Path:
        """The configuration that the fleet process reads."""
        return self.path / "fleet.yaml"

    @property
    def credentials(self) -> Path:
        """An AWS shared-credentials file with the key of the local root."""
        return self.path / "credentials"

    @property
    def live_addresses(self) -> Path:
        """Where the page for live updates finds what it asks."""
        return self.path / "live.json"

    @property
    def stack_file(self) -> Path:
        """Addresses and names for those who use the stack."""
        return self.path / "stack.json"

    @property
    def lock(self) -> Path:
        """Held by the command that changes the stack."""
        return self.path / "lock"
