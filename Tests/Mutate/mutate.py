#!/usr/bin/env python3
"""Changes one line of the core at a time, and lists the changes that no test notices.

    mutate.py [--files PATTERN,…] [--tests PATTERN] [--mutants NUMBER,…] [--jobs N] [--minutes N] [--sample N]
              [--fresh] [--list]

All mutants are built at once, each behind a question that is answered at run time; so there is one build for all of
them. The tests are run once, one by one, to record which mutants each test reaches. Then, for each mutant, the tests
that reach it are run with that mutant chosen, the ones first that have noticed most so far. A test that fails, traps
or does not end in time has noticed.

What was found is kept, and holds as long as the code of the function around the change is the same: a second run tries
what is new, and lets new tests look at what has survived. That another function has changed is taken to matter to no
verdict. `--fresh` forgets them all.

The list `survivors.txt` beside this script has a line for each change that nobody can notice, with the reason:

    FILE | CHANGE | CODE | REASON

In the first three columns an ellipsis (…) stands for any text. Where a file has the same code in several places, CODE may go on with the line of code
before it: `return true (behind goesOn = false)`. A survivor that is not in the list makes the exit status 1, and so does a line of the list for which
no mutant is left.
"""

import argparse
import concurrent.futures
import fnmatch
import functools
import hashlib
import itertools
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
# How the copy is built: without what a debugger needs, and with every error of a module at once. (The runner of tests
# needs the index.)
FLAGS = ["-debug-info-format", "none", "-Xswiftc", "-continue-building-after-errors"]
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
    # A value that is at a limit is set to that limit.
    CLAMP = re.compile(r"^\s*if \((\w+) [<>] (\w+)\) \1 = \2;$")
    ZERO = ("SIG_BLOCK", "SEEK_SET", "O_RDONLY", "AF_UNSPEC")
    MIRROR = {"<": "<=", "<=": "<", ">": ">=", ">=": ">"}

    def __init__(self, file, first, dropped):
        self.file, self.next, self.dropped, self.mutants = file, first, dropped, []
        # The lines of the function that is being read.
        self.scope = [1, 1]

    def number(self, line, change, code):
        number = self.next
        self.next += 1
        if number in self.dropped:
            return None
        self.mutants.append(
            {"id": number, "file": self.file, "line": line, "scope": self.scope, "change": change,
             "code": " ".join(code.split())[:100]})
        return number

    def mutate(self, source):
        depth, result, in_comment = 0, [], False
        previous = ";"
        for index, line in enumerate(source.split("\n"), 1):
            code = line.strip()
            changed = line
            starts = code.startswith(("/*", "*", "//", "#")) or in_comment
            if depth == 0 and (starts or not code or previous.endswith((";", "}"))):
                self.scope = [index, index]
            self.scope[1] = index
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
        if match[1] in self.MIRROR and self.CLAMP.match(line):
            self.next += 1
        elif match[1] in self.MIRROR:
            number = self.number(index, f"{match[1]} becomes {self.MIRROR[match[1]]}", line.strip())
        if number is None:
            return match[0]
        sign = "+" if match[1] in ("<", ">=") else "-"
        return f" {match[1]} ({match[2]} {sign} swmutant({number}))"

    def literal(self, match, index, line):
        before = match.string[: match.start()]
        if before.endswith(("swmutant(", "!", "swmutant((")) or before.rstrip().endswith("["):
            return match[0]
        # `<` has been made `<=` already, which is the same.
        number = self.number(index, f"{match[1]} becomes one more", line.strip())
        if number is not None and re.search(r" (<|>=) \($" if not self.CLAMP.match(line) else r" < $", before):
            self.mutants.pop()
            number = None
        return match[0] if number is None else f"({match[1]} + swmutant({number}))"

    def flag(self, match, index, line):
        if match[1] in self.ZERO:
            self.next += 1
            return match[0]
        number = self.number(index, f"{match[1]} becomes 0", line.strip())
        return match[0] if number is None else f"(swmutant({number}) ? 0 : {match[1]})"


# MARK: Building


def sources():
    found = run([ROOT / "scripts/sources"], check=True).stdout.split("\0")
    return [name for name in found if name]


