"""Emulated nuclei, as several tests need them."""

from typing import Any

MQTT_PROXY = "aws.greengrass.ipc.mqttproxy"
PUBSUB = "aws.greengrass.ipc.pubsub"

EVERYTHING_ALLOWED: dict[str, Any] = {
    "accessControl": {
        service: {"all": {"operations": ["*"], "resources": ["*"]}} for service in (MQTT_PROXY, PUBSUB)
    }
}
