"""``evswap audit``, ``erase``, ``authorise``, ``command`` and ``token``: customers, and who commands."""

import argparse
import sys

from evswap_cloud.audit import audit
from evswap_cloud.commands import report_audit, report_authorisation, report_erasure
from evswap_cloud.erasure import Stores
from evswap_cloud.lines import lines_of_bucket
from evswap_cloud.remote.command_line import report_command
from evswap_local.api import fetch_token
from evswap_local.clients import Clients
from evswap_local.context import Context
from evswap_local.network import keep_signing_key
from evswap_local.stack.commands import command_store, dispatcher_of
from evswap_local.stack.identity import machine_credentials
from evswap_local.stack.ledger import ledger_of
from evswap_local.stack.source import Source, Values
from evswap_local.stack.tables import FILE as TABLES


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
    clients, source = _running_stack(context)
    values = source.values
    stores = Stores(
        dynamodb=clients.dynamodb,
        s3=clients.s3,
        events_table=values.events_table,
        commands_table=source.named(TABLES, "commands"),
        archive_bucket=values.archive_bucket,
        ledger=ledger_of(clients, values),
    )
    return report_erasure(options, stores)


def run_authorise(context: Context, options: argparse.Namespace) -> int:
    """Signs with the key in the state folder, which is made the first time."""
    clients, source = _running_stack(context)
    key = keep_signing_key(context.state)
    ledger = ledger_of(clients, source.values)
    return report_authorisation(options, key, ledger, dispatcher_of(clients, source))


def run_command(context: Context, options: argparse.Namespace) -> int:
    """Has a station of the running stack do something."""
    clients, source = _running_stack(context)
    return report_command(options, dispatcher_of(clients, source), command_store(clients, source))


def add_token_arguments(parser: argparse.ArgumentParser) -> None:
    """What it is to allow."""
    parser.add_argument(
        "--scope",
        action="append",
        dest="scopes",
        metavar="SCOPE",
        help="such as evswap/operate; repeatable (default: all that machines may have)",
    )


def run_token(context: Context, options: argparse.Namespace) -> int:
    """Prints an access token, as a machine gets it: by its client's secret."""
    clients, source = _running_stack(context)
    client_id, secret = machine_credentials(clients, source)
    token = fetch_token(clients.endpoint_url, client_id, secret, scopes=options.scopes or ())
    sys.stdout.write(f"{token}\n")
    return 0


def _running(context: Context) -> tuple[Clients, Values]:
    clients, source = _running_stack(context)
    return clients, source.values


def _running_stack(context: Context) -> tuple[Clients, Source]:
    settings, _described = context.demand_running()
    clients = context.clients(settings)
    return clients, context.source(clients)
