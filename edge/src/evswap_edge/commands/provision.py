"""``evswap-edge provision``: the first certificate by the claim, and ``--renew``: the next one by the present
one."""

import argparse
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from evswap_edge.clock import SystemTime
from evswap_edge.commands import arguments
from evswap_edge.commands.outlook import certificate_outlook
from evswap_edge.config import StationConfig, read_any
from evswap_edge.keys import certificate_path
from evswap_edge.outbox.claim import Claim as OutboxClaim
from evswap_edge.provisioning.attempt import Done, renewal_of
from evswap_edge.transports.broker import BrokerSettings
from evswap_schema import provisioning
from evswap_schema.errors import InvalidTopic

_WITHIN_S: Final = 120.0


_EXAMPLE: Final = """\
the first certificate, with the claim that all new stations share:

  evswap-edge provision --station-id station-01 --directory . \\
      --host xxxx-ats.iot.eu-central-1.amazonaws.com \\
      --claim-certificate claim.cert.pem --claim-key claim.key.pem

the next one, with the one that the station has. A running station does this by itself when it is time
(`provisioning` in station.yaml); by hand it has to be stopped meanwhile, as its name is needed:

  evswap-edge provision --renew --config station.yaml
"""
_MEANING: Final[Mapping[Done, str]] = {
    Done.RENEWED: "renewed, with a new key; the one before is being revoked",
    Done.TOLD: "had been renewed before, and the cloud knows now",
}
_BY_CLAIM: Final = ("station_id", "directory", "host", "claim_certificate", "claim_key")
"""What the claim's way needs."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Who, from where, by which claim, and where the files go; or what is to be renewed."""
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.epilog = _EXAMPLE
    parser.set_defaults(refuse=parser.error)
    _add_renewal(parser.add_argument_group("to renew the certificate that the station has"))
    _add_claim(parser.add_argument_group("to obtain the first one"))


def _add_renewal(parser: "argparse._ArgumentGroup") -> None:
    parser.add_argument("--renew", action="store_true", help="replace key and certificate now")
    parser.add_argument("--config", type=Path, metavar="FILE", help="the station's (or a fleet's) YAML file")


def _add_claim(parser: "argparse._ArgumentGroup") -> None:
    arguments.add_station_id(parser, required=False)
    parser.add_argument("--directory", type=Path, metavar="DIR", help="where key and certificate are kept")
    parser.add_argument("--host", help="the account's endpoint, xxxx-ats.iot.<region>.amazonaws.com")
    parser.add_argument(
        "--port", type=_port, default=8883, help="443 takes MQTT by ALPN (default: %(default)s)"
    )
    parser.add_argument(
        "--ca-file", type=Path, metavar="FILE", help="the far side's CA (default: the system's trust store)"
    )
    parser.add_argument("--claim-certificate", type=Path, metavar="FILE")
    parser.add_argument("--claim-key", type=Path, metavar="FILE")
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
    """The one or the other."""
    if options.renew:
        _renew(options)
    else:
        _obtain(options)


def _obtain(options: argparse.Namespace) -> None:
    """Nothing is done, and nobody is asked, when there is a certificate for the key already."""
    from evswap_edge.provisioning.claim import Claim
    from evswap_edge.provisioning.obtain import Station, keep_certificate

    missing = [name for name in _BY_CLAIM if getattr(options, name) is None]
    if missing:
        options.refuse(f"needs {', '.join(_option(name) for name in missing)}; or --renew --config FILE")
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


def _renew(options: argparse.Namespace) -> None:
    """The station must not run: the broker knows one connection of a name."""
    from evswap_edge.provisioning.renew import renew

    if options.config is None:
        options.refuse("--renew needs --config FILE")
    station = _chosen(options)
    settings = station.transport.settings
    if not isinstance(settings, BrokerSettings) or not station.transport.kind.renews:
        options.refuse(f"the transport {station.transport.name} has no cloud that renews certificates")
    with _stopped(station.outbox_path):
        done = renew(renewal_of(station.station_id, settings, station.provisioning))
    print(f"{settings.certificate_file}: {_MEANING[done]}")
    print(certificate_outlook(station, SystemTime()))


@contextmanager
def _stopped(outbox: Path) -> Iterator[None]:
    """While the station cannot start. Raises ``OutboxInUse``, with who runs it, when it does already."""
    claim = OutboxClaim(outbox)
    try:
        yield
        if not claim.was_left_open:
            claim.end_in_good_order()
    finally:
        claim.close()


def _chosen(options: argparse.Namespace) -> StationConfig:
    stations = {station.station_id: station for station in read_any(options.config).stations}
    if options.station_id is None and len(stations) == 1:
        return next(iter(stations.values()))
    if options.station_id not in stations:
        options.refuse(f"--station-id has to be one of those in {options.config}")
    return stations[options.station_id]


def _option(name: str) -> str:
    return f"--{name.replace('_', '-')}"


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
