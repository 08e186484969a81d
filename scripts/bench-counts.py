#!/usr/bin/env python3
"""Counts what each path of `swcounts` costs per message, and compares that with the baseline.

    scripts/bench-counts                 every path, against the baseline; 1 if one costs more than it may
    scripts/bench-counts --update        make what is counted now the baseline
    scripts/bench-counts --profile PATH  where that path's instructions go, function by function

Every figure repeats, because nothing is timed and next to nothing runs at the same time: each path has a
process of its own, does its work once to warm up, and is counted the second time, between two calls of
`counts_border`, which callgrind dumps at and strace sees.
"""

import argparse
import collections
import concurrent.futures
import os
import pathlib
import platform
import re
import signal
import subprocess
import sys
import tempfile

# How much more than the baseline a message may cost. The same program has the same counts to the last digit. The
# margins allow for changes of a few instructions that need no attention. One more call for each
# batch of a hundred messages is 0.01.
MARGIN_INSTRUCTIONS = 0.05  # of the baseline
MARGIN_CALLS = 0.005  # allocations, and system calls: absolute, per message

BASELINE = pathlib.Path(__file__).parent.parent / 'Benchmarks' / 'Counts' / 'baseline.txt'

# Two threads take turns in these paths, as the kernel lets them: an attempt finds its message more or less often. The margins
# are wide, and still notice one more wake-up or a place in the queue.
SCHEDULED = {'waiting-blocking'}
SCHEDULED_INSTRUCTIONS = 0.2
SCHEDULED_CALLS = 1

# The work of a path may depend on the kernel's abilities for its descriptors.
KERNEL_DEPENDENT = {'pipe'}

# One environment for all programs. The C library chooses its memcpy by the processor, and callgrind counts
# `rep movsb` once for each byte. So both are fixed to the variants of every x86-64 processor. On other machines the
# names have no effect.
ENVIRONMENT = {
    'PATH': '/usr/bin:/bin',
    'LC_ALL': 'C',
    'SWIFT_DETERMINISTIC_HASHING': '1',
    'GLIBC_TUNABLES': ':'.join([
        'glibc.cpu.hwcaps=-AVX2,-AVX_Fast_Unaligned_Load,-ERMS,-FSRM',
        'glibc.cpu.x86_rep_movsb_threshold=1073741824',
        'glibc.cpu.x86_rep_stosb_threshold=1073741824',
        'glibc.cpu.x86_non_temporal_threshold=201326592',
    ]),
}

Path = collections.namedtuple('Path', 'name count summary')
# Per message; `calls` maps names of system calls to how many, and is None where strace may not trace.
Counts = collections.namedtuple('Counts', 'instructions allocations calls')


class Failure(Exception):
    """What stops the counting."""


def run(command, **options):
    try:
        finished = subprocess.run(
            command, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=300, **options)
    except subprocess.TimeoutExpired as expired:
        raise Failure(f'{" ".join(map(str, command))}: not done after {expired.timeout} s') from None
    if finished.returncode != 0:
        raise Failure(f'{" ".join(map(str, command))}: exit status {finished.returncode}\n{finished.stderr}')
    return finished.stdout


def tool_environment():
    """With LD_LIBRARY_PATH where the caller needs it, to find the language's libraries."""
    kept = {name: os.environ[name] for name in ['LD_LIBRARY_PATH'] if name in os.environ}
    return {**ENVIRONMENT, **kept}


# ---- counting


def callgrind(program, path, directory):
    """Runs a path. Its allocations, and the file with what happened between the borders."""
    output = pathlib.Path(directory) / f'{path.name}.callgrind'
    printed = run(
        ['valgrind', '--tool=callgrind', '--dump-before=counts_border', f'--callgrind-out-file={output}',
         program, path.name, str(path.count)],
        env=tool_environment())
    allocations = re.search(r'^allocations (\d+)$', printed, re.MULTILINE)
    between = pathlib.Path(f'{output}.2')
    if not allocations or not between.exists():
        raise Failure(f'{path.name}: callgrind has not seen both borders')
    return int(allocations[1]), between


def instructions(between):
    total = re.search(r'^totals: (\d+)$', between.read_text(), re.MULTILINE)
    if not total:
        raise Failure(f'{between.name}: no total')
    return int(total[1])


def system_calls(program, path, directory):
    """How often each system call completed between the borders; what would have blocked is counted apart."""
    output = pathlib.Path(directory) / f'{path.name}.strace'
    run(
        ['strace', '-f', '-qq', '-s', '0', '-e', 'signal=none', '-o', output,
         program, path.name, str(path.count)],
        env=tool_environment())
    calls = collections.Counter()
    borders = 0
    for line in output.read_text().splitlines():
        if 'getpgid(-1)' in line or 'getpgid resumed' in line:
            borders += 'unfinished' not in line
            continue
        call = re.match(r'\d+\s+(?:<\.\.\. )?(\w+)(?: resumed>|\().*= (.*)$', line)
        # How the heap grows depends on what it held before.
        if borders == 1 and call and call[1] not in ('brk', 'mprotect', 'mmap', 'munmap'):
            calls[call[1] + (':EAGAIN' if 'EAGAIN' in call[2] else '')] += 1
    if borders != 2:
        raise Failure(f'{path.name}: strace has not seen both borders')
    return calls


