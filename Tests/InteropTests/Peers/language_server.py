#!/usr/bin/env python3
"""A language server that can do next to nothing, over its standard streams (base protocol, JSON-RPC 2.0).

It answers `initialize` and `shutdown`, sends a notification of its own, ends on `exit`, and writes headers as it
likes: --style plain | typed | sloppy
"""
import json, sys


def receive():
    length = None
    while True:
        line = sys.stdin.buffer.readline()
        if not line:
            return None
        line = line.rstrip(b'\r\n')
        if not line:
            return json.loads(sys.stdin.buffer.read(length))
        name, value = line.split(b':', 1)
        if name.lower() == b'content-length':
            length = int(value)


def send(message, style):
    body = json.dumps(message).encode()
    header = {
        'plain': 'Content-Length: %d\r\n\r\n',
        'typed': 'Content-Type: application/vscode-jsonrpc; charset=utf-8\r\nContent-Length: %d\r\n\r\n',
        'sloppy': 'content-length:%d \nx-server: python\n\n',
    }[style] % len(body)
    sys.stdout.buffer.write(header.encode() + body)
    sys.stdout.buffer.flush()


def main():
    style = sys.argv[sys.argv.index('--style') + 1] if '--style' in sys.argv else 'plain'
    is_shut_down = False
    while True:
        message = receive()
        if message is None or message['method'] == 'exit':
            sys.exit(0 if is_shut_down else 1)
        if message['method'] == 'initialize':
            send({'jsonrpc': '2.0', 'method': 'window/logMessage', 'params': {'message': 'gr\u00fc\u00dfe'}}, style)
            result = {'capabilities': {'hoverProvider': True}, 'serverInfo': {'name': 'mini'}}
            send({'jsonrpc': '2.0', 'id': message['id'], 'result': result}, style)
        elif message['method'] == 'shutdown':
            is_shut_down = True
            send({'jsonrpc': '2.0', 'id': message['id'], 'result': None}, style)


main()
