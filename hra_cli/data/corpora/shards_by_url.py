"""Files of a Shar archive that lie elsewhere, copied once, from URLs that lhotse opens."""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Optional
from urllib.parse import urlsplit

from rich.progress import Progress

from hra_cli.data.audio import one_line
from hra_cli.data.corpora.named_splits import split_of
from hra_cli.errors import HraError
from hra_cli.io.files import replacing
from hra_cli.io.progress import no_progress

MOST_FILES = 1_000_000  # that one URL may name
_RANGE = re.compile(r"\{(\d{1,9})\.\.(\d{1,9})\}")
_NAME = re.compile(r"\w+\.\d+\.(jsonl|jsonl\.gz|tar)")


def is_url(given: str) -> bool:
    """Whether it is URL, or SPLIT=URL."""
    return "://" in given


def fetch_shards(urls: Sequence[str], folder: Path, progress: Optional[Progress] = None) -> list[str]:
    """Copies every file that the URLs name into `folder`, and gives what `shar_corpus` takes then.

    urls: with `{000000..000041}` for all numbers from one to the other, as webdataset has it; or several as splits,
    train=URL and test=URL, for each of which there is a folder in `folder`. Files that are there already stay as they
    are, so that a copy that was interrupted goes on. lhotse unpacks what ends in .gz. progress: counts files.
    Raises HraError that names a URL that cannot be opened, or is of no file of a Shar archive.
    """
    wanted: dict[Path, str] = {}
    splits: dict[Optional[str], Path] = {}
    for given in urls:
        split, url = split_of(given)
        splits[split] = folder if split is None else folder / split
        for one in expanded(url):
            file = splits[split] / _name(one)
            if wanted.setdefault(file, one) != one:
                raise HraError(f"{one} and {wanted[file]} are the same file of an archive; name them as splits")
    if None in splits and len(splits) > 1:
        raise HraError("several are several splits: write train=URL, dev=URL or test=URL for all of them")
    progress = progress or no_progress()
    bar = progress.add_task("fetching", total=len(wanted), note="")
    for file, url in wanted.items():
        if not os.path.exists(file):  # also where the name is too long
            _fetch(url, file)
        progress.advance(bar)
    return [str(place) if split is None else f"{split}={place}" for split, place in splits.items()]


def expanded(url: str) -> list[str]:
    """The URLs that one with a range in braces stands for. Raises HraError for more than one range, an empty or a huge
    one."""
    ranges = _RANGE.findall(url)
    if not ranges:
        return [url]
    first, last = map(int, ranges[0])
    if len(ranges) > 1 or not 0 <= last - first < MOST_FILES:
        raise HraError(f"{url}: one range, from the lower number to the higher, of at most {MOST_FILES:,} files")
    return [_RANGE.sub(f"{number:0{len(ranges[0][0])}d}", url) for number in range(first, last + 1)]


def _name(url: str) -> str:
    """What the file is called here."""
    name = Path(urlsplit(url).path).name
    if not is_url(url) or not _NAME.fullmatch(name):
        raise HraError(f"{url} is no URL of a file of a Shar archive, such as https://…/cuts.000000.jsonl.gz")
    return name.removesuffix(".gz")


def _fetch(url: str, file: Path) -> None:
    try:
        import smart_open  # noqa: F401 - lhotse opens URLs by it
    except ImportError as error:
        raise HraError("URLs need smart_open; install it with pip install -e '.[url]'") from error
    from lhotse.serialization import open_best

    with replacing(file) as temporary, open(temporary, "wb") as copy:
        try:
            with open_best(url, "rb") as source:
                shutil.copyfileobj(source, copy, 1 << 20)
        except Exception as error:  # of whatever library the kind of URL needs
            # lhotse says only that smart_open could be missing.
            why = error.__context__ if isinstance(error, ValueError) and error.__context__ else error
            raise HraError(f"cannot fetch {url}: {one_line(why)}") from error
