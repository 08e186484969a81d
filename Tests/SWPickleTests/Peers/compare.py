#!/usr/bin/env python3
"""Sends pickles to a program that reads them and writes them again, and checks that the same values come back.

  compare.py PROGRAM ARGUMENT…     starts it with one more argument, the descriptor of its channel

Every value goes out in every protocol that this Python has, and comes back in protocols 4 and 5. Exits with 1, and says
why, if something comes back otherwise. Runs on Python 3.8 and later, with numpy, pytz and dateutil if they are there.
"""
import array, collections, dataclasses, datetime, decimal, enum, fractions, functools, ipaddress, math
import multiprocessing.connection, operator, os, pathlib, pickle, random, re, signal, socket, subprocess, sys, time
import types, uuid


class Channel:
    def __init__(self, command):
        own, other = socket.socketpair()
        os.set_inheritable(other.fileno(), True)
        self.process = subprocess.Popen(command + [str(other.fileno())], close_fds=False)
        other.close()
        self.connection = multiprocessing.connection.Connection(own.detach())

    def reply(self, pickled, flags=0):
        self.connection.send_bytes(bytes([flags]) + pickled)
        reply = self.connection.recv_bytes()
        return reply[:1] == b'+', reply[1:]

    def close(self):
        self.connection.close()
        return self.process.wait()


class Color(enum.Enum):
    RED = 1
    GREEN = 'green'


class Number(enum.IntEnum):
    ONE = 1


class Permission(enum.Flag):
    READ = 1
    WRITE = 2


Point = collections.namedtuple('Point', 'x y')


@dataclasses.dataclass
class User:
    name: str
    tags: list = dataclasses.field(default_factory=list)


@dataclasses.dataclass(frozen=True)
class Frozen:
    x: int
    y: float = 0.5


class Slotted:
    __slots__ = ('a', 'b')

    def __init__(self, a, b):
        self.a, self.b = a, b

    def __eq__(self, other):
        return type(other) is Slotted and (self.a, self.b) == (other.a, other.b)


class SlottedAndDict(Slotted):
    __slots__ = ('__dict__',)

    def __eq__(self, other):
        return type(other) is SlottedAndDict and (self.a, self.b, self.__dict__) == (other.a, other.b, other.__dict__)


class Base:
    def __init__(self, **attributes):
        self.__dict__.update(attributes)

    def __eq__(self, other):
        return type(other) is type(self) and self.__dict__ == other.__dict__


class Outer:
    class Inner(Base):
        pass


class WithArguments(Base):
    def __new__(cls, *arguments, **keywords):
        self = super().__new__(cls)
        self.made = (arguments, keywords)
        return self

    def __init__(self, *arguments, **keywords):
        pass

    def __getnewargs_ex__(self):
        return self.made


class Text(str):
    pass


class Int(int):
    pass


class List(list):
    pass


class Dict(dict):
    pass


class Set(set):
    pass


class Tuple(tuple):
    pass


class Bytes(bytes):
    pass


class Failure(Exception):
    def __init__(self, code, text):
        super().__init__(code, text)
        self.code = code

    def __eq__(self, other):
        return type(other) is Failure and self.args == other.args and self.code == other.code


class WithState:
    """A pydantic model's state."""

    def __init__(self, **attributes):
        self.__dict__.update(attributes)

    def __getstate__(self):
        return {'__dict__': self.__dict__, '__pydantic_extra__': None, '__pydantic_fields_set__': set(self.__dict__),
                '__pydantic_private__': None}

    def __setstate__(self, state):
        self.__dict__.update(state['__dict__'])

    def __eq__(self, other):
        return type(other) is WithState and self.__dict__ == other.__dict__


def with_attributes(value, **attributes):
    value.__dict__.update(attributes)
    return value


class Reduced:
    """Contains itself in the state of a call."""

    def __init__(self, value):
        self.value = value

    def __reduce__(self):
        return Reduced, (0,), {'value': self.value, 'again': self}

    def __setstate__(self, state):
        self.__dict__.update(state)


