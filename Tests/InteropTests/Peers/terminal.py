"""Runs a program that answers lines in capitals on a pseudo-terminal, and looks at what it does to it.

usage: terminal.py lines|raw|killed|hangup|background|contended|ignoring|spawn PROGRAM ARGUMENT...
"""

import fcntl
import os
import pty
import signal
import sys
import termios
import tty


def read_until(master, end):
    """What comes from the terminal, up to and with `end`."""
    text = b""
    while not text.endswith(end):
        text += os.read(master, 1)
    return text


def view(descriptor):
    return fcntl.fcntl(descriptor, fcntl.F_GETFL), termios.tcgetattr(descriptor)


def on_terminal(mode, program):
    master, line = pty.openpty()
    settings = termios.tcgetattr(line)
    settings[3] &= ~termios.ECHO
    termios.tcsetattr(line, termios.TCSANOW, settings)
    if mode == "raw":
        tty.setraw(line)
    end = b"\n" if mode == "raw" else b"\r\n"
    before = view(line)
    child = os.fork()
    if child == 0:
        os.setsid()
        fcntl.ioctl(line, termios.TIOCSCTTY, 0)
        for number in range(3):
            os.dup2(line, number)
        os.execv(program[0], program)
    for word in [b"one", b"two", b"x" * 3000]:
        os.write(master, word + b"\n")
        answer = read_until(master, end)
        assert answer == word.upper() + end, answer
        assert view(line) == before, "in use"
    if mode == "killed":
        os.write(master, b"again\n" * 100)
        read_until(master, end)
        os.kill(child, signal.SIGKILL)
        expected = -signal.SIGKILL
    elif mode == "hangup":
        # Nobody but the child has the line open: it sees the end, or the signal that goes with it.
        os.close(line)
        os.close(master)
        status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        assert status in (0, -signal.SIGHUP), status
        return
    else:
        os.write(master, b"quit\n" if mode == "raw" else b"\x04")
        expected = 0
    status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    assert status == expected, status
    assert view(line) == before, "afterwards"


def spawned(program):
    """pty.spawn copies this process's own input to the terminal; here it is a pipe."""
    reading, writing = os.pipe()
    os.dup2(reading, 0)
    output = []

    def from_master(master):
        data = os.read(master, 1024)
        output.append(data)
        # Only when the program has answered may it be told of the end.
        if b"HELLO\r\n" in b"".join(output):
            os.write(master, b"\x04")
        return data

    os.write(writing, b"hello\n")
    saved = os.dup(1)
    null = os.open("/dev/null", os.O_WRONLY)
    os.dup2(null, 1)
    status = pty.spawn(program, from_master)
    os.dup2(saved, 1)
    assert os.waitstatus_to_exitcode(status) == 0, status
    assert b"".join(output) == b"hello\r\nHELLO\r\n", output


def reads(process):
    """The number of reads that a process has made, or None if it has ended or the kernel does not count them."""
    try:
        with open(f"/proc/{process}/io") as counts:
            return next(int(line.split()[1]) for line in counts if line.startswith("syscr"))
    except OSError:
        return None


def as_shell(program, ignores=False):
    """Makes a terminal and a session with it, and runs the program in front of it. It may ignore SIGTTIN."""
    master, line = pty.openpty()
    settings = termios.tcgetattr(line)
    settings[3] &= ~termios.ECHO
    termios.tcsetattr(line, termios.TCSANOW, settings)
    os.setsid()
    fcntl.ioctl(line, termios.TIOCSCTTY, 0)
    signal.signal(signal.SIGTTOU, signal.SIG_IGN)
    job = os.fork()
    if job == 0:
        os.setpgid(0, 0)
        os.tcsetpgrp(line, os.getpgrp())
        signal.signal(signal.SIGTTOU, signal.SIG_DFL)
        # Then no thread of the program is stopped by a read, whichever makes it.
        signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGTTIN])
        if ignores:
            signal.signal(signal.SIGTTIN, signal.SIG_IGN)
        for number in range(3):
            os.dup2(line, number)
        os.execv(program[0], program)
    answers(master, b"one")
    return master, line, job


def answers(master, word):
    os.write(master, word + b"\n")
    check_answer(master, word)


def check_answer(master, word):
    answer = read_until(master, b"\r\n")
    assert answer == word.upper() + b"\r\n", answer


def end(master, job):
    os.write(master, b"\x04")
    assert os.waitstatus_to_exitcode(os.waitpid(job, 0)[1]) == 0


def in_background(program):
    """Takes the terminal from the program while a line is typed, and gives it back."""
    master, line, job = as_shell(program)
    os.tcsetpgrp(line, os.getpgrp())
    os.write(master, b"two\n")
    # It tries more than once, in vain.
    before = reads(job)
    while before is not None and (count := reads(job)) is not None and count < before + 5:
        assert os.waitpid(job, os.WNOHANG) == (0, 0), "it has ended"
    # The shell has left the line.
    os.tcsetpgrp(line, job)
    check_answer(master, b"two")
    end(master, job)


def ignoring(program):
    """Takes the terminal from a program that has asked for the error by ignoring the signal."""
    master, line, job = as_shell(program, ignores=True)
    os.tcsetpgrp(line, os.getpgrp())
    os.write(master, b"two\n")
    status = os.waitstatus_to_exitcode(os.waitpid(job, 0)[1])
    assert status > 0, status


def contended(program):
    """Takes the terminal and gives it back so often that the program is brought to the front right after a read, too."""
    master, line, job = as_shell(program)
    for number in range(50):
        os.tcsetpgrp(line, os.getpgrp())
        os.write(master, b"two\n")
        for _ in range(200 * (number % 40)):
            os.tcsetpgrp(line, job)
            os.tcsetpgrp(line, os.getpgrp())
        os.tcsetpgrp(line, job)
        check_answer(master, b"two")
    end(master, job)


mode, program = sys.argv[1], sys.argv[2:]
if mode == "spawn":
    spawned(program)
elif run := {"background": in_background, "contended": contended, "ignoring": ignoring}.get(mode):
    # The terminal goes with its session, and so does a signal.
    if (session := os.fork()) == 0:
        run(program)
        os._exit(0)
    assert os.waitstatus_to_exitcode(os.waitpid(session, 0)[1]) == 0
else:
    on_terminal(mode, program)
print(f"{mode}: as it should be")
