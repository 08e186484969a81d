#!/usr/bin/env python3
"""Pickles changed at random, read by Python and by a program: verdicts.py SECONDS PROGRAM ARGUMENT…

Python reads them with an unpickler that runs nothing: a class or function that it does not know becomes a stand-in, which
notes what it is called with. The program (as in Tests/SWPickleTests/Peers/compare.py) reads the same bytes and writes what
it has read. Both have to accept or to refuse, and what the program has written has to be, for the same unpickler, the same
value. Where they may differ, REFUSALS and ACCEPTED say why. SECONDS are of Python's processor time. SIGTERM ends the run,
and it says what it has done. Runs on Python 3.8 and later, and needs no package.
"""
import _codecs, _compat_pickle, collections, datetime, decimal, io, json, os, pickle, random, re, resource, select, signal, sys, uuid

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '..', '..', 'Tests', 'SWPickleTests', 'Peers'))
import compare

# The program's refusals that Python does not share: what its error says, and why. Whatever is listed here Python has read.
REFUSALS = [
    (r'expected a date of the calendar, ', 'Python does not check a date that comes as bytes, and makes the 246th of February'),
    (r'expected a time of a day, ', 'nor a time, and makes the 129th hour'),
    (r'expected (an int of at most 4300 digits|a memo index), found "[^"]*\\0', 'a number of protocol 0 ends at a NUL for C'),
]
# Python's refusals that the program does not share, apart from this one: a standard class whose arguments or state are not
# the usual ones is kept as an object. That it is so, Python has to confirm: it reads the pickle if a stand-in takes the
# place of every class (`Tolerant`). What it says then, and why:
ACCEPTED = [
    (r"^UnpicklingError: NEWOBJ(_EX)? class argument (must be a type, not StandIn|isn't a type object)$", 'what a call returns may be a class'),
]
OTHER_ARGUMENTS = 'a standard class does not take this'


class StandIn:
    def __new__(cls, *arguments, **keywords):
        self = object.__new__(cls)
        self.log = [('new', arguments, keywords)]
        return self

    def __init__(self, *arguments, **keywords):
        self.log.append(('init',))

    def __call__(self, *arguments):
        return type(self)(self, *arguments)

    def __setstate__(self, state):
        self.log = [entry for entry in self.log if entry[0] != 'state'] + [('state', state)]

    def append(self, element):
        self.log.append(('append', element))

    def extend(self, elements):
        for element in elements:
            self.append(element)

    def __setitem__(self, key, value):
        self.log.append(('item', key, value))

    def add(self, element):
        raise TypeError('a stand-in is no set')

    __hash__ = object.__hash__


def small(kind):
    def make(*arguments):
        if arguments and isinstance(arguments[0], int):
            raise TypeError('a size is not expected')
        return kind(*arguments)
    return make


def reconstructed(kind, base, argument):
    """copyreg._reconstructor"""
    if base is not object or argument is not None or not isinstance(kind, type):
        raise TypeError('an object of another base is not expected')
    return kind.__new__(kind)


KNOWN = {
    ('builtins', 'object'): object, ('copyreg', '_reconstructor'): reconstructed, ('_codecs', 'encode'): _codecs.encode,
    ('builtins', 'set'): set, ('builtins', 'frozenset'): frozenset, ('builtins', 'complex'): complex, ('builtins', 'bytes'): small(bytes),
    ('builtins', 'bytearray'): small(bytearray), ('datetime', 'date'): datetime.date, ('datetime', 'time'): datetime.time,
    ('datetime', 'datetime'): datetime.datetime, ('datetime', 'timedelta'): datetime.timedelta, ('datetime', 'timezone'): datetime.timezone,
    ('decimal', 'Decimal'): decimal.Decimal, ('uuid', 'UUID'): uuid.UUID, ('collections', 'OrderedDict'): collections.OrderedDict,
}


class File(io.BytesIO):
    """Read ahead as a whole, as `pickle.loads` does: a frame that is too short does not hide what follows it."""

    def peek(self, count=-1):
        return self.getvalue()[self.tell():]


class Unpickler(pickle.Unpickler):
    names = {}
    is_old = False

    def known(self, module, name):
        return KNOWN.get((module, name))

    def find_class(self, module, name):
        if self.is_old:
            module, name = _compat_pickle.NAME_MAPPING.get((module, name), (_compat_pickle.IMPORT_MAPPING.get(module, module), name))
            if module == 'exceptions':
                module = 'builtins'
        if self.known(module, name):
            return self.known(module, name)
        if (module, name) not in self.names:
            self.names[module, name] = type('StandIn', (StandIn,), {'called': (module, name)})
        return self.names[module, name]


class Tolerant(Unpickler):
    """Knows no class but those that pickles of plain values need: all others are stand-ins."""
    names = {}

    def known(self, module, name):
        return None


def load(pickled, kind=Unpickler):
    unpickler = kind(File(pickled))
    # Names of Python 2, as long as no other protocol is named.
    unpickler.is_old = pickled[:1] != b'\x80' or pickled[1:2] < b'\3'
    return unpickler.load()


def canonical(value, seen, left=None):
    """A text that is the same for equal values, whatever of them is shared. What would be too long is a RecursionError."""
    left = left or [20000]
    left[0] -= 1
    if left[0] <= 0:
        raise RecursionError('a long value')
    if id(value) in seen:
        return '<%d up>' % (len(seen) - seen[id(value)])
    kind = type(value)
    if isinstance(value, (list, tuple, set, frozenset, dict, StandIn)):
        seen = {**seen, id(value): len(seen)}
        if isinstance(value, dict):
            parts = sorted('%s: %s' % (canonical(key, seen, left), canonical(item, seen, left)) for key, item in value.items())
        elif isinstance(value, StandIn):
            # As picklers write it: what is appended and set comes before the state.
            log = sorted(value.log, key=lambda entry: ('new', 'init', 'append', 'item', 'state').index(entry[0]))
            return '<%s %s>' % ('.'.join(value.called), canonical(log, seen, left))
        else:
            parts = [canonical(part, seen, left) for part in value]
            if isinstance(value, (set, frozenset)):
                parts.sort()
        return '%s(%s)' % (kind.__name__, ', '.join(parts))
    if isinstance(value, type):
        return '<%s.%s>' % getattr(value, 'called', (value.__module__, value.__name__))
    return '%s %r' % (kind.__name__, value)


