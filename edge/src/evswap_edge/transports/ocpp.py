"""Any charging station management system (CSMS) that speaks OCPP 2.1, over WebSocket and TLS.

The strength of the acknowledgement: the CSMS has answered. An event is delivered when each of its requests
has; a sample, which OCPP has no message for, when the newest state that is known by then was told. Requests
go one at a time, as OCPP demands, and one that is sent again has the same message id.

Security profile 2 shows a password (HTTP Basic), profile 3 a certificate. Profiles 0 and 1, which have no
TLS, cannot be chosen.
"""

from pathlib import Path
from typing import Annotated, Any, Final, Literal

import ocpp as _ocpp  # type: ignore[import-untyped]  # noqa: F401 - missed when it is chosen, not later
import websockets as _websockets  # noqa: F401
from msgspec import Meta, Struct

from evswap_edge import keys
from evswap_edge.clock import TimeSource
from evswap_edge.transports import Caller, Transport, TransportKind
from evswap_schema import broker_topic

Profile = Literal[2, 3]

LONGEST_NAME: Final = 48
"""Characters of a station's identity (OCPP-J 2.1, section 3.1.1; variable SecurityCtrlr.Identity)."""


class Settings(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Where the CSMS is, to whose ``url`` the station's id is appended, and what is shown to it.

    ``token_key_file`` has the network's key for tokens in hex; with it the CSMS may name customers in clear.
    """

    url: Annotated[str, Meta(pattern=r"^wss://[^\s?#@]+\Z", description="wss://csms.example.org/ocpp")]
    security_profile: Profile = 2
    password_file: Path | None = None
    certificate_file: Path | None = None
    key_file: Path | None = None
    ca_file: Path | None = None
    """None: the system's trust store."""
    token_key_file: Path | None = None
    vendor: Annotated[str, Meta(min_length=1, max_length=50)] = "evswap"
    model: Annotated[str, Meta(min_length=1, max_length=20)] = "Battery-swap station"
    answer_timeout_s: Annotated[float, Meta(ge=0.1, le=300)] = 30.0
    command_timeout_s: Annotated[
        float, Meta(ge=0.1, le=300, description="The CSMS has its answer within this.")
    ] = 20.0
    connect_timeout_s: Annotated[float, Meta(ge=0.1, le=300)] = 15.0
    keep_alive_s: Annotated[float, Meta(ge=1, le=1200)] = 30.0
    boot_retry_s: Annotated[
        float, Meta(ge=0.1, le=3600, description="Where a CSMS that has not accepted names no time.")
    ] = 30.0
    reconnect_min_s: Annotated[float, Meta(ge=0.1, le=60)] = 0.5
    reconnect_max_s: Annotated[float, Meta(ge=0.1, le=3600)] = 60.0

    def __post_init__(self) -> None:
        if self.security_profile == 2 and self.password_file is None:
            raise ValueError("security_profile 2 needs password_file")
        if self.security_profile == 3 and None in {self.certificate_file, self.key_file}:
            raise ValueError("security_profile 3 needs certificate_file and key_file")


def _check(settings: Settings, time: TimeSource) -> None:
    from evswap_edge.transports.ocpp_credentials import Shown

    Shown.now(settings, time)


async def _open(settings: Settings, caller: Caller) -> Transport:
    from evswap_edge.transports.ocpp_transport import OcppTransport

    return OcppTransport(settings, caller)


def _station_files(directory: Path, station_id: str) -> dict[str, str]:
    """Those of both profiles; what the chosen one does not show need not be there."""
    return {
        "password_file": str(directory / f"{station_id}.password"),
        "certificate_file": str(keys.certificate_path(directory, station_id)),
        "key_file": str(keys.key_path(directory, station_id)),
    }


KIND: Final[TransportKind[Any]] = TransportKind(
    settings=Settings,
    check=_check,
    open=_open,
    station_files=_station_files,
    topic=broker_topic,
    keeps_wills=False,
    longest_name=LONGEST_NAME,
)