class WithSetter(Base):
    """Its state is set by a function, as that of cloudpickle's functions and classes."""

    def __reduce__(self):
        return WithSetter, (), self.__dict__, None, None, set_state


def set_state(target, state):
    target.__dict__.update(state)


def plain_values():
    shared = [1, 2]
    recursive = [0]
    recursive.append(recursive)
    ring = {}
    ring['self'] = (ring, [ring])
    yield from [None, True, False, 0, -1, 255, 256, 65535, 65536, -2**31, 2**31, 2**63 - 1, -2**63, 2**63, 2**64, 1 << 70, -(1 << 2000)]
    yield from [0.0, -0.0, 1.5, math.inf, -math.inf, 5e-324, 1e308, 1 + 2j]
    yield from ['', 'text', 'h\xe9\u4e2d\U0001f600', 'x' * 300, 'y' * 70000, 'caf\udce9.txt', '\ud800', 'nul\0']
    yield from [b'', b'\x00\xff', b'x' * 300, b'y' * 70000, bytearray(b''), bytearray(b'abc'), bytearray(b'z' * 70000)]
    yield from [[], [1, [2, [3]]], (), (1,), (1, 2), (1, 2, 3), (1, 2, 3, 4), {}, {'a': 1, 2: None, (3, 4): 'x', None: b'k'}]
    yield from [set(), {1, 2, 3}, frozenset(), frozenset({'a', (1, 2)}), [shared, shared], recursive, ring]
    yield from [list(range(count)) for count in (999, 1000, 1001, 2500)]
    yield from [{i: str(i) for i in range(count)} for count in (999, 1000, 1001)]
    yield from [set(range(1000)), {'caf\udce9.txt': 1}, [[0] * 64] * 48]
    meta = {'unit': 'mm', 'origin': [0, 0]}
    yield [{'id': index, 'meta': meta} for index in range(100)]


def times():
    utc = datetime.timezone.utc
    east = datetime.timezone(datetime.timedelta(hours=5, minutes=30), 'IST')
    odd = datetime.timezone(-datetime.timedelta(hours=1, seconds=7, microseconds=3))
    moment = datetime.datetime(2024, 2, 29, 12, 34, 56, 789)
    yield from [datetime.date(1, 1, 1), datetime.date(9999, 12, 31), moment, moment.replace(tzinfo=utc), moment.replace(tzinfo=east)]
    yield from [moment.replace(tzinfo=odd), moment.replace(fold=1), datetime.time(1, 2, 3), datetime.time(23, 59, 59, 999999, utc, fold=1)]
    yield from [datetime.timedelta(-1, 5, 7), datetime.timedelta.max, datetime.timedelta.min, utc, east, [utc, utc, east, east]]
    try:
        import zoneinfo
        berlin = zoneinfo.ZoneInfo('Europe/Berlin')
        yield from [moment.replace(tzinfo=berlin), datetime.time(1, tzinfo=berlin), berlin, [moment.replace(tzinfo=berlin)] * 2]
        yield {'at': moment.replace(tzinfo=berlin), 'until': moment.replace(tzinfo=zoneinfo.ZoneInfo('UTC'))}
    except (ImportError, KeyError, OSError):
        pass
    try:
        import pytz
        yield from [pytz.timezone('Europe/Berlin').localize(moment), moment.replace(tzinfo=pytz.utc), moment.replace(tzinfo=pytz.FixedOffset(90))]
    except ImportError:
        pass
    try:
        import dateutil.tz
        yield from [moment.replace(tzinfo=dateutil.tz.tzutc()), moment.replace(tzinfo=dateutil.tz.tzoffset('X', 3600))]
        yield from [moment.replace(tzinfo=zone) for zone in [dateutil.tz.gettz('Europe/Berlin'), dateutil.tz.tzlocal()] if zone]
    except ImportError:
        pass


