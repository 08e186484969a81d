"""Runs the snippets, shows their output, and compares it with the comment at the end of each.

The comment is the last of the file: a line `// Prints:` and then the lines of the output, each after `//   `. In a line,
`…` stands for any text; a line of its own, it stands for any number of lines. A snippet may print `skipped:` and the
reason instead, if a program that it needs is not installed.
"""

import pathlib
import re
import subprocess
import sys

SNIPPETS = pathlib.Path(__file__).resolve().parent.parent / "Snippets"


def expected(source):
    """The lines of the comment, or None if there is no such comment."""
    _, mark, tail = source.rpartition("\n// Prints:\n")
    if not mark:
        return None
    return [re.sub(r"^//( {3})?", "", line) for line in tail.rstrip("\n").split("\n")]


def pattern(lines):
    parts = []
    for line in lines:
        if line == "…":
            parts.append(r"(?:.*\n)*?")
        else:
            parts.append(".*".join(re.escape(part) for part in line.split("…")) + r"[ ]*\n")
    return re.compile("".join(parts))


def main(folder, *names):
    failed = []
    for snippet in sorted(SNIPPETS.glob("*.swift")):
        name = snippet.stem
        if names and name not in names:
            continue
        print(f"\n== Snippets/{snippet.name}", flush=True)
        try:
            result = subprocess.run(
                [f"{folder}/{name}"], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT, timeout=600, text=True, cwd=SNIPPETS.parent)
        except subprocess.TimeoutExpired as error:
            print(error.stdout, "not ended after ten minutes")
            failed.append(name)
            continue
        print(result.stdout, end="", flush=True)
        lines = expected(snippet.read_text())
        if result.returncode:
            print(f"exit status {result.returncode}")
        elif result.stdout.startswith("skipped:"):
            continue
        elif lines is None:
            print("the snippet does not say what it prints: // Prints:")
        elif not pattern(lines).fullmatch(result.stdout.rstrip("\n") + "\n"):
            print("-- expected, as the comment at the snippet's end says:", *lines, sep="\n")
        else:
            continue
        failed.append(name)
    if failed:
        sys.exit(f"examples: {', '.join(failed)}")


main(*sys.argv[1:])
