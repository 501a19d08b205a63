"""The contract between a battery-swap station and its cloud: messages, rules and topics.

Both sides import this package and nothing of each other. What is listed here is its public interface.
"""

from evswap_schema.acknowledgement import (
    Acknowledgement,
    acknowledgements,
    decode_acknowledgement,
    encode_acknowledgement,
    message_digest,
)
from evswap_schema.batch import Batch, EncodedBatch, MinuteAggregate, Span
from evswap_schema.bay import Battery, Bay, Charge, Health, Lock, Occupancy, Reservation
from evswap_schema.commands import (
    Action,
    Command,
    CommandResult,
    Outcome,
    ReadNow,
    RequestSwap,
    Reserve,
    SetCharging,
    SetConfiguration,
    Unlock,
    decode_command,
    decode_result,
    encode_command,
    encode_result,
)
from evswap_schema.errors import (
    InvalidField,
    InvalidMessage,
    InvalidTopic,
    MalformedMessage,
    OversizedMessage,
    SchemaError,
)
from evswap_schema.events import (
    AlarmEvent,
    AlarmState,
    Event,
    Severity,
    SwapEvent,
    SwappedBattery,
    SwapStep,
    decode_event,
    encode_event,
)
from evswap_schema.fields import STATION_ID_PATTERN, Clock, Quality, StationStatus
from evswap_schema.identity import Identity, identity_of
from evswap_schema.packing import encode_batches
from evswap_schema.reading import (
    Location,
    Part,
    Reading,
    decode_own_reading,
    decode_reading,
    encode_reading,
)
from evswap_schema.rewriting import rewrite_batch
from evswap_schema.timestamps import compact_timestamp, format_timestamp, parse_timestamp
from evswap_schema.topics import TOPICS, Channel, Direction, TopicRow, aws_topic, broker_topic, rule_source
from evswap_schema.unpacking import decode_batch

__all__ = [
    "STATION_ID_PATTERN",
    "TOPICS",
    "Acknowledgement",
    "Action",
    "AlarmEvent",
    "AlarmState",
    "Batch",
    "Battery",
    "Bay",
    "Channel",
    "Charge",
    "Clock",
    "Command",
    "CommandResult",
    "Direction",
    "EncodedBatch",
    "Event",
    "Health",
    "Identity",
    "InvalidField",
    "InvalidMessage",
    "InvalidTopic",
    "Location",
    "Lock",
    "MalformedMessage",
    "MinuteAggregate",
    "Occupancy",
    "Outcome",
    "OversizedMessage",
    "Part",
    "Quality",
    "ReadNow",
    "Reading",
    "RequestSwap",
    "Reservation",
    "Reserve",
    "SchemaError",
    "SetCharging",
    "SetConfiguration",
    "Severity",
    "Span",
    "StationStatus",
    "SwapEvent",
    "SwapStep",
    "SwappedBattery",
    "TopicRow",
    "Unlock",
    "acknowledgements",
    "aws_topic",
    "broker_topic",
    "compact_timestamp",
    "decode_acknowledgement",
    "decode_batch",
    "decode_command",
    "decode_event",
    "decode_own_reading",
    "decode_reading",
    "decode_result",
    "encode_acknowledgement",
    "encode_batches",
    "encode_command",
    "encode_event",
    "encode_reading",
    "encode_result",
    "format_timestamp",
    "identity_of",
    "message_digest",
    "parse_timestamp",
    "rewrite_batch",
    "rule_source",
]
