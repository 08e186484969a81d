#!/usr/bin/env python3
"""Python's side of the benchmarks: both ends of a connection, or an echo for somebody else.

drive   starts its own peer (this script again) and, for each line "COUNT" on descriptor 5, carries out so many
        operations and answers "NANOSECONDS LATENCY LATENCY ..." on it
check   answers "ready", or "missing ..." where something is not installed
echo    sends back what comes on the descriptors 3 and 4
source  for each line "COUNT" on descriptor 5, sends so many messages
sink    for each line "COUNT" on descriptor 5, receives so many messages and answers "ok"
"""
import argparse
import os
import socket
import subprocess
import sys
import time


class Missing(Exception):
    pass


def module(name):
    try:
        return __import__(name)
    except ImportError as error:
        raise Missing('%s (Python %d.%d)' % (error, *sys.version_info[:2])) from None


class Standard:
    """multiprocessing.connection.Connection."""

    def __init__(self, reading, writing):
        from multiprocessing.connection import Connection
        if reading == writing:
            reader = writer = Connection(reading)
        else:
            reader, writer = Connection(reading, writable=False), Connection(writing, readable=False)
        self.send, self.receive = writer.send_bytes, reader.recv_bytes


class Wrapper:
    """socketwrapper with its varint framing."""

    def __init__(self, reading, writing):
        module('socketwrapper.framing')
        import socketwrapper
        framing = socketwrapper.framing.VarIntBytes
        if reading == writing:
            reader = writer = socketwrapper.MessageDuplex(reading, framing)
        else:
            reader = socketwrapper.MessageReader(reading, framing)
            writer = socketwrapper.MessageWriter(writing, framing)
        self.send, self.receive = writer.send, reader.recv
        self.send_async, self.receive_async = writer.send_async, reader.recv_async


def pair(transport):
    if transport == 'pipes':
        a, b = os.pipe(), os.pipe()
        return (a[0], b[1]), (b[0], a[1])
    if transport == 'tcp':
        with socket.create_server(('127.0.0.1', 0)) as listener:
            ours = socket.create_connection(listener.getsockname())
            theirs = listener.accept()[0]
        for each in (ours, theirs):
            each.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    else:
        ours, theirs = socket.socketpair()
    a, b = ours.detach(), theirs.detach()
    return (a, a), (b, b)


class Peer:
    """The other end: this script in a process of its own."""

    def __init__(self, a, role, ends):
        ours, theirs = socket.socketpair()
        high = [os.dup(ends[0]), os.dup(ends[1]), theirs.detach()]

        def place():
            # Above everything that is to be placed, then down.
            up = [os.dup2(fd, 100 + i) for i, fd in enumerate(high)]
            for i, fd in enumerate(up):
                os.dup2(fd, 3 + i, inheritable=True)
        self.process = subprocess.Popen(
            [sys.executable, __file__, role, '--impl', a.impl, '--mode', a.mode, '--size', str(a.size)],
            preexec_fn=place, close_fds=False)
        for fd in high:
            os.close(fd)
        for fd in set(ends):
            os.close(fd)
        self.control = ours.makefile('rw', buffering=1)

    def order(self, count):
        self.control.write('%d\n' % count)
        self.control.flush()

    def answer(self):
        if self.control.readline() != 'ok\n':
            raise SystemExit('the other Python is gone')


def drive(a, channel, peer, count):
    message, latencies, clock = b'x' * a.size, [], time.perf_counter_ns
    begin = clock()
    if a.work == 'roundTrip':
        last = begin
        for _ in range(count):
            channel.send(message)
            channel.receive()
            now = clock()
            latencies.append(now - last)
            last = now
    elif a.work == 'receive':
        peer.order(count)
        for _ in range(count):
            channel.receive()
    else:
        peer.order(count)
        for _ in range(count):
            channel.send(message)
        peer.answer()
    return clock() - begin, latencies


async def drive_async(a, channel, peer, count):
    message, latencies, clock = b'x' * a.size, [], time.perf_counter_ns
    begin = clock()
    if a.work == 'roundTrip':
        last = begin
        for _ in range(count):
            await channel.send_async(message)
            await channel.receive_async()
            now = clock()
            latencies.append(now - last)
            last = now
    elif a.work == 'receive':
        peer.order(count)
        for _ in range(count):
            await channel.receive_async()
    else:
        peer.order(count)
        for _ in range(count):
            await channel.send_async(message)
        peer.answer()
    return clock() - begin, latencies


def serve(a, channel, control):
    message = b'x' * a.size
    if a.role == 'echo':
        while True:
            channel.send(channel.receive())
    for line in control:
        if a.role == 'source':
            for _ in range(int(line)):
                channel.send(message)
        else:
            for _ in range(int(line)):
                channel.receive()
            control.write('ok\n')
            control.flush()


async def serve_async(a, channel, control):
    message = b'x' * a.size
    if a.role == 'echo':
        while True:
            await channel.send_async(await channel.receive_async())
    for line in control:
        if a.role == 'source':
            for _ in range(int(line)):
                await channel.send_async(message)
        else:
            for _ in range(int(line)):
                await channel.receive_async()
            control.write('ok\n')
            control.flush()


def runner(a):
    """Runs coroutines, in one event loop for all of them."""
    import asyncio
    if a.mode == 'uvloop':
        return asyncio.Runner(loop_factory=module('uvloop').new_event_loop)
    return asyncio.Runner()


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument('role', choices=['drive', 'check', 'echo', 'source', 'sink'])
    p.add_argument('--impl', choices=['multiprocessing', 'socketwrapper'], default='socketwrapper')
    p.add_argument('--mode', choices=['sync', 'asyncio', 'uvloop'], default='sync')
    p.add_argument('--work', choices=['roundTrip', 'receive', 'send'], default='roundTrip')
    p.add_argument('--transport', choices=['socketpair', 'pipes', 'tcp'], default='socketpair')
    p.add_argument('--size', type=int, default=64)
    a = p.parse_args()
    make = Standard if a.impl == 'multiprocessing' else Wrapper
    control = os.fdopen(os.dup(5), 'r'), os.fdopen(os.dup(5), 'w')

    def say(text):
        control[1].write(text + '\n')
        control[1].flush()

    if a.role in ('drive', 'check'):
        try:
            if a.impl == 'socketwrapper':
                module('socketwrapper')
            if a.mode == 'uvloop':
                module('uvloop')
        except Missing as missing:
            say('missing %s' % missing)
            return
        if a.role == 'check':
            say('ready')
            return
        ours, theirs = pair(a.transport)
        peer = Peer(a, {'roundTrip': 'echo', 'receive': 'source', 'send': 'sink'}[a.work], theirs)
        channel = make(*ours)
        say('ready')
        loop = None if a.mode == 'sync' else runner(a)
        for line in control[0]:
            if loop is None:
                elapsed, latencies = drive(a, channel, peer, int(line))
            else:
                elapsed, latencies = loop.run(drive_async(a, channel, peer, int(line)))
            say(' '.join(map(str, [elapsed] + latencies)))
        peer.process.kill()
        peer.process.wait()
        return

    os.close(5)
    if os.path.sameopenfile(3, 4):
        os.close(4)
        channel = make(3, 3)
    else:
        channel = make(3, 4)

    class Control:
        """The lines of the control socket, and answers to them."""
        __iter__ = lambda self: iter(control[0])
        write, flush = control[1].write, control[1].flush

    try:
        if a.mode == 'sync':
            serve(a, channel, Control())
        else:
            runner(a).run(serve_async(a, channel, Control()))
    except (EOFError, BrokenPipeError, ConnectionResetError):
        pass


main()
