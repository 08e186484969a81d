"""Packs or unpacks the value in a file as often as it is told, and says how many nanoseconds that took.

Orders come on descriptor 5, a number a line, and answers go there.
"""
import socket
import sys
import time

channel = socket.socket(fileno=5).makefile('rw', buffering=1)
try:
    import msgpack
    import msgpack._cmsgpack
except ImportError as error:
    print('missing Python msgpack with its C extension: %s' % error, file=channel, flush=True)
    sys.exit()

work, path = sys.argv[1:]
with open(path, 'rb') as file:
    packed = file.read()
value = msgpack.unpackb(packed)
assert msgpack.packb(value) == packed
print('ready', file=channel, flush=True)
for line in channel:
    rounds = range(int(line))
    call, argument = (msgpack.packb, value) if work == 'pack' else (msgpack.unpackb, packed)
    before = time.perf_counter_ns()
    for _ in rounds:
        call(argument)
    print(time.perf_counter_ns() - before, file=channel, flush=True)