def can_trace():
    """A container may forbid it."""
    return subprocess.run(
        ['strace', '-o', '/dev/null', 'true'], stdin=subprocess.DEVNULL, capture_output=True).returncode == 0


def progress(line):
    if sys.stderr.isatty():
        print(f'\r{line}\033[K', end='', file=sys.stderr, flush=True)


def count(program, path, directory, traces):
    allocations, between = callgrind(program, path, directory)
    calls = None
    if traces:
        calls = {
            name: number / path.count
            for name, number in sorted(system_calls(program, path, directory).items())
        }
    return Counts(instructions(between) / path.count, allocations / path.count, calls)


def list_paths(program):
    paths = []
    for line in run([program, 'list']).splitlines():
        name, number, summary = line.split(' ', 2)
        paths.append(Path(name, int(number), summary))
    return paths


def context():
    """What figures depend on, beside the program."""
    swift = re.search(r'Swift version (\S+)', run(['swift', '--version']))
    kernel = re.match(r'\d+\.\d+', platform.release())
    return {
        'swift': swift[1] if swift else 'unknown',
        'machine': platform.machine(),
        'libc': '-'.join(platform.libc_ver()),
        'valgrind': run(['valgrind', '--version']).strip().removeprefix('valgrind-'),
        'kernel': kernel[0] if kernel else platform.release(),
    }


# ---- the baseline


def write_baseline(context, counted):
    width = max(map(len, counted))
    lines = [
        '# What a message costs: instructions, allocations, system calls. From make bench-counts UPDATE=1.',
        *(f'# {name}: {value}' for name, value in context.items()),
    ]
    for name, counts in counted.items():
        calls = '  '.join(f'{call} {number:.3f}' for call, number in counts.calls.items())
        lines.append(
            f'{name:{width}} {counts.instructions:9.1f} {counts.allocations:7.3f}  {calls}'.rstrip())
    BASELINE.write_text('\n'.join(lines) + '\n')


def read_baseline():
    if not BASELINE.exists():
        raise Failure(f'There is no baseline, {BASELINE.name}: make bench-counts UPDATE=1')
    context, counted = {}, {}
    for line in BASELINE.read_text().splitlines():
        if match := re.match(r'# (\w+): (.*)$', line):
            context[match[1]] = match[2]
        elif not line.startswith('#'):
            try:
                name, instructions, allocations, *calls = line.split()
                calls = dict(zip(calls[::2], map(float, calls[1::2]), strict=True))
                counted[name] = Counts(float(instructions), float(allocations), calls)
            except ValueError:
                raise Failure(f'{BASELINE.name} has a line that is none: {line}') from None
    return context, counted


# ---- the comparison


def show_calls(calls):
    return ', '.join(f'{name} {number:.2f}' for name, number in calls.items()) or 'none'


