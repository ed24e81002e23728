"""Cut manifests of lhotse's, written, and read line by line: checked before anything is made of them.

lhotse's own reader takes a name that begins with `pipe:` for a command and runs it, and opens URLs.
"""

from __future__ import annotations

import contextlib
import gzip
import hashlib
import json
import os
import re
import zlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, Optional, Protocol, Union

from lhotse.cut import Cut
from lhotse.cut.set import deserialize_cut

from hra_cli.data.audio import HIGHEST_RATE, LOWEST_RATE, naming, one_line
from hra_cli.data.cut_table import Place
from hra_cli.data.resampling import check_resampling
from hra_cli.errors import HraError
from hra_cli.io.documents import parse_json, read_yaml
from hra_cli.io.files import writing
from hra_cli.io.gzip_blocks import BlockWriter, LongLine, read_lines

# Where audio may come from; "memory" cannot be read from a JSON file, and so ends as an unreadable recording. "shar" is
# a `TarMember`, as hra writes it; as lhotse writes it, it says nothing.
SOURCE_TYPES = ("file", "memory", "shar")
# A shell command whose output is the audio (a Kaldi wav.scp may have such), and what lhotse downloads.
COMMAND_TYPES = ("command", "url")
# How features and other arrays may be stored. Of lhotse's other ways some unpickle, follow URLs or run commands.
STORAGE_TYPES = (
    "lilcom_chunky",
    "lilcom_files",
    "numpy_files",
    "lilcom_hdf5",
    "numpy_hdf5",
    "chunked_lilcom_hdf5",
    "memory_lilcom",
    "memory_npy",
    "shar",
)
LONGEST_SECONDS = 1e7
_LONGEST_LINE = 1 << 28  # bytes; a gzip file of a few kB may hold more than any memory
_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*:")  # "pipe:" runs a command, "https:" downloads


class Digest(Protocol):
    """A hash of hashlib's."""

    def update(self, content: bytes, /) -> None:
        """Adds content."""


def stream_cuts(path: Path, allow_commands: bool = False) -> Iterator[Cut]:
    """The cuts of a manifest, one after the other: .jsonl, .json (both also with .gz) or .yaml.

    allow_commands: whether audio may come from shell commands and URLs. Nothing is run here. Raises HraError that names
    the line where the file is missing, damaged or something else, or where reading its cuts could run something. That
    it is missing, or no manifest by its name, is said at once.
    """
    if os.path.isdir(path):
        raise HraError(f"{path} is a folder; give its cuts.jsonl.gz, or a Shar archive to `hra prepare shar`")
    if not os.path.isfile(path):  # also where the name is too long
        raise HraError(f"no such cut manifest: {path}")
    remedy = "write it again with lhotse's CutSet.to_file"
    name = path.name.removesuffix(".gz")
    if name.endswith(".jsonl"):
        unit, lines = "line", _lines(path, remedy)
    elif name.endswith(".json"):
        unit, lines = "item", _items_of_json(path, remedy)
    elif path.name.endswith(".yaml"):
        unit, lines = "item", (json.dumps(item).encode() for item in read_yaml(path, list[Any], remedy))
    else:
        raise HraError(f"{path} is not a lhotse cut manifest; give its cuts.jsonl.gz")
    return _cuts_of_lines(path, unit, lines, remedy, allow_commands)


def _cuts_of_lines(path: Path, unit: str, lines: Iterable[bytes], remedy: str, allow_commands: bool) -> Iterator[Cut]:
    empty = True
    for number, line in enumerate(lines, 1):
        if line.strip():
            empty = False
            yield _cut(line, f"{path}, {unit} {number}", remedy, allow_commands)
    if empty:
        raise HraError(f"{path} is not a lhotse cut manifest: it holds nothing; give its cuts.jsonl.gz")


def parse_lines(file: Path, remedy: str) -> Iterator[dict[str, Any]]:
    """The objects in a .jsonl or .jsonl.gz file, one after the other. Raises HraError that names a line of another
    kind, and as `stream_cuts` does."""
    for number, line in enumerate(_lines(file, remedy), 1):
        if line.strip():
            content = _json(line, f"{file}, line {number}", remedy)
            if not isinstance(content, dict):
                raise HraError(f"{file}, line {number} is no object; {remedy}")
            yield content


def parse_cut(content: dict[str, Any], what: str, remedy: str) -> Cut:
    """A cut from what `Cut.to_dict` gives, checked as those of a manifest are. Raises HraError that begins with
    `what`."""
    return _cut_of(content, json.dumps(content).encode(), what, remedy, allow_commands=False)


def prepared_cuts(
    file: Path, remedy: str, allow_commands: bool, digest: Optional[Digest] = None
) -> Iterator[tuple[Cut, Place]]:
    """The cuts that `ManifestWriter` has written, one after the other, and where each can be read again.

    digest: is told of all content. Raises HraError as `stream_cuts` does.
    """
    with _reading(file, remedy):
        for number, (block, line, content) in enumerate(read_lines(file, _LONGEST_LINE), 1):
            if digest is not None:
                digest.update(content)
            yield _cut(content, f"{file}, line {number}", remedy, allow_commands), Place(file, block, line)


