"""Makes the disk of one program fail and its wall clock step: faults.c, preloaded."""

import errno
import mmap
import struct
from pathlib import Path

from tests.support.process import run

SYNCS, WRITES = 1, 2
_FORMAT = "=qiiiiqq64sq"  # struct Command of faults.c


class Faults:
    """`environment` is what the program is started with; then fail_at(), mend() and set_clock()
    count at once, as often as is wanted."""

    def __init__(self, directory):
        directory = Path(directory)
        library = directory / "faults.so"
        run("cc", "-std=c11", "-O1", "-shared", "-fPIC", "-Wall", "-Werror", "-o", library,
            Path(__file__).with_name("faults.c"), "-ldl")
        control = directory / "faults"
        control.write_bytes(bytes(struct.calcsize(_FORMAT)))
        with open(control, "r+b") as file:
            self._map = mmap.mmap(file.fileno(), struct.calcsize(_FORMAT))
        self.environment = {"LD_PRELOAD": str(library), "RELAYD_FAULTS": str(control)}

    def fail_at(self, number, calls, path, code=errno.EIO, goes_on=False):
        """The Nth call from now on a file with `path` in its path fails, and with goes_on every
        one after it."""
        self._write(calls=0)
        self._write(countdown=number, code=code, goes_on=int(goes_on), failed=0, writes=0,
                    path=path.encode())
        self._write(calls=calls)

    def mend(self):
        """Nothing fails any more; writes go on being counted."""
        self._write(calls=0)

    def set_clock(self, seconds):
        """So far ahead of the real clock, from now on."""
        self._write(clock=seconds * 1_000_000_000)

    def set_file_system(self, magic):
        """What statfs(2) says, as in linux/magic.h."""
        self._write(magic=magic)

    @property
    def failed(self):
        return self._read()["failed"]

    @property
    def writes(self):
        """How many writes to such files there were since fail_at()."""
        return self._read()["writes"]

    _NAMES = ("clock", "calls", "countdown", "code", "goes_on", "failed", "writes", "path", "magic")

    def _read(self):
        return dict(zip(self._NAMES, struct.unpack(_FORMAT, self._map[:])))

    def _write(self, **changes):
        offsets = (0, 8, 12, 16, 20, 24, 32, 40, 104)
        forms = ("q", "i", "i", "i", "i", "q", "q", "64s", "q")
        for name, value in changes.items():
            at = self._NAMES.index(name)
            struct.pack_into("=" + forms[at], self._map, offsets[at], value)
