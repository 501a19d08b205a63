"""The ledger in the stack's tables."""

from evswap_cloud.ledger import Book, dynamo_book
from evswap_local.clients import Clients
from evswap_local.stack.source import Values


def ledger_of(clients: Clients, values: Values) -> Book:
    """The ledger of the stack with these names."""
    return dynamo_book(
        clients.dynamodb,
        batteries=values.batteries_table,
        ledger=values.ledger_table,
        authorisations=values.authorisations_table,
    )
