"""Commands to the stack's stations, kept in its table."""

from evswap_cloud.remote import Dispatcher, DynamoCommands
from evswap_local.clients import Clients
from evswap_local.stack.source import Source
from evswap_local.stack.tables import FILE


def command_store(clients: Clients, source: Source) -> DynamoCommands:
    """The table of the stack of ``source``."""
    return DynamoCommands(clients.dynamodb, source.named(FILE, "commands"))


def dispatcher_of(clients: Clients, source: Source) -> Dispatcher:
    """What issues commands to the stations of the stack."""
    return Dispatcher(command_store(clients, source), clients.command_plane)
