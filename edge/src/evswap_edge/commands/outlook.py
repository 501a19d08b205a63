"""How long a station's certificate lasts, in one line, for several commands."""

from evswap_edge.clock import TimeSource
from evswap_edge.config import StationConfig
from evswap_edge.provisioning.terms import renewal_due_at
from evswap_edge.transports.broker import BrokerSettings
from evswap_edge.transports.credentials import certificate_validity
from evswap_schema import format_timestamp


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
