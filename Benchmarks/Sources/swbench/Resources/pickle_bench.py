"""Pickles or unpickles the value in a file as often as it is told, and says how many nanoseconds that took.

Orders come on descriptor 5, a number a line, and answers go there.
"""
import pickle
import socket
import sys
import time

channel = socket.socket(fileno=5).makefile('rw', buffering=1)
try:
    import _pickle
except ImportError as error:
    print('missing the pickle module in C: %s' % error, file=channel, flush=True)
    sys.exit()

work, path = sys.argv[1:]
with open(path, 'rb') as file:
    pickled = file.read()
value = _pickle.loads(pickled)
print('ready', file=channel, flush=True)
for line in channel:
    rounds = range(int(line))
    before = time.perf_counter_ns()
    if work == 'pickle':
        for _ in rounds:
            _pickle.dumps(value, 4)
    else:
        for _ in rounds:
            _pickle.loads(pickled)
    print(time.perf_counter_ns() - before, file=channel, flush=True)
