"""The commands of ``evswap-cloud`` that work on a running cloud: audit, erase, authorise.

Which AWS they work on, credentials, region and endpoint come from the environment, as for any AWS tool; names
of tables and of the bucket from the variables that the functions have (``cloud/stack/functions.yaml``).
"""

import argparse
import json
import sys
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

import boto3
import msgspec

from evswap_cloud import signing, wiring
from evswap_cloud.audit import Audit, Line, audit, told
from evswap_cloud.erasure import Erased, NoTokenHash, Stores, erase
from evswap_cloud.errors import CloudError
from evswap_cloud.ledger import Book
from evswap_cloud.lines import lines_of_bucket, lines_of_folder
from evswap_cloud.remote import Dispatcher
from evswap_cloud.remote.command_line import add_command_arguments, report_command, shell_user
from evswap_schema import Authorisation, format_timestamp

S3 = "s3://"


def add_commands(commands: Any) -> None:
    """Add them to what ``add_subparsers`` gave."""
    _add_audit(commands.add_parser("audit", help="check an archive of events against itself"))
    erase_command = commands.add_parser("erase", help="remove a person from every store")
    add_erase_arguments(erase_command)
    erase_command.set_defaults(run=_erase)
    authorise_command = commands.add_parser("authorise", help="let a customer swap where there is no link")
    add_authorise_arguments(authorise_command)
    key = authorise_command.add_mutually_exclusive_group(required=True)
    key.add_argument("--key-file", type=Path, metavar="FILE", help="the key to sign with; made if missing")
    key.add_argument("--key-secret", metavar="NAME", help="the secret of AWS that holds it, in PEM")
    authorise_command.set_defaults(run=_authorise)
    command = commands.add_parser("command", help="have a station do something")
    add_command_arguments(command)
    command.set_defaults(run=_command)


def _add_audit(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "archive",
        help="a folder with .jsonl or .jsonl.gz files, or s3://bucket/prefix such as s3://archive/events/",
    )
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.set_defaults(run=_audit)


def _audit(options: argparse.Namespace) -> int:
    try:
        return report_audit(audit(_lines(options.archive)), as_json=options.json)
    except (CloudError, OSError) as error:
        sys.stderr.write(f"evswap-cloud: {error}\n")
        return 2


def report_audit(result: Audit, *, as_json: bool) -> int:
    """Print ``result``; 0 where the archive is consistent with itself, else 1."""
    if as_json:
        shown = {name: getattr(result, name) for name in result.__struct_fields__}
        document = msgspec.to_builtins(shown | {"violations": len(result.violations)})
        sys.stdout.write(json.dumps(document) + "\n")
    else:
        sys.stdout.writelines(f"{line}\n" for line in told(result))
    return 1 if result.violations else 0


def add_erase_arguments(parser: argparse.ArgumentParser) -> None:
    """Whom."""
    person = parser.add_mutually_exclusive_group(required=True)
    person.add_argument("--token", metavar="HASH", help="the keyed hash of the person's token")
    person.add_argument("--token-file", type=Path, metavar="FILE", help="a file that holds it")


def _erase(options: argparse.Namespace) -> int:
    try:
        return report_erasure(options, _stores())
    except (CloudError, OSError) as error:
        sys.stderr.write(f"evswap-cloud: {error}\n")
        return 1


def report_erasure(options: argparse.Namespace, stores: Stores) -> int:
    """Erase the person of the options and print what was removed; raises ``CloudError``, ``OSError``."""
    text = options.token if options.token_file is None else options.token_file.read_text(encoding="utf-8")
    try:
        erased = erase(text.strip(), stores)
    except NoTokenHash as error:
        sys.stderr.write(f"{error}\n")
        return 2
    sys.stdout.write(_told_of_erasure(erased) + "\n")
    return 0


def _told_of_erasure(erased: Erased) -> str:
    return (
        f"forgotten: {erased.events} events, {erased.swaps} swaps and {erased.batteries} batteries of the "
        f"ledger, {erased.authorisations} authorisations, {erased.commands} commands, {erased.objects} "
        f"objects of the archive rewritten, {erased.versions} older versions and {erased.quarantined} "
        "refused messages removed"
    )


def add_authorise_arguments(parser: argparse.ArgumentParser) -> None:
    """Who may swap where, how often and how long."""
    parser.add_argument("token", metavar="HASH", help="the keyed hash of the customer's token")
    parser.add_argument("--station", action="append", required=True, dest="stations", metavar="ID")
    parser.add_argument("--swaps", type=int, default=1, metavar="N", help="how often (default: 1)")
    parser.add_argument("--hours", type=float, default=24.0, metavar="H", help="how long (default: 24)")
    parser.add_argument("--tier", metavar="NAME", help="what the customer has paid for")
    parser.set_defaults(refuse=parser.error)


def _authorise(options: argparse.Namespace) -> int:
    try:
        key = (
            signing.keep_key(options.key_file)
            if options.key_file is not None
            else signing.secret_key(boto3.client("secretsmanager"), options.key_secret)
        )
        return report_authorisation(options, key, wiring.ledger(), wiring.dispatcher())
    except CloudError as error:
        sys.stderr.write(f"evswap-cloud: {error}\n")
        return 1


def report_authorisation(
    options: argparse.Namespace, key: signing.SigningKey, ledger: Book, dispatcher: Dispatcher
) -> int:
    """Sign the authorisation of the options, enter it, send it, print it; raises ``CloudError``."""
    wanted = _wanted(options)
    sent = signing.authorise(
        [wanted],
        options.stations,
        key=key,
        ledger=ledger,
        dispatcher=dispatcher,
        issued_by=shell_user(),
        now=wanted.valid_from,
    )
    sys.stdout.write(
        f"authorisation {wanted.authorisation_id}: {wanted.max_swaps} swaps until "
        f"{format_timestamp(wanted.expires_at)}, signed by key {key.key_id}, sent to {sent} stations\n"
    )
    return 0


def _command(options: argparse.Namespace) -> int:
    try:
        return report_command(options, wiring.dispatcher(), wiring.command_store())
    except CloudError as error:
        sys.stderr.write(f"evswap-cloud: {error}\n")
        return 1


def _wanted(options: argparse.Namespace) -> Authorisation:
    """What the options ask for, checked by the contract's own rules."""
    now = datetime.now(UTC)
    fields = {
        "authorisation_id": uuid4().hex,
        "id_token": options.token,
        "valid_from": now,
        "expires_at": now + timedelta(hours=options.hours),
        "max_swaps": options.swaps,
        "stations": tuple(options.stations),
        "tier": options.tier,
    }
    try:
        return msgspec.convert({"kind": "authorisation", **fields}, Authorisation)
    except msgspec.ValidationError as error:
        options.refuse(str(error))
        raise


def _stores() -> Stores:
    return Stores(
        dynamodb=boto3.client("dynamodb"),
        s3=boto3.client("s3"),
        events_table=wiring.setting(wiring.EVENTS_TABLE),
        commands_table=wiring.setting(wiring.COMMANDS_TABLE),
        archive_bucket=wiring.setting(wiring.ARCHIVE_BUCKET),
        ledger=wiring.ledger(),
    )


def _lines(archive: str) -> Iterable[Line]:
    if archive.startswith(S3):
        bucket, _, prefix = archive.removeprefix(S3).partition("/")
        return lines_of_bucket(boto3.client("s3"), bucket, prefix)
    folder = Path(archive)
    if not folder.is_dir():
        raise NotADirectoryError(f"{folder} is no folder")
    return lines_of_folder(folder)
