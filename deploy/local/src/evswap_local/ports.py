"""Whether a port is free, and who has it."""

import socket

import psutil

from evswap_local.errors import PortTaken


def demand_free(host: str, port: int, flag: str) -> None:
    """Raises PortTaken when ``port`` cannot be bound on ``host``; ``flag`` is the option that changes it."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError:
            raise PortTaken(port, flag, holder_of(port)) from None


def holder_of(port: int) -> str | None:
    """``name (process 123)`` of the program that listens on ``port``; None when that is not ours to know."""
    try:
        connections = psutil.net_connections("tcp")
    except psutil.AccessDenied:
        return None
    for connection in connections:
        if connection.status != psutil.CONN_LISTEN or not connection.laddr or not connection.pid:
            continue
        if connection.laddr.port == port:
            try:
                return f"{psutil.Process(connection.pid).name()} (process {connection.pid})"
            except psutil.NoSuchProcess:
                return None
    return None