def objects():
    yield from [decimal.Decimal(text) for text in ('0', '-0', '1.50', '-123.4500', '1E+200', 'NaN', 'sNaN', '-Infinity', '1' * 60)]
    yield from [uuid.UUID(int=7), uuid.UUID(int=2**128 - 1), fractions.Fraction(1, 3)]
    ordered = collections.OrderedDict([('b', 1), ('a', 2)])
    yield from [collections.OrderedDict(), ordered, collections.OrderedDict((i, i) for i in range(1001))]
    yield with_attributes(collections.OrderedDict([('w', 1)]), _metadata={'version': 1})
    yield from [collections.deque([1, 2]), collections.deque([], 5), collections.deque(range(1001), 2000), collections.Counter('hello')]
    yield from [collections.defaultdict(list, {'a': [1]}), collections.defaultdict(None), collections.ChainMap({'a': 1}, {})]
    yield from [range(0), range(10), range(10, 0, -3), slice(1, 2, None), Ellipsis, NotImplemented, int, Color, len, os.path.join]
    yield from [array.array('d', [1.5, 2.5]), array.array('H', [1, 2, 3]), array.array('q', [])]
    yield from [pathlib.PurePosixPath('/a/b'), pathlib.PurePosixPath('a'), pathlib.PureWindowsPath('c:/x'), pathlib.Path('.')]
    yield from [ValueError('no'), KeyError('k'), OSError(2, 'gone', '/x'), UnicodeDecodeError('utf-8', b'\xff', 0, 1, 'bad'), Failure(7, 'x')]
    yield from [StopIteration(), with_attributes(ValueError('noted'), __notes__=['one'])]
    yield from [Color.RED, Color.GREEN, Number.ONE, Permission.READ | Permission.WRITE, signal.SIGINT, re.IGNORECASE | re.MULTILINE, socket.AF_UNIX]
    yield from [Point(1, 2), Point('a', [Point(3, 4)]), time.localtime(0), os.stat_result(range(10))]
    user = User('Ann', ['x'])
    yield from [user, [user, user, User('Bob')], Frozen(1), Slotted(1, 'b'), with_attributes(SlottedAndDict(1, 2), c=3)]
    yield from [Base(a=1, b=[2]), Base(), Outer.Inner(x=1), WithArguments(1, key='v'), WithState(id=7, name='a')]
    yield from [Text('text'), with_attributes(Text('t'), a=1), Int(5), List([1, 2]), with_attributes(List([1]), a=2), Dict(a=1)]
    yield from [with_attributes(Dict(a=1), b=2), Set([1, 2]), with_attributes(Set([1]), a=1), Tuple((1, 2)), Bytes(b'ab')]
    yield from [collections.UserDict(a=1), collections.UserList([1]), collections.UserString('x'), [Ellipsis, NotImplemented]]
    yield from [types.SimpleNamespace(a=1, b='x'), functools.partial(int, base=2), re.compile('a+', re.IGNORECASE), operator.itemgetter(1, 2)]
    yield from [ipaddress.ip_address('::1'), ipaddress.ip_network('10.0.0.0/8'), random.Random(7).getstate(), 'abc'.upper, [].append]
    mutual = Base(name='a')
    mutual.other = Base(name='b', other=mutual)
    yield from [mutual, Reduced([1]), WithSetter(a=1, b=[2]), [WithSetter(), WithSetter(a=WithSetter(b=1))]]
    inner = WithSetter(a=1)
    holder = [inner]
    # Its elements are popped again, because the list has written the tuple.
    holder.append((inner, Base(of=inner), holder))
    yield holder
    keyed = {Color.RED: 1, Point(1, 2): 2, Frozen(3): 3, datetime.date(2024, 1, 1): 4, decimal.Decimal('1.5'): 5, uuid.UUID(int=1): 6, int: 7}
    yield from [keyed, {Color.RED, Point(1, 2), Int(7)}, {Frozen(1): {Frozen(2): None}}]


