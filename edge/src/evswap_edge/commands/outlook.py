"""How long a station's certificate lasts, or what is wrong with it, in one line, for several commands."""

from evswap_edge.clock import TimeSource
from evswap_edge.config import StationConfig
from evswap_edge.provisioning.terms import renewal_due_at
from evswap_edge.transports import CredentialsError
from evswap_edge.transports.broker import BrokerSettings
from evswap_edge.transports.credentials import certificate_validity, look_at_credentials
from evswap_schema import format_timestamp


def certificate_fault(station: StationConfig, clock: TimeSource) -> str | None:
    """What can be seen to be wrong with certificate and key; None where nothing is, or there are none."""
    settings = station.transport.settings
    if not isinstance(settings, BrokerSettings):
        return None
    try:
        return look_at_credentials(
            certificate_file=settings.certificate_file,
            key_file=settings.key_file,
            ca_file=settings.ca_file,
            time=clock,
        )
    except CredentialsError as error:
        return str(error)


def certificate_outlook(station: StationConfig, clock: TimeSource) -> str | None:
    """None for a station whose transport shows no certificate of its own. Raises ``CredentialsError``."""
    settings = station.transport.settings
    if not isinstance(settings, BrokerSettings):
        return None
    times, terms = certificate_validity(settings.certificate_file), station.provisioning
    left = (times.ends - clock.now()).days
    line = f"{station.station_id}: certificate until {format_timestamp(times.ends)}, {left} days left"
    if terms.renew and station.transport.kind.renews:
        due = renewal_due_at(times, terms, name=station.station_id)
        line += f"; replaced from {format_timestamp(due.replace(microsecond=0))} on"
    return line
