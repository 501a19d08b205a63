"""What every transport asks that reaches a broker with a certificate of the station's own."""

import logging
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any, Final, TypeVar

from msgspec import Meta, Struct

from evswap_edge import keys
from evswap_edge.clock import TimeSource
from evswap_edge.transports import Caller, Transport, TransportKind
from evswap_edge.transports.credentials import check_credentials

_log: Final = logging.getLogger(__name__)

ReconnectMax = Annotated[float, Meta(ge=0.1, le=3600)]


class BrokerSettings(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Where to connect, and with what. A broken link is dialled again after a random time between nothing and
    a ceiling that doubles from ``reconnect_min_s`` to ``reconnect_max_s``, whose default is each transport's
    own."""

    host: Annotated[str, Meta(min_length=1)]
    certificate_file: Path
    key_file: Path
    port: Annotated[int, Meta(ge=1, le=65535)] = 8883
    ca_file: Path | None = None
    """None: the system's trust store, which holds Amazon's root CA."""
    keep_alive_s: Annotated[
        int, Meta(ge=15, le=1200, description="A silent link is found within this and 10 s.")
    ] = 30
    acknowledge_timeout_s: Annotated[int, Meta(ge=1, le=300)] = 20
    connect_timeout_s: Annotated[int, Meta(ge=1, le=300)] = 15
    reconnect_min_s: Annotated[float, Meta(ge=0.1, le=60)] = 0.5
    reconnect_max_s: ReconnectMax
    will_delay_s: Annotated[
        int, Meta(ge=0, le=3600, description="A link that comes back within this was never away.")
    ] = 30


SettingsT = TypeVar("SettingsT", bound=BrokerSettings)


def checked(settings: BrokerSettings, time: TimeSource) -> str | None:
    """``check_credentials`` of the files that ``settings`` name."""
    return check_credentials(
        certificate_file=settings.certificate_file,
        key_file=settings.key_file,
        ca_file=settings.ca_file,
        time=time,
    )


def broker_kind(
    settings: type[SettingsT],
    *,
    tls_context: Callable[[SettingsT], object],
    transport: Callable[[SettingsT, Caller], Transport],
    **traits: Any,
) -> TransportKind[SettingsT]:
    """The kind of a ``transport`` whose ``tls_context`` raises ``CredentialsError`` for files that its TLS
    cannot use. ``traits`` are those of ``TransportKind``."""

    def check(chosen: SettingsT, time: TimeSource) -> None:
        if doubt := checked(chosen, time):
            _log.warning("%s", doubt)
        tls_context(chosen)

    async def opened(chosen: SettingsT, caller: Caller) -> Transport:
        return transport(chosen, caller)

    return TransportKind(settings=settings, check=check, open=opened, station_files=_station_files, **traits)


def _station_files(directory: Path, station_id: str) -> dict[str, str]:
    """The settings that differ from station to station of a fleet."""
    return {
        "certificate_file": str(keys.certificate_path(directory, station_id)),
        "key_file": str(keys.key_path(directory, station_id)),
    }
