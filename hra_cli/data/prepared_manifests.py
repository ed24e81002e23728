"""The manifests of a prepared data folder: recordings, supervisions, features, and cuts, all and by task and split."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Optional

from lhotse import SupervisionSegment

from hra_cli.data.chunk_archive import Archives
from hra_cli.data.cut_store import CutStore
from hra_cli.data.manifests import ManifestWriter
from hra_cli.data.task_index import Split

Content = dict[str, Any]
RECORDINGS_NAME = "recordings.jsonl.gz"
SUPERVISIONS_NAME = "supervisions.jsonl.gz"
FEATURES_NAME = "features.jsonl.gz"
CUTS_NAME = "cuts.jsonl.gz"
MANIFESTS = (RECORDINGS_NAME, SUPERVISIONS_NAME, FEATURES_NAME, CUTS_NAME)


def write_prepared(
    folder: Path, store: CutStore, counted: Callable[[Iterator[Content]], Iterator[Content]]
) -> dict[str, dict[str, Split]]:
    """Writes every cut of the store, by task, split and id, and returns what the index says of the splits.

    counted: passes on what is written, and says how much there has been.

    Recordings and supervisions are written once each, however many cuts have them, and the features of every cut.
    """
    tasks: dict[str, dict[str, Split]] = {}
    with contextlib.ExitStack() as open_files:

        def writer(name: str) -> ManifestWriter:
            return open_files.enter_context(ManifestWriter(folder / name))

        cuts, supervisions = writer(CUTS_NAME), writer(SUPERVISIONS_NAME)
        recordings: Optional[ManifestWriter] = None
        features: Optional[ManifestWriter] = None
        split: Optional[_OpenSplit] = None
        for content in counted(store.contents()):
            cuts.write(content)
            if "recording" in content and store.first_time(0, content["recording"]["id"]):
                recordings = recordings or writer(RECORDINGS_NAME)
                recordings.write(content["recording"])
            if "features" in content:
                features = features or writer(FEATURES_NAME)
                features.write(content["features"])
            supervision = content["supervisions"][0]
            if store.first_time(1, supervision["id"]):
                supervisions.write(_in_recording(supervision, content["start"]))
            place = content["custom"]["task"], content["custom"]["split"]
            if split is None or split.place != place:
                if split is not None:
                    split.close_into(tasks)
                split = _OpenSplit(folder, *place)
            split.write(content)
        if split is not None:
            split.close_into(tasks)
    return tasks


def write_shards(archives: Archives, chunks: int, store: CutStore) -> None:
    """Writes the cuts of every chunk beside its audio, as Shar has them: lhotse's `CutSet.from_shar` reads them."""
    assert archives.folder is not None
    for number in range(chunks):
        with ManifestWriter(archives.folder / f"cuts.{number:06d}.jsonl.gz") as writer:
            for content in store.contents_of_chunk(number):
                (source,) = content["recording"]["sources"]
                writer.write({**content, "recording": {**content["recording"], "sources": [{**source, "source": ""}]}})


def _in_recording(supervision: Content, start: float) -> Content:
    """A cut's supervision, whose times are relative to the cut's start."""
    if "alignment" in supervision:
        moved: Content = SupervisionSegment.from_dict(supervision).with_offset(start).to_dict()
        return moved
    return {**supervision, "start": round(supervision["start"] + start, 8)}  # as lhotse has it


class _OpenSplit:
    """The manifest of one split of one task, while it is written."""

    def __init__(self, folder: Path, task: str, split: str) -> None:
        self.place = task, split
        self._name = f"cuts/{task}/{split}.jsonl.gz"
        self._writer = ManifestWriter(folder / self._name)
        self._utterances, self._words, self._seconds = 0, 0, 0.0

    def write(self, content: dict[str, Any]) -> None:
        self._writer.write(content)
        self._utterances += 1
        self._words += len(content["supervisions"][0]["text"].split())
        self._seconds += content["duration"]

    def close_into(self, tasks: dict[str, dict[str, Split]]) -> None:
        self._writer.close()
        task, split = self.place
        entry = Split(self._name, self._utterances, round(self._seconds, 3), self._words, self._writer.sha256)
        tasks.setdefault(task, {})[split] = entry
