"""Commands from the cloud: kept until they have a result, sent, asked for, and expired."""

from evswap_cloud.remote.dispatcher import (
    DEFAULT_LIFE,
    MAX_LIFE,
    CommandPlane,
    Dispatcher,
    Issued,
    IssuedDifferently,
    Order,
    longest_life,
)
from evswap_cloud.remote.expiry import expire
from evswap_cloud.remote.records import PLACE_PATTERN, Record, State
from evswap_cloud.remote.reports import CommandReports, Heard
from evswap_cloud.remote.store import CommandPage, CommandReader, CommandStore, DynamoCommands

__all__ = [
    "DEFAULT_LIFE",
    "MAX_LIFE",
    "PLACE_PATTERN",
    "CommandPage",
    "CommandPlane",
    "CommandReader",
    "CommandReports",
    "CommandStore",
    "Dispatcher",
    "DynamoCommands",
    "Heard",
    "Issued",
    "IssuedDifferently",
    "Order",
    "Record",
    "State",
    "expire",
    "longest_life",
]