def package():
    """What the package says, but without other tests, and a mutant may be worth a warning."""
    others = f'package.targets.removeAll {{ $0.type == .test && !{json.dumps(TESTS)}.contains($0.name) }}'
    text = (ROOT / "Package.swift").read_text().replace("  .treatAllWarnings(as: .error),\n", "")
    return f"{text}\n{others}\n".encode()


def copy_package(files):
    """The package beside itself, with everything as it is. Only what differs is written, so little is built anew."""
    names = [n for n in sources() if n.startswith(("Sources/", "Tests/")) or n == "Package.swift"]
    names = [n for n in names if not n.startswith("Tests/Mutate/")]
    for name in names:
        source, target = ROOT / name, COPY / name
        target.parent.mkdir(parents=True, exist_ok=True)
        if name == "Package.swift":
            write(target, package())
        elif name not in files:
            # Not as a link: what it leads to is left out.
            write(target, source.resolve().read_bytes())
    wanted = set(names)
    for path in [p for directory in ("Sources", "Tests") for p in (COPY / directory).rglob("*")]:
        if path.is_file() and str(path.relative_to(COPY)) not in wanted and "Mutants" not in path.name:
            path.unlink()


def write(path, content):
    if path.is_symlink():
        path.unlink()
    if not path.exists() or path.read_bytes() != content:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)


def transform(files, dropped):
    """Puts the mutants in, and returns them. `dropped` has the keys of those that do not compile."""
    mutants, first = [], 1
    for name in files:
        found, end, _ = mutate(name, first, [])
        left_out = {m["id"] for m in keyed(found, ROOT / name) if m["key"] in dropped}
        kept, kept_end, text = mutate(name, first, left_out)
        if kept_end != end or len(kept) != len(found) - len(left_out):
            sys.exit(f"{name}: a mutant that is left out changes the numbers of others")
        write(COPY / name, text.encode())
        mutants += [m for m in found if m["id"] not in left_out]
        first = end
    write(COPY / "Sources/CSysShim/Mutants.c", (HERE / "mutants.c").read_bytes())
    for module in ("SWIO", "SWMessaging"):
        write(COPY / "Sources" / module / "Mutants.swift", SWITCH.encode())
    return mutants


def mutate(name, first, left_out):
    """The mutants of a file, the number behind the last one, and the text of the file with them."""
    source = ROOT / name
    if name.endswith(".c"):
        mutator = CMutator(name, first, left_out)
        text = mutator.mutate(source.read_text())
        declared = "#include <stdbool.h>\nbool swmutant(int number);\n#line 1\n"
        return mutator.mutants, mutator.next, declared + text
    scratch = PLACE / "scratch"
    (scratch / name).parent.mkdir(parents=True, exist_ok=True)
    (scratch / "dropped").write_text("\n".join(map(str, sorted(left_out))))
    shutil.copyfile(source, scratch / name)
    lines = run([tool(), str(first), "dropped", name], cwd=scratch, check=True).stdout.splitlines()
    mutants = [json.loads(line) for line in lines[:-1]]
    texts = source.read_text().splitlines()
    for mutant in mutants:
        mutant["is_literal"] = mutant["code"] in ("true", "false")
        # A literal alone would name every other one of its file.
        if mutant["is_literal"] or mutant["code"].isdigit():
            mutant["code"] = " ".join(texts[mutant["line"] - 1].split())[:100]
    return mutants, int(lines[-1]), (scratch / name).read_text()


def keyed(mutants, source):
    """Gives each mutant of a file its key: the file, a hash of the code of the function around it, and its number in that
    function. Functions with the same code are counted together."""
    lines = source.read_text().splitlines()
    counts = {}
    for mutant in mutants:
        first, last = mutant["scope"]
        stem = f'{mutant["file"]}:{hash_of_code(lines[first - 1 : last])[:12]}:'
        counts[stem] = counts.get(stem, -1) + 1
        mutant["key"] = stem + str(counts[stem])
    return mutants


def tool():
    return HERE / ".build/debug/mutate"


