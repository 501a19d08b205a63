"""The part of a Greengrass nucleus that a component meets: its IPC, with the limits of nucleus lite 2.6.

A component that runs here runs on a device: the wire is the real one (AWS's own client connects), and what
nucleus lite refuses, loses or leaves out is refused, lost and left out here. The limits stand here once more,
although the transport knows them: a witness that took them from the one it watches would agree to any
mistake.
"""
