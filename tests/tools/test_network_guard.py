"""Tests cannot leave the machine, and what they start on it works."""

import asyncio
import socket

import pytest


@pytest.mark.parametrize("host", ["192.0.2.1", "2001:db8::1"])
def test_a_connection_to_another_machine_is_refused_with_its_address(host):
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family) as outside, pytest.raises(BaseException, match=f"{host}.*loopback") as refused:
        outside.connect((host, 9))

    assert not isinstance(refused.value, Exception)


def test_a_name_that_would_have_to_be_looked_up_is_refused():
    with pytest.raises(BaseException, match=r"example\.org.*loopback"):
        socket.create_connection(("example.org", 80))


def test_a_datagram_to_another_machine_is_refused():
    with (
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as outside,
        pytest.raises(BaseException, match="loopback"),
    ):
        outside.sendto(b"x", ("192.0.2.1", 9))


async def test_the_event_loop_is_guarded_too():
    with pytest.raises(BaseException, match="loopback"):
        await asyncio.open_connection("192.0.2.1", 9)


async def test_loopback_works_by_name_and_by_address():
    async def greet(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"hello")
        writer.close()
        await writer.wait_closed()

    server = await asyncio.start_server(greet, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    async with server:
        for host in ("127.0.0.1", "localhost"):
            reader, writer = await asyncio.open_connection(host, port)
            said = await reader.read()
            writer.close()
            await writer.wait_closed()

            assert said == b"hello"


def test_unix_sockets_and_socket_pairs_work(tmp_path):
    with socket.socket(socket.AF_UNIX) as server, socket.socket(socket.AF_UNIX) as client:
        server.bind(str(tmp_path / "s"))
        server.listen()
        client.connect(str(tmp_path / "s"))
        client.sendmsg([b"x"])
        accepted, _ = server.accept()
        with accepted:
            received = accepted.recv(1)

    assert received == b"x"