def build(files):
    """Builds with all mutants that compile."""
    say("building the tool")
    subprocess.run(["swift", "build", "--package-path", str(HERE)], check=True, stdout=subprocess.DEVNULL)
    copy_package(set(files))
    dropped = set(recall("dropped.json", []))
    for attempt in range(30):
        mutants = transform(files, dropped)
        say(f"building {len(mutants)} mutants")
        start = time.monotonic()
        result = run(["swift", "build", "--build-tests", *FLAGS, "--package-path", str(COPY)])
        if result.returncode == 0:
            say(f"# built in {time.monotonic() - start:.0f} s")
            return mutants
        bad = culprits(result.stdout + result.stderr, mutants)
        say(f"# {len(bad)} do not compile, after {time.monotonic() - start:.0f} s")
        if not bad:
            sys.exit("the copy does not build:\n" + (result.stdout + result.stderr)[-6000:])
        dropped |= {m["key"] for m in mutants if m["id"] in bad}
        remember("dropped.json", sorted(dropped))
    sys.exit("the copy does not build")


def recall(name, default):
    path = PLACE / name
    return json.loads(path.read_text()) if path.exists() else default


def remember(name, value):
    path = PLACE / f"{name}-{os.getpid()}"
    path.write_text(json.dumps(value))
    path.replace(PLACE / name)


def remember_found(found):
    """Another run may have found something meanwhile."""
    for key, other in recall("found.json", {}).items():
        mine = found.get(key, [])
        if isinstance(other, str):
            found[key] = other
        elif not isinstance(mine, str):
            found[key] = sorted(set(mine) | set(other))
    remember("found.json", dict(found))


def hash_of_code(lines):
    """The hash of code without the lines that are nothing but comments of one line."""
    lines = [line.strip() for line in lines]
    code = [line for line in lines if line and not line.startswith("//")]
    return hashlib.sha256("\n".join(code).encode()).hexdigest()


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


class Product:
    """What has been built, out of the way of the next build."""

    def __init__(self):
        self.place = PLACE / f"run-{os.getpid()}"
        shutil.rmtree(self.place, ignore_errors=True)
        self.place.mkdir()
        for path in (COPY / ".build/debug").iterdir():
            if path.suffix == ".xctest" or (path.is_file() and os.access(path, os.X_OK)):
                shutil.copy(path, self.place)
        Product.binary = next(self.place.glob("*.xctest"))

    def __enter__(self):
        return self

    def __exit__(self, *_):
        shutil.rmtree(self.place, ignore_errors=True)


def test_names():
    output = run(["swift", "test", "list", "--skip-build", "--package-path", str(COPY)], check=True).stdout
    return [line for line in output.splitlines() if line.split(".")[0] in TESTS]


def pattern(name):
    """A filter of the runner for one test."""
    return "^" + re.escape(re.sub(r"\(.*\)$", "", name)).replace("`", "`")


class Run:
    """Tests in a process, until one fails or they hang."""

    numbers = itertools.count()

    def __init__(self, names, environment, seconds, work):
        """`seconds` is how long the tests take without a mutant, and `work` how much of a processor's time."""
        command = [str(Product.binary), "--testing-library", "swift-testing", "--no-parallel"]
        for name in names:
            command += ["--filter", pattern(name)]
        # By this the processes are known that the tests start, also if their parents are gone.
        self.mark = f"SWMUTANT_RUN={os.getpid()}-{next(Run.numbers)}".encode()
        start = time.monotonic()
        process = subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL, cwd=COPY,
            env={**os.environ, **ENVIRONMENT, **environment, "SWMUTANT_RUN": self.mark.decode().partition("=")[2]},
            start_new_session=True)
        self.is_late = False
        self.has_ended = threading.Event()
        watch = threading.Thread(target=self.watch, args=[process, seconds, work])
        watch.start()
        self.failure = None
        self.output = []
        for line in process.stdout:
            line = line.decode(errors="replace").rstrip()
            self.output.append(line)
            if "✘" in line:
                self.failure = line
                break
        self.has_ended.set()
        kill(process.pid)
        for pid in self.processes():
            kill(pid)
        process.stdout.close()
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        watch.join()
        self.seconds = time.monotonic() - start
        self.work = usage.ru_utime + usage.ru_stime
        started = [line for line in self.output if "started" in line]
        self.last = started[-1] if started else ""
        passed = any("Test run with" in line and " passed" in line for line in self.output[-3:])
        if self.failure is None and not passed:
            self.failure = ("no end in time" if self.is_late else f"exit status {process.returncode}") + f": {self.last}"

    def watch(self, process, seconds, work):
        """Ends a run that spins, or in which every thread sleeps for longer than the tests take without a mutant. On a
        busy machine a run may take long; so time alone says little, but a thread that waits for a processor does not
        sleep. One that waits for the lock of a pipe looks like one that waits for a disk: that may last a while only."""
        idle, before = 0, 0
        latest = time.monotonic() + 120 + 30 * seconds
        while not self.has_ended.wait(1):
            pids = self.processes()
            used = sum(map(processor_time, pids))
            idle = idle + 1 if used - before < 0.02 and not any(map(is_running, pids)) else 0
            before = max(used, before)
            if idle > 3 + 2 * seconds or used > 3 + 6 * work or time.monotonic() > latest:
                self.is_late = True
                kill(process.pid)
                for pid in pids:
                    kill(pid)
                return

    def processes(self):
        found = []
        for entry in os.scandir("/proc"):
            try:
                if entry.name.isdigit() and self.mark in Path(entry.path, "environ").read_bytes().split(b"\0"):
                    found.append(int(entry.name))
            except OSError:
                pass
        return found


