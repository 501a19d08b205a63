"""The REST API: what ``cloud/stack/openapi.yaml`` describes."""

from evswap_cloud.api.app import build_app

__all__ = ["build_app"]
