"""lhotse's own corpora by name: its function does the work, and its manifests become cuts."""

from __future__ import annotations

import contextlib
import hashlib
import importlib
import inspect
import json
import os
import pkgutil
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Optional

from lhotse import CutSet, RecordingSet, SupervisionSet
from lhotse.audio.backend import (
    AudioreadBackend,
    CompositeAudioBackend,
    LibsndfileBackend,
    TorchaudioDefaultBackend,
    TorchaudioFFMPEGBackend,
    get_current_audio_backend,
    set_current_audio_backend,
)
from lhotse.cut import Cut

from hra_cli.data.audio import one_line
from hra_cli.data.corpus import Corpus
from hra_cli.data.cut_fields import put_field
from hra_cli.data.manifests import parse_cut
from hra_cli.data.skipped import Skipped
from hra_cli.data.splits import ALSO_CALLED, SPLITS
from hra_cli.errors import HraError, did_you_mean

# Where a recipe writes its manifests, which are wanted only as it returns them.
_WRITTEN = ("output_dir", "manifests_dir", "manifest_dir")


def lhotse_corpus(
    name: str,
    corpus_dir: Path,
    options: Sequence[str] = (),
    parts: Sequence[str] = (),
    allow_commands: bool = False,
) -> Corpus:
    """What lhotse's `prepare_NAME` makes of a corpus. It runs at once, so that its parts are known.

    options: `KEY=VALUE`, further arguments of that function; a value is JSON, else text.
    parts: `SPLIT=PART`, the split of a part of the corpus. Parts called train, dev, test or `ALSO_CALLED` so have one.
    allow_commands: whether the function may run shell commands.

    A cut's part is its field "part". Cuts that cannot be used are skipped.

    Raises HraError for a name, option or part that there is not, and where the function fails.
    """
    function = _function(name)
    if not os.path.isdir(corpus_dir):  # also where the name is too long
        raise HraError(f"no such folder: {corpus_dir}; give the one that lhotse's recipe '{name}' reads")
    asked = _pairs("--option", options)
    named = _named_parts(parts)
    found = _run(function, name, os.path.abspath(corpus_dir), asked, allow_commands)
    for part in (one for one in named if one not in found):
        raise HraError(f"--part {named[part]}={part}: the corpus has no such part{did_you_mean(part, found)}")
    digest = hashlib.sha256()
    cuts: list[Cut] = []
    skipped: list[Skipped] = []
    splits = {part: named.get(part) or _called(part) for part in found}
    for part, made in found.items():
        for cut in made:
            _add(cut, {"part": part, "split": splits[part]}, cuts, skipped, digest.update)
    return Corpus(
        path=Path(corpus_dir),
        arguments={
            "corpus": f"lhotse {name}",
            "corpus-dir": os.path.abspath(corpus_dir),
            **({"options": asked} if asked else {}),
            **({"parts": named} if named else {}),
            "cuts-sha256": digest.hexdigest(),
        },
        cuts=lambda: (CutSet.from_cuts(cuts), skipped),
        split_by="split" if any(splits.values()) else None,
    )


def _add(
    cut: Cut,
    fields: Mapping[str, Optional[str]],
    cuts: list[Cut],
    skipped: list[Skipped],
    update: Callable[[bytes], None],
) -> None:
    """Puts a cut to the others, with fields, if it can be."""
    supervisions = getattr(cut, "supervisions", [])
    if len(supervisions) == 1:
        cut.id = supervisions[0].id  # lhotse counts its cuts, so that one more would rename all
    try:
        content = cut.to_dict()
        for name, value in fields.items():
            if value:
                put_field(content, name, value)
        checked = parse_cut(content, f"cut '{cut.id}'", "mend the corpus")
        update(json.dumps(content, sort_keys=True).encode())
    except (HraError, TypeError, ValueError) as error:  # json knows no arrays
        skipped.append(Skipped(str(cut.id), "manifest that cannot be used", one_line(error)))
        return
    cuts.append(checked)


def recipe_names() -> list[str]:
    """The names of lhotse's recipes: what it exports, and what is called as its module."""
    import lhotse.recipes as recipes

    exported = {name.removeprefix("prepare_") for name in vars(recipes) if name.startswith("prepare_")}
    (folder,) = recipes.__path__
    modules = {module.name for module in pkgutil.iter_modules([folder])}
    # As text, since some of them want packages that are not installed.
    own = {one for one in modules if f"def prepare_{one}(" in Path(folder, f"{one}.py").read_text(encoding="utf-8")}
    return sorted(exported | own)


def _function(name: str) -> Callable[..., Any]:
    import lhotse.recipes as recipes

    names = recipe_names()
    if name not in names:
        raise HraError(f"lhotse has no recipe '{name}'{did_you_mean(name, names)}; --list shows all")
    try:
        module = recipes if hasattr(recipes, f"prepare_{name}") else importlib.import_module(f"lhotse.recipes.{name}")
    except ImportError as error:
        raise HraError(f"lhotse's recipe '{name}' needs a package that is not installed: {one_line(error)}") from error
    function: Callable[..., Any] = getattr(module, f"prepare_{name}")
    return function


