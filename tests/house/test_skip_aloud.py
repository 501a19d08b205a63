import pytest

# `Failed` and `Skipped` are not exceptions of the ordinary kind, so that no test swallows them by mistake.
Failed = pytest.fail.Exception
Skipped = pytest.skip.Exception


def test_a_developers_machine_skips_and_says_why(skip_aloud, monkeypatch):
    monkeypatch.delenv("CI", raising=False)
    with pytest.raises(Skipped, match="no broker here"):
        skip_aloud("no broker here", could_run=True)


def test_ci_fails_a_suite_that_could_run(skip_aloud, monkeypatch):
    monkeypatch.setenv("CI", "true")
    with pytest.raises(Failed, match="no broker here"):
        skip_aloud("no broker here", could_run=True)


def test_ci_skips_what_the_machine_cannot_do(skip_aloud, monkeypatch):
    monkeypatch.setenv("CI", "true")
    with pytest.raises(Skipped, match="no CAN bus here"):
        skip_aloud("no CAN bus here", could_run=False)
