"""What the integration tests share."""

from collections.abc import Iterator

import pytest

from tests.integration.aws import (
    AUTHORISATIONS,
    BATTERIES,
    BUCKET,
    COMMANDS,
    EVENTS,
    FLEET,
    HISTORY,
    LEDGER,
    REGION,
    TABLE,
    Aws,
    aws,
)


@pytest.fixture
def cloud(monkeypatch: pytest.MonkeyPatch) -> Iterator[Aws]:
    """An account of AWS with the stack's stores, and the environment of a function in it."""
    settings = {
        "AWS_ACCESS_KEY_ID": "testing",
        "AWS_SECRET_ACCESS_KEY": "testing",
        "AWS_DEFAULT_REGION": REGION,
        "EVSWAP_ARCHIVE_BUCKET": BUCKET,
        "EVSWAP_STATIONS_TABLE": TABLE,
        "EVSWAP_FLEET_TABLE": FLEET,
        "EVSWAP_EVENTS_TABLE": EVENTS,
        "EVSWAP_BATTERIES_TABLE": BATTERIES,
        "EVSWAP_LEDGER_TABLE": LEDGER,
        "EVSWAP_HISTORY_TABLE": HISTORY,
        "EVSWAP_AUTHORISATIONS_TABLE": AUTHORISATIONS,
        "EVSWAP_EVENTS_KEPT_DAYS": "30",
        "EVSWAP_COMMANDS_TABLE": COMMANDS,
    }
    for name, value in settings.items():
        monkeypatch.setenv(name, value)
    monkeypatch.delenv("AWS_ENDPOINT_URL", raising=False)
    monkeypatch.delenv("AWS_PROFILE", raising=False)
    with aws() as account:
        yield account
