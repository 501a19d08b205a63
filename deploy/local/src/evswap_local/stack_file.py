"""stack.json: where everything is, for those who use the stack (tests, the bench, people)."""

from dataclasses import dataclass
from pathlib import Path

import msgspec

from evswap_local.errors import NotRunning
from evswap_local.files import write_private


class StackFile(msgspec.Struct, frozen=True, kw_only=True):
    """``api_key`` is null while reads are open, ``dashboard_url`` while there is none."""

    api_url: str
    api_key: str | None
    dashboard_url: str | None
    mqtt_host: str
    mqtt_port: int
    ca_file: str
    aws_endpoint_url: str
    region: str
    archive_bucket: str
    stations_table: str
    certificates_dir: str
    visitor_station_id: str
    credentials_file: str
    claim_certificate: str
    claim_key: str
    provisioning_template: str
    live_url: str
    live_page_url: str


@dataclass(frozen=True)
class StackFileAt:
    """The file at ``path``, readable for its owner alone: it leads to the keys."""

    path: Path

    def write(self, content: StackFile) -> None:
        """Replaces the file whole."""
        write_private(self.path, msgspec.json.format(msgspec.json.encode(content)).decode() + "\n")

    def read(self) -> StackFile:
        """The content; raises NotRunning when there is none."""
        try:
            return msgspec.json.decode(self.path.read_bytes(), type=StackFile)
        except (FileNotFoundError, msgspec.ValidationError, msgspec.DecodeError):
            raise NotRunning from None
