#!/usr/bin/env python3
"""Type-checks the Swift code blocks of Markdown documents against the modules that have been built.

A block is compiled as the body of a function of its own: an async one, or a synchronous one if it uses the
blocking view and nothing is awaited. `import SWMessaging` is given; every other import is written in the block or
in a directive. A directive is an HTML comment on the lines directly above the block:

    <!-- code: given STATEMENTS -->   the statements come first, and may take several lines
    <!-- code: after -->              the block goes on where the block before it ended
    <!-- code: file -->               the block is a whole file: extensions, protocols, @main
    <!-- code: manifest -->           the block consists of lines of a Package.swift
    <!-- code: quoted -->             the block is part of a program that is compiled elsewhere

The code files of tutorials are programs, and manifests if their name says so. Each is type-checked alone.
"""

import argparse
import json
import pathlib
import re
import subprocess
import sys
import tempfile

ROOT = pathlib.Path(__file__).resolve().parent.parent
FENCE = re.compile(r"^```swift\s*$")
DIRECTIVE = re.compile(r"^<!--\s*(code: *(given|after|file|manifest|quoted)|quote:)\s*(.*?)(-->)?\s*$")


class Block:
    def __init__(self, document, line, text):
        self.document, self.line, self.text = document, line, text
        self.kind, self.given = "statements", ""


def blocks(document):
    """The blocks of a document, with the directives above them."""
    lines = document.read_text().split("\n")
    kind, given, number, before = "statements", [], 0, None
    while number < len(lines):
        directive = DIRECTIVE.match(lines[number])
        if directive:
            word, rest, closed = directive[2], directive[3], directive[4]
            text = [rest]
            while not closed:
                number += 1
                closed = lines[number].rstrip().endswith("-->")
                text.append(re.sub(r"\s*-->\s*$", "", lines[number]))
            if word == "given":
                given += text
            elif word is None:
                kind = "quoted"
            else:
                kind = word
        elif FENCE.match(lines[number]):
            start = number + 1
            while lines[number + 1] != "```":
                number += 1
            block = Block(document, start + 1, "\n".join(lines[start : number + 1]))
            block.kind, block.given = kind, "\n".join(given)
            if kind == "after":
                block.given = f"{before.given}\n{before.text}\n{block.given}"
                block.kind = "statements"
            yield block
            before = block
            kind, given = "statements", []
            number += 1
        elif lines[number].strip():
            kind, given = "statements", []
        number += 1


def hoisted(text):
    """The imports of a text, and the text with empty lines in their place."""
    imports = re.findall(r"^import .*$", text, re.MULTILINE)
    return imports, re.sub(r"^import .*$", "", text, flags=re.MULTILINE)


def source(block):
    place = f'#sourceLocation(file: "{block.document}", line: {block.line})'
    if block.kind == "manifest":
        text = re.sub(r"^(\s*\.package.*?),?(\s+//.*)?$", r"_ = \1 as Package.Dependency", block.text, flags=re.M)
        text = re.sub(r"^(\s*\.product.*?),?(\s+//.*)?$", r"_ = \1 as Target.Dependency", text, flags=re.M)
        return f"import PackageDescription\nprivate func block() {{\n{place}\n{text}\n}}\n"
    given_imports, given = hoisted(block.given)
    imports, text = hoisted(block.text)
    head = "\n".join(["import SWMessaging"] + given_imports + imports)
    if block.kind == "file":
        return f"{head}\n{given}\n{place}\n{text}\n"
    everything = given + text
    is_blocking = ".blocking" in everything and not re.search(r"\bawait\b", everything)
    effect = "throws" if is_blocking else "async throws"
    return f"{head}\nprivate func block() {effect} {{\n{given}\n{place}\n{text}\n#sourceLocation()\n}}\n"


def module_flags(build):
    """How the modules of a build folder are found, and the C modules that they name."""
    maps = [*build.resolve().glob("*.build/module.modulemap"), *ROOT.glob("Sources/*/module.modulemap")]
    scratch = build.resolve().parent.parent
    maps += scratch.glob("checkouts/*/Sources/*/include/module.modulemap")
    flags = ["-I", str(build / "Modules")]
    for each in maps:
        flags += ["-Xcc", f"-fmodule-map-file={each}"]
    return flags


def compile(blocks, flags, scratch):
    """Type-checks the blocks together, each in a file of its own. Returns what the compiler said."""
    files = []
    for index, block in enumerate(blocks):
        file = scratch / f"Block{index}.swift"
        file.write_text(source(block))
        files.append(str(file))
    command = ["swiftc", "-typecheck", "-swift-version", "6", "-suppress-warnings", "-parse-as-library"]
    result = subprocess.run([*command, *flags, *files], capture_output=True, text=True)
    return result.stderr if result.returncode else ""


def check(program, flags):
    """Type-checks a whole program of one file. Returns what the compiler said."""
    command = ["swiftc", "-typecheck", "-swift-version", "6", "-suppress-warnings", *flags, str(program)]
    result = subprocess.run(command, capture_output=True, text=True)
    return result.stderr if result.returncode else ""


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--build", type=pathlib.Path, help="a build folder other than this package's")
    parser.add_argument("documents", nargs="*", type=pathlib.Path)
    arguments = parser.parse_args()
    programs = [] if arguments.documents else sorted((ROOT / "docs").rglob("Tutorials/Code/*.swift"))
    documents = arguments.documents or [
        ROOT / "README.md",
        ROOT / "CONTRIBUTING.md",
        *sorted((ROOT / "docs").rglob("*.md")),
    ]
    build = arguments.build or ROOT / ".build/debug"
    with_traits = build.resolve().parent.parent.parent / ".build-multiprocessing/debug"
    info = json.loads(subprocess.check_output(["swiftc", "-print-target-info"]))
    manifest_api = pathlib.Path(info["paths"]["runtimeResourcePath"]) / "pm/ManifestAPI"

    every = [block for document in documents if document.exists() for block in blocks(document)]
    compiled = [block for block in every if block.kind != "quoted"]
    manifests = [block for block in compiled if block.kind == "manifest"]
    keyed = [b for b in compiled if "import SWMultiprocessing" in b.given + b.text]
    files = [b for b in compiled if b.kind == "file" and b not in keyed]
    statements = [b for b in compiled if b not in manifests and b not in keyed and b not in files]

    output = ""
    with tempfile.TemporaryDirectory() as scratch:
        scratch = pathlib.Path(scratch)
        groups = [(statements, module_flags(build)), (keyed, module_flags(with_traits))]
        groups += [([block], module_flags(build)) for block in files]
        manifest_flags = ["-I", str(manifest_api), "-package-description-version", "6.3.0"]
        groups += [(manifests, manifest_flags)]
        for group, flags in groups:
            if group:
                output += compile(group, flags, scratch)
    for program in programs:
        output += check(program, manifest_flags if "Package" in program.name else module_flags(build))
    if output:
        sys.exit(output)
    counts = f"{len(compiled)} blocks of {len(documents)} documents and {len(programs)} files of tutorials"
    print(f"code-blocks: {counts} compile")


main()
