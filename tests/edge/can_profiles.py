"""A battery management system of somebody else: 29-bit identifiers, big-endian signals, a serial number as a
number in two messages, three temperatures, and silence where there is no battery."""

from pathlib import Path
from typing import Final

import pytest

from evswap_edge.documents import NameOrFile

DBC: Final = """\
VERSION ""

NS_ :

BS_:

BU_: Pack Cabinet

BO_ 2566848512 Status: 8 Pack
 SG_ Soc : 7|8@0+ (0.5,0) [0|100] "%" Cabinet
 SG_ Soh : 15|8@0+ (0.5,0) [0|100] "%" Cabinet
 SG_ Alarm : 16|1@0+ (1,0) [0|1] "" Cabinet
 SG_ SerialHigh : 31|16@0+ (1,0) [0|0] "" Cabinet
 SG_ Check : 63|8@0+ (1,0) [0|255] "" Cabinet

BO_ 2566848768 Values: 8 Pack
 SG_ MilliVolts : 7|16@0+ (1,0) [0|60000] "mV" Cabinet
 SG_ Discharge : 23|16@0- (0.1,0) [-400|400] "A" Cabinet
 SG_ SerialLow : 39|32@0+ (1,0) [0|0] "" Cabinet

BO_ 2566849024 Cells: 8 Pack
 SG_ Kind M : 7|4@0+ (1,0) [0|2] "" Cabinet
 SG_ T1 m1 : 15|8@0+ (1,-40) [-40|150] "degC" Cabinet
 SG_ T2 m1 : 23|8@0+ (1,-40) [-40|150] "degC" Cabinet
 SG_ T3 m2 : 15|8@0+ (1,-40) [-40|150] "degC" Cabinet
 SG_ Cycles m2 : 31|16@0+ (1,0) [0|10000] "" Cabinet

BO_ 1792 Alive: 1 Cabinet
 SG_ Beat : 0|8@1+ (1,0) [0|255] "" Pack
"""
PROFILE: Final = """\
title: A pack of somebody else's
document: its protocol description, page 7
dbc: theirs.dbc
stride: 1
silence: empty
heartbeat: Alive
battery:
  serial_number: {signals: [Status.SerialHigh, Values.SerialLow], encoding: decimal}
  soc: Status.Soc
  soh: Status.Soh
  voltage: {signals: [Values.MilliVolts], scale: 0.001}
  current: {signals: [Values.Discharge], scale: -1}
  temperature: {signals: [Cells.T1, Cells.T2, Cells.T3]}
  cycles: Cells.Cycles
faults: [Status.Alarm]
checksums: [{signal: Status.Check, kind: xor}]
patience_s: {Cells: 30}
"""
COUNTED_DBC: Final = DBC.replace(" SG_ T1 m1 :", ' SG_ Turn : 3|4@0+ (1,0) [0|15] "" Cabinet\n SG_ T1 m1 :')
COUNTED_PROFILE: Final = PROFILE.replace("checksums:", "counters: [Cells.Turn]\nchecksums:")
"""A message in parts that are counted through."""
SHARED_DBC: Final = DBC.replace(
    " SG_ T1 m1 :", ' SG_ T0 : 55|8@0+ (1,-40) [-40|150] "degC" Cabinet\n SG_ T1 m1 :'
)
SHARED_PROFILE: Final = PROFILE.replace("[Cells.T1,", "[Cells.T0, Cells.T1,")
"""A message in parts, with a value that is in all of them."""


def write(folder: Path, *, dbc: str = DBC, profile: str = PROFILE) -> NameOrFile:
    (folder / "theirs.dbc").write_text(dbc)
    (folder / "theirs.yaml").write_text(profile)
    return NameOrFile("theirs", folder / "theirs.yaml")


@pytest.fixture(scope="session")
def theirs(tmp_path_factory: pytest.TempPathFactory) -> NameOrFile:
    return write(tmp_path_factory.mktemp("profile"))


@pytest.fixture(scope="session")
def counted(tmp_path_factory: pytest.TempPathFactory) -> NameOrFile:
    return write(tmp_path_factory.mktemp("counted"), dbc=COUNTED_DBC, profile=COUNTED_PROFILE)


@pytest.fixture(scope="session")
def shared(tmp_path_factory: pytest.TempPathFactory) -> NameOrFile:
    return write(tmp_path_factory.mktemp("shared"), dbc=SHARED_DBC, profile=SHARED_PROFILE)
