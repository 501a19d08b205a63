"""``evswap audit``, ``evswap erase`` and ``evswap authorise``: the ledger and its customers."""

import argparse

from evswap_cloud.audit import audit
from evswap_cloud.commands import report_audit, report_authorisation, report_erasure
from evswap_cloud.erasure import Stores
from evswap_cloud.lines import lines_of_bucket
from evswap_local.clients import Clients
from evswap_local.context import Context
from evswap_local.network import keep_signing_key
from evswap_local.stack.ledger import ledger_of
from evswap_local.stack.source import Values


def add_audit_arguments(parser: argparse.ArgumentParser) -> None:
    """How to print it."""
    parser.add_argument("--json", action="store_true", help="print JSON")


def run_audit(context: Context, options: argparse.Namespace) -> int:
    """Replays the events of the running stack's archive, and holds what was spent against what was
    granted."""
    clients, values = _running(context)
    accounts = ledger_of(clients, values).accounts.every()
    grants = {name: account.grant for name, account in accounts if account.grant is not None}
    lines = lines_of_bucket(clients.s3, values.archive_bucket, "events/")
    return report_audit(audit(lines, grants), as_json=options.json)


def run_erase(context: Context, options: argparse.Namespace) -> int:
    """Removes a person from the running stack's stores."""
    clients, values = _running(context)
    stores = Stores(
        dynamodb=clients.dynamodb,
        s3=clients.s3,
        events_table=values.events_table,
        archive_bucket=values.archive_bucket,
        ledger=ledger_of(clients, values),
    )
    return report_erasure(options, stores)


def run_authorise(context: Context, options: argparse.Namespace) -> int:
    """Signs with the key in the state folder, which is made the first time."""
    clients, values = _running(context)
    key = keep_signing_key(context.state)
    return report_authorisation(options, key, ledger_of(clients, values), clients.iot_data)


def _running(context: Context) -> tuple[Clients, Values]:
    settings, _described = context.demand_running()
    clients = context.clients(settings)
    return clients, context.source(clients).values
