"""One end of a connection of multiprocessing.connection, told what to do by messages of the other end.

connection.py listener ADDRESS KEY [DIGEST]   prints READY and the address; serves one connection after the other
connection.py client ADDRESS KEY [DIGEST]     connects, and serves that connection

ADDRESS is a path, @NAME or HOST:PORT. KEY is text; - stands for no key. DIGEST is the one that challenges name, from
Python 3.12 on. REFUSED and the error are printed when authentication fails.
"""
import multiprocessing
import multiprocessing.connection as mc
import multiprocessing.reduction as reduction
import os
import socket
import sys
import tempfile


def parsed(text):
    if text.startswith('@'):
        return '\0' + text[1:]
    if '/' not in text and ':' in text:
        host, port = text.rsplit(':', 1)
        return host, int(port)
    return text


def shown(address):
    if isinstance(address, tuple):
        return '%s:%d' % address
    if isinstance(address, bytes):
        address = address.decode()
    return '@' + address[1:] if address.startswith('\0') else address


def temporary_file(text):
    file = tempfile.TemporaryFile()
    file.write(text.encode())
    file.flush()
    file.seek(0)
    return file


def serve(c):
    while True:
        try:
            command, *arguments = c.recv()
        except EOFError:
            return
        if command == 'echo':
            c.send(arguments[0])
        elif command == 'recv_handle':
            with os.fdopen(reduction.recv_handle(c), 'rb') as file:
                c.send(file.read().decode())
        elif command == 'recv_handles':
            s = socket.fromfd(c.fileno(), socket.AF_UNIX, socket.SOCK_STREAM)
            with s:
                descriptors = reduction.recvfds(s, arguments[0])
            texts = []
            for descriptor in descriptors:
                with os.fdopen(descriptor, 'rb') as file:
                    texts.append(file.read().decode())
            c.send(texts)
        elif command == 'send_handles':
            # Message, handle, message, without a pause between them.
            for text in arguments:
                with temporary_file(text) as file:
                    c.send('before ' + text)
                    reduction.send_handle(c, file.fileno(), 0)
                    c.send('after ' + text)
        elif command == 'send_connection':
            ours, theirs = multiprocessing.Pipe()
            c.send(theirs)
            ours.send(arguments[0])
            c.send(ours.recv())
            # The thread that serves it has its own duplicate.
            theirs.close()
            ours.close()
        elif command == 'send_socket':
            ours, theirs = socket.socketpair()
            with ours, theirs:
                c.send(theirs)
                ours.sendall(arguments[0].encode())
                c.send(ours.recv(100).decode())
        elif command == 'recv_connection':
            with c.recv() as other:
                other.send(['through', arguments[0]])
                c.send(other.recv())
        elif command == 'recv_socket':
            with c.recv() as other:
                other.sendall(arguments[0].encode())
                c.send(other.recv(100).decode())
        elif command == 'quit':
            c.send('bye')
            sys.exit(0)


def main():
    role, address, key = sys.argv[1:4]
    key = None if key == '-' else key.encode()
    if key is not None:
        multiprocessing.current_process().authkey = key
    if len(sys.argv) > 4:
        deliver = mc.deliver_challenge
        mc.deliver_challenge = lambda c, k: deliver(c, k, digest_name=sys.argv[4])
    if role == 'client':
        try:
            c = mc.Client(parsed(address), authkey=key)
        except (multiprocessing.AuthenticationError, EOFError, OSError) as error:
            print('REFUSED %r' % error, flush=True)
            return
        with c:
            serve(c)
        return
    with mc.Listener(parsed(address), authkey=key) as listener:
        print('READY ' + shown(listener.address), flush=True)
        while True:
            try:
                c = listener.accept()
            except (multiprocessing.AuthenticationError, EOFError, OSError, AssertionError) as error:
                print('REFUSED %r' % error, flush=True)
                continue
            with c:
                serve(c)


main()
