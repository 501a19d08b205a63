"""The ledger of batteries: which is where, which is owed, which came back unknown.

Pure functions over facts (``batteries``, ``slots``, ``swaps``, ``authorisations``); ``shelves`` keeps their
records and ``book`` enters events in them. docs/ledger.md has the rules.
"""

from evswap_cloud.ledger.batteries import Battery, Place, Whereabouts
from evswap_cloud.ledger.book import Book, Entry, dynamo_book, dynamo_reader, enter, memory_book
from evswap_cloud.ledger.findings import Code, Finding
from evswap_cloud.ledger.reading import Answer, BatteryReader, LedgerReader
from evswap_cloud.ledger.swaps import Debt, Swap, SwapKey, SwapState

__all__ = [
    "Answer",
    "Battery",
    "BatteryReader",
    "Book",
    "Code",
    "Debt",
    "Entry",
    "Finding",
    "LedgerReader",
    "Place",
    "Swap",
    "SwapKey",
    "SwapState",
    "Whereabouts",
    "dynamo_book",
    "dynamo_reader",
    "enter",
    "memory_book",
]
