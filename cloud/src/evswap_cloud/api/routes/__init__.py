"""The routes, a module for each resource: ``RESOURCES`` names its paths, ``add`` registers what answers."""

from typing import Final

from evswap_cloud.api.routes import batteries, commands, events, fleet, history, stations

ALL: Final = (stations, fleet, events, batteries, commands, history)
