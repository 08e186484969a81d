#!/usr/bin/env python3
"""Changes one line of the core at a time, and lists the changes that no test notices.

    mutate.py [--files PATTERN,…] [--tests PATTERN] [--mutants NUMBER,…] [--jobs N] [--minutes N] [--sample N]
              [--fresh] [--list]

All mutants are built at once, each behind a question that is answered at run time; so there is one build for all of
them. The tests are run once, one by one, to record which mutants each test reaches. Then, for each mutant, the tests
that reach it are run with that mutant chosen. A test that fails, traps or does not end in time has noticed.

The list `survivors.txt` beside this script has a line for each change that nobody can notice, with the reason:

    FILE | CHANGE | CODE | REASON

A survivor that is not in the list makes the exit status 1, and so does a line of the list for which no mutant is
left, unless --files leaves files out.
"""

import argparse
import concurrent.futures
import fnmatch
import json
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent.parent
PLACE = ROOT / ".build-mutate"
COPY = PLACE / "copy"
FILES = [
    "Sources/SWMessaging/Halves/*.swift",
    "Sources/SWIO/Reactor/*.swift",
    "Sources/SWIO/Polling/*.swift",
    "Sources/SWIO/Transports/*.swift",
    "Sources/CSysShim/*.c",
]
# The tests that stand for the core. Foreign programs take long, and reach what these reach.
TESTS = ["SWMessagingTests", "SimulationTests"]
# Stress tests have a fraction of their rounds, and with a mutant nobody is patient.
ENVIRONMENT = {"SWTEST_ROUNDS": "5", "SWIFT_BACKTRACE": "enable=no", "NO_COLOR": "1"}
SWITCH = """
@_silgen_name("swmutant") @usableFromInline internal func swmutant(_ number: Int32) -> Bool
"""


def say(*words):
    print(*words, flush=True)


def run(command, **options):
    return subprocess.run(command, text=True, capture_output=True, **options)


# MARK: The mutants of C. Swift's are made by the program `mutate`.


class CMutator:
    """Puts mutants into a C file, line by line: what the shim looks like is known here."""

    STATEMENT = re.compile(r"^(\s*)((?:[a-z_]\w*\([^;{}]*\)|\*?[a-z_][\w.>\[\]-]*(?: [|&+-]?= |\+\+|--)[^;{}]*|[a-z_]\w*(?:\+\+|--)));(\s*)$")
    CONDITION = re.compile(r"\bif \(")
    NUMBER = re.compile(r"(?<![\w.\[\"'])(\d+)(?![\w.\]\"'])")
    FLAG = re.compile(r"(?<![\w])([A-Z][A-Z0-9]+_[A-Z0-9_]+)(?= \||\b(?<=\| )|,|\))")
    COMPARISON = re.compile(r" (<|>|<=|>=|==|!=) (\w+)(?=[);&|? ])")
    MIRROR = {"<": "<=", "<=": "<", ">": ">=", ">=": ">"}

    def __init__(self, file, first, dropped):
        self.file, self.next, self.dropped, self.mutants = file, first, dropped, []

    def number(self, line, change, code):
        number = self.next
        self.next += 1
        if number in self.dropped:
            return None
        self.mutants.append(
            {"id": number, "file": self.file, "line": line, "change": change, "code": " ".join(code.split())[:100]})
        return number

    def mutate(self, source):
        depth, result, in_comment = 0, [], False
        previous = ";"
        for index, line in enumerate(source.split("\n"), 1):
            code = line.strip()
            changed = line
            starts = code.startswith(("/*", "*", "//", "#")) or in_comment
            if "/*" in line and "*/" not in line:
                in_comment = True
            elif "*/" in line:
                in_comment = False
            inside = depth > 0 and not starts and code and not code.startswith(("case", "struct", "union", "enum", "static", "char "))
            if inside and "/*" not in line and '"' not in line:
                changed = self.line(line, index, previous)
            depth += line.count("{") - line.count("}")
            if not starts and code:
                previous = code
            result.append(changed)
        return "\n".join(result)

    def line(self, line, index, previous):
        statement = self.STATEMENT.match(line) if previous.endswith((";", "{", "}", ")")) else None
        declares = re.match(r"^\s*(?:const |unsigned |struct |enum |union )*[a-z_]\w* \*?[a-z_]\w*(?:\[| =|;|,)", line)
        outer = None
        if statement and not declares:
            outer = self.number(index, "is left out", line.strip())
        text = line
        if not declares or "=" in line:
            text = self.condition(text, index)
            text = self.COMPARISON.sub(lambda m: self.comparison(m, index, line), text)
            if "[" not in line.split("=")[0] or not declares:
                text = self.NUMBER.sub(lambda m: self.literal(m, index, line), text)
                text = self.FLAG.sub(lambda m: self.flag(m, index, line), text)
        if outer is not None:
            text = re.sub(r"^(\s*)(.*;)(\s*)$", lambda m: f"{m[1]}{{ if (!swmutant({outer})) {m[2]} }}{m[3]}", text)
        return text

    def condition(self, text, index):
        match = self.CONDITION.search(text)
        if not match:
            return text
        start, depth = match.end(), 1
        for end in range(start, len(text)):
            depth += {"(": 1, ")": -1}.get(text[end], 0)
            if depth == 0:
                number = self.number(index, "condition is negated", text[start:end])
                if number is None:
                    return text
                return f"{text[:start]}!!({text[start:end]}) != swmutant({number}){text[end:]}"
        return text

    def comparison(self, match, index, line):
        if "swmutant" in match[0]:
            return match[0]
        number = None
        if match[1] in self.MIRROR:
            number = self.number(index, f"{match[1]} becomes {self.MIRROR[match[1]]}", line.strip())
        if number is None:
            return match[0]
        sign = "+" if match[1] in ("<", ">=") else "-"
        return f" {match[1]} ({match[2]} {sign} swmutant({number}))"

    def literal(self, match, index, line):
        before = match.string[: match.start()]
        if before.endswith(("swmutant(", "!", "swmutant((")) or before.rstrip().endswith("["):
            return match[0]
        number = self.number(index, f"{match[1]} becomes one more", line.strip())
        return match[0] if number is None else f"({match[1]} + swmutant({number}))"

    def flag(self, match, index, line):
        number = self.number(index, f"{match[1]} becomes 0", line.strip())
        return match[0] if number is None else f"(swmutant({number}) ? 0 : {match[1]})"


