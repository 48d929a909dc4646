"""A terminal of a few sequences, and a program that runs in it.

What is not one of the sequences that lvt-run may use is an error. Used by test_terminal.sh.
"""
import codecs
import fcntl
import os
import pty
import re
import select
import signal
import struct
import termios
import time

SEQUENCE = re.compile(r"\x1b\[(\?25[lh]|\d*A|K|J|[\d;]*m)")


class Screen:
    """Rows of text with a cursor. Lines that are too long wrap and are counted; nothing reflows."""

    def __init__(self, columns, rows):
        self.columns, self.rows = columns, rows
        self.lines, self.scrolled = [""], []
        self.row = self.column = 0
        self.visible, self.wraps, self.colours, self.pending = True, 0, 0, ""

    def resize(self, columns, rows):
        """Lines are broken anew, as most terminals do it."""
        broken = []
        for line in self.lines:
            line = line.rstrip()
            broken += [line[i : i + columns] for i in range(0, max(len(line), 1), columns)]
        self.row += len(broken) - len(self.lines)
        self.lines, self.columns, self.rows = broken, columns, rows
        self.scroll()

    def scroll(self):
        while self.row >= self.rows:
            self.scrolled.append(self.lines.pop(0).rstrip())
            self.row -= 1

    def feed(self, text):
        text = self.pending + text
        self.pending = ""
        at = 0
        while at < len(text):
            c = text[at]
            if c == "\x1b":
                found = SEQUENCE.match(text, at)
                if not found:
                    assert len(text) - at < 16, f"unknown sequence {text[at:at + 16]!r}"
                    self.pending = text[at:]
                    return
                self.obey(found.group(1))
                at = found.end()
                continue
            at += 1
            if c == "\r":
                self.column = 0
            elif c == "\n":
                self.row += 1
                while len(self.lines) <= self.row:
                    self.lines.append("")
                self.scroll()
            else:
                assert c >= " ", f"control character {c!r}"
                if self.column == self.columns:
                    self.wraps += 1
                    self.column = 0
                    self.feed("\n")
                line = self.lines[self.row].ljust(self.column)
                self.lines[self.row] = line[: self.column] + c + line[self.column + 1 :]
                self.column += 1

    def obey(self, sequence):
        if sequence.startswith("?25"):
            self.visible = sequence.endswith("h")
        elif sequence.endswith("A"):
            n = int(sequence[:-1] or 1)
            assert n < self.rows, "the cursor goes above the screen"
            self.row = max(self.row - n, 0)
        elif sequence == "K":
            self.lines[self.row] = self.lines[self.row][: self.column]
        elif sequence == "J":
            self.lines[self.row] = self.lines[self.row][: self.column]
            del self.lines[self.row + 1 :]
        else:
            self.colours += sequence != "0m"

    def text(self):
        return "\n".join(line.rstrip() for line in self.scrolled + self.lines)


class Program:
    """A program on a terminal of its own."""

    def __init__(self, arguments, columns=100, rows=40, **environment):
        variables = {k: v for k, v in os.environ.items() if k not in ("NO_COLOR", "LC_ALL", "LC_CTYPE", "LANG")}
        variables.update({"TERM": "xterm-256color", "LANG": "C.UTF-8"}, **environment)
        self.screen = Screen(columns, rows)
        self.decoder = codecs.getincrementaldecoder("utf-8")()
        self.raw, self.code = "", None
        self.pid, self.fd = pty.fork()
        if self.pid == 0:
            time.sleep(0.2)  # until the size is set
            os.execve(arguments[0], arguments, variables)
        self.size(columns, rows)

    def size(self, columns, rows):
        fcntl.ioctl(self.fd, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))

    def resize(self, columns, rows):
        self.read(0)
        self.screen.resize(columns, rows)
        self.size(columns, rows)

    def read(self, seconds):
        """What comes within some time; False: the program has closed the terminal."""
        end = time.monotonic() + seconds
        while True:
            left = end - time.monotonic()
            if not select.select([self.fd], [], [], max(left, 0))[0]:
                return True
            try:
                data = os.read(self.fd, 65536)
            except OSError:
                data = b""
            if not data:
                return False
            text = self.decoder.decode(data)
            self.raw += text
            self.screen.feed(text)

    def until(self, words, seconds=60):
        end = time.monotonic() + seconds
        while words not in self.screen.text():
            assert time.monotonic() < end, f"no {words!r} on the screen:\n{self.screen.text()}"
            if not self.read(0.05):
                assert words in self.screen.text(), f"it ended without {words!r}:\n{self.screen.text()}"
        return self

    def end(self, seconds=120):
        limit = time.monotonic() + seconds
        while self.read(0.2):
            assert time.monotonic() < limit, "it does not end"
        self.code = os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])
        return self

    def kill(self, number=signal.SIGINT):
        os.kill(self.pid, number)
        return self
