"""Every kind of file that hra reads: a whole one, what is done to it, and how its user would read it."""

from __future__ import annotations

import contextlib
import csv
import gzip
import hashlib
import json
import re
import shutil
import zlib
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import soundfile
import torch
from lhotse import CutSet, LilcomChunkyWriter
from lhotse.utils import fastcopy
from recordings import character_tokens, digits_bbpe, digits_bpe
from robustness.mutators import (
    BYTES,
    CUTS,
    JSON,
    JSONL,
    LINES,
    PICKLES,
    SAFETENSORS,
    TORCH_ZIPS,
    YAML,
    Mutator,
    hostile_source,
    hostile_texts,
    zipped,
)
from robustness.outcomes import RAW, Bad, hra
from robustness.samples import RATE, Samples, sound

from hra_cli.adapter.head_file import read_head
from hra_cli.backbone.model import load_backbone
from hra_cli.data.audio import mono_audio
from hra_cli.data.batches import audio_file_cuts
from hra_cli.data.features import fbank
from hra_cli.data.find_tokenizer import load_tokenizer
from hra_cli.export.export_record import RECORD_NAME, ExportRecord, read_record, write_record
from hra_cli.io.documents import digest_of
from hra_cli.io.tensors import fingerprint, read_safetensors
from hra_cli.report.comparison_content import read_comparison
from hra_cli.report.experiment_content import read_experiment


@dataclass(frozen=True)
class Kind:
    """place: puts a whole file, and what belongs to it, into an empty folder and returns it. read: what hra makes of
    it, as something that can be compared. harmless: why another result is no harm; (before, after) to "" where it is.
    cost: how long one case takes, in cases of an ordinary kind.
    """

    name: str
    place: Callable[[Path, Samples], Path]
    mutators: Sequence[Mutator]
    read: Callable[[Path, Samples], Any]
    harmless: Callable[[Any, Any], str] = lambda before, after: ""
    cost: float = 1.0


def always(reason: str) -> Callable[[Any, Any], str]:
    return lambda before, after: reason


# Recognisers


def _place_in(sample: str, name: str) -> Callable[[Path, Samples], Path]:
    """A copy of the folder `sample`, and in it the file `name`, or the first one of that pattern."""

    def place(folder: Path, samples: Samples) -> Path:
        shutil.copytree(getattr(samples, sample), folder / sample)
        return next((folder / sample).glob(name))

    return place


def _place_recogniser(name: str) -> Callable[[Path, Samples], Path]:
    def place(folder: Path, samples: Samples) -> Path:
        shutil.copy(samples.recogniser / "bpe.model", folder)
        whole = samples.recogniser / "model.safetensors"
        if name.endswith(".safetensors"):
            shutil.copy(whole, folder / name)
        else:
            # Into a stream, since torch writes the name of a file into it.
            with open(folder / name, "wb") as stream:
                content = {"model": read_safetensors(whole)[0]}
                torch.save(content, stream, _use_new_zipfile_serialization=name == "pretrained.pt")
        return folder / name

    return place


def _read_recogniser(file: Path, samples: Samples) -> Any:
    hra("info", file.parent)
    backbone = load_backbone(file.parent)
    _decode_audio(file.parent, samples, "--no-heads")
    return fingerprint(backbone.state_dict())


def _place_tokenizer(make: Callable[[Path, int], Path]) -> Callable[[Path, Samples], Path]:
    """The recogniser with a tokenizer of another kind."""

    def place(folder: Path, samples: Samples) -> Path:
        shutil.copytree(samples.recogniser, folder, dirs_exist_ok=True)
        (folder / "bpe.model").unlink()
        return make(folder, load_tokenizer(samples.recogniser).vocab_size)

    return place


def _read_tokenizer(file: Path, samples: Samples) -> Any:
    hra("info", file.parent)
    text = _decode_audio(file.parent, samples, "--no-heads")
    return load_tokenizer(file).fingerprint, text, load_tokenizer(file).encode("ONE TWO")


def _decode_audio(recogniser: Path, samples: Samples, *options: object) -> Any:
    return _recognised(samples.audio / "ann-0.wav", samples.audio / "bob-3.wav", "--backbone", recogniser, *options)


