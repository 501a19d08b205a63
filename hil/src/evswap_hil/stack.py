"""What a running stack says about itself: the file `stack.json` that `evswap up` writes."""

from pathlib import Path
from typing import Any

import msgspec

from evswap_hil.observers.mqtt import ClientCertificate

CERTIFICATE_SUFFIX = ".cert.pem"
KEY_SUFFIX = ".key.pem"


class StackFileError(Exception):
    """The stack's description cannot be used; `path` is the file."""

    def __init__(self, path: Path, reason: str) -> None:
        super().__init__(f"{path}: {reason}")
        self.path = path
        self.reason = reason


class NoStackFile(StackFileError):
    """There is no such file: most likely nothing runs."""


class InvalidStackFile(StackFileError):
    """The file is there and does not describe a stack."""


class Stack(msgspec.Struct, frozen=True, kw_only=True):
    """Where the parts of a running stack are found. Keys that the bench does not need are left alone."""

    api_url: str
    mqtt_host: str
    mqtt_port: int
    ca_file: Path
    aws_endpoint_url: str
    region: str
    archive_bucket: str
    stations_table: str
    certificates_dir: Path
    visitor_station_id: str
    """A provisioned station that no process runs, for trying things by hand."""
    api_key: str | None = None
    """None where reads are open."""
    dashboard_url: str | None = None

    def certificate_of(self, station_id: str) -> ClientCertificate:
        return ClientCertificate(
            certificate=self.certificates_dir / f"{station_id}{CERTIFICATE_SUFFIX}",
            key=self.certificates_dir / f"{station_id}{KEY_SUFFIX}",
        )

    def station_ids(self) -> list[str]:
        """Every station that has a certificate, the visitor left out."""
        files = self.certificates_dir.glob(f"*{CERTIFICATE_SUFFIX}")
        issued = {file.name.removesuffix(CERTIFICATE_SUFFIX) for file in files}
        return sorted(issued - {self.visitor_station_id})


def read_stack(path: Path) -> Stack:
    """Read a stack's description. Raises NoStackFile or InvalidStackFile."""
    try:
        text = path.read_bytes()
    except FileNotFoundError as missing:
        raise NoStackFile(path, "not found; start a stack first (make up) or name its file") from missing
    except OSError as unreadable:
        raise InvalidStackFile(path, f"not readable: {unreadable.strerror}") from unreadable
    try:
        return msgspec.json.decode(text, type=Stack, dec_hook=_decode_path)
    except msgspec.DecodeError as invalid:
        raise InvalidStackFile(path, f"does not describe a stack: {invalid}") from invalid


def _decode_path(kind: type, value: Any) -> Any:
    if kind is Path and isinstance(value, str):
        return Path(value)
    raise TypeError(f"expected `str`, got `{type(value).__name__}`")
