"""The access key of the local root: random, made once for a state folder, known to nobody else.

Kept as an AWS shared-credentials file, which boto3 and the AWS CLI read as they stand.
"""

import configparser
import io
import secrets
from dataclasses import dataclass
from pathlib import Path

from evswap_local.files import write_private

SECTION = "default"


@dataclass(frozen=True)
class Credentials:
    """An access key. Its ``repr`` does not show the secret."""

    access_key_id: str
    secret_access_key: str

    def __repr__(self) -> str:
        return f"Credentials({self.access_key_id!r}, ...)"


def keep(path: Path) -> Credentials:
    """The credentials in the file, which is made with new ones when it is not there."""
    file = configparser.ConfigParser()
    if file.read(path, encoding="utf-8") and file.has_section(SECTION):
        return Credentials(file[SECTION]["aws_access_key_id"], file[SECTION]["aws_secret_access_key"])
    made = Credentials(f"AKIA{secrets.token_hex(8).upper()}", secrets.token_hex(20))
    file[SECTION] = {
        "aws_access_key_id": made.access_key_id,
        "aws_secret_access_key": made.secret_access_key,
    }
    text = io.StringIO()
    file.write(text)
    write_private(path, text.getvalue())
    return made