def _recognised(*arguments: object) -> dict[str, Any]:
    """What `hra decode` finds in audio files, by file."""
    lines = hra("decode", *arguments, "--format", "json", "--device", "cpu").splitlines()
    return {one["file"]: one for one in map(json.loads, lines)}


# Heads, controllers, checkpoints


def _place_head(folder: Path, samples: Samples) -> Path:
    return Path(shutil.copy(samples.head, folder / "ann.safetensors"))


def _read_head(file: Path, samples: Samples) -> Any:
    shown = hra("info", file)
    head = read_head(file)
    text = _recognised(samples.audio / "ann-0.wav", "--backbone", samples.recogniser, "--head", file)
    decides = (head.task, head.kind, head.hidden, head.inner, fingerprint({**head.tensors, **(head.controller or {})}))
    return "not sealed" in shown, decides, text


def _head_harmless(before: Any, after: Any) -> str:
    return "a head without a seal, and `hra info` says so" if after[0] else ""


def _place_controller(folder: Path, samples: Samples) -> Path:
    shutil.copytree(samples.exp, folder / "exp")
    return folder / "exp" / "controller.safetensors"


def _read_controller(file: Path, samples: Samples) -> Any:
    hra("info", file)
    return fingerprint(read_safetensors(file)[0]), _decode_data(samples.data, samples, "--exp-dir", file.parent)


def _place_pack(folder: Path, samples: Samples) -> Path:
    hra("export-head", "--exp-dir", samples.exp, "--all", "--pack", folder / "heads.safetensors")
    return folder / "heads.safetensors"


def _read_pack(file: Path, samples: Samples) -> Any:
    # The same header may be written with more spaces.
    shown = [line for line in hra("info", file).splitlines() if not line.startswith("│ size ")]
    return shown, _decode_data(samples.data, samples, "--heads", file)


def _place_checkpoint(folder: Path, samples: Samples) -> Path:
    shutil.copytree(samples.begun, folder / "exp")
    return folder / "exp" / "checkpoints" / "last.safetensors"


def _read_checkpoint(file: Path, samples: Samples) -> Any:
    return _resume(file.parents[1], samples)


def _resume(exp: Path, samples: Samples) -> Any:
    hra("train", *samples.train_arguments(), "--exp-dir", exp, "--resume")
    return _heads(exp)


def _heads(exp: Path) -> dict[str, str]:
    files = [exp / "controller.safetensors", *sorted((exp / "heads").glob("*.safetensors"))]
    return {file.name: fingerprint(read_safetensors(file)[0]) for file in files}


# Experiments


def _read_config(file: Path, samples: Samples) -> Any:
    exp = file.parent
    shown = hra("info", exp)
    hra("export-head", "--exp-dir", exp, "--task", "ann", "--output", exp / "ann.safetensors")
    read_experiment(exp)
    return shown, _resume(exp, samples)


def _read_reported(file: Path, samples: Samples) -> Any:
    exp = next(folder for folder in file.parents if folder.name == "exp")
    return hra("info", exp), str(read_experiment(exp)), _page(exp)


def _read_metrics(file: Path, samples: Samples) -> Any:
    return _read_reported(file, samples)[:2], _resume(file.parent, samples)


def _page(folder: Path) -> str:
    """The report's page, which must not hold a file's text as markup."""
    output = folder / "page.html"
    hra("report", folder, "--output", output)
    page = output.read_text(encoding="utf-8")
    if found := re.search(r"<script>hostile|<img src=x", page):
        raise Bad(RAW, f"markup of a file in the page: {page[max(0, found.start() - 60) :][:120]!r}")
    return page


# Comparisons


def _read_comparison(file: Path, samples: Samples) -> Any:
    return hra("info", file.parent), str(read_comparison(file.parent)), _page(file.parent)


def _compare_again(file: Path, samples: Samples) -> Any:
    folder = next(folder for folder in file.parents if folder.name == "comparison")
    hra("compare", *samples.compare_arguments(), "--exp-dir", folder)
    found = json.loads((folder / "comparison.json").read_text(encoding="utf-8"))
    return found["cells"], found["frozen"], found["test"]