def read_block(file: Path, block: int, lines: Sequence[int], remedy: str, allow_commands: bool) -> list[Cut]:
    """The cuts at these lines of a file's block, as `prepared_cuts` has counted them. Raises HraError as it does, and
    where the file has no such lines."""
    wanted, found = set(lines), {}
    with _reading(file, remedy):
        for begins, line, content in read_lines(file, _LONGEST_LINE, start=block):
            if begins != block or line > max(wanted):
                break
            if line in wanted:
                found[line] = _cut(content, f"{file}, line {line + 1} from byte {block} on", remedy, allow_commands)
    if len(found) < len(wanted):
        raise HraError(f"{file} has changed since it was first read; {remedy}")
    return [found[line] for line in lines]


class ManifestWriter:
    """Writes a .jsonl.gz as lhotse does, line by line, in blocks that can be read alone. A context manager.

    lhotse itself takes a folder whose name ends in .tar for an archive. Raises HraError where it cannot write.
    """

    def __init__(self, file: Path) -> None:
        self._file = file
        self._digest = hashlib.sha256()
        with writing(file):
            file.parent.mkdir(parents=True, exist_ok=True)
            self._stream = open(file, "wb")  # noqa: SIM115 - `close` does
        self._lines = BlockWriter(self._stream)

    def write(self, content: Mapping[str, Any]) -> None:
        """Adds an item, as its `to_dict` gives it."""
        line = (json.dumps(content, ensure_ascii=False) + "\n").encode()
        self._digest.update(line)
        with writing(self._file):
            self._lines.write(line)

    def close(self) -> None:
        """Ends the file."""
        with writing(self._file), self._stream:
            self._lines.end()

    @property
    def sha256(self) -> str:
        """SHA-256 (hex) of the uncompressed content so far."""
        return self._digest.hexdigest()

    def __enter__(self) -> ManifestWriter:
        return self

    def __exit__(self, kind: Optional[type[BaseException]], *_: object) -> None:
        if kind is None:
            self.close()
        else:
            self._stream.close()


def _lines(file: Path, remedy: str) -> Iterator[bytes]:
    with _reading(file, remedy), gzip.open(file) if file.name.endswith(".gz") else open(file, "rb") as stream:
        while line := stream.readline(_LONGEST_LINE):
            if len(line) == _LONGEST_LINE:
                raise LongLine
            yield line


def _items_of_json(file: Path, remedy: str) -> Iterator[bytes]:
    items = parse_json(b"".join(_lines(file, remedy)), list[Any], str(file), remedy)
    yield from (json.dumps(item).encode() for item in items)


@contextlib.contextmanager
def _reading(file: Path, remedy: str) -> Iterator[None]:
    try:
        yield
    except LongLine as error:
        raise HraError(f"{file} is damaged: it has a line of more than {_LONGEST_LINE >> 20} MiB; {remedy}") from error
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise HraError(f"{file} is damaged: it is cut off or no gzip file; {remedy}") from error
    except OSError as error:
        raise HraError(f"cannot read {file}: {error.strerror or error}; {remedy}") from error


def _cut(line: bytes, what: str, remedy: str, allow_commands: bool) -> Cut:
    return _cut_of(_json(line, what, remedy), line, what, remedy, allow_commands)


def _json(line: bytes, what: str, remedy: str) -> Any:
    # Not above: it makes `hra --help` slow.
    from pydantic_core import from_json

    try:
        return from_json(line, allow_inf_nan=False)
    except ValueError as error:
        problem = str(error).split(" at line ")[0]  # of this one line
        raise HraError(f"{what} is damaged: {problem}; {remedy}") from error


def _cut_of(content: Any, line: bytes, what: str, remedy: str, allow_commands: bool) -> Cut:
    """line: the content as JSON, for whoever checks it."""
    kind = content.get("type") if isinstance(content, dict) else None
    if not isinstance(kind, str) or kind not in _KINDS:
        raise HraError(f"{what} is not a cut but {_described(content)}; give a lhotse cut manifest (cuts.jsonl.gz)")
    _refuse_what_runs(content, what, allow_commands)
    parse_json(line, _KINDS[kind], what, remedy, unknown="ignore")
    # lhotse leaves out what is not there, and takes null for something.
    content = {name: value for name, value in content.items() if value is not None}
    if kind == "Cut":  # as lhotse wrote it before 0.8; it warns of them
        content["type"] = "MonoCut"
    try:
        return deserialize_cut(content)
    except Exception as error:  # whatever is in fields that are not checked above, such as transforms
        raise HraError(f"{what} is damaged: {type(error).__name__}: {one_line(error)}; {remedy}") from error


def _described(content: Any) -> str:
    if not isinstance(content, dict):
        return "no object"
    if "sources" in content:
        return "a recording"
    if "num_features" in content:
        return "a feature matrix"
    return "a supervision" if "recording_id" in content else "something else"


