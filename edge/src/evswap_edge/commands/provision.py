"""``evswap-edge provision``."""

import argparse
from pathlib import Path
from typing import Final

from evswap_edge.clock import SystemTime
from evswap_edge.commands import arguments
from evswap_edge.keys import certificate_path
from evswap_schema import provisioning
from evswap_schema.errors import InvalidTopic

HELP: Final = "obtain this station's certificate by showing the claim certificate"

_WITHIN_S: Final = 120.0


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Who, from where, by which claim, and where the files go."""
    arguments.add_station_id(parser)
    parser.add_argument(
        "--directory", type=Path, required=True, metavar="DIR", help="where key and certificate are kept"
    )
    parser.add_argument(
        "--host", required=True, help="the account's endpoint, xxxx-ats.iot.<region>.amazonaws.com"
    )
    parser.add_argument(
        "--port", type=_port, default=8883, help="443 takes MQTT by ALPN (default: %(default)s)"
    )
    parser.add_argument(
        "--ca-file", type=Path, metavar="FILE", help="the far side's CA (default: the system's trust store)"
    )
    parser.add_argument("--claim-certificate", type=Path, required=True, metavar="FILE")
    parser.add_argument("--claim-key", type=Path, required=True, metavar="FILE")
    parser.add_argument(
        "--template",
        type=_template,
        default=provisioning.TEMPLATE,
        help="the provisioning template (default: %(default)s)",
    )
    parser.add_argument(
        "--within",
        type=_seconds,
        default=_WITHIN_S,
        metavar="SECONDS",
        help="how long to try again what may pass (default: %(default)g)",
    )


def run(options: argparse.Namespace) -> None:
    """Nothing is done, and nobody is asked, when there is a certificate for the key already."""
    from evswap_edge.provisioning.claim import Claim
    from evswap_edge.provisioning.obtain import Station, keep_certificate

    claim = Claim(
        host=options.host,
        port=options.port,
        certificate_file=options.claim_certificate,
        key_file=options.claim_key,
        ca_file=options.ca_file,
    )
    station = Station(station_id=options.station_id, directory=options.directory, template=options.template)
    made = keep_certificate(station, claim, SystemTime(), within_s=options.within)
    path = certificate_path(options.directory, options.station_id)
    print(f"{path}: {'obtained' if made else 'is there already, for this key'}")


def _template(text: str) -> str:
    try:
        provisioning.registration_topic(text)
    except InvalidTopic as error:
        raise argparse.ArgumentTypeError(str(error)) from error
    return text


def _port(text: str) -> int:
    port = int(text)
    if not 1 <= port <= 65535:
        raise argparse.ArgumentTypeError(f"{port} is not between 1 and 65535")
    return port


def _seconds(text: str) -> float:
    seconds = float(text)
    if not 0 <= seconds <= 86_400:
        raise argparse.ArgumentTypeError(f"{text} is not between 0 and 86400 seconds")
    return seconds
