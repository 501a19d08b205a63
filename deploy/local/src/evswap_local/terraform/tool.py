"""The program ``terraform``: where it is, and the environment that it gets."""

import os
import shutil
from pathlib import Path

from evswap_local.credentials import Credentials
from evswap_local.emulator import own_environment
from evswap_local.errors import TerraformMissing
from evswap_local.settings import Settings

PLUGIN_DIR = "EVSWAP_TERRAFORM_PLUGIN_DIR"
"""Names a folder of providers (``<host>/hashicorp/aws/...``) that takes the place of a registry."""

REACHES_OUT = (
    "HTTPS_PROXY",
    "HTTP_PROXY",
    "NO_PROXY",
    "https_proxy",
    "http_proxy",
    "no_proxy",
    "SSL_CERT_FILE",
)
"""What a download of the provider may need."""


def find_terraform() -> str:
    """The program on the PATH; raises TerraformMissing."""
    found = shutil.which("terraform")
    if found is None:
        raise TerraformMissing
    return found


def plugin_options() -> list[str]:
    """What ``terraform init`` is told when a folder of providers is named; else it asks its registry."""
    folder = os.environ.get(PLUGIN_DIR)
    return [f"-plugin-dir={Path(folder).absolute()}"] if folder else []


def environment_for_init(data: Path) -> dict[str, str]:
    """Without anything about AWS: making ready needs no account."""
    reaching = {name: os.environ[name] for name in REACHES_OUT if name in os.environ}
    return _common(data) | reaching


def environment_for_aws(data: Path, settings: Settings, credentials: Credentials) -> dict[str, str]:
    """The local AWS and no other: neither the caller's credentials nor the profiles in the home folder."""
    return _common(data) | {
        "AWS_ACCESS_KEY_ID": credentials.access_key_id,
        "AWS_SECRET_ACCESS_KEY": credentials.secret_access_key,
        "AWS_ENDPOINT_URL": settings.endpoint_url,
        "AWS_CONFIG_FILE": os.devnull,
        "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
        "AWS_EC2_METADATA_DISABLED": "true",
    }


def _common(data: Path) -> dict[str, str]:
    settings = {"TF_DATA_DIR": str(data), "TF_IN_AUTOMATION": "1", "CHECKPOINT_DISABLE": "1"}
    if cache := os.environ.get("TF_PLUGIN_CACHE_DIR"):
        settings["TF_PLUGIN_CACHE_DIR"] = cache
    configured = os.environ.get("TF_CLI_CONFIG_FILE")
    if configured and Path(configured).is_file():  # Terraform warns on stdout of one that is not there
        settings["TF_CLI_CONFIG_FILE"] = configured
    return own_environment() | settings