def arrays():
    try:
        import numpy
    except ImportError:
        return
    base = numpy.arange(24, dtype='u1').reshape(2, 3, 4)
    yield from [base, base.transpose(2, 0, 1), base.transpose(2, 1, 0), base[:, ::2], numpy.asfortranarray(base), base[0], base[0, 0, 0]]
    for code in ['?', 'i1', 'u1', '<i2', '>i2', '<u4', '>u4', '<i8', '>u8', '<f2', '>f4', '<f8', '>f8', '<c8', '>c16', 'g', 'G']:
        values = numpy.array([0, 1, 2]).astype(code)
        yield from [values, values[1], values[:0], numpy.array(values[1]), values.reshape(3, 1)]
    for text in [['cat', 'doggy'], ['h\xe9\u4e2d\U0001f600', ''], ['']]:
        values = numpy.array(text)
        yield from [values, values[0], values.astype('>U8'), values.astype('>U8')[0]]
    yield from [numpy.array([b'ab', b'c']), numpy.bytes_(b'ab'), numpy.array([b'a\0b'], dtype='V3'), numpy.void(b'abc')]
    for unit in ['Y', 'M', 'W', 'D', 'h', 'm', 's', 'ms', 'us', 'ns', '25s']:
        values = numpy.array(['2024-01-01', 'NaT', '1969-12-31'], dtype='M8[s]').astype('M8[%s]' % unit)
        yield from [values, values[0], values[1], values.astype('>M8[%s]' % unit)]
        if unit not in 'YM':
            yield from [values - values[0], (values - values[0])[2]]
    yield from [numpy.array([1, 2], dtype='m8'), numpy.timedelta64(5), numpy.datetime64('NaT')]
    record = numpy.array([(1, 2.0, 'ab', [1, 2])], dtype=[('id', '<i4'), ('x', '>f8'), ('name', 'U4'), ('pair', 'i2', (2,))])
    nested = numpy.array([((1, 2), b'x')], dtype=[('point', [('x', 'i4'), ('y', 'i4')]), ('tag', 'S3')])
    aligned = numpy.zeros(2, dtype=numpy.dtype([('a', 'i1'), ('b', 'f8')], align=True))
    yield from [record, record[0], record['x'], nested, nested[0], aligned, numpy.zeros(2, dtype='i4,f8'), record.dtype, nested.dtype]
    yield from [numpy.array([1, 'a', None, [2]], dtype=object), numpy.array([[{}, ()], [1.5, b'']], dtype=object), numpy.array(None)]
    yield from [numpy.ma.masked_array([1, 2, 3], [0, 1, 0]), numpy.ma.masked_array([[1.5, 2.5]], mask=False), numpy.ma.masked]
    yield from [numpy.rec.array([(1, 'a')], dtype=[('id', 'i4'), ('name', 'U2')]), numpy.dtype('f8'), numpy.dtype('>i2'), numpy.dtype('M8[ms]')]
    yield from [numpy.zeros((0, 3), 'f4'), numpy.zeros((2, 0)), numpy.zeros(100000), numpy.float64, numpy.sum]
    titled = numpy.zeros(2, dtype=[(('title', 'x'), 'i4'), ('y', 'f8')])
    spread = numpy.zeros(2, numpy.dtype({'names': ['x', 'y'], 'formats': ['i4', 'f8'], 'offsets': [16, 4], 'itemsize': 32}))
    overlapping = numpy.zeros(2, numpy.dtype({'names': ['x', 'y'], 'formats': ['i4', 'i4'], 'offsets': [0, 0]}))
    yield from [titled, titled.dtype, spread, overlapping, numpy.zeros((0, 3, 0)), numpy.ma.masked_all((2, 2))]
    yield from [numpy.zeros(2, [('x', 'O'), ('y', 'i4')]), numpy.zeros(2, numpy.dtype([('x', 'i4')], metadata={'unit': 'm'}))]
    if hasattr(numpy, 'dtypes') and hasattr(numpy.dtypes, 'StringDType'):
        kind = numpy.dtypes.StringDType
        yield from [numpy.array(['short', 'longer than what fits in place', ''], kind()), numpy.array([['a'], ['b']], kind(coerce=False)), kind()]
    yield {'label': numpy.str_('cat'), numpy.str_('k'): numpy.float64(1.5), 'flag': numpy.bool_(True), 'c': numpy.complex64(1 + 2j)}
    yield [base, base, base.T]
    import warnings
    with warnings.catch_warnings():
        warnings.simplefilter('ignore')
        yield numpy.matrix([[1, 2], [3, 4]])


