"""lhotse's Shar archives: cuts as lines, and their audio or features in tar files beside them, in numbered shards.

lhotse's own reader loads the audio of every cut it makes, and follows what a manifest names. This one says where the
audio lies in its tar file, from where it is read when it is wanted.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Optional, Union

from lhotse.cut import Cut
from rich.progress import Progress

from hra_cli.data.corpora.named_splits import named_splits
from hra_cli.data.corpora.shards_by_url import fetch_shards, is_url
from hra_cli.data.corpus import Corpus
from hra_cli.data.cut_fields import put_field
from hra_cli.data.manifests import parse_cut, parse_lines
from hra_cli.data.skipped import Skipped
from hra_cli.data.tar_member import TarMember, members_of
from hra_cli.errors import HraError
from hra_cli.io.files import sha256_of_file

REMEDY = "write it again with lhotse's CutSet.to_shar"
FILLED = ("recording", "features")  # what hra uses of that which tar files hold
LINES_SUFFIXES = (".jsonl.gz", ".jsonl")
_LARGEST_MANIFEST = 1 << 20  # bytes


@dataclass
class _Shard:
    """The files of one shard, by field; cuts is one of them. missing: the tar files that other shards have."""

    split: Optional[str]
    lines: dict[str, Path] = field(default_factory=dict)
    tars: dict[str, Path] = field(default_factory=dict)
    missing: list[Path] = field(default_factory=list)


def shar_corpus(
    given: Sequence[Union[str, Path]], fetch_to: Optional[Path] = None, progress: Optional[Progress] = None
) -> Corpus:
    """The cuts in Shar archives, one folder each: `cuts.000000.jsonl.gz` with `recording.000000.tar` and so on.

    given: a folder, or several as splits, see `named_splits`; or the URLs of an archive's files, which are copied into
    the folder `fetch_to` first and stay there, see `fetch_shards`, which `progress` is for. Of a cut without a
    recording the features are used. Fields in `FIELD.000000.jsonl.gz` are fields of the cuts; other arrays are left
    alone. Cuts whose audio is not in the tar file are skipped. An archive of which a line, or the size of a tar file,
    has changed is another corpus.

    Raises HraError where a folder has no archive, a line is damaged, or a URL cannot be opened.
    """
    named = named_splits(_fetched(given, fetch_to, progress))
    shards = [shard for split, folder in named for shard in _shards(folder, split)]
    return Corpus(
        path=named[0][1],
        arguments={
            "corpus": "shar",
            "folders": [f"{split}=" * bool(split) + os.path.abspath(folder) for split, folder in named],
            "archives-sha256": _digest(shards),
        },
        cuts=lambda: _cuts(shards),
        split_by="split" if named[0][0] else None,
    )


def _fetched(
    given: Sequence[Union[str, Path]], fetch_to: Optional[Path], progress: Optional[Progress]
) -> Sequence[Union[str, Path]]:
    """The folders: those that are given, or where the files that URLs name have been copied to."""
    urls = [str(one) for one in given if is_url(str(one))]
    if not urls:
        if fetch_to is not None:
            raise HraError("--fetch-to has no effect without URLs; leave it out")
        return given
    if len(urls) < len(given):
        raise HraError("give folders, or URLs, not both")
    if fetch_to is None:
        raise HraError(f"say with --fetch-to DIR where {urls[0]} is to be copied; it stays there")
    return fetch_shards(urls, fetch_to, progress)


def _shards(folder: Path, split: Optional[str]) -> list[_Shard]:
    if not os.path.isdir(folder):  # also where the name is too long
        raise HraError(f"no such folder: {folder}; give one with a Shar archive, such as cuts.000000.jsonl.gz")
    try:
        names = sorted(os.listdir(folder))
    except OSError as error:
        raise HraError(f"cannot read {folder}: {error.strerror or error}") from error
    shards: dict[str, _Shard] = {}
    for name in names:
        suffix = next((one for one in (*LINES_SUFFIXES, ".tar") if name.endswith(one)), None)
        if suffix is None or name.startswith(".") or not os.path.isfile(os.path.join(folder, name)):
            continue
        kind, _, number = name.removesuffix(suffix).partition(".")
        shard = shards.setdefault(number, _Shard(split))
        (shard.tars if suffix == ".tar" else shard.lines)[kind] = Path(folder) / name
    found = [shard for _, shard in sorted(shards.items()) if "cuts" in shard.lines]
    if not found:
        raise HraError(f"no Shar archive in {folder}: it has no cuts.000000.jsonl.gz; give the folder that has")
    _note_missing(Path(folder), shards)
    return found


def _note_missing(folder: Path, shards: Mapping[str, _Shard]) -> None:
    """Notes which tar files a shard lacks that others have. Raises HraError where it is the cuts that are missing."""
    kinds = {name for shard in shards.values() for name in FILLED if name in shard.tars}
    for number, shard in shards.items():
        if not number.isdigit():  # no shard
            continue
        if "cuts" in shard.lines:
            shard.missing = [folder / f"{name}.{number}.tar" for name in sorted(kinds - shard.tars.keys())]
            continue
        tar = next((path for name, path in shard.tars.items() if name in FILLED), None)
        if tar is not None:
            raise HraError(f"{tar} has no cuts.{number}.jsonl.gz beside it; copy the archive again, or move it away")


def _digest(shards: list[_Shard]) -> str:
    digest = hashlib.sha256()
    for shard in shards:
        content = [[name, sha256_of_file(path)] for name, path in sorted(shard.lines.items())]
        sizes = [[name, path.stat().st_size] for name, path in sorted(shard.tars.items())]
        digest.update(json.dumps([content, sizes]).encode())
    return digest.hexdigest()


def _cuts(shards: list[_Shard]) -> tuple[Iterator[Cut], list[Skipped]]:
    skipped: list[Skipped] = []
    return _stream(shards, skipped), skipped


def _stream(shards: list[_Shard], skipped: list[Skipped]) -> Iterator[Cut]:
    """The cuts of one shard after the other. skipped: gets what cannot be used."""
    for shard in shards:
        skipped += [
            Skipped(path.name, "missing archive", f"{path} is not there; copy it again") for path in shard.missing
        ]
        tars = {name: shard.tars[name] for name in FILLED if name in shard.tars}
        held = {name: _held(path, skipped) for name, path in tars.items()}
        values = {name: _values(path, name) for name, path in shard.lines.items() if name != "cuts"}
        file = shard.lines["cuts"]
        for number, content in enumerate(parse_lines(file, REMEDY), 1):
            what = f"{file}, line {number}"
            id_ = content.get("id")
            if not isinstance(id_, str):
                raise HraError(f"{what} is not a cut; {REMEDY}")
            for name, by_id in values.items():
                if id_ in by_id:
                    _put(content, name, by_id[id_])
            for name in FILLED:
                if id_ in held.get(name, {}):
                    content[name] = held[name][id_].manifest(name, id_)
                elif _is_placeholder(content.get(name)):
                    content.pop(name)
            if shard.split is not None:
                put_field(content, "split", shard.split)
            yield parse_cut(content, what, REMEDY)


@dataclass(frozen=True)
class _Held:
    """What a tar file holds for a cut: the data, whose name ends in suffix, and the manifest that describes them."""

    data: TarMember
    suffix: str
    description: TarMember

    def manifest(self, name: str, id_: str) -> dict[str, Any]:
        """The manifest of the recording or features, which says where the data are. Raises HraError."""
        where = f"{self.description.archive}, '{id_}'"
        if self.description.size > _LARGEST_MANIFEST:
            raise HraError(f"{where}: its manifest is larger than {_LARGEST_MANIFEST >> 20} MiB; {REMEDY}")
        try:
            content = json.loads(self.description.read())
        except ValueError as error:
            raise HraError(f"{where}: its manifest is damaged; {REMEDY}") from error
        if not isinstance(content, dict):
            raise HraError(f"{where}: its manifest is damaged; {REMEDY}")
        if name == "features":
            return {
                **content,
                "storage_type": "shar",
                "storage_path": self.data.archive,
                "storage_key": f"{self.data}{self.suffix}",
            }
        sources = content.get("sources")
        channels = sources[0].get("channels") if isinstance(sources, list) and len(sources) == 1 else None
        # Called as the cut: several cuts may be of one recording, and each has its own part of it here.
        return {**content, "id": id_, "sources": [{"type": "shar", "channels": channels, "source": str(self.data)}]}


def _held(archive: Path, skipped: list[Skipped]) -> dict[str, _Held]:
    """What a tar file holds, by the id of its cut. skipped: gets what cannot be used."""
    data: dict[str, tuple[TarMember, str]] = {}
    descriptions: dict[str, TarMember] = {}
    twice: set[str] = set()
    try:
        for name, member in members_of(archive):
            id_, suffix = os.path.splitext(name)
            if suffix in (".nodata", ".nometa"):  # the cut has none
                continue
            if id_ in (descriptions if suffix == ".json" else data):
                twice.add(id_)
            elif suffix == ".json":
                descriptions[id_] = member
            else:
                data[id_] = member, suffix
    except HraError as error:
        skipped.append(Skipped(archive.name, "damaged archive", str(error)))
    skipped += [Skipped(id_, "twice in its archive", str(archive)) for id_ in sorted(twice)]
    return {
        id_: _Held(member, suffix, descriptions[id_])
        for id_, (member, suffix) in data.items()
        if id_ in descriptions and id_ not in twice
    }


def _values(file: Path, name: str) -> dict[str, Any]:
    """A field that is stored as lines, by the id of its cut."""
    return {line["cut_id"]: line[name] for line in parse_lines(file, REMEDY) if _is_value(line, name)}


def _is_value(line: Mapping[str, Any], name: str) -> bool:
    return isinstance(line.get("cut_id"), str) and name in line  # without, the cut has none


def _put(content: dict[str, Any], name: str, value: Any) -> None:
    if name in FILLED:
        content[name] = value
    else:
        custom = content.get("custom")
        content["custom"] = {**(custom if isinstance(custom, dict) else {}), name: value}


def _is_placeholder(manifest: Any) -> bool:
    """Whether it is there only to be filled with what the tar file holds."""
    if not isinstance(manifest, dict):
        return False
    sources = manifest.get("sources")
    of_audio = isinstance(sources, list) and any(isinstance(one, dict) and one.get("type") == "shar" for one in sources)
    return of_audio or manifest.get("storage_type") == "shar"
