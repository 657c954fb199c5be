"""HIT-15, attack 33: one exchange with a receiver that drips, is nobody, or is somebody else."""

from __future__ import annotations

import contextlib
import socket
import ssl
import threading
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from holdfast.channels.reach import Reach

LOOPBACK = ("127.0.0.0/8",)


@contextlib.contextmanager
def dripping(head: bytes, drop: bytes) -> Iterator[int]:
    """A server that answers with *head*, and then with *drop* for as long as anybody listens; its port."""
    ends = threading.Event()

    def serve(listener: socket.socket) -> None:
        with contextlib.suppress(OSError):
            connection, _ = listener.accept()
            with connection:
                connection.recv(65536)
                connection.sendall(head)
                while not ends.wait(0.02):
                    connection.sendall(drop)

    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=serve, args=(listener,), daemon=True)
        thread.start()
        try:
            yield listener.getsockname()[1]
        finally:
            ends.set()
            thread.join()


@pytest.mark.parametrize(
    ("head", "drop"),
    [
        (b"HTTP/1.1 200 OK\r\nx-slow: ", b"a"),
        (b"", b"HTTP/1.1 100 Continue\r\n\r\n"),
        (b"HT", b""),
    ],
    ids=["header", "continue", "silence"],
)
def test_a_receiver_that_drips_holds_nobody_for_longer_than_its_time(head: bytes, drop: bytes) -> None:
    """HIT-15: each byte comes in time, and the whole never does; a thread is not kept by that."""
    with dripping(head, drop) as port:
        reach = Reach(f"http://127.0.0.1:{port}/", allow=LOOPBACK, timeout_s=0.5)
        started = time.monotonic()
        with pytest.raises(OSError):
            reach.post(b"{}", {})

    assert time.monotonic() - started < 5


@pytest.mark.parametrize(
    ("head", "drop"),
    [(b"content-length: 4000\r\n\r\n", b"a"), (b"transfer-encoding: chunked\r\n\r\n", b"1\r\na\r\n")],
    ids=["length", "chunks"],
)
def test_a_yes_whose_body_drips_is_a_yes(head: bytes, drop: bytes) -> None:
    """HIT-15: the status has said it; nobody waits for more than the time there is."""
    with dripping(b"HTTP/1.1 200 OK\r\n" + head, drop) as port:
        started = time.monotonic()
        assert Reach(f"http://127.0.0.1:{port}/", allow=LOOPBACK, timeout_s=0.5).post(b"{}", {}) == 200

    assert time.monotonic() - started < 5


def test_a_long_answer_is_not_read_to_its_end() -> None:
    """What a receiver answers besides yes and no is nobody's business here."""
    with dripping(b"HTTP/1.1 200 OK\r\n\r\n" + b"a" * 100_000, b"a") as port:
        assert Reach(f"http://127.0.0.1:{port}/", allow=LOOPBACK, timeout_s=10).post(b"{}", {}) == 200


def test_addresses_that_do_not_answer_are_not_tried_one_after_the_other_for_ever() -> None:
    """HIT-15: a name with many dead addresses holds nobody for longer than its time."""
    with socket.socket() as deaf:
        deaf.bind(("127.0.0.1", 0))
        deaf.listen(0)
        port = deaf.getsockname()[1]
        with contextlib.ExitStack() as waiting:
            for _ in range(4):  # nobody takes them, so that the next ones get no answer at all
                waits = waiting.enter_context(socket.socket())
                waits.setblocking(False)
                waits.connect_ex(("127.0.0.1", port))
            reach = Reach(
                f"http://hooks.acme.example:{port}/", allow=LOOPBACK, timeout_s=0.3,
                lookup=lambda host, port: ["127.0.0.1"] * 40,
            )  # fmt: skip
            started = time.monotonic()
            with pytest.raises(OSError):
                reach.post(b"{}", {})

    assert time.monotonic() - started < 5


@pytest.fixture
def trusted(tmp_path: Path) -> Iterator[tuple[int, ssl.SSLContext, list[bytes]]]:
    """A receiver behind TLS for hooks.acme.example: its port, who trusts it, and what came."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "hooks.acme.example")])
    today = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(today - timedelta(days=1))
        .not_valid_after(today + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("hooks.acme.example")]), critical=False)
        .sign(key, hashes.SHA256())
    )
    pem, path = serialization.Encoding.PEM, tmp_path / "both.pem"
    private = serialization.PrivateFormat.PKCS8
    public = certificate.public_bytes(pem)
    path.write_bytes(key.private_bytes(pem, private, serialization.NoEncryption()) + public)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(path)
    came: list[bytes] = []

    def serve(listener: socket.socket) -> None:
        with contextlib.suppress(OSError):
            connection, _ = listener.accept()
            with context.wrap_socket(connection, server_side=True) as spoken:
                came.append(spoken.recv(65536))
                spoken.sendall(b"HTTP/1.1 204 No Content\r\n\r\n")

    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=serve, args=(listener,), daemon=True)
        thread.start()
        yield listener.getsockname()[1], ssl.create_default_context(cadata=public.decode()), came
        with contextlib.suppress(OSError):
            socket.create_connection(listener.getsockname(), 1).close()
        thread.join()


def loopback(host: str, port: int) -> list[str]:
    del host, port
    return ["127.0.0.1"]


def test_a_receiver_has_to_prove_its_name_although_we_looked_up_its_address(
    trusted: tuple[int, ssl.SSLContext, list[bytes]],
) -> None:
    """Attack 33: who answers at that address under another name is told nothing."""
    port, context, came = trusted
    other = Reach(f"https://other.acme.example:{port}/", allow=LOOPBACK, context=context, lookup=loopback)
    with pytest.raises(ssl.SSLCertVerificationError):
        other.post(b"{}", {})
    assert came == []


def test_a_receiver_that_proves_its_name_is_told(trusted: tuple[int, ssl.SSLContext, list[bytes]]) -> None:
    """HIT-07"""
    port, context, came = trusted
    right = Reach(f"https://hooks.acme.example:{port}/", allow=LOOPBACK, context=context, lookup=loopback)
    assert right.post(b"{}", {}) == 204
    assert came[0].startswith(b"POST / HTTP/1.1\r\n")