# Exports


def _place_export(folder: Path, samples: Samples) -> Path:
    record = ExportRecord(
        "hra-onnx", 1, "0.1.0", str(samples.recogniser), "b" * 64, "c" * 64, 4, None, None, str(samples.exp), None, [],
        None, {"ann": "d" * 64}, ["", ".int8"], {"encoder-ann.onnx": "e" * 64},
    )  # fmt: skip
    write_record(folder, record)
    return folder / RECORD_NAME


def _read_export(file: Path, samples: Samples) -> Any:
    return asdict(read_record(file.parent))


# Data


def _read_data(file: Path, samples: Samples) -> Any:
    """All that is made of a data folder: what is recognised, and heads."""
    data = next(folder for folder in file.parents if folder.name == "data")
    hra("info", data)
    return _use_data(data, samples)


def _place_unprepared(folder: Path, samples: Samples) -> Path:
    """A manifest of a folder whose audio is read whenever it is needed."""
    hra(
        "prepare", "cuts", samples.cuts, "--task-by", "speaker", "--output-dir", folder / "data", "--on-the-fly",
    )  # fmt: skip
    return folder / "data" / "cuts" / "ann" / "test.jsonl.gz"


def _read_resealed(file: Path, samples: Samples) -> Any:
    """As whoever makes a hostile folder does it: the index has the digest of the damaged manifest."""
    data = file.parents[2]
    index = json.loads((data / "tasks.json").read_text(encoding="utf-8"))
    entry = index["tasks"]["ann"]["test"]
    if "sha256" in entry:
        with contextlib.suppress(OSError, EOFError, zlib.error):
            entry["sha256"] = hashlib.sha256(gzip.decompress(file.read_bytes())).hexdigest()
    index["sha256"] = digest_of(index)
    (data / "tasks.json").write_text(json.dumps(index), encoding="utf-8")
    return _decode_data(data, samples, "--no-heads")


def _use_data(data: Path, samples: Samples) -> Any:
    recognised = _decode_data(data, samples, "--no-heads")
    hra("train", *samples.train_arguments(data, epochs=1), "--exp-dir", data.parent / "trained")
    return recognised, _heads(data.parent / "trained")


def _decode_data(data: Path, samples: Samples, *options: object) -> Any:
    output = data.parent / "out.json"
    if data == samples.data:
        output = Path(str(options[-1])).parent / "out.json"
    hra(
        "decode", "--backbone", samples.recogniser, "--data", data, *options, "--json", output, "--device", "cpu",
        "--output-dir", output.parent / "decoded",
    )  # fmt: skip
    found = json.loads(output.read_text(encoding="utf-8"))
    del found["speed"]
    return found


def _place_features(folder: Path, samples: Samples) -> Path:
    hra("prepare", "cuts", samples.cuts, "--task-by", "speaker", "--output-dir", folder / "data")
    return next((folder / "data" / "feats").glob("*.lca"))


# A user's own data


def _place_cuts(ending: str) -> Callable[[Path, Samples], Path]:
    def place(folder: Path, samples: Samples) -> Path:
        file = folder / f"cuts.{ending}"
        CutSet.from_file(samples.cuts).to_file(file)
        return file

    return place


def _read_cuts(file: Path, samples: Samples) -> Any:
    return _prepared("cuts", file, file.parent / "data")


def _kaldi_folder(folder: Path, samples: Samples) -> Path:
    kaldi = folder / "kaldi"
    kaldi.mkdir()
    cuts = list(CutSet.from_file(samples.cuts))
    for name, line in {
        "wav.scp": lambda cut: cut.recording.sources[0].source,
        "segments": lambda cut: f"{cut.id} 0.1 0.5",
        "text": lambda cut: cut.supervisions[0].text,
        "utt2spk": lambda cut: cut.supervisions[0].speaker,
        "utt2room": lambda cut: "hall",
        "reco2file_and_channel": lambda cut: f"{cut.id} A",
    }.items():
        (kaldi / name).write_text("".join(f"{cut.id} {line(cut)}\n" for cut in cuts), encoding="utf-8")
    return kaldi