# MARK: Building


def sources():
    found = run([ROOT / "scripts/sources"], check=True).stdout.split("\0")
    return [name for name in found if name]


def copy_package(files):
    """The package beside itself, with everything as it is. Only what differs is written, so little is built anew."""
    names = [n for n in sources() if n.startswith(("Sources/", "Tests/", "Snippets/")) or n == "Package.swift"]
    names = [n for n in names if not n.startswith("Tests/Mutate/")]
    for name in names:
        source, target = ROOT / name, COPY / name
        target.parent.mkdir(parents=True, exist_ok=True)
        if source.is_symlink():
            if not target.is_symlink():
                target.symlink_to(os.readlink(source))
        elif name not in files:
            write(target, source.read_bytes())
    wanted = set(names)
    for directory in ("Sources", "Tests", "Snippets"):
        for path in (COPY / directory).rglob("*"):
            name = str(path.relative_to(COPY))
            if path.is_file() and not path.is_symlink() and name not in wanted and "Mutants" not in path.name:
                path.unlink()


def write(path, content):
    if not path.exists() or path.read_bytes() != content:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)


def transform(files, dropped):
    """Puts the mutants in, and returns them."""
    scratch = PLACE / "scratch"
    mutants, first = [], 1
    for name in files:
        if name.endswith(".c"):
            mutator = CMutator(name, first, dropped)
            text = mutator.mutate((ROOT / name).read_text())
            declared = "#include <stdbool.h>\nbool swmutant(int number);\n#line 1\n"
            write(COPY / name, (declared + text).encode())
            mutants += mutator.mutants
            first = mutator.next
    swift = [name for name in files if name.endswith(".swift")]
    (scratch / "dropped").parent.mkdir(parents=True, exist_ok=True)
    (scratch / "dropped").write_text("\n".join(map(str, sorted(dropped))))
    for name in swift:
        (scratch / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(ROOT / name, scratch / name)
    if swift:
        result = run([tool(), str(first), "dropped", *swift], cwd=scratch, check=True)
        lines = result.stdout.splitlines()
        mutants += [json.loads(line) for line in lines[:-1]]
        for name in swift:
            write(COPY / name, (scratch / name).read_bytes())
    write(COPY / "Sources/CSysShim/Mutants.c", (HERE / "mutants.c").read_bytes())
    for module in ("SWIO", "SWMessaging"):
        write(COPY / "Sources" / module / "Mutants.swift", SWITCH.encode())
    return mutants


def tool():
    return HERE / ".build/debug/mutate"


def build(files):
    """Builds with all mutants that compile."""
    say("building the tool")
    subprocess.run(["swift", "build", "--package-path", str(HERE)], check=True, stdout=subprocess.DEVNULL)
    copy_package(set(files))
    memory = PLACE / "dropped.json"
    key = {name: hash_of(ROOT / name) for name in files}
    dropped = set()
    if memory.exists():
        kept = json.loads(memory.read_text())
        if kept["key"] == key:
            dropped = set(kept["dropped"])
    for attempt in range(30):
        mutants = transform(files, dropped)
        say(f"building {len(mutants)} mutants, {len(dropped)} left out")
        result = run(["swift", "build", "--build-tests", "--package-path", str(COPY)])
        if result.returncode == 0:
            memory.write_text(json.dumps({"key": key, "dropped": sorted(dropped)}))
            return mutants
        bad = culprits(result.stdout + result.stderr, mutants)
        if not bad:
            sys.exit("the copy does not build:\n" + (result.stdout + result.stderr)[-6000:])
        dropped |= bad
    sys.exit("the copy does not build")


def hash_of(path):
    import hashlib

    return hashlib.sha256(path.read_bytes()).hexdigest()


def culprits(output, mutants):
    """The mutants on the lines of which the compiler complains, or next to them."""
    here = {(m["file"], m["line"]): [] for m in mutants}
    for mutant in mutants:
        here[(mutant["file"], mutant["line"])].append(mutant["id"])
    bad = set()
    for name, line in set(re.findall(r"([^\s:]*Sources/[^\s:]+):(\d+):\d+: error:", output)):
        name = name[name.index("Sources/") :]
        line = int(line)
        text = (COPY / name).read_text().split("\n")
        for reach in (0, 1, 3, 8, 40):
            found = [i for at in range(line - reach, line + reach + 1) for i in here.get((name, at), [])]
            if 0 < line <= len(text) and reach == 0:
                found += [int(i) for i in re.findall(r"swmutant\((\d+)\)", text[line - 1])]
            found = [i for i in found if i not in bad]
            if found:
                bad.update(found)
                break
    return bad


# MARK: Running


def binary():
    return next((COPY / ".build/debug").glob("*.xctest"))


def test_names():
    output = run(["swift", "test", "list", "--skip-build", "--package-path", str(COPY)], check=True).stdout
    return [line for line in output.splitlines() if line.split(".")[0] in TESTS]


def pattern(name):
    """A filter of the runner for one test."""
    return "^" + re.escape(re.sub(r"\(.*\)$", "", name)).replace("`", "`")


class Run:
    """Tests in a process, until one fails or the time is over."""

    def __init__(self, names, environment, limit):
        command = [str(binary()), "--testing-library", "swift-testing", "--no-parallel"]
        for name in names:
            command += ["--filter", pattern(name)]
        start = time.monotonic()
        process = subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL, cwd=COPY,
            env={**os.environ, **ENVIRONMENT, **environment}, start_new_session=True)
        self.is_late = False

        def expire():
            self.is_late = True
            kill(process)

        timer = threading.Timer(limit, expire)
        timer.start()
        self.failure = None
        self.output = []
        for line in process.stdout:
            line = line.decode(errors="replace").rstrip()
            self.output.append(line)
            if "✘" in line:
                self.failure = line
                break
        timer.cancel()
        kill(process)
        process.stdout.close()
        status = process.wait()
        self.seconds = time.monotonic() - start
        passed = any("Test run with" in line and " passed" in line for line in self.output[-3:])
        if self.failure is None and not passed:
            started = [line for line in self.output if "started" in line]
            self.failure = ("no end in time" if self.is_late else f"exit status {status}") + (
                ": " + started[-1] if started else "")


