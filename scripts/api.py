"""Writes the public interface of modules as text, and compares it with a baseline. See scripts/api."""

import argparse
import difflib
import json
import pathlib
import re
import sys

# Conformances that every type has unless it says otherwise.
IMPLIED = {"Copyable", "Escapable", "SendableMetatype"}


def text(fragments):
    return re.sub(r"\s+", " ", "".join(fragment["spelling"] for fragment in fragments)).strip()


def constraint(of):
    signs = {"conformance": ":", "superclass": ":", "sameType": "=="}
    return f'{of["lhs"]} {signs.get(of["kind"], of["kind"])} {of["rhs"]}'


def condition(constraints):
    return "" if not constraints else " where " + ", ".join(sorted(constraint(each) for each in constraints))


def interface(graphs, module):
    """The lines of a module: a type, its conformances, its members."""
    types, members, conformances = {}, {}, {}
    for path in sorted(graphs.glob(f"{module}.symbols.json")) + sorted(graphs.glob(f"{module}@*.symbols.json")):
        graph = json.loads(path.read_text())
        names = {symbol["identifier"]["precise"]: ".".join(symbol["pathComponents"]) for symbol in graph["symbols"]}
        requirements = {
            relation["source"]
            for relation in graph["relationships"]
            if relation["kind"] in ("requirementOf", "optionalRequirementOf")
        }
        for symbol in graph["symbols"]:
            parts = symbol["pathComponents"]
            extension = symbol.get("swiftExtension", {})
            # The condition of an extension is not part of the declaration.
            line = text(symbol["declarationFragments"]) + (
                f' [{condition(extension["constraints"]).strip()}]' if extension.get("constraints") else ""
            )
            if symbol["identifier"]["precise"] in requirements:
                line = f"requires {line}"
            kind = symbol["kind"]["identifier"]
            if kind in ("swift.struct", "swift.class", "swift.enum", "swift.protocol", "swift.actor"):
                types[".".join(parts)] = line
            elif kind != "swift.extension":
                members.setdefault(".".join(parts[:-1]), set()).add(line)
        for relation in graph["relationships"]:
            if relation["kind"] not in ("conformsTo", "inheritsFrom"):
                continue
            target = relation.get("targetFallback") or names.get(relation["target"], relation["target"])
            name = target.split(".")[-1]
            source = names.get(relation["source"], relation["source"])
            if name not in IMPLIED:
                conformances.setdefault(source, set()).add(name + condition(relation.get("swiftConstraints")))
    lines = []
    for owner in sorted(set(types) | set(members) | set(conformances)):
        lines.append("" if not owner else f"\n{owner}")
        if owner in types:
            lines.append(f"  {types[owner]}")
        for each in sorted(conformances.get(owner, ())):
            lines.append(f"  : {each}")
        lines += (f"  {'  ' if owner else ''}{each}" for each in sorted(members.get(owner, ())))
    return "\n".join(lines).strip("\n") + "\n"


def compare(arguments):
    changed = False
    for module in arguments.modules:
        path = arguments.baseline / f"{module}.txt"
        now = interface(arguments.graphs, module)
        before = path.read_text() if path.exists() else ""
        if arguments.update:
            path.write_text(now)
        elif now != before:
            changed = True
            sys.stdout.writelines(
                difflib.unified_diff(
                    before.splitlines(True), now.splitlines(True), f"{path}, as committed", f"{path}, as it is", n=1
                )
            )
    if changed:
        sys.exit("api: the public interface has changed. UPDATE=1 make api writes it down; say in CHANGELOG.md how to move.")
    print(f"api: {', '.join(arguments.modules)} {'written' if arguments.update else 'as committed'}")


def check_refusals(program):
    """What the compiler says, on standard input, against what the program says of itself."""
    wanted = {}
    for number, line in enumerate(program.read_text().splitlines(), 1):
        if "// refused: " in line:
            wanted[number] = line.split("// refused: ")[1].strip()
    found, problems = {}, []
    for line in sys.stdin:
        match = re.match(r".*?:(\d+):\d+: error: (.*)", line)
        if match:
            found.setdefault(int(match[1]), []).append(match[2])
        elif re.match(r"(<unknown>|error).*error: |error: ", line):
            problems.append(line.strip())
    for number, words in wanted.items():
        if not any(words in message for message in found.get(number, [])):
            problems.append(f"{program}:{number}: not refused with '{words}' but {found.get(number, 'compiled')}")
    problems += (f"{program}:{number}: {messages}" for number, messages in found.items() if number not in wanted)
    if problems or not wanted:
        sys.exit("\n".join(problems) or f"{program}: it refuses nothing")
    print(f"api: {program}: {len(wanted)} lines refused, as they should")


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--graphs", type=pathlib.Path)
    parser.add_argument("--baseline", type=pathlib.Path)
    parser.add_argument("--update", action="store_true")
    parser.add_argument("--refused", type=pathlib.Path)
    parser.add_argument("modules", nargs="*")
    arguments = parser.parse_args()
    if arguments.refused:
        check_refusals(arguments.refused)
    else:
        compare(arguments)


main()