def made(chance, depth=0):
    """A random value."""
    leaves = [
        None, True, 7, -1, 300, 2**40, -2**70, 1.5, 'text', 'e\u0301\U0001f600', b'bytes', bytearray(b'x'), 1j, datetime.date(2024, 2, 29),
        datetime.datetime(2024, 1, 1, 12, tzinfo=datetime.timezone.utc), datetime.timedelta(1, 2, 3), decimal.Decimal('1.50'), uuid.UUID(int=5),
        compare.Color.RED, compare.User('name', ['tag']), compare.Point(1, 2), range(3), ValueError('x'), collections.deque([1]),
        collections.OrderedDict(a=1), frozenset([1, 'a']), {2, 3}]
    if depth > 3 or chance.random() < 0.4:
        return chance.choice(leaves)
    parts = [made(chance, depth + 1) for _ in range(chance.randrange(4))]
    if chance.random() < 0.3 and parts:
        parts.append(parts[0])
    kind = chance.randrange(3)
    return parts if kind == 0 else tuple(parts) if kind == 1 else {chance.choice(['a', 'b', 1, None, (1, 2)]): part for part in parts}


def changed(chance, pickled):
    pickled = bytearray(pickled)
    for _ in range(chance.randrange(1, 4)):
        if not pickled:
            break
        place, change = chance.randrange(len(pickled)), chance.randrange(4)
        if change == 0:
            pickled[place] = chance.randrange(256)
        elif change == 1:
            del pickled[place:place + chance.randrange(1, 9)]
        elif change == 2:
            pickled[place:place] = pickled[chance.randrange(len(pickled)):][:chance.randrange(1, 9)]
        else:
            pickled[place] = chance.choice(b'()]}.0124adeglopqrsthjtuNKMJGXBCRbci\x81\x85\x86\x87\x88\x89\x8a\x8c\x8f\x90\x91\x93\x94')
    return bytes(pickled)


def examined(pickled, reply):
    """What Python makes of a pickle: its complaint or None, its value as text, and that of what the program has written.

    A complaint about a standard class alone is OTHER_ARGUMENTS.
    """
    try:
        value = load(pickled)
    except (RecursionError, MemoryError):
        return None
    except Exception as error:
        try:
            load(pickled, Tolerant)
            return OTHER_ARGUMENTS, None, None
        except (RecursionError, MemoryError):
            return None
        except Exception as error:
            return '%s: %s' % (type(error).__name__, error), None, None
    if reply is None:
        return None, None, None
    try:
        expected = canonical(value, {})
    except RecursionError:
        return None
    try:
        return None, expected, canonical(load(reply), {})
    except Exception as error:
        return None, expected, 'what cannot be read: %s' % error


def asked(pickled, reply):
    """The same by a process of its own: Python takes hours, or all memory, for some of them. None if it does."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            signal.signal(signal.SIGTERM, signal.SIG_DFL)
            resource.setrlimit(resource.RLIMIT_AS, (2 << 30, 2 << 30))
            os.write(writing, json.dumps(examined(pickled, reply)).encode()[:60000])
        finally:
            os._exit(0)
    os.close(writing)
    answer = b''
    while select.select([reading], [], [], 3)[0]:
        part = os.read(reading, 65536)
        if not part:
            break
        answer += part
    os.close(reading)
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    try:
        return json.loads(answer)
    except ValueError:
        return None


def main():
    chance = random.Random(int(os.environ.get('SEED', '7')))
    channel, counts = compare.Channel(sys.argv[2:]), collections.Counter()
    failures, signals = [], []
    signal.signal(signal.SIGTERM, lambda number, frame: signals.append(number))
    while sum(os.times()[:4]) < float(sys.argv[1]) and len(failures) < 20 and not signals:
        pickled = changed(chance, pickle.dumps(made(chance), chance.randrange(pickle.HIGHEST_PROTOCOL + 1)))
        is_read, reply = channel.reply(pickled)
        answer = asked(pickled, reply if is_read else None)
        if answer is None:
            counts['too much for Python'] += 1
            continue
        complaint, expected, found = answer
        if is_read != (complaint is None):
            text = complaint if is_read else reply.decode()
            differences = [(OTHER_ARGUMENTS, OTHER_ARGUMENTS), *ACCEPTED] if is_read else REFUSALS
            reason = next((reason for pattern, reason in differences if re.search(pattern, text)), None)
            counts[('accepted alone: ' if is_read else 'refused alone: ') + str(reason)] += 1
            if reason is None:
                failures.append('%s by the program alone: %s\n  %s' % ('accepted' if is_read else 'refused', text, pickled.hex()))
        elif is_read:
            counts['read by both'] += 1
            if expected != found:
                failures.append('%s\n  became %s\n  %s' % (expected, found, pickled.hex()))
        else:
            counts['refused by both'] += 1
    status = channel.close()
    for failure in failures:
        print(failure)
    print('Python %s, %.0f s: %s, exit status %d' % (sys.version.split()[0], sum(os.times()[:4]), dict(counts), status))
    sys.exit(1 if failures or status else 0)


if __name__ == '__main__':
    main()
