"""Where the checkout and its state are."""

from pathlib import Path

import pytest

from evswap_local.errors import MinistackMissing, NotACheckout
from evswap_local.layout import Checkout
from tests.local.real import ROOT


def test_the_checkout_is_found_from_anywhere_inside() -> None:
    assert Checkout.around(ROOT / "cloud" / "stack").root == ROOT


def test_no_checkout_is_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(NotACheckout, match="--root"):
        Checkout.around(tmp_path)


def test_the_state_folder_is_named_or_set_or_beside_the_code(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    checkout = Checkout(tmp_path)
    monkeypatch.delenv("EVSWAP_STATE_DIR", raising=False)
    assert checkout.state_folder(None).path == tmp_path / ".evswap"
    monkeypatch.setenv("EVSWAP_STATE_DIR", str(tmp_path / "set"))
    assert checkout.state_folder(None).path == tmp_path / "set"
    assert checkout.state_folder(tmp_path / "named").path == tmp_path / "named"


def test_a_missing_ministack_says_how_to_get_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("EVSWAP_MINISTACK_PYTHON", raising=False)
    with pytest.raises(MinistackMissing, match="make up"):
        Checkout(tmp_path).ministack_python()
    monkeypatch.setenv("EVSWAP_MINISTACK_PYTHON", "/bin/sh")
    assert Checkout(tmp_path).ministack_python() == Path("/bin/sh")


def test_the_folders_are_for_their_owner_alone(tmp_path: Path) -> None:
    state = Checkout(tmp_path).state_folder(tmp_path / "state")
    state.make()
    assert all(folder.stat().st_mode & 0o777 == 0o700 for folder in [state.path, *state.path.iterdir()])