def processor_time(pid):
    """What a process and its children have used, in seconds."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        return sum(map(int, fields[11:15])) / os.sysconf("SC_CLK_TCK")
    except OSError:
        return 0.0


def is_running(pid):
    """Whether a thread of the process has a processor, waits for one, or for a disk."""
    try:
        for task in os.scandir(f"/proc/{pid}/task"):
            if Path(task.path, "stat").read_text().rpartition(")")[2].split()[0] in "RD":
                return True
    except OSError:
        pass
    return False


def kill(pid):
    try:
        os.kill(pid, signal.SIGKILL)
    except ProcessLookupError:
        pass


def text_of_tests():
    """What a test's suite is written in, for each suite."""
    texts = {}
    for target in TESTS:
        for path in sorted((ROOT / "Tests" / target).rglob("*.swift")):
            text = path.read_text()
            for suite in re.findall(r"^(?:@.*)?(?:struct|extension|final class|actor) (\w+)", text, re.M):
                texts[f"{target}.{suite}"] = texts.get(f"{target}.{suite}", "") + hash_of_code(text.splitlines())
    return texts


def record(mutants, options):
    """Which mutants each test reaches, and how long it takes. A test is run again when the code of the mutated files
    or of its own file has changed."""
    texts = text_of_tests()
    stamp = hashlib.sha256("".join(f'{m["id"]} {m["key"]}' for m in mutants).encode()).hexdigest()
    kept = {} if options.fresh else {(t["name"], t["stamp"]): t for t in recall("reached.json", [])}
    names = [name for name in test_names() if re.search(options.tests, name)]
    stamps = {n: stamp + hashlib.sha256(texts.get(n.split("/")[0], "").encode()).hexdigest() for n in names}
    todo = [name for name in names if (name, stamps[name]) not in kept]
    size = max(m["id"] for m in mutants) + 1
    say(f"recording what {len(todo)} of {len(names)} tests reach")

    def attempt(name):
        path = PLACE / f"reached-{threading.get_ident()}"
        path.write_bytes(bytes(size))
        result = Run([name], {"SWMUTANT_REACHED": str(path)}, 60, 60)
        ids = [i for i, byte in enumerate(path.read_bytes()) if byte]
        path.unlink()
        if result.failure:
            say(f"without a mutant, {name} fails: {result.failure}")
            return
        kept[(name, stamps[name])] = {
            "name": name, "stamp": stamps[name], "seconds": result.seconds, "work": result.work, "ids": ids}

    with concurrent.futures.ThreadPoolExecutor(options.jobs) as pool:
        list(pool.map(attempt, todo))
    kept = {(t["name"], t["stamp"]): t for t in recall("reached.json", [])} | kept
    remember("reached.json", list(kept.values()))
    return [kept[(name, stamps[name])] for name in names if (name, stamps[name]) in kept]