def spelled(dtype):
    """A dtype, with the record of a recarray as the plain one that it is read as, and without what NumPy 2 alone calls aligned."""
    text = str(dtype).replace(", 'aligned': True", '')
    return text[len('(numpy.record, '):-1] if text.startswith('(numpy.record, ') else text


def normal(value, seen=None):
    """The value in a form whose equality is that of all its parts, types and sharing included."""
    seen = {} if seen is None else seen
    if id(value) in seen:
        return ('seen', seen[id(value)][0])
    kind = type(value)
    if kind.__module__.startswith('numpy'):
        import numpy
        if isinstance(value, numpy.ma.MaskedArray):
            return ('masked', value.shape, str(value.dtype), normal(value.tolist()), value.mask.tolist() if hasattr(value.mask, 'tolist') else value.mask)
        if isinstance(value, numpy.ndarray):
            if value.dtype.kind in 'SUVMmO' or value.dtype.names or value.shape:
                # The byte order is NumPy's to choose, and its subclasses are arrays here.
                native = value.astype(value.dtype.newbyteorder('=')) if not value.dtype.hasobject and not value.dtype.names else value
                content = normal(native.tolist()) if native.dtype.hasobject or native.dtype.names else native.tobytes()
                return ('array', value.shape, spelled(native.dtype), content)
            return normal(value[()])
        if isinstance(value, numpy.generic):
            if isinstance(value, (numpy.longdouble, numpy.clongdouble)) and value.dtype.itemsize > 16 // (2 if value.dtype.kind == 'f' else 1):
                return ('scalar', str(value.dtype), repr(value))
            if value.dtype.kind in 'Mm' and isinstance(value.item(), (int, type(None))):
                return ('scalar', str(value.dtype.newbyteorder('=')), value.tobytes() if value.dtype.byteorder in '=<' else repr(value))
            if value.dtype.kind == 'V':
                return ('scalar', spelled(value.dtype), normal(value.tolist()) if value.dtype.names else value.tobytes())
            return normal(value.item())
        if isinstance(value, numpy.dtype):
            return ('dtype', str(value))
    if value is None or kind in (bool, int, str, bytes):
        return (kind, value)
    if kind is float:
        return (kind, repr(value))
    if kind is complex:
        return (kind, repr(value))
    if kind in (datetime.date, datetime.datetime, datetime.time, datetime.timedelta):
        # Whether they are shared tells nothing: NumPy's become new ones each time, and there is one duration of zero.
        return (kind, repr(value), getattr(value, 'fold', 0))
    seen[id(value)] = (len(seen), value)
    if kind in (list, tuple, collections.deque) or issubclass(kind, (list, tuple)):
        attributes = sorted(getattr(value, '__dict__', {}).items()) if kind not in (list, tuple) else []
        return (kind, [normal(part, seen) for part in value], normal(attributes, seen) if attributes else None,
                value.maxlen if kind is collections.deque else None)
    if kind in (set, frozenset) or issubclass(kind, (set, frozenset)):
        return (kind, sorted((repr(normal(part)) for part in value)), repr(getattr(value, '__dict__', None)))
    if isinstance(value, dict):
        extra = normal(sorted(value.__dict__.items()), seen) if getattr(value, '__dict__', None) else None
        factory = value.default_factory if kind is collections.defaultdict else None
        return (kind, [(normal(key, seen), normal(part, seen)) for key, part in value.items()], extra, factory)
    if kind is bytearray:
        return (kind, bytes(value))
    if kind is decimal.Decimal:
        return (kind, str(value))
    if isinstance(value, datetime.datetime) or isinstance(value, datetime.time):
        return (kind, repr(value), value.fold)
    if isinstance(value, BaseException):
        return (kind, normal(value.args, seen), normal(value.__dict__, seen))
    if isinstance(value, (types.FunctionType, types.BuiltinFunctionType, types.MethodType, type)):
        return ('name', repr(value) if not isinstance(value, types.BuiltinFunctionType) else (value.__name__, repr(getattr(value, '__self__', None))))
    if hasattr(kind, '__slots__') and kind.__module__ == 'compare':
        slots = [(name, normal(getattr(value, name), seen)) for name in Slotted.__slots__]
        return (kind, slots, normal(getattr(value, '__dict__', {}), seen))
    if kind.__module__ == 'compare' and hasattr(value, '__dict__') and not isinstance(value, enum.Enum):
        return (kind, value if isinstance(value, (int, str, bytes)) else None, normal(value.__dict__, seen))
    if kind.__eq__ is object.__eq__ and hasattr(value, '__dict__'):
        return (kind, normal(value.__dict__, seen))
    if hasattr(value, '__dict__') and value.__dict__ and not isinstance(value, (enum.Enum, pathlib.PurePath)):
        return (kind, normal(value.__dict__, seen))
    return (kind, repr(value))


