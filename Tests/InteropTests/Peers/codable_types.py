#!/usr/bin/env python3
"""The other end of the tables of types.

    read    takes lines "msgpack HEX" and "pickle HEX" of dicts, and answers each with repr of the value "v"
    write   writes lines of a name, a pickle, and MessagePack or "-", separated by tabs
"""
import array, collections, dataclasses, datetime, decimal, enum, fractions, pathlib, pickle, sys, uuid
import msgpack


class Color(enum.Enum):
    RED = "red"


class Level(enum.IntEnum):
    HIGH = 2


Pair = collections.namedtuple("Pair", "x y")


@dataclasses.dataclass
class Point:
    x: int = 1
    y: int = 2


def read():
    for line in sys.stdin:
        form, text = line.split()
        data = bytes.fromhex(text)
        try:
            if form == "pickle":
                value = pickle.loads(data)
            else:
                value = msgpack.unpackb(data, timestamp=3, strict_map_key=False)
            print(repr(value["v"]) if "v" in value else "left out")
        except Exception as error:
            print(type(error).__name__)


def write():
    number = uuid.UUID("6ba7b810-9dad-11d1-80b4-00c04fd430c8")
    moment = datetime.datetime(2023, 11, 14, 22, 13, 20, 250000, tzinfo=datetime.timezone.utc)
    values = {
        "3": 3, "3.0": 3.0, "3.5": 3.5, "2**53+1": 2**53 + 1, "'3'": "3", "b'ab'": b"ab", "bytearray": bytearray(b"ab"),
        "[1, 2]": [1, 2], "(1, 2)": (1, 2), "{1, 2}": {1, 2}, "frozenset": frozenset([1, 2]),
        "deque": collections.deque([1, 2]), "range": range(1, 3), "array": array.array("i", [1, 2]),
        "{'a': 1}": {"a": 1}, "{1: 'a'}": {1: "a"}, "{'1': 'a'}": {"1": "a"},
        "OrderedDict": collections.OrderedDict(a=1), "Counter": collections.Counter("a"),
        "defaultdict": collections.defaultdict(int, a=1), "{1: 'a', '1': 'b'}": {1: "a", "1": "b"},
        "datetime": moment, "naive": moment.replace(tzinfo=None), "date": datetime.date(2024, 1, 2), "seconds": 1700000000.25,
        "UUID": number, "str(UUID)": str(number), "UUID.bytes": number.bytes, "Decimal": decimal.Decimal("1.50"),
        "Fraction": fractions.Fraction(1, 2), "path": pathlib.PurePosixPath("/a/b"), "url": "https://a.b/c",
        "enum": Color.RED, "IntEnum": Level.HIGH, "namedtuple": Pair(1, 2), "dataclass": Point(),
        "exception": ValueError("no"), "None": None,
    }
    for name, value in values.items():
        try:
            packed = msgpack.packb(value, datetime=True).hex()
        except (TypeError, ValueError):
            packed = "-"
        print(name, pickle.dumps(value, 4).hex(), packed, sep="\t")


read() if sys.argv[1] == "read" else write()
