"""``evswap-hil benches``: what there is to run on."""

import argparse

from evswap_hil.benches import about, shipped
from evswap_hil.commands.exits import PASSED


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """None."""


def run(options: argparse.Namespace) -> int:  # noqa: ARG001 - every command is called alike
    """Prints name, file and purpose."""
    for name, file in shipped().items():
        print(f"{name}\n    {file}\n    {about(file)}")
    return PASSED
