"""`evswap-edge probe`: what is on the buses, and what to do where nothing can be seen."""

from pathlib import Path
from types import SimpleNamespace

import pytest

from evswap_edge.command_line import main
from evswap_edge.commands import probe
from evswap_edge.drivers.gpio import probing as gpio
from evswap_edge.drivers.sht3x import probing as sht3x
from evswap_edge.plugins import PluginUnavailable
from tests.edge.i2c import machine


@pytest.fixture(autouse=True)
def bare(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """A machine without any bus."""
    for probing in (gpio, sht3x):
        monkeypatch.setattr(probing, "_DEVICES", tmp_path)
    monkeypatch.setattr("evswap_edge.drivers.can.probing.interfaces", list)
    monkeypatch.setattr("evswap_edge.drivers.modbus.probing.everywhere", list)
    return tmp_path


def test_a_machine_without_buses_says_how_to_have_them(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["probe"]) == 0
    said = capsys.readouterr().out
    for expected in ("can\n  there is no CAN interface", "no GPIO chip", "raspi-config nonint do_i2c 0"):
        assert expected in said


def test_what_is_found_is_shown_as_it_would_be_configured(
    bare: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (bare / "i2c-1").touch()
    with machine():
        assert main(["probe", "sht3x"]) == 0
    assert capsys.readouterr().out == (
        "sht3x\n"
        "  /dev/i2c-1: an SHT3x at 0x44: 21.5 °C, 40 %\n"
        "      climate: {name: sht3x, bus: 1, address: 0x44}\n"
    )


def test_a_bus_can_be_named_in_the_words_of_its_driver(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["probe", "can", "interface=virtual", "channel=nobody", "seconds=0.01"]) == 0
    assert capsys.readouterr().out == (
        "can interface=virtual channel=nobody seconds=0.01\n  nothing was heard\n"
    )
    assert main(["probe", "can", "channel=can99"]) == 0
    assert "can99: no such interface" in capsys.readouterr().out
    assert main(["probe", "can", "interface=virtual", "channel=nobody", "profile=evswap-bsm"]) == 0
    assert "evswap-bms" in capsys.readouterr().out
    assert main(["probe", "modbus", "tcp=127.0.0.1:1", "registers=sht21"]) == 0
    assert "sht20" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("setting", "said"),
    [("chanel=can0", "did you mean 'channel'?"), ("seconds=0", "seconds: expected float > 0.0")],
)
def test_a_setting_that_cannot_be_is_refused(
    setting: str, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["probe", "can", "channel=can0", setting]) == 2
    assert said in capsys.readouterr().err


def test_what_is_no_setting_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="2"):
        main(["probe", "can", "channel"])
    assert "has to be KEY=VALUE" in capsys.readouterr().err


def test_a_library_that_is_missing_costs_its_own_bus_alone(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def load(name: str) -> object:
        if name == "can":
            raise PluginUnavailable(kind="driver", name=name, missing="can", install="pip install 'x'")
        return SimpleNamespace()

    monkeypatch.setattr(probe, "load_driver", load)
    assert main(["probe"]) == 0
    said = capsys.readouterr().out
    assert "can\n  the driver 'can' needs the library 'can'; install it with: pip install 'x'\n" in said
    assert "no GPIO chip" in said
