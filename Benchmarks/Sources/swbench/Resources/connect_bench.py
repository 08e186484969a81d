#!/usr/bin/env python3
"""Connects, sends one message, receives it again and closes, over and over, with multiprocessing.connection.

drive   starts this script again as the server, answers "ready" on descriptor 5 and, for each line "COUNT" there, carries out
        so many and answers how many nanoseconds that took
serve   listens, writes the address to standard output, and answers each client's message
"""
import os
import subprocess
import sys
import time
from multiprocessing.connection import Client, Listener


def serve():
    with Listener(family='AF_UNIX', backlog=4096) as listener:
        print(listener.address, flush=True)
        while True:
            with listener.accept() as connection:
                try:
                    connection.send_bytes(connection.recv_bytes())
                    connection.recv_bytes()
                except (EOFError, ConnectionError):
                    pass


def drive():
    control = os.fdopen(5, 'r+b', buffering=0)
    server = subprocess.Popen([sys.executable, __file__, 'serve'], stdout=subprocess.PIPE, text=True)
    try:
        address, message = server.stdout.readline().strip(), b'x' * 64
        control.write(b'ready\n')
        lines = os.fdopen(os.dup(5), 'r')
        for line in lines:
            begin = time.perf_counter_ns()
            for _ in range(int(line)):
                with Client(address) as connection:
                    connection.send_bytes(message)
                    connection.recv_bytes()
            control.write(b'%d\n' % (time.perf_counter_ns() - begin))
    finally:
        # The signals that the parent blocks are blocked here, too.
        server.kill()
        server.wait()


{'drive': drive, 'serve': serve}[sys.argv[1]]()
