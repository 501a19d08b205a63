"""Makes this bench's classes known to labgrid; the `imports` of a bench's YAML name this module."""

from evswap_hil.bench import resources, strategy
from evswap_hil.bench.drivers import climate, cloud, link, nftables, process, systemd

__all__ = ["climate", "cloud", "link", "nftables", "process", "resources", "strategy", "systemd"]
