#!/usr/bin/env python3
"""A peer that speaks multiprocessing.connection over descriptor 3: values in pickles.

roles
  echo        sends back what it receives, until the end of the stream
  drive       sends values, checks that each comes back as it was, and says so as its last message
  server      answers requests {"id": …, "text": …} with replies
  arrays      needs numpy: answers each array with its shape, type and sum, and sends arrays of its own
"""
import collections, datetime, decimal, multiprocessing.connection, sys, uuid

connection = multiprocessing.connection.Connection(3)


def values():
    shared = [1, 2]
    recursive = [0]
    recursive.append(recursive)
    yield from [None, True, 0, -1, 1 << 31, -(1 << 70), 1.5, float('inf'), 1 + 2j, '', 'h\xe9\u4e2d\U0001f600', b'', b'\x00\xff']
    yield from [bytearray(b'abc'), [], [1, [2, [3]]], (), (1,), (1, 2, 3, 4), {}, {'a': 1, 2: None, (3, 4): 'x'}]
    yield from [set(), {1, 2, 3}, frozenset({'a'}), [shared, shared], list(range(2500)), {i: str(i) for i in range(1000)}]
    yield from [datetime.datetime(2024, 2, 29, 12, 34, 56, 789, tzinfo=datetime.timezone.utc), datetime.date(1, 1, 1)]
    yield from [datetime.datetime(2024, 2, 29, 12, 34, 56, 789), datetime.time(1, 2, 3), datetime.timedelta(-1, 5, 7)]
    yield from [decimal.Decimal('-123.4500'), uuid.UUID(int=7), collections.OrderedDict([('b', 1), ('a', 2)])]
    yield from [b'x' * 16384, b'y' * 70000, 'z' * 100000, b'large' * 1000000]
    yield recursive


def drive():
    count = 0
    for value in values():
        connection.send(value)
        reply = connection.recv()
        if isinstance(value, list) and value and value[-1] is value:
            assert reply[0] == 0 and reply[1] is reply, 'the recursive list'
        else:
            assert type(reply) is type(value) and reply == value, repr((value, reply))[:200]
            if isinstance(value, list) and value and isinstance(value[0], list) and len(value) == 2 and value[0] is value[1]:
                assert reply[0] is reply[1], 'the shared list'
        count += 1
    connection.send({'checked': count})


def echo():
    try:
        while True:
            connection.send(connection.recv())
    except EOFError:
        pass


def server():
    try:
        while True:
            request = connection.recv()
            assert list(request) == ['id', 'text', 'tags', 'when', 'payload'], request
            assert type(request['payload']) is bytes and request['when'].tzinfo is datetime.timezone.utc
            connection.send({
                'id': request['id'], 'text': request['text'].upper(), 'count': len(request['tags']),
                'when': request['when'] + datetime.timedelta(days=1), 'payload': bytearray(request['payload'][::-1]),
                'ratio': 0.5, 'missing': None, 'extra': ('ignored',)})
    except EOFError:
        pass


def arrays():
    import numpy
    connection.send(numpy.__version__)
    made = [
        numpy.arange(6, dtype='f8').reshape(2, 3), numpy.asfortranarray(numpy.arange(6, dtype='<i4').reshape(2, 3)),
        numpy.array([1, 2, 3], dtype='>u2'), numpy.array([True, False]), numpy.array([1 + 2j], dtype='c16'),
        numpy.arange(10, dtype='i8')[::2], numpy.zeros((0, 3), dtype='f4'), numpy.array(2.5),
        numpy.array([1.5, numpy.nan], dtype='f2')]
    connection.send(len(made))
    for array in made:
        connection.send(array)
        reply = connection.recv()
        # NumPy itself turns what it reads into this machine's byte order.
        native = array.dtype.newbyteorder('=')
        assert isinstance(reply, numpy.ndarray) and reply.dtype == native and reply.shape == array.shape, reply
        assert numpy.array_equal(reply, array, equal_nan=array.dtype.kind in 'fc'), (reply, array)
        assert reply.flags.f_contiguous == array.flags.f_contiguous or not array.flags.forc
    connection.send([numpy.float64(1.5), numpy.int32(-7), numpy.bool_(True), numpy.complex64(1 + 2j)])
    connection.send(numpy.arange(1 << 20, dtype='f8'))
    total = connection.recv()
    assert total == float(sum(range(1 << 20))), total
    connection.send(numpy.array(['text']))
    connection.send('done')


{'echo': echo, 'drive': drive, 'server': server, 'arrays': arrays}[sys.argv[1]]()
