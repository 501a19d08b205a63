"""Any MQTT 5 broker, with a certificate for each station (aiomqtt, which whoever only reads the settings does
not load).

The strength of the acknowledgement: a PUBACK with a code of success, as with aws-iot. MQTT 3.1.1 has no such
codes, and its brokers acknowledge what they drop: a broker that does not speak MQTT 5 is refused.

The session outlives the link by the delay of the will: a link that comes back in time finds the commands of
the meantime, and the broker says nothing of its absence.
"""

from typing import Any, Final

from evswap_edge.transports import Caller, Transport
from evswap_edge.transports.broker import BrokerSettings, ReconnectMax, broker_kind
from evswap_schema import broker_topic


class Settings(BrokerSettings, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A broker of one's own is dialled often enough to be found within 3 s of its return."""

    reconnect_max_s: ReconnectMax = 2.0


def _tls_context(settings: Settings) -> Any:
    from evswap_edge.transports.mqtt_transport import tls_of

    return tls_of(settings)


def _transport(settings: Settings, caller: Caller) -> Transport:
    from evswap_edge.transports.mqtt_transport import MqttTransport

    return MqttTransport(settings, caller)


KIND: Final = broker_kind(Settings, tls_context=_tls_context, transport=_transport, topic=broker_topic)
