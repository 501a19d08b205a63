"""Devices that are not there, on the wire that they would have: for tests, benches and trying things.

An emulator shares no code with the driver that talks to it: two uses of one function agree on its mistakes.
"""


class EmulatorError(Exception):
    """The emulator cannot begin. The text says why, and what to do."""
