"""AWS's refusals as errors of an operation."""

from collections.abc import Iterator
from contextlib import contextmanager

from botocore.exceptions import BotoCoreError, ClientError

from evswap_cloud.aws import error_code
from evswap_cloud.operations.errors import NotOperated


@contextmanager
def operating(operation: str, target: str) -> Iterator[None]:
    """What AWS refuses inside becomes ``NotOperated``, which names ``operation`` and ``target``."""
    try:
        yield
    except (ClientError, BotoCoreError) as error:
        raise NotOperated(operation=operation, target=target, code=error_code(error)) from error