def compare(context, counted):
    """Prints the table. What costs more than it may, one line each."""
    there, baseline = read_baseline()
    differing = [
        f'{name} is {context[name]}, there {there.get(name)}'
        for name in ['swift', 'machine', 'libc'] if context[name] != there.get(name)
    ]
    if differing:
        print(f'Instructions are not compared: the baseline is of elsewhere ({"; ".join(differing)}).')
    same_kernel = context['kernel'] == there.get('kernel')
    if not same_kernel:
        print(f'Of {", ".join(sorted(KERNEL_DEPENDENT))}, only allocations are compared: this kernel is '
              f'{context["kernel"]}, the baseline\'s {there.get("kernel")}.')

    worse, better = [], []
    width = max(map(len, counted))
    print(f'{"per message":{width}} {"instructions":>12} {"baseline":>9} {"change":>8}'
          f' {"allocations":>11} {"baseline":>9} {"system calls":>12} {"baseline":>9}')
    for name, now in counted.items():
        was = baseline.get(name)
        total = None if now.calls is None else sum(now.calls.values())
        calls = '' if now.calls is None else show_calls(now.calls)
        shown = '-' if total is None else f'{total:.2f}'
        if was is None:
            print(f'{name:{width}} {now.instructions:12.1f} {"-":>9} {"":>8} {now.allocations:11.2f} {"-":>9}'
                  f' {shown:>12} {"-":>9}  {calls}')
            worse.append(f'{name}: is not in the baseline')
            continue
        change = round(now.instructions / was.instructions - 1, 3) + 0.0  # no minus zero
        was_total = sum(was.calls.values())
        print(f'{name:{width}} {now.instructions:12.1f} {was.instructions:9.1f} {change:+8.1%}'
              f' {now.allocations:11.2f} {was.allocations:9.2f} {shown:>12} {was_total:9.2f}  {calls}')
        comparable = same_kernel or name not in KERNEL_DEPENDENT
        most, most_calls = MARGIN_INSTRUCTIONS, MARGIN_CALLS
        if name in SCHEDULED:
            most, most_calls = SCHEDULED_INSTRUCTIONS, SCHEDULED_CALLS
        if not differing and comparable:
            if change > most:
                worse.append(f'{name}: {now.instructions:.1f} instructions, {change:+.1%}; '
                             f'the baseline is {was.instructions:.1f}')
            elif change < -most:
                better.append(name)
        if now.allocations > was.allocations + MARGIN_CALLS:
            worse.append(f'{name}: {now.allocations:.3f} allocations; the baseline is {was.allocations:.3f}')
        elif now.allocations < was.allocations - MARGIN_CALLS:
            better.append(name)
        if total is not None and comparable:
            if total > was_total + most_calls:
                worse.append(f'{name}: {total:.3f} system calls, {calls}; '
                             f'the baseline is {was_total:.3f}, {show_calls(was.calls)}')
            elif total < was_total - most_calls:
                better.append(name)
    worse += [f'{name}: is in the baseline and is no path' for name in baseline if name not in counted]
    if better:
        print(f'Cheaper than the baseline (make bench-counts UPDATE=1 lets it follow): '
              f'{", ".join(dict.fromkeys(better))}.')
    return worse


# ---- the profile


def profile(program, path, directory, lines=45):
    """Where a path's instructions go: in each function alone, and in it with all that it calls."""
    _, between = callgrind(program, path, directory)
    print(f'{path.name}: {instructions(between) / path.count:.1f} instructions per message')
    for title, option in [('alone', 'no'), ('with what they call', 'yes')]:
        listing = run(['callgrind_annotate', '--threshold=100', f'--inclusive={option}', between])
        found = []
        for line in listing.splitlines():
            entry = re.match(r' *([0-9,]+) \( *([0-9.]+)%\) +\S*?:(.*?)(?: \[[^\]]*\])?$', line)
            # A function that encloses everything has no information.
            if entry and float(entry[2]) < 99.9:
                found.append((int(entry[1].replace(',', '')) / path.count, entry[2], entry[3]))
        names = subprocess.run(
            ['swift', 'demangle', '--simplified'], input='\n'.join(name for _, _, name in found[:lines]),
            capture_output=True, text=True, check=True).stdout.splitlines()
        print(f'\nfunctions {title}')
        for (number, share, _), name in zip(found, names):
            print(f'{number:9.1f} {share:>6}%  {name}')


def main():
    parser = argparse.ArgumentParser(prog='bench-counts', description='Counts what a message costs.')
    parser.add_argument('--program', required=True, help=argparse.SUPPRESS)
    parser.add_argument('--update', action='store_true', help='write the baseline')
    parser.add_argument('--profile', metavar='PATH', help='show where the instructions of one path go')
    arguments = parser.parse_args()
    paths = list_paths(arguments.program)

    with tempfile.TemporaryDirectory(prefix='bench-counts-') as directory:
        if arguments.profile:
            path = next((path for path in paths if path.name == arguments.profile), None)
            if path is None:
                raise Failure(f'No such path: {arguments.profile}; {", ".join(path.name for path in paths)}')
            profile(arguments.program, path, directory)
            return 0

        traces = can_trace()
        if not traces:
            print('System calls are not counted: strace may not trace here.')
            if arguments.update:
                raise Failure('A baseline has system calls.')
        counted = {}
        with concurrent.futures.ThreadPoolExecutor(len(os.sched_getaffinity(0))) as pool:
            futures = [pool.submit(count, arguments.program, path, directory, traces) for path in paths]
            for number, (path, future) in enumerate(zip(paths, futures), 1):
                progress(f'{number} of {len(paths)}: {path.name}')
                counted[path.name] = future.result()
        progress('')

    here = context()
    worse = compare(here, counted) if BASELINE.exists() or not arguments.update else []
    if arguments.update:
        write_baseline(here, counted)
        print(f'{BASELINE.name} has these figures now.')
        return 0
    if worse:
        print(f'\nToo much (margins: {MARGIN_INSTRUCTIONS:.0%} of the instructions, '
              f'{MARGIN_CALLS} allocations, {MARGIN_CALLS} system calls):')
        print('\n'.join(worse))
        return 1
    return 0


if __name__ == '__main__':
    signal.signal(signal.SIGPIPE, signal.SIG_DFL)  # a pager may have seen enough
    try:
        sys.exit(main())
    except Failure as failure:
        sys.exit(f'bench-counts: {failure}')
