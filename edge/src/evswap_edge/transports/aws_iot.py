"""AWS IoT Core, or a stand-in for it, over MQTT 5 with a certificate for each station (awscrt, which whoever
only reads the settings does not load).
"""

from typing import Annotated, Any, Final

from msgspec import Meta

from evswap_edge.transports import Caller, Transport
from evswap_edge.transports.broker import BrokerSettings, ReconnectMax, broker_kind


class Settings(BrokerSettings, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """``host`` is the account's endpoint, xxxx-ats.iot.<region>.amazonaws.com; 443 takes MQTT as well."""

    reconnect_max_s: ReconnectMax = 60.0
    """AWS takes 500 connections a second of an account and one of a client
    (https://docs.aws.amazon.com/general/latest/gr/iot-core.html): a fleet that waits for its region must not
    use that up with dialling."""
    aws_quotas: Annotated[
        bool, Meta(description="Keep to 100 publishes and 512 KiB a second, AWS's limits.")
    ] = True


def _tls_context(settings: Settings) -> Any:
    from evswap_edge.transports.aws_link import tls_of

    return tls_of(settings)


def _transport(settings: Settings, caller: Caller) -> Transport:
    from evswap_edge.transports.aws_link import AwsIotTransport

    return AwsIotTransport(settings, caller)


KIND: Final = broker_kind(Settings, tls_context=_tls_context, transport=_transport, renews=True)