def _place_kaldi(name: str) -> Callable[[Path, Samples], Path]:
    return lambda folder, samples: _kaldi_folder(folder, samples) / name


def _read_kaldi(file: Path, samples: Samples) -> Any:
    return _prepared("kaldi", file.parent, file.parent.parent / "data")


def _place_table(ending: str) -> Callable[[Path, Samples], Path]:
    def place(folder: Path, samples: Samples) -> Path:
        names = ("file", "words", "speaker", "from", "room")
        rows = [
            (cut.recording.sources[0].source, cut.supervisions[0].text, cut.supervisions[0].speaker, "0.1", "a, b")
            for cut in CutSet.from_file(samples.cuts)
        ]
        file = folder / f"table.{ending}"
        with open(file, "w", encoding="utf-8", newline="") as stream:
            if ending == "jsonl":
                stream.writelines(json.dumps(dict(zip(names, row))) + "\n" for row in rows)
            else:
                csv.writer(stream, delimiter="," if ending == "csv" else "\t").writerows([names, *rows])
        return file

    return place


def _place_parquet(folder: Path, samples: Samples) -> Path:
    table = _place_table("jsonl")(folder, samples)
    file = folder / "table.parquet"
    try:
        from pyarrow import Table, parquet
    except ImportError:
        file.write_bytes(b"PAR1")  # refused, as any is where pyarrow is missing
        return file
    rows = [json.loads(line) for line in table.read_text(encoding="utf-8").splitlines()]
    parquet.write_table(Table.from_pylist(rows), file)
    return file


def _read_table(file: Path, samples: Samples) -> Any:
    columns = ("--audio", "file", "--text", "words", "--start", "from")
    return _prepared("table", file, *columns, file.parent / "data")


def _prepared(source: str, *arguments: object) -> Any:
    """What `hra prepare` makes of it; the last argument is the folder to write."""
    *given, data = arguments
    hra("prepare", source, *given, "--task-by", "speaker", "--output-dir", data)
    index = json.loads((Path(str(data)) / "tasks.json").read_text(encoding="utf-8"))
    skipped = Path(str(data)) / "skipped.tsv"
    return index["tasks"], skipped.read_text(encoding="utf-8") if skipped.is_file() else ""


def _place_shar(name: str) -> Callable[[Path, Samples], Path]:
    """An archive of the recordings, or of their features without them."""

    def place(folder: Path, samples: Samples) -> Path:
        (folder / "shar").mkdir()
        cuts = CutSet.from_file(samples.cuts)
        if name.startswith("recording"):
            cuts.to_shar(folder / "shar", fields={"recording": "wav"}, shard_size=20)
        else:
            _featured(cuts, folder).to_shar(folder / "shar", fields={"features": "lilcom"}, shard_size=20)
        return folder / "shar" / name

    return place


def _place_shar_cuts(folder: Path, samples: Samples) -> Path:
    return _place_shar("recording.000000.tar")(folder, samples).with_name("cuts.000000.jsonl.gz")


def _featured(cuts: CutSet, folder: Path) -> CutSet:
    """The cuts with features as hra's, and without their recordings."""
    with LilcomChunkyWriter(folder / "feats.lca") as storage:
        stored = [cut.compute_and_store_features(fbank(), storage) for cut in cuts]
    return CutSet.from_cuts(fastcopy(cut, recording=None) for cut in stored)


def _place_featured(folder: Path, samples: Samples) -> Path:
    _featured(CutSet.from_file(samples.cuts), folder).to_file(folder / "cuts.jsonl")
    return folder / "cuts.jsonl"


def _place_transcripts(folder: Path, samples: Samples) -> Path:
    chapter = folder / "corpus" / "ann"
    chapter.mkdir(parents=True)
    lines = []
    for audio in sorted(samples.audio.glob("ann-*.wav")):
        shutil.copy(audio, chapter)
        lines.append(f"{audio.stem} ONE TWO\n")
    (chapter / "ann.trans.txt").write_text("".join(lines), encoding="utf-8")
    return chapter / "ann.trans.txt"


