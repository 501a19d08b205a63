"""Live updates: who watches the stations over a WebSocket, and what they are sent (docs/live.md).

``shown`` is what a watcher sees of a station. ``requests`` and ``frames`` are the two directions of the
protocol, ``limits`` its numbers. ``session`` answers a connection, ``push`` sends it what changes.
``watchers``, ``tickets``, ``stations`` and ``line`` are the stores and the way out, each behind a protocol.
"""
