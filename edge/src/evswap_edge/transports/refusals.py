"""What to look at when the far side does not let a station in: TLS and MQTT say little of the reason."""

from pathlib import Path
from typing import Final

from evswap_edge.clock import TimeSource
from evswap_edge.transports import CredentialsError, ReasonCode
from evswap_edge.transports.credentials import OBTAIN_ONE, certificate_validity
from evswap_schema import Clock, format_timestamp

_HANGS_UP: Final = frozenset(
    {
        "AWS_ERROR_MQTT_UNEXPECTED_HANGUP",
        "AWS_IO_SOCKET_CLOSED",
        "AWS_IO_TLS_ERROR_ALERT_RECEIVED",
        "AWS_IO_TLS_ERROR_READ_FAILURE",
    }
)
"""awscrt's names for a connection that was ended before a CONNACK, as when the certificate is refused: in TLS
1.3 the client has shaken hands by then, and awscrt keeps the alert to itself."""


def remedy(error_name: str, reason_code: int | None, *, certificate_file: Path, time: TimeSource) -> str:
    """What to do after a connection that failed with awscrt's error ``error_name``, or with a CONNACK of
    ``reason_code``; empty when it had nothing to do with the certificate."""
    if reason_code == ReasonCode.NOT_AUTHORIZED:
        return (
            f"{certificate_file} may not connect under this station's name: is it attached to the thing of "
            "that name, has it the station's policies, and is it active?"
        )
    if reason_code is None and error_name in _HANGS_UP:
        return (
            "So ends who shows a certificate that is revoked or not active, out of its time, or of another "
            f"authority. {_times(certificate_file, time)} If that is in order, see why it was revoked, or"
            f" {OBTAIN_ONE}"
        )
    return ""


def _times(certificate_file: Path, time: TimeSource) -> str:
    try:
        times = certificate_validity(certificate_file)
    except CredentialsError as error:
        return f"{error}."
    now = format_timestamp(time.now())
    clock = "" if time.state() is Clock.SYNCHRONIZED else ", which nothing has set,"
    return (
        f"{certificate_file} is valid from {format_timestamp(times.begins)} to"
        f" {format_timestamp(times.ends)}; this machine's clock{clock} says {now}."
    )