def _read_shar(file: Path, samples: Samples) -> Any:
    return _prepared("shar", file.parent, file.parent.parent / "data")


def _read_folder(file: Path, samples: Samples) -> Any:
    return _prepared("folder", file.parent.parent, file.parent.parent.parent / "data")


def _place_audio(ending: str, format: str, subtype: str) -> Callable[[Path, Samples], Path]:
    def place(folder: Path, samples: Samples) -> Path:
        file = folder / f"speech.{ending}"
        soundfile.write(file, sound(0.5, 1), RATE, format=format, subtype=subtype)
        return file

    return place


def _place_sphere(folder: Path, samples: Samples) -> Path:
    """NIST SPHERE with 16-bit samples, which libsndfile reads but does not write as .sph."""
    file = folder / "speech.sph"
    samples_ = (sound(0.5, 1) * 32767).astype("<i2")
    fields = (
        f"sample_count -i {len(samples_)}", f"sample_rate -i {RATE}", "channel_count -i 1", "sample_n_bytes -i 2",
        "sample_byte_format -s2 01", "sample_sig_bits -i 16", "sample_coding -s3 pcm", "end_head",
    )  # fmt: skip
    header = "NIST_1A\n   1024\n" + "\n".join(fields) + "\n"
    file.write_bytes(header.encode().ljust(1024) + samples_.tobytes())
    return file


_WIDTHS = {
    "PCM_S8": 1, "PCM_U8": 1, "ULAW": 1, "ALAW": 1, "PCM_16": 2, "PCM_24": 3, "PCM_32": 4, "FLOAT": 4, "DOUBLE": 8,
}  # fmt: skip


def _read_audio(file: Path, samples: Samples) -> Any:
    """Frames as they are decoded, digest of them, text, and bytes that the file's own samples take."""
    text = _recognised(file, "--backbone", samples.recogniser, "--no-heads")
    (cut,) = audio_file_cuts([file])
    audio = mono_audio(cut)
    return audio.shape[1], hashlib.sha256(audio.tobytes()).hexdigest(), text, _bytes_of_samples(file)


def _bytes_of_samples(file: Path) -> int:
    """0 where a sample has no fixed number of bytes."""
    info = soundfile.info(str(file))
    return info.frames * info.channels * _WIDTHS.get(info.subtype, 0)


def _sound_harmless(before: Any, after: Any) -> str:
    if after[0] == before[0]:
        return "samples have no checksum: another bit is another sound of the same length"
    if abs(after[0] - before[0]) <= before[0] / 1000:
        return "a rate that differs by a thousandth is the same sound"
    return ""


def _block_rate_harmless(before: Any, after: Any) -> str:
    near = abs(after[0] - before[0]) <= before[0] / 20
    return _sound_harmless(before, after) or (
        "programs round the bytes a second of such blocks by up to a twentieth: so much may the rate differ" * near
    )


def _rate_once_harmless(before: Any, after: Any) -> str:
    as_much = abs(after[3] - before[3]) <= before[3] / 1000
    return _sound_harmless(before, after) or (
        "such a header says rate, channels and width once: all samples, of another sound" * as_much
    )


# Names


def hostile_name(content: bytes, rng: Any) -> bytes:
    """A name that a file can have."""
    text = rng.choice([text for text in hostile_texts() if text not in ("", ".", "..") and "\0" not in text])
    ending = rng.choice(("", ".wav", ".sph", ".opus", ".mp3", ".flac", ".m4a", ".jsonl", ".jsonl.gz", ".safetensors"))
    return (text.replace("/", "_").encode("utf-8", "replace")[:200]) + ending.encode()


def _place_name(name: str) -> Callable[[Path, Samples], Path]:
    def place(folder: Path, samples: Samples) -> Path:
        file = folder / "name.txt"
        file.write_text(name, encoding="utf-8")
        return file

    return place