class Notice:
    """Finds out who notices a mutant."""

    # The time to start the program that runs the tests, in seconds.
    START = 0.05

    def __init__(self, tests):
        self.tests = {t["name"]: t for t in tests}
        self.reaching = {}
        for test in tests:
            for number in test["ids"]:
                self.reaching.setdefault(number, []).append(test["name"])
        # How many mutants each test has noticed.
        self.merits = {}

    def work(self, name):
        """How much of a processor's time a test takes: on a busy machine the time that passes says little."""
        return max(self.tests[name]["work"] - self.START, 0.01)

    def seconds(self, names):
        return sum(self.tests[name]["seconds"] for name in names)

    def reached(self, mutant):
        return mutant["id"] in self.reaching

    def names(self, mutant, known):
        """The tests that reach a mutant, and have not looked at it as they are now."""
        return [name for name in self.reaching.get(mutant["id"], []) if self.edition(name) not in known]

    def edition(self, name):
        """The name of a test, with what its file is like: a test that has changed looks again."""
        return f'{name} {self.tests[name]["stamp"][-12:]}'

    def notice(self, mutant, known, seconds):
        """The line that says who notices it, or nil; and the names of the tests that have looked, which take so many
        seconds together."""

        # Tests that have noticed much, are quick, and reach little else come first.
        def promise(name):
            return (self.merits.get(name, 0) + 0.5) / self.work(name) / len(self.tests[name]["ids"])

        names = sorted(self.names(mutant, known), key=promise, reverse=True)
        waves, sums = [[]], [0.0]
        for name in names:
            # A test that alone takes longer than all together may waits for more time, unless there is no other.
            if sum(sums) + self.work(name) > seconds and (waves[0] or name != names[-1]):
                continue
            if waves[-1] and sums[-1] + self.work(name) > (0.5, 4)[min(len(waves) - 1, 1)]:
                waves.append([])
                sums.append(0.0)
            waves[-1].append(name)
            sums[-1] += self.work(name)
        for wave, length in zip(waves, sums):
            result = Run(wave, {"SWMUTANT": str(mutant["id"])}, self.seconds(wave), length)
            if result.failure:
                for name in wave:
                    if bare(name) in result.failure or bare(name) in result.last:
                        self.merits[name] = self.merits.get(name, 0) + 1
                return result.failure, []
        return None, [self.edition(name) for wave in waves for name in wave]


def bare(name):
    """The words of a test's name, as the runner prints them and as it lists them."""
    return re.sub(r"\(.*\)$", "", name.rpartition("/")[2]).replace("`", "")


# MARK: The list


@functools.cache
def lines_of(file):
    return (ROOT / file).read_text().split("\n")


def keys_of(mutant):
    """What a line of the list may begin with: without the line of code before the mutant's, and with it. Lines of brackets alone
    do not count."""
    before = [line.strip() for line in lines_of(mutant["file"])[: mutant["line"] - 1] if re.search(r"\w", line)]
    for code in mutant["code"], f'{mutant["code"]} (behind {before[-1] if before else ""})':
        yield mutant["file"], mutant["change"], code


def explained():
    """The reasons by key: a pattern for each column."""
    reasons = {}
    path = HERE / "survivors.txt"
    for line in path.read_text().splitlines() if path.exists() else []:
        if line.strip() and not line.startswith("#"):
            parts = line.split(" | ")
            columns = parts[0], parts[1], " | ".join(parts[2:-1])
            patterns = [".*".join(map(re.escape, column.split("…"))) for column in columns]
            reasons[columns] = re.compile("\\|".join(patterns), re.S)
    return reasons


def reason_of(mutant, reasons):
    """The key of the explanation of a mutant, or nil."""
    for key in keys_of(mutant):
        if key in reasons:
            return key
        found = next((k for k, pattern in reasons.items() if pattern.fullmatch("|".join(key))), None)
        if found:
            return found
    return None


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--files", default="", help="only files whose path matches one of these, such as '*Turnstile*', in this order")
    parser.add_argument("--mutants", default="", help="only these numbers")
    parser.add_argument("--tests", default="", help="only tests whose name matches this, for a first look")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--minutes", type=float, default=0, help="stop after this time")
    parser.add_argument("--sample", type=int, default=0, help="only so many, chosen by chance; the same ones each time")
    parser.add_argument("--fresh", action="store_true", help="forget what was found for the same build")
    parser.add_argument("--list", action="store_true", help="show the mutants, and run nothing")
    options = parser.parse_args()

    files = sorted(n for n in sources() if any(fnmatch.fnmatch(n, p) for p in FILES))
    PLACE.mkdir(exist_ok=True)
    mutants = build(files)
    chosen = mutants
    if options.files:
        chosen = [m for m in chosen if any(fnmatch.fnmatch(m["file"], p) for p in options.files.split(","))]
    if options.mutants:
        wanted = {int(n) for n in options.mutants.split(",")}
        chosen = [m for m in chosen if m["id"] in wanted]
    if options.list:
        for m in chosen:
            say(f'{m["id"]} {m["file"]}:{m["line"]} {m["change"]}: {m["code"]}')
        return
    with Product():
        try_out(mutants, chosen, options)


