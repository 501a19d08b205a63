"""The routes, a module for each resource: ``RESOURCES`` names its paths, ``add`` registers what answers."""

from typing import Final

from evswap_cloud.api.routes import batteries, events, stations

ALL: Final = (stations, events, batteries)