def _read_named_audio(file: Path, samples: Samples) -> Any:
    named = file.parent / file.read_text(encoding="utf-8")
    shutil.copy(samples.audio / "ann-0.wav", named)
    for given in (named, named.name):  # by its path, and as it is typed in its folder
        found = _recognised(given, "--backbone", samples.recogniser, "--no-heads")
    return [one["text"] for one in found.values()]


def _read_named_manifest(file: Path, samples: Samples) -> Any:
    named = file.parent / file.read_text(encoding="utf-8")
    shutil.copy(samples.cuts, named)
    for given in (named.name, named):
        shutil.rmtree(file.parent / "data", ignore_errors=True)
        hra("prepare", "cuts", given, "--task-by", "speaker", "--output-dir", file.parent / "data")
    return json.loads((file.parent / "data" / "tasks.json").read_text(encoding="utf-8"))["tasks"]


OWN_MANIFEST = always("a user's own manifest, taken at its word: its ids, texts, times and files")
SHOWN = always("what was measured, as the file has it: text without a checksum")

KINDS = (
    Kind(
        "pretrained.pt",
        _place_recogniser("pretrained.pt"),
        TORCH_ZIPS,
        _read_recogniser,
        always("another recogniser, with another fingerprint: heads of the first one are refused"),
    ),
    Kind(
        "legacy.pt",
        _place_recogniser("epoch-1.pt"),
        PICKLES,
        _read_recogniser,
        always("another recogniser, with another fingerprint: heads of the first one are refused"),
    ),
    Kind(
        "model.safetensors",
        _place_recogniser("model.safetensors"),
        SAFETENSORS,
        _read_recogniser,
        always("another recogniser, with another fingerprint: heads of the first one are refused"),
    ),
    Kind(
        "bpe.model",
        _place_tokenizer(digits_bpe),
        BYTES,
        _read_tokenizer,
        always("another tokenizer, with another fingerprint: heads of the first one are refused"),
    ),
    Kind(
        "bbpe.model",
        _place_tokenizer(digits_bbpe),
        BYTES,
        _read_tokenizer,
        always("another tokenizer, with another fingerprint: heads of the first one are refused"),
    ),
    Kind(
        "tokens.txt",
        _place_tokenizer(character_tokens),
        (*BYTES, *LINES),
        _read_tokenizer,
        always("another tokenizer, with another fingerprint: heads of the first one are refused"),
    ),
    Kind("head", _place_head, SAFETENSORS, _read_head, _head_harmless),
    Kind("controller", _place_controller, SAFETENSORS, _read_controller),
    Kind("pack", _place_pack, SAFETENSORS, _read_pack),
    Kind("checkpoint", _place_checkpoint, SAFETENSORS, _read_checkpoint, cost=3),
    Kind(
        "config.yaml",
        _place_in("exp", "config.yaml"),
        YAML,
        _read_config,
        always("a run's own options, shown as they stand; whoever resumes must give the same"),
    ),
    Kind("metrics.jsonl", _place_in("exp", "metrics.jsonl"), JSONL, _read_metrics, SHOWN, cost=10),
    Kind(
        "recogs",
        _place_in("exp", "greedy_search/recogs-test-greedy_search.txt"),
        (*BYTES, *LINES),
        _read_reported,
        SHOWN,
        cost=10,
    ),
    Kind(
        "wer-summary",
        _place_in("exp", "greedy_search/wer-summary-test-greedy_search.txt"),
        (*BYTES, *LINES),
        _read_reported,
        SHOWN,
        cost=10,
    ),
    Kind("comparison.json", _place_in("comparison", "comparison.json"), JSON, _read_comparison, SHOWN, cost=10),
    Kind(
        "compare.yaml",
        _place_in("comparison", "compare.yaml"),
        YAML,
        _compare_again,
        always("a comparison's own options; whoever goes on must give the same"),
        cost=12,
    ),
    Kind("result.json", _place_in("comparison", "cells/*/result.json"), JSON, _compare_again, SHOWN, cost=12),
    Kind("models.json", _place_in("comparison", "cells/*/models.json"), JSON, _compare_again, SHOWN, cost=12),
    Kind("test.json", _place_in("comparison", "cells/*/test.json"), JSON, _compare_again, SHOWN, cost=12),
    Kind("export.json", _place_export, JSON, _read_export),
    Kind("tasks.json", _place_in("data", "tasks.json"), JSON, _read_data, cost=3),
    Kind("data-train", _place_in("data", "cuts/ann/train.jsonl.gz"), zipped(CUTS), _read_data, cost=3),
    Kind("data-test", _place_in("data", "cuts/bob/test.jsonl.gz"), zipped(CUTS), _read_data, cost=3),
    Kind(
        "data-resealed",
        _place_unprepared,
        zipped((*CUTS, *[hostile_source] * 8)),
        _read_resealed,
        always("a folder made and sealed by someone else: its texts, times and files are taken at their word"),
        cost=2,
    ),
    Kind(
        "features",
        _place_features,
        BYTES,
        _read_data,
        always("compressed numbers without a checksum: another bit is another feature of the same frames"),
        cost=3,
    ),
    *(
        Kind(f"cuts.{ending}", _place_cuts(ending), mutators, _read_cuts, OWN_MANIFEST)
        for ending, mutators in (("jsonl", CUTS), ("jsonl.gz", zipped(CUTS)), ("json", JSON))
    ),
    *(
        Kind(f"kaldi-{name}", _place_kaldi(name), (*BYTES, *LINES), _read_kaldi, OWN_MANIFEST)
        for name in ("wav.scp", "segments", "text", "utt2spk", "utt2room", "reco2file_and_channel")
    ),
    *(
        Kind(f"table.{ending}", _place_table(ending), mutators, _read_table, OWN_MANIFEST)
        for ending, mutators in (("csv", (*BYTES, *LINES)), ("tsv", (*BYTES, *LINES)), ("jsonl", JSONL))
    ),
    Kind("table.parquet", _place_parquet, BYTES, _read_table, OWN_MANIFEST),
    *(
        Kind(
            f"audio.{name}",
            _place_audio(ending, format, subtype),
            BYTES,
            _read_audio,
            {
                "aiff": _rate_once_harmless,
                "au": _rate_once_harmless,
                "caf": _rate_once_harmless,
                "wav-adpcm": _block_rate_harmless,
            }.get(name, _sound_harmless),
        )
        for name, ending, format, subtype in (
            ("wav", "wav", "WAV", "PCM_16"),
            ("wav-float", "wav", "WAV", "FLOAT"),
            ("wav-ulaw", "wav", "WAV", "ULAW"),
            ("wav-adpcm", "wav", "WAV", "IMA_ADPCM"),
            ("wav-gsm", "wav", "WAV", "GSM610"),
            ("wavex", "wav", "WAVEX", "PCM_16"),
            ("rf64", "wav", "RF64", "PCM_16"),
            ("w64", "w64", "W64", "PCM_16"),
            ("aiff", "aiff", "AIFF", "PCM_16"),
            ("au", "au", "AU", "PCM_16"),
            ("caf", "caf", "CAF", "PCM_16"),
            ("flac", "flac", "FLAC", "PCM_16"),
            ("ogg", "ogg", "OGG", "VORBIS"),
            ("opus", "opus", "OGG", "OPUS"),
            ("mp3", "mp3", "MP3", "MPEG_LAYER_III"),
        )
    ),
    Kind("shar-cuts", _place_shar_cuts, zipped(CUTS), _read_shar, OWN_MANIFEST),
    Kind("shar-audio", _place_shar("recording.000000.tar"), BYTES, _read_shar, OWN_MANIFEST),
    Kind("shar-features", _place_shar("features.000000.tar"), BYTES, _read_shar, OWN_MANIFEST),
    Kind("cuts-featured", _place_featured, JSONL, _read_cuts, OWN_MANIFEST),
    Kind("transcripts", _place_transcripts, (*BYTES, *LINES), _read_folder, OWN_MANIFEST),
    Kind("audio.sph", _place_sphere, BYTES, _read_audio, _rate_once_harmless),
    Kind("audio-name", _place_name("speech.wav"), (hostile_name,), _read_named_audio),
    Kind("manifest-name", _place_name("cuts.jsonl.gz"), (hostile_name,), _read_named_manifest),
)