def in_order_of_worth(mutants, files):
    """What is left out and what is negated says more than a constant that is one more, and than the other value in an
    assignment that is also left out. After that, the files take turns, in the order in which `--files` names them, with
    forty mutants from all over each of them: a run that ends early has seen something of every file."""
    left_out = {(m["file"], m["line"]) for m in mutants if m["change"] == "is left out"}
    patterns = files.split(",")
    shuffled = random.Random(1).sample(mutants, len(mutants))
    counts = {}

    def rank(mutant):
        place = mutant["file"], mutant["line"]
        is_minor = mutant["change"].endswith("one more") or bool(mutant.get("is_literal") and place in left_out)
        before = counts[mutant["file"], is_minor] = counts.get((mutant["file"], is_minor), -1) + 1
        pattern = next((i for i, p in enumerate(patterns) if fnmatch.fnmatch(mutant["file"], p)), 0)
        return is_minor, before // 40, pattern

    return sorted(shuffled, key=rank)


def try_out(mutants, chosen, options):
    """Runs the tests with each of the chosen mutants, and says what nobody has noticed."""
    notice = Notice(record(mutants, options))
    if options.sample:
        chosen = random.Random(1).sample(chosen, min(options.sample, len(chosen)))
    reasons = explained()
    start = time.monotonic()
    end = start + options.minutes * 60 if options.minutes else None
    unexplained, count, done = [], {"noticed": 0, "explained": 0, "survived": 0, "not tried": 0}, 0
    # By key: the line that says who noticed, or the names of the tests that did not.
    found = {} if options.fresh else recall("found.json", {})

    def attempt(mutant, seconds):
        if reason_of(mutant, reasons):
            return "explained", ""
        kept = found.get(mutant["key"], [])
        if isinstance(kept, str):
            return "noticed", kept
        if notice.names(mutant, kept):
            if end and time.monotonic() > end:
                return "not tried", ""
            failure, looked = notice.notice(mutant, kept, seconds)
            found[mutant["key"]] = failure or sorted(set(kept) | set(looked))
            if failure:
                return "noticed", failure
        if notice.names(mutant, found.get(mutant["key"], [])):
            return "open", ""
        return "survived", "the tests that reach it pass" if notice.reached(mutant) else "no test reaches it"

    chosen = in_order_of_worth(chosen, options.files)
    # Most are noticed by what is quick. What is left has more time.
    rest = chosen
    for seconds in (2, 10, 60, 600):
        undecided = []
        with concurrent.futures.ThreadPoolExecutor(options.jobs) as pool:
            for mutant, (verdict, why) in zip(rest, pool.map(attempt, rest, [seconds] * len(rest))):
                done += 1
                if verdict == "open":
                    undecided.append(mutant)
                else:
                    count[verdict] += 1
                if verdict == "survived":
                    unexplained.append(mutant)
                    say(f'{mutant["file"]} | {mutant["change"]} | {mutant["code"]} | line {mutant["line"]}, '
                        f'number {mutant["id"]}: {why}')
                if done % 20 == 0:
                    remember_found(found)
                if done % 100 == 0:
                    say(f"# {len(undecided)} open, " + ", ".join(f"{n} {k}" for k, n in count.items())
                        + f", {time.monotonic() - start:.0f} s")
        rest = undecided
        say(f"# after {seconds} s of tests for each: {len(rest)} open, "
            + ", ".join(f"{n} {k}" for k, n in count.items()) + f", {time.monotonic() - start:.0f} s")
        remember_found(found)
        remember("open.json", [[m["file"], m["line"], m["change"], m["code"], m["id"]] for m in rest])
    used = {reason_of(m, reasons) for m in mutants}
    stale = [k for k in reasons if k not in used]
    for key in stale:
        say("in survivors.txt, and no mutant any more: " + " | ".join(key))
    sys.exit(1 if unexplained or stale else 0)


main()
