"""``evswap env``: lines for a shell, so that the AWS CLI and boto3 speak to the local AWS."""

import argparse
import shlex
import sys

from evswap_local.context import Context


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """It has none of its own."""


def run(context: Context, _options: argparse.Namespace) -> int:
    """Prints ``export`` lines; no secret among them."""
    _settings, described = context.demand_running()
    exported = {
        "AWS_ENDPOINT_URL": described.aws_endpoint_url,
        "AWS_SHARED_CREDENTIALS_FILE": described.credentials_file,
        "AWS_PROFILE": "default",
        "AWS_REGION": described.region,
        "AWS_DEFAULT_REGION": described.region,
        "EVSWAP_API_URL": described.api_url,
    }
    lines = [f"export {name}={shlex.quote(value)}" for name, value in exported.items()]
    lines.append("unset AWS_ACCESS_KEY_ID AWS_SECRET_ACCESS_KEY AWS_SESSION_TOKEN")
    sys.stdout.write("\n".join(lines) + "\n")
    return 0