def _refuse_what_runs(content: Any, what: str, allow_commands: bool) -> None:
    """Raises HraError for what runs, downloads, unpickles or takes gigabytes when read, anywhere in `content`."""
    allowed = SOURCE_TYPES + (COMMAND_TYPES if allow_commands else ())
    nodes = [content]
    while nodes:
        node = nodes.pop()
        if isinstance(node, dict):
            sources = node.get("sources")
            for source in sources if isinstance(sources, list) else ():
                if isinstance(source, dict) and source.get("type") not in allowed:
                    raise HraError(_refused_source(source, what))
            if "storage_type" in node:
                kind, place = str(node["storage_type"])[:200], str(node.get("storage_path"))[:200]
                if kind not in STORAGE_TYPES or _SCHEME.match(place):
                    raise HraError(
                        f"{what}: arrays of storage type {kind!r} in {place!r} are not read, since reading them might "
                        "run something; leave them out (lhotse's drop_features)"
                    )
            source, target = node.get("source_sampling_rate"), node.get("target_sampling_rate")
            if isinstance(source, (int, float)) and isinstance(target, (int, float)):
                with naming(what):
                    check_resampling(int(source), int(target))  # lhotse makes the filter as it reads
        values = node.values() if isinstance(node, dict) else node
        nodes += [value for value in values if isinstance(value, (dict, list))]


def _refused_source(source: dict[str, Any], what: str) -> str:
    kind = source.get("type")
    if kind not in COMMAND_TYPES:
        return f"{what}: an audio source of type {kind!r} is unknown; it must be 'file'"
    does = "runs a shell command" if kind == "command" else "downloads"
    return (
        f"{what}: an audio source of type '{kind}' {does} when it is read: {str(source.get('source'))[:200]!r}; "
        "prepare the data with `hra prepare cuts --allow-commands` if you trust all of it"
    )


# What later code relies on. Fields that are not here are lhotse's to check.


@dataclass
class _Source:
    type: str
    channels: list[int]
    source: str


@dataclass
class _Recording:
    id: str
    sources: list[_Source]
    sampling_rate: int
    num_samples: int
    duration: float
    channel_ids: Optional[list[int]] = None

    def __post_init__(self) -> None:
        _check(bool(self.sources), "the recording has no audio source")
        _check_rate(self.sampling_rate)
        _check_seconds("the duration of its recording", self.duration)
        _check(self.num_samples >= 0, f"the recording has {self.num_samples} samples")


@dataclass
class _Features:
    type: str
    num_frames: int
    num_features: int
    frame_shift: float
    sampling_rate: int
    start: float
    duration: float
    storage_type: str
    storage_path: str
    storage_key: str

    def __post_init__(self) -> None:
        _check_rate(self.sampling_rate)
        _check_seconds("the start of its features", self.start)
        _check_seconds("the duration of its features", self.duration)
        _check(0 < self.frame_shift < 1, f"the features have a frame every {self.frame_shift} s")
        _check(self.num_frames > 0 and self.num_features > 0, "the features are empty")


@dataclass
class _Supervision:
    id: str
    recording_id: str
    start: float
    duration: float
    channel: Union[int, list[int]] = 0
    speaker: Union[str, int, None] = None
    custom: Optional[dict[str, Any]] = None

    def __post_init__(self) -> None:
        # One outside its recording is the cut's own fault: it is skipped, and the others are not.
        _check(abs(self.start) <= LONGEST_SECONDS, f"the start of a supervision is {self.start} s")
        _check(abs(self.duration) <= LONGEST_SECONDS, f"the duration of a supervision is {self.duration} s")


@dataclass
class _DataCut:
    id: str
    type: Literal["MonoCut", "MultiCut", "Cut"]
    start: float
    duration: float
    channel: Union[int, list[int]]
    supervisions: list[_Supervision] = field(default_factory=list)
    features: Optional[_Features] = None
    recording: Optional[_Recording] = None
    custom: Optional[dict[str, Any]] = None

    def __post_init__(self) -> None:
        _check_seconds("its start", self.start)
        _check_seconds("its duration", self.duration)


@dataclass
class _OtherCut:
    """One that is skipped, so that only its name matters."""

    id: str


_KINDS: dict[str, type] = {
    "MonoCut": _DataCut,
    "MultiCut": _DataCut,
    "Cut": _DataCut,
    "MixedCut": _OtherCut,
    "PaddingCut": _OtherCut,
}


def _check(right: bool, problem: str) -> None:
    if not right:
        raise HraError(f"{problem}, which cannot be; correct the manifest")


def _check_rate(rate: int) -> None:
    _check(LOWEST_RATE <= rate <= HIGHEST_RATE, f"the sampling rate is {rate} Hz")


def _check_seconds(what: str, seconds: float) -> None:
    _check(0 <= seconds <= LONGEST_SECONDS, f"{what} is {seconds} s")
