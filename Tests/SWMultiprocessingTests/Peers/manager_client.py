"""Uses the server of a Swift program: manager_client.py ADDRESS KEY. Prints DONE."""
import gc
import sys
import threading
from multiprocessing.managers import BaseManager, RemoteError


class Manager(BaseManager):
    pass


Manager.register('Counter')
Manager.register('Broken')
Manager.register('Unknown')


def raised(kind, function, *arguments):
    try:
        function(*arguments)
    except kind as error:
        return error
    raise AssertionError('%r did not raise' % function)


def main():
    address, key = sys.argv[1:3]
    if address.startswith('@'):
        address = '\0' + address[1:]
    elif '/' not in address:
        host, port = address.rsplit(':', 1)
        address = host, int(port)
    manager = Manager(address=address, authkey=key.encode())
    manager.connect()
    counter = manager.Counter(10, step=5)
    assert counter.add() == 15
    assert counter.add(2) == 17
    assert counter.echo([1, 'a', {'b': None}]) == [1, 'a', {'b': None}]
    assert counter._getvalue() == {'value': 17}
    assert 'counter' in str(counter), str(counter)
    assert raised(ValueError, counter.fail, 'no good').args == ('no good',)
    assert 'SwiftError' in str(raised(RemoteError, counter.failInSwift))
    assert 'argument 0' in str(raised(TypeError, counter.add, 'text'))
    assert 'cannot be pickled' in str(raised(RemoteError, counter.unpicklable))
    assert raised(RemoteError, counter._callmethod, 'nothing')
    assert raised(RemoteError, manager.Unknown)
    assert raised(KeyError, manager.Broken).args == ('broken',)

    child = counter.child(100)
    assert child.add() == 101
    assert counter.add(0) == 17
    assert manager._number_of_objects() == 2, manager._debug_info()
    assert 'refcount=1' in manager._debug_info()

    results = []
    threads = [
        threading.Thread(target=lambda: [results.append(counter.add(1)) for _ in range(50)]) for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(results) == list(range(18, 218)), sorted(results)[:5]

    del child
    assert manager._number_of_objects() == 1
    # Exceptions of Python before 3.12 keep the proxies that raised them, in cycles.
    del counter
    gc.collect()
    assert manager._number_of_objects() == 0
    if len(sys.argv) > 3:
        connection = manager._Client(address, authkey=key.encode())
        connection.send((None, 'shutdown', (), {}))
        assert connection.recv() == ('#RETURN', None)
    print('DONE', flush=True)


main()