def _run(
    function: Callable[..., Any], name: str, corpus_dir: str, options: Mapping[str, Any], allow_commands: bool
) -> dict[str, list[Cut]]:
    """The cuts of every part of the corpus."""
    with tempfile.TemporaryDirectory() as scratch:
        arguments = _arguments(function, name, corpus_dir, options, scratch)
        # It may print what it likes, but not into the tables of `hra`.
        with contextlib.redirect_stdout(sys.stderr), contextlib.nullcontext() if allow_commands else _without_shell():
            try:
                return dict(_parts(function(**arguments)))
            except (Exception, SystemExit) as error:  # of every kind, as recipes check with assert
                cause: Optional[BaseException] = error
                while cause is not None and not isinstance(cause, HraError):
                    cause = cause.__context__  # ours, if lhotse has made another error of it
                problem = f"{type(error).__name__}: {one_line(error)}" if cause is None else str(cause)
                raise HraError(f"lhotse's recipe '{name}' has failed on {corpus_dir}: {problem}") from error


def _arguments(
    function: Callable[..., Any], name: str, corpus_dir: str, options: Mapping[str, Any], scratch: str
) -> dict[str, Any]:
    parameters = inspect.signature(function).parameters
    corpus = "corpus_dir" if "corpus_dir" in parameters else next(iter(parameters))
    for key in options:
        if key not in parameters or key == corpus:
            known = [one for one in parameters if one != corpus]
            raise HraError(f"--option {key}: lhotse's recipe '{name}' has no such argument{did_you_mean(key, known)}")
    arguments = {corpus: Path(corpus_dir), **options}
    needed = [one.name for one in parameters.values() if one.default is one.empty and one.name not in arguments]
    arguments |= {one: Path(scratch) for one in needed if one in _WRITTEN}
    missing = [one for one in needed if one not in _WRITTEN]
    if missing:
        wanted = " ".join(f"--option {one}=…" for one in missing)
        raise HraError(f"lhotse's recipe '{name}' needs more than {corpus}, {corpus_dir}; give {wanted}")
    return arguments


def _parts(made: Any, names: tuple[str, ...] = ()) -> Iterator[tuple[str, list[Cut]]]:
    """The parts in what a recipe returns: dictionaries in each other, with recordings and supervisions in the last."""
    if isinstance(made, tuple):
        made = {
            "recordings": next((one for one in made if isinstance(one, RecordingSet)), None),
            "supervisions": next((one for one in made if isinstance(one, SupervisionSet)), None),
        }
    if isinstance(made, CutSet):
        yield "/".join(names), list(made)
    elif isinstance(made, Mapping) and isinstance(made.get("cuts"), CutSet):
        yield "/".join(names), list(made["cuts"])
    elif isinstance(made, Mapping) and made.get("recordings") is not None:
        supervisions = made.get("supervisions")
        manifests = {"recordings": made["recordings"].to_eager()}
        if supervisions is not None:
            manifests["supervisions"] = supervisions.to_eager()
        yield "/".join(names), list(CutSet.from_manifests(**manifests))
    elif isinstance(made, Mapping):
        for name, inner in made.items():
            yield from _parts(inner, (*names, str(name)))


def _called(part: str) -> Optional[str]:
    """The split that a part is called after; None where it is not."""
    name = part.rpartition("/")[2].lower()
    return name if name in SPLITS else ALSO_CALLED.get(name)


def _named_parts(given: Sequence[str]) -> dict[str, str]:
    """The split of each part that is named."""
    found: dict[str, str] = {}
    for one in given:
        split, equals, part = one.partition("=")
        if not equals or not part or split not in SPLITS:
            raise HraError(f"--part {one}: write SPLIT=PART, where SPLIT is one of {', '.join(SPLITS)}")
        if found.setdefault(part, split) != split:
            raise HraError(f"--part {one}: it is {found[part]} already")
    return found


def _pairs(option: str, given: Sequence[str]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for one in given:
        key, equals, value = one.partition("=")
        if not equals or not key:
            raise HraError(f"{option} {one}: write KEY=VALUE")
        try:
            found[key] = json.loads(value)
        except ValueError:
            found[key] = value
    return found


_forbidden = False
_watched = False


@contextlib.contextmanager
def _without_shell() -> Iterator[None]:
    """Whatever of the block would run a shell raises HraError; some recipes put the names of files into a command, and
    so does lhotse's reader of SPHERE files, in whose place libsndfile is. Processes that the block forks are watched
    too."""
    global _forbidden, _watched
    if not _watched:
        sys.addaudithook(_refuse_shell)
        _watched = True
    before = get_current_audio_backend()
    backends = [LibsndfileBackend(), TorchaudioFFMPEGBackend(), TorchaudioDefaultBackend(), AudioreadBackend()]
    set_current_audio_backend(CompositeAudioBackend(backends))
    _forbidden = True
    try:
        yield
    finally:
        _forbidden = False
        set_current_audio_backend(before)


def _refuse_shell(event: str, arguments: tuple[Any, ...]) -> None:
    if not _forbidden or event not in ("os.system", "subprocess.Popen"):
        return
    if event == "os.system":
        command = arguments[0]
    elif list(arguments[1][1:2]) == ["-c"]:  # `sh -c`, which subprocess makes of shell=True
        command = arguments[1][2]
    else:
        return
    shown = os.fsdecode(command)[:200]
    raise HraError(f"it runs a shell command, {shown!r}; --allow-commands lets it, if you trust the corpus")