def kill(process):
    try:
        os.killpg(process.pid, signal.SIGKILL)
    except ProcessLookupError:
        pass


def record(mutants, options):
    """Which mutants each test reaches, and how long it takes."""
    memory = PLACE / "reached.json"
    stamp = hash_of(binary())
    stamp += options.tests
    if memory.exists() and not options.fresh:
        kept = json.loads(memory.read_text())
        if kept["stamp"] == stamp:
            return kept["tests"]
    tests = []
    names = [name for name in test_names() if re.search(options.tests, name)]
    size = max(m["id"] for m in mutants) + 1
    say(f"recording what {len(names)} tests reach")
    for name in names:
        path = PLACE / "reached"
        path.write_bytes(bytes(size))
        result = Run([name], {"SWMUTANT_REACHED": str(path)}, 300)
        if result.failure:
            say(f"without a mutant, {name} fails: {result.failure}")
            continue
        ids = [i for i, byte in enumerate(path.read_bytes()) if byte]
        tests.append({"name": name, "seconds": result.seconds, "ids": ids})
    memory.write_text(json.dumps({"stamp": stamp, "tests": tests}))
    return tests


def notice(mutant, tests):
    """Who notices a mutant: the line that says so, or nil."""
    reaching = sorted((t for t in tests if mutant["id"] in t["ids"]), key=lambda t: t["seconds"])
    environment = {"SWMUTANT": str(mutant["id"])}
    quick = [t for t in reaching if t["seconds"] < 0.5]
    slow = [t for t in reaching if t["seconds"] >= 0.5]
    for wave in (quick[: len(quick) // 2], quick[len(quick) // 2 :], slow):
        if not wave:
            continue
        result = Run([t["name"] for t in wave], environment, 20 + 6 * sum(t["seconds"] for t in wave))
        if result.failure:
            return result.failure
    return None


# MARK: The list


def key_of(mutant):
    return (mutant["file"], mutant["change"], mutant["code"])


def explained():
    reasons = {}
    path = HERE / "survivors.txt"
    for line in path.read_text().splitlines() if path.exists() else []:
        if line.strip() and not line.startswith("#"):
            parts = line.split(" | ")
            reasons[(parts[0], parts[1], " | ".join(parts[2:-1]))] = parts[-1]
    return reasons


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--files", default="", help="only files whose path matches one of these, such as '*Turnstile*'")
    parser.add_argument("--mutants", default="", help="only these numbers")
    parser.add_argument("--tests", default="", help="only tests whose name matches this, for a first look")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--minutes", type=float, default=0, help="stop after this time")
    parser.add_argument("--sample", type=int, default=0, help="only so many, chosen by chance; the same ones each time")
    parser.add_argument("--fresh", action="store_true", help="forget what was found for the same build")
    parser.add_argument("--list", action="store_true", help="show the mutants, and run nothing")
    options = parser.parse_args()

    files = sorted(n for n in sources() if any(fnmatch.fnmatch(n, p) for p in FILES))
    # Only the chosen files are changed, so that less is built. A mutant has another number then.
    if options.files:
        files = [n for n in files if any(fnmatch.fnmatch(n, p) for p in options.files.split(","))]
    mutants = build(files)
    known = {key_of(m) for m in mutants}
    chosen = mutants
    if options.mutants:
        wanted = {int(n) for n in options.mutants.split(",")}
        chosen = [m for m in chosen if m["id"] in wanted]
    if options.list:
        for m in chosen:
            say(f'{m["id"]} {m["file"]}:{m["line"]} {m["change"]}: {m["code"]}')
        return
    tests = record(mutants, options)
    if options.sample:
        chosen = random.Random(1).sample(chosen, min(options.sample, len(chosen)))
    reasons = explained()
    reached = {i for t in tests for i in t["ids"]}
    end = time.monotonic() + options.minutes * 60 if options.minutes else None
    unexplained, count, done = [], {"noticed": 0, "explained": 0, "survived": 0, "not tried": 0}, 0
    # What was found for the same build is not looked for again.
    memory = PLACE / "found.json"
    stamp = hash_of(binary())
    found = {}
    if memory.exists() and not options.fresh:
        kept = json.loads(memory.read_text())
        found = kept["found"] if kept["stamp"] == stamp else {}

    def attempt(mutant):
        if str(mutant["id"]) in found:
            return found[str(mutant["id"])]
        if key_of(mutant) in reasons:
            return ["explained", ""]
        if mutant["id"] not in reached:
            return ["survived", "no test reaches it"]
        if end and time.monotonic() > end:
            return ["not tried", ""]
        failure = notice(mutant, tests)
        return ["noticed", failure] if failure else ["survived", "the tests that reach it pass"]

    with concurrent.futures.ThreadPoolExecutor(options.jobs) as pool:
        for mutant, (verdict, why) in zip(chosen, pool.map(attempt, chosen)):
            done += 1
            if key_of(mutant) in reasons:
                verdict = "explained"
            count[verdict] += 1
            if verdict in ("noticed", "survived"):
                found[str(mutant["id"])] = [verdict, why]
            if verdict == "survived":
                unexplained.append(mutant)
                say(f'{mutant["file"]} | {mutant["change"]} | {mutant["code"]} | line {mutant["line"]}, '
                    f'number {mutant["id"]}: {why}')
            if done % 50 == 0:
                memory.write_text(json.dumps({"stamp": stamp, "found": found}))
                say(f"# {done} of {len(chosen)}: " + ", ".join(f"{n} {k}" for k, n in count.items()))
    memory.write_text(json.dumps({"stamp": stamp, "found": found}))
    say("# " + ", ".join(f"{n} {k}" for k, n in count.items()))
    stale = [k for k in reasons if k not in known and not options.files]
    for key in stale:
        say("in survivors.txt, and no mutant any more: " + " | ".join(key))
    sys.exit(1 if unexplained or stale else 0)


main()
