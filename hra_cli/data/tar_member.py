"""A file in a tar archive, named by where it lies, so that it can be read alone and is never copied."""

from __future__ import annotations

import contextlib
import os
import re
import tarfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from hra_cli.errors import HraError

_WRITTEN = re.compile(r"([0-9]{1,18})\+([0-9]{1,18})@(.+)", re.DOTALL)


@dataclass(frozen=True)
class TarMember:
    """So many bytes of an archive, from an offset on. It is written as `OFFSET+SIZE@ARCHIVE`."""

    offset: int
    size: int
    archive: str

    def __str__(self) -> str:
        return f"{self.offset}+{self.size}@{self.archive}"

    @staticmethod
    def parse(written: str) -> TarMember:
        """Raises HraError for text of another form."""
        match = _WRITTEN.fullmatch(written)
        if match is None:
            raise HraError("it lies in a Shar archive, but where is not said; prepare it with `hra prepare shar`")
        return TarMember(int(match[1]), int(match[2]), match[3])

    def read(self) -> bytes:
        """Raises HraError where the archive is missing or has changed."""
        try:
            if not os.path.isfile(self.archive):  # opening a pipe could wait forever
                raise HraError(f"no such archive: {self.archive}")
            with open(self.archive, "rb") as stream:
                # Before it is read: no more than there is.
                if stream.seek(0, os.SEEK_END) < self.offset + self.size:
                    raise HraError(f"{self.archive} is cut off; copy it again")
                stream.seek(self.offset)
                return stream.read(self.size)
        except OSError as error:
            raise HraError(f"cannot read {self.archive}: {error.strerror or error}") from error


def _check_end(archive: Path, end: int) -> None:
    """Raises HraError where zeros do not follow the last file, and nothing else: what is cut off between two files, or
    has a damaged header, has ended for `tarfile` too."""
    with open(archive, "rb") as stream:
        stream.seek(end)
        if not stream.read(1):
            raise HraError(f"{archive} is cut off; copy it again")
        stream.seek(end)
        while block := stream.read(1 << 20):
            if block.count(0) < len(block):
                raise HraError(f"{archive} is damaged: what is at byte {end:,} is no file; copy it again")


def members_of(archive: Path) -> Iterator[tuple[str, TarMember]]:
    """The files in an uncompressed tar archive, in order, by name. Nothing is unpacked.

    Raises HraError where the archive is missing, no such archive, or damaged, after those files that are before that.
    """
    path = os.path.abspath(archive)
    try:
        if not os.path.isfile(path):
            raise HraError(f"no such archive: {archive}")
        size = os.path.getsize(path)
        with contextlib.closing(tarfile.open(path, "r:")) as tar:
            while (member := tar.next()) is not None:
                tar.members = []  # type: ignore[attr-defined]  # it would remember all of them
                if member.isreg() and not member.issparse():
                    if member.offset_data + member.size > size:
                        raise HraError(f"{archive} is cut off; copy it again")
                    yield member.name, TarMember(member.offset_data, member.size, path)
            _check_end(archive, tar.offset)
    except OSError as error:
        raise HraError(f"cannot read {archive}: {error.strerror or error}") from error
    except (tarfile.TarError, ValueError, EOFError) as error:
        raise HraError(f"{archive} is damaged, or no uncompressed tar archive: {str(error)[:200]}") from error
