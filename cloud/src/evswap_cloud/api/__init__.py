"""The REST API: what ``cloud/stack/openapi.yaml`` describes."""

from evswap_cloud.api.app import build_app, build_issuing_app
from evswap_cloud.api.sources import Sources

__all__ = ["Sources", "build_app", "build_issuing_app"]
