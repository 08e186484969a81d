"""A client or a server that echoes one message, by Python's own means: plain sockets or asyncio.

usage: connections.py client|server socket|asyncio KIND PLACE [PORT]

KIND is unix, abstract or tcp. A message is a byte with its length and so many bytes: a short one of the varint framing.
"""
import asyncio
import socket
import sys

role, style, kind, place = sys.argv[1:5]
if kind == "unix":
    family, address = socket.AF_UNIX, place
elif kind == "abstract":
    family, address = socket.AF_UNIX, "\0" + place
else:
    family, address = (socket.AF_INET6 if ":" in place else socket.AF_INET), (place, int(sys.argv[5]))


def message(text):
    return bytes([len(text)]) + text


def read(connection):
    count = connection.recv(1)[0]
    found = b""
    while len(found) < count:
        found += connection.recv(count - len(found))
    return found


def client():
    with socket.socket(family) as connection:
        connection.connect(address)
        connection.sendall(message(b"from python"))
        assert read(connection) == b"from python"


def server():
    with socket.socket(family) as listener:
        listener.bind(address)
        listener.listen(1)
        connection, _ = listener.accept()
        with connection:
            connection.sendall(message(read(connection)))
            assert connection.recv(1) == b""


async def echo(reader, writer):
    writer.write(message(await reader.readexactly((await reader.readexactly(1))[0])))
    await writer.drain()


async def client_async():
    if family == socket.AF_UNIX:
        reader, writer = await asyncio.open_unix_connection(address)
    else:
        reader, writer = await asyncio.open_connection(*address)
    writer.write(message(b"from python"))
    assert await reader.readexactly(12) == message(b"from python")
    writer.close()


async def server_async():
    done = asyncio.Event()

    async def serve(reader, writer):
        await echo(reader, writer)
        assert await reader.read(1) == b""
        writer.close()
        done.set()

    if family == socket.AF_UNIX:
        served = await asyncio.start_unix_server(serve, address)
    else:
        served = await asyncio.start_server(serve, *address)
    await done.wait()
    served.close()


if style == "asyncio":
    asyncio.run(client_async() if role == "client" else server_async())
elif role == "client":
    client()
else:
    server()
