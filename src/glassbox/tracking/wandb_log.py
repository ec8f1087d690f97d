"""The log of LevelDB's kind that W&B's file is: written entry by entry, and read as far as it is whole."""

import struct
import zlib
from pathlib import Path

MAGIC = struct.pack("<4sHB", b":W&B", 0xBEE1, 0)
BLOCK = 32768  # no entry's part crosses a multiple of it
HEAD = struct.Struct("<IHB")  # checksum, length and kind of a part
FULL, FIRST, MIDDLE, LAST = 1, 2, 3, 4


class Log:
    r"""A log of LevelDB's kind, as W&B has it.

    Args:
        path: The file, which is not there yet.

    Example:
        >>> import tempfile
        >>> log = Log(Path(tempfile.mkdtemp()) / "a.wandb")
        >>> log.append(b"entry")
        >>> log.close()
        >>> log.path.read_bytes()[:7], log.path.read_bytes()[-5:]
        (b':W&B\xe1\xbe\x00', b'entry')
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._file = path.open("xb", buffering=0)  # a process that is killed leaves every entry
        self._file.write(MAGIC)
        self._size = len(MAGIC)

    def append(self, entry: bytes) -> None:
        """Append an entry, in as many parts as the blocks demand."""
        start, done = 0, False
        while not done:
            room = BLOCK - self._size % BLOCK - HEAD.size
            if room < 0:
                self._write(bytes(room + HEAD.size))
                continue
            part = entry[start : start + room]
            done = start + len(part) == len(entry)
            kind = (FULL if done else FIRST) if start == 0 else (LAST if done else MIDDLE)
            self._write(HEAD.pack(zlib.crc32(part, zlib.crc32(bytes([kind]))), len(part), kind) + part)
            start += len(part)

    def _write(self, content: bytes) -> None:
        self._file.write(content)
        self._size += len(content)

    def close(self) -> None:
        """Close the file."""
        self._file.close()


def entries(path: Path) -> tuple[list[bytes], bool]:
    r"""Read a log.

    Args:
        path: The file.

    Returns:
        Its entries up to the first that is torn, and whether there was none such.

    Example:
        >>> import tempfile
        >>> log = Log(Path(tempfile.mkdtemp()) / "a.wandb")
        >>> log.append(b"first")
        >>> log.append(b"second")
        >>> log.close()
        >>> entries(log.path)
        ([b'first', b'second'], True)
        >>> _ = log.path.write_bytes(log.path.read_bytes()[:-1])
        >>> entries(log.path)
        ([b'first'], False)
    """
    content = path.read_bytes()
    if not content.startswith(MAGIC):
        return [], False
    found: list[bytes] = []
    entry, place, kind = b"", len(MAGIC), FULL
    while place < len(content):
        if BLOCK - place % BLOCK < HEAD.size:
            place += BLOCK - place % BLOCK
            continue
        if place + HEAD.size > len(content):
            return found, False
        check, size, kind = HEAD.unpack_from(content, place)
        place += HEAD.size
        part = content[place : place + size]
        if len(part) < size or zlib.crc32(part, zlib.crc32(bytes([kind]))) != check:
            return found, False
        place += size
        entry = part if kind in (FULL, FIRST) else entry + part
        if kind in (FULL, LAST):
            found.append(entry)
    return found, kind in (FULL, LAST)
