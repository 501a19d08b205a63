"""``python -m tests.cost.calls``: what a call by boto3 takes of the processor.

By the functions' own client, to a server behind TLS that is another process. A program of its own: where
moto has been imported, it looks at each call.
"""

import multiprocessing
import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from multiprocessing.connection import Connection
from pathlib import Path
from tempfile import TemporaryDirectory

import boto3

from evswap_cloud.wiring import CLIENT
from tests.authority import LOOPBACK, Authority, common_name, key_pem, new_key
from tests.cost.timing import cpu_of

_ROUNDS = 8


def call_cpu_s(calls: int = 400) -> float:
    """Seconds that one small write takes of the caller's processor."""
    with TemporaryDirectory(prefix="evswap-cost-") as name, _server(Path(name)) as (url, authority):
        client = boto3.client(
            "dynamodb",
            config=CLIENT,
            endpoint_url=url,
            verify=str(authority),
            region_name="us-east-1",
            aws_access_key_id="testing",
            aws_secret_access_key="testing",
        )
        item = {"station_id": {"S": "station-01"}, "battery_available": {"N": "12"}}

        def write() -> None:
            for _ in range(calls // _ROUNDS):
                client.put_item(TableName="stations", Item=item)

        try:
            return cpu_of(write, rounds=_ROUNDS) / (calls // _ROUNDS)
        finally:
            client.close()


@contextmanager
def _server(folder: Path) -> Iterator[tuple[str, Path]]:
    """Where it is, and who vouches for it."""
    authority, key = Authority(folder), new_key()
    certificate = authority.sign(common_name(LOOPBACK), key.public_key())
    chain = folder / "server.pem"
    chain.write_bytes(certificate + key_pem(key))
    chain.chmod(0o600)
    context = multiprocessing.get_context("spawn")
    mine, its = context.Pipe()
    process = context.Process(target=_serve, args=(chain, its), daemon=True)
    process.start()
    try:
        yield f"https://{LOOPBACK}:{mine.recv()}", authority.certificate
    finally:
        process.terminate()
        process.join()


def _serve(chain: Path, tell: Connection) -> None:
    server = ThreadingHTTPServer((LOOPBACK, 0), _Answers)
    server.daemon_threads = True
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(chain)
    server.socket = tls.wrap_socket(server.socket, server_side=True)
    tell.send(server.server_port)
    server.serve_forever()


class _Answers(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    wbufsize = -1

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        self.send_response(200)
        self.send_header("Content-Length", "2")
        self.send_header("Content-Type", "application/x-amz-json-1.0")
        self.end_headers()
        self.wfile.write(b"{}")

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class names it
        """Nobody reads it."""


if __name__ == "__main__":
    print(call_cpu_s())
