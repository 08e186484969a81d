#!/usr/bin/env python3
"""Random Python objects, there and back: differential.py SECONDS PROGRAM ARGUMENT…

Hypothesis makes values. Each is pickled in every protocol that this Python has, read and written again by the program
(as in Tests/SWPickleTests/Peers/compare.py), and has to come back as it was. Then the pickles are changed at random
places: the program has to answer each, with a value that Python reads or with an error. SECONDS are of Python's processor
time, so on a busy machine a run takes longer. SIGTERM ends it, and it says what it has done. It may take 4 GB of memory.
"""
import collections, datetime, decimal, enum, fractions, os, pathlib, pickle, random, resource, signal, sys, traceback, uuid

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '..', '..', 'Tests', 'SWPickleTests', 'Peers'))
import compare
from hypothesis import HealthCheck, Phase, given, seed, settings, strategies as st

zones = st.sampled_from([None, datetime.timezone.utc, datetime.timezone(datetime.timedelta(hours=-3, minutes=7), 'X')])
try:
    import zoneinfo
    zones |= st.sampled_from([zoneinfo.ZoneInfo(name) for name in ('Europe/Berlin', 'UTC', 'Asia/Kolkata')])
except (ImportError, KeyError, OSError):
    pass
text = st.text(st.characters(), max_size=40) | st.text(alphabet=st.sampled_from('a\udce9\ud800\U0001f600\0'), max_size=6)
hashable = (
    st.none() | st.booleans() | st.integers() | st.integers(-2**70, 2**70) | st.floats(allow_nan=False) | text
    | st.binary(max_size=300) | st.complex_numbers(allow_nan=False) | st.dates() | st.timedeltas()
    | st.datetimes(timezones=zones) | st.times(timezones=st.sampled_from([None, datetime.timezone.utc]))
    | st.decimals(allow_nan=False) | st.uuids() | st.fractions()
    | st.sampled_from([*compare.Color, *compare.Number, compare.Permission.READ | compare.Permission.WRITE, int, len, Ellipsis, range(3)])
    | st.builds(pathlib.PurePosixPath, st.sampled_from(['/', '/a/b', 'x'])))
leaf = hashable | st.just(float('nan')) | st.builds(bytearray, st.binary(max_size=30)) | st.builds(ValueError, text)
try:
    import numpy
    dtypes = ['?', 'i1', '<u2', '>i4', '<i8', '>f4', '<f8', 'f2', '<c16', 'U3', '>U2', 'S4', 'M8[s]', 'M8[ns]', 'm8[us]', 'V3']

    @st.composite
    def arrays(draw):
        dtype = numpy.dtype(draw(st.sampled_from(dtypes)))
        shape = tuple(draw(st.lists(st.integers(0, 3), max_size=3)))
        count = 1
        for extent in shape:
            count *= extent
        size = count * dtype.itemsize
        if dtype.kind == 'U':
            array = numpy.array([draw(st.text(st.characters(codec='utf-8', exclude_characters='\0'), max_size=3)) for _ in range(count)], dtype=dtype).reshape(shape)
        elif dtype.kind == '?' or dtype.kind == 'b':
            array = numpy.array([draw(st.booleans()) for _ in range(count)], dtype=dtype).reshape(shape)
        else:
            array = numpy.frombuffer(draw(st.binary(min_size=size, max_size=size)), dtype=dtype).reshape(shape).copy()
        array = array.transpose(draw(st.permutations(range(len(shape)))))
        if shape and draw(st.booleans()):
            array = array[:, ...]
        return array if draw(st.booleans()) or array.shape else array[()]
    leaf |= arrays()
except ImportError:
    pass


def containers(inner):
    pairs = st.lists(st.tuples(hashable, inner), max_size=5)
    names = st.dictionaries(st.sampled_from(['a', 'b', 'name', 'x']), inner, max_size=3)
    return (
        st.lists(inner, max_size=5) | st.lists(inner, max_size=5).map(tuple) | pairs.map(dict) | pairs.map(collections.OrderedDict)
        | st.sets(hashable, max_size=5) | st.frozensets(hashable, max_size=5) | st.lists(inner, max_size=4).map(collections.deque)
        | st.builds(compare.Point, inner, inner) | st.builds(compare.User, text, st.lists(inner, max_size=2))
        | st.builds(compare.Slotted, inner, inner) | names.map(lambda found: compare.Base(**found))
        | names.map(lambda found: compare.WithState(**found)) | st.lists(inner, max_size=3).map(compare.List)
        | pairs.map(compare.Dict) | pairs.map(lambda found: collections.defaultdict(list, found))
        # Shared, and in itself.
        | inner.map(lambda found: [found, found, {'again': found}])
        | inner.map(recursive))


def recursive(part):
    outer = [part]
    outer.append({'outer': outer, 'tuple': (outer, part)})
    return outer


values = st.recursive(leaf, containers, max_leaves=25)


def main():
    channel = compare.Channel(sys.argv[2:])
    counts = collections.Counter()
    resource.setrlimit(resource.RLIMIT_AS, (4 << 30, 4 << 30))

    def spent():
        return sum(os.times()[:2])

    def tell(ending):
        print('Python %s, %.0f s: %s, %s' % (sys.version.split()[0], spent(), dict(counts), ending), flush=True)

    def end(number, frame):
        tell('ended by a signal')
        os._exit(0)
    signal.signal(signal.SIGTERM, end)

    # Nothing is shrunk, because the first failure ends the run.
    @settings(max_examples=200, deadline=None, database=None, suppress_health_check=list(HealthCheck), phases=[Phase.generate])
    @given(values, st.randoms(use_true_random=False))
    def examine(value, chance):
        if counts and spent() >= float(sys.argv[1]):
            return
        # Told at once, because Hypothesis can take all memory to show a value that shares its parts.
        try:
            exchange(value, chance)
        except Exception:
            traceback.print_exc()
            os._exit(1)

    def exchange(value, chance):
        counts['values'] += 1
        failure = compare.check(channel, value)
        assert failure is None, failure
        for protocol in range(pickle.HIGHEST_PROTOCOL + 1):
            try:
                pickled = bytearray(pickle.dumps(value, protocol))
            except Exception:
                continue
            for _ in range(chance.randrange(1, 4)):
                place = chance.randrange(len(pickled))
                change = chance.randrange(3)
                if change == 0:
                    pickled[place] = chance.randrange(256)
                elif change == 1:
                    del pickled[place:place + chance.randrange(1, 9)]
                else:
                    pickled[place:place] = pickled[chance.randrange(len(pickled)):][:chance.randrange(1, 9)]
                if not pickled:
                    break
            for flags in (0, 3):
                is_read, reply = channel.reply(bytes(pickled), flags)
                counts['changed and %s' % ('read' if is_read else 'refused')] += 1
                assert is_read or reply, 'an error without a text'

    rounds = 0
    while rounds == 0 or spent() < float(sys.argv[1]):
        rounds += 1
        seed(random.randrange(2**60) if rounds > 1 else int(os.environ.get('SEED', '7')))(examine)()
    status = channel.close()
    tell('exit status %d' % status)
    sys.exit(1 if status else 0)


if __name__ == '__main__':
    main()
