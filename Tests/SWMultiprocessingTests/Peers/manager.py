"""A manager's server: manager.py ADDRESS KEY. Prints READY."""
import sys
import threading
from multiprocessing.managers import SyncManager


class Calculator:
    """A class of one's own."""

    def __init__(self, start=0, *, step=1):
        self.value = start
        self.step = step
        self.may_go = threading.Event()

    def add(self, number=None):
        self.value += self.step if number is None else number
        return self.value

    def fail(self, text):
        raise ValueError(text, 7)

    def fail_oddly(self):
        raise LookupError()

    def unpicklable(self):
        return lambda: None

    def wait(self):
        return self.may_go.wait()

    def go(self):
        self.may_go.set()

    def child(self, start):
        return Calculator(start)

    def keywords(self, *args, **kwds):
        return [list(args), dict(sorted(kwds.items()))]

    def _hidden(self):
        return 'hidden'


class Manager(SyncManager):
    pass


Manager.register('Calculator', Calculator, method_to_typeid={'child': 'Child'})
# Its objects are made by methods alone.
Manager.register('Child', create_method=False)


def main():
    address, key = sys.argv[1:3]
    if address.startswith('@'):
        address = '\0' + address[1:]
    elif '/' not in address:
        host, port = address.rsplit(':', 1)
        address = host, int(port)
    manager = Manager(address=address, authkey=key.encode())
    server = manager.get_server()
    shown = server.address
    if isinstance(shown, tuple):
        shown = '%s:%d' % shown
    elif isinstance(shown, bytes):
        shown = '@' + shown[1:].decode()
    print('READY ' + shown, flush=True)
    server.serve_forever()


main()
