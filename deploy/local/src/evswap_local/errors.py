"""What can go wrong with the stack on this machine. Every error is one sentence that says what to do next.

``LocalError``
    ``NotACheckout``          no evswap source tree around the current folder
    ``MinistackMissing``      ministack's interpreter is not there
    ``PortTaken``             another program listens where ministack would
    ``Busy``                  another ``evswap`` command changes the same stack
    ``DidNotStart``           a process ended or did not get ready in time
    ``DidNotStop``            a process is still there after SIGKILL
    ``NotRunning``            the command needs a running stack
    ``OtherSettings``         the running stack was started with other settings
    ``BadStack``              a file under cloud/stack cannot be applied
    ``CertificateUnusable``   a station's certificate has expired or is revoked
    ``TokenKeyUnusable``      the network's key for tokens is none
    ``TerraformMissing``      there is no program ``terraform``
    ``TerraformFailed``       Terraform could not make the stack
    ``OtherMaker``            the stack in this state folder was made by the other of evswap and Terraform
    ``StationsMissing``       the stack runs, but not every station appeared
"""

from collections.abc import Sequence
from pathlib import Path


class LocalError(Exception):
    """The base; ``str()`` is the sentence for the user."""


class NotACheckout(LocalError):
    """``start`` is where the search began."""

    def __init__(self, start: Path) -> None:
        super().__init__(f"no evswap checkout at or above {start}: go into one, or name it with --root")
        self.start = start


class MinistackMissing(LocalError):
    """``python`` is the interpreter that was looked for."""

    def __init__(self, python: Path) -> None:
        super().__init__(
            f"ministack's environment is missing ({python}): `make up` makes it, or EVSWAP_MINISTACK_PYTHON "
            f"names another interpreter that has ministack"
        )
        self.python = python


class PortTaken(LocalError):
    """``holder`` describes the program that has ``port``, when it could be found out."""

    def __init__(self, port: int, flag: str, holder: str | None) -> None:
        who = f" by {holder}" if holder else ""
        super().__init__(f"port {port} is taken{who}: stop it, or choose another port with {flag}")
        self.port, self.flag, self.holder = port, flag, holder


class Busy(LocalError):
    """``holder`` is the process id that has the lock, when it wrote it down."""

    def __init__(self, holder: str) -> None:
        who = f" (process {holder})" if holder else ""
        super().__init__(f"another evswap command is changing this stack{who}: wait until it has ended")
        self.holder = holder


class DidNotStart(LocalError):
    """``name`` of the process, ``reason`` as far as it is known, ``log`` with the rest."""

    def __init__(self, name: str, reason: str, log: Path) -> None:
        super().__init__(f"{name} did not start: {reason} (log: {log})")
        self.name, self.reason, self.log = name, reason, log


class DidNotStop(LocalError):
    """``pid`` of the process that is still there."""

    def __init__(self, name: str, pid: int) -> None:
        super().__init__(
            f"{name} (process {pid}) is still there after SIGKILL: look at it with `ps -p {pid}`"
        )
        self.name, self.pid = name, pid


class NotRunning(LocalError):
    """``what`` is not running."""

    def __init__(self, what: str = "the stack") -> None:
        super().__init__(f"{what} is not running: start it with `evswap up`")
        self.what = what


class OtherSettings(LocalError):
    """``flag`` was given as ``wanted``, the running stack has ``running``."""

    def __init__(self, flag: str, wanted: object, running: object) -> None:
        super().__init__(f"the running stack has {flag} {running}, not {wanted}: run `evswap down` first")
        self.flag, self.wanted, self.running = flag, wanted, running


class BadStack(LocalError):
    """``source`` is the file under cloud/stack, or the resource, that ``reason`` is about."""

    def __init__(self, source: str, reason: str) -> None:
        super().__init__(f"cannot apply {source}: {reason}")
        self.source, self.reason = source, reason


class CertificateUnusable(LocalError):
    """``station_id`` cannot connect because its certificate is ``state``."""

    def __init__(self, station_id: str, state: str) -> None:
        super().__init__(
            f"the certificate of {station_id} is {state}: "
            f"`evswap certificate renew {station_id}` issues another"
        )
        self.station_id, self.state = station_id, state


class TokenKeyUnusable(LocalError):
    """The file ``path`` holds no key, for ``reason``."""

    def __init__(self, path: Path, reason: str) -> None:
        super().__init__(
            f"{path} holds no key for tokens ({reason}): put back the one that was there, or remove the file "
            f"and be somebody new to every station"
        )
        self.path, self.reason = path, reason


class TerraformMissing(LocalError):
    """Nothing called ``terraform`` is on the PATH."""

    def __init__(self) -> None:
        super().__init__(
            "terraform is not on the PATH: install Terraform 1.9 or newer, or leave out --with terraform"
        )


class TerraformFailed(LocalError):
    """``errors`` are what Terraform said, ``log`` has all of it."""

    def __init__(self, errors: Sequence[str], log: Path) -> None:
        super().__init__(f"terraform failed: {'; '.join(errors)}. {_mend(' '.join(errors))} (log: {log})")
        self.errors, self.log = tuple(errors), log

    @property
    def is_conflict(self) -> bool:
        """Something was there that Terraform does not know of."""
        return is_conflict(self.errors)


def is_conflict(errors: Sequence[str]) -> bool:
    """Whether one of Terraform's errors says that what it was to make is there already."""
    return any(sign in error for error in errors for sign in _CONFLICTS)


def _mend(said: str) -> str:
    """What to do about an error of Terraform's."""
    for signs, mend in MENDS.items():
        if any(sign in said for sign in signs):
            return mend
    return "`evswap up` again goes on from where it ended"


_CONFLICTS = ("lready exist", "ResourceInUse", "ResourceConflict", "ConflictException", "DuplicateRecord")
MENDS = {
    ("query available provider", "Failed to install provider", "Could not retrieve the list"): (
        "Connect to the provider's registry, or name a folder that has hashicorp/aws by "
        "EVSWAP_TERRAFORM_PLUGIN_DIR"
    ),
    ("Unsupported Terraform Core version",): "Install Terraform 1.9 or newer",
    _CONFLICTS: (
        "The local AWS has something that this Terraform does not know of: `evswap down`, and remove the "
        "state folder"
    ),
}


class OtherMaker(LocalError):
    """The stack in the state folder ``path`` was made by ``made``, and ``wanted`` cannot take it over."""

    def __init__(self, path: Path, made: str, wanted: str) -> None:
        super().__init__(
            f"the stack in {path} was made with {made}, and {wanted} cannot take it over: `evswap down` and "
            f"remove the folder, or name another one by --state-dir"
        )
        self.path, self.made, self.wanted = path, made, wanted


class StationsMissing(LocalError):
    """``missing`` are the stations that did not appear within ``deadline_s`` seconds."""

    def __init__(self, missing: Sequence[str], deadline_s: float) -> None:
        named = ", ".join(missing[:5]) + (", ..." if len(missing) > 5 else "")
        super().__init__(
            f"{len(missing)} stations did not appear in the API within {deadline_s:.0f} s ({named}): "
            f"see .evswap/logs/fleet.log and .evswap/logs/ministack.log"
        )
        self.missing, self.deadline_s = tuple(missing), deadline_s
