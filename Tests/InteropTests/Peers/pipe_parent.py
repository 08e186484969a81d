#!/usr/bin/env python3
"""Makes a multiprocessing.Pipe(), starts a child that inherits one end, and expects its messages back.

pipe_parent.py SIZE,SIZE,... COMMAND ARGUMENT...      the descriptor's number is added as the last argument

exit status  0 all well | 1 a message came back otherwise | 2 the child failed
"""
import multiprocessing, subprocess, sys, threading


def payload(size):
    pattern = bytes((i * 31 ^ i >> 8) & 255 for i in range(65521))
    return (pattern * (size // len(pattern) + 1))[:size]


def main():
    sizes = [int(size) for size in sys.argv[1].split(',')]
    ours, theirs = multiprocessing.Pipe()
    child = subprocess.Popen(sys.argv[2:] + [str(theirs.fileno())], pass_fds=[theirs.fileno()])
    theirs.close()
    for size in sizes:
        message = payload(size)
        sender = threading.Thread(target=ours.send_bytes, args=(message,))
        sender.start()
        answer = ours.recv_bytes()
        sender.join()
        if answer != message:
            print('%d bytes came back as %d others' % (size, len(answer)), file=sys.stderr)
            sys.exit(1)
        del message, answer
    ours.close()
    if child.wait() != 0:
        sys.exit(2)


main()