def check(channel, value, protocols=range(pickle.HIGHEST_PROTOCOL + 1), flags=(0, 1)):
    """Why the value came back otherwise; None if it did not."""
    expected = None
    for protocol in protocols:
        try:
            pickled = pickle.dumps(value, protocol)
            again = pickle.loads(pickled)
        except Exception:
            continue
        expected = normal(again)
        for flag in flags:
            if flag == 1 and pickle.HIGHEST_PROTOCOL < 5:
                continue
            is_read, reply = channel.reply(pickled, flag)
            if not is_read:
                return 'protocol %d, refused: %s: %s' % (protocol, reply.decode(), repr(value)[:200])
            try:
                found = normal(pickle.loads(reply))
            except Exception as error:
                return 'protocol %d, %r on reading what came back for %s' % (protocol, error, repr(value)[:200])
            if found != expected:
                return 'protocol %d:\n%s\ncame back as\n%s' % (protocol, repr(expected)[:400], repr(found)[:400])
    return None


def exact():
    """Values that the C pickler and the program write with the same bytes."""
    for count in (0, 1, 2, 999, 1000, 1001, 1002, 2000, 2001):
        numbers = range(count)
        yield from [list(numbers), tuple(numbers), {i: str(i) for i in numbers}, collections.OrderedDict((i, i) for i in numbers)]
        yield from [collections.deque(numbers), List(numbers), Dict((i, i) for i in numbers), frozenset(numbers), set(numbers)]
        yield collections.Counter({i: i for i in numbers})
    for value in [*plain_values(), *times(), *objects()]:
        # Written otherwise: a str that no UTF-8 holds, as the call that makes it; a str or a tuple of arguments that is one
        # object for the program and two for Python, or the other way round.
        if '\\ud' not in repr(value) and not isinstance(value, (array.array, WithArguments)):
            yield value


def same_bytes(channel, value):
    """Why the program does not write the bytes that it has read; None if it does."""
    for protocol in range(4, pickle.HIGHEST_PROTOCOL + 1):
        try:
            pickled = pickle.dumps(value, protocol)
        except Exception:
            continue
        is_read, reply = channel.reply(pickled, protocol == 5)
        if not is_read or reply != pickled:
            return 'protocol %d, other bytes: %s\n%s\n%s' % (protocol, repr(value)[:100], pickled.hex()[:400], reply.hex()[:400])
    return None


def main():
    channel = Channel(sys.argv[1:])
    count, failures = 0, []
    for value in exact():
        count += 1
        failure = same_bytes(channel, value)
        if failure:
            failures.append(failure)
    for value in [*plain_values(), *times(), *objects(), *arrays()]:
        count += 1
        failure = check(channel, value)
        if failure:
            failures.append(failure)
    status = channel.close()
    for failure in failures:
        print(failure)
    print('%d values, %d came back otherwise, exit status %d' % (count, len(failures), status))
    sys.exit(1 if failures or status else 0)


if __name__ == '__main__':
    # Classes of this file are found under one name by every process that reads their pickles.
    sys.modules['compare'] = sys.modules['__main__']
    for found in list(globals().values()):
        if isinstance(found, (type, types.FunctionType)) and found.__module__ == '__main__':
            found.__module__ = 'compare'
    Outer.Inner.__module__ = 'compare'
    main()
