"""Files of a repository on the Hugging Face hub, fetched and cached by the library huggingface_hub, an extra."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any, Callable, Optional, Union

from hra_cli.errors import HraError
from hra_cli.io.plain_text import plain

_SYNTAX = "hf://OWNER/NAME or hf://OWNER/NAME@REVISION"
# A path from hf://OWNER/NAME has lost a slash; no part of the revision is .. or empty.
_ADDRESS = re.compile(
    r"hf:/{1,2}([\w.-]+/[\w.-]+?)/?(?:@((?!\.\.?/|/)[\w.-]+(?:/(?!\.\.?(?:/|$))[\w.-]+)*))?", re.ASCII
)
_COMMIT = re.compile(r"[0-9a-f]{40}")
_TIMEOUT = 10.0  # seconds without an answer, after which the hub is taken to be out of reach
_LOG_IN = "log in with `hf auth login` or set HF_TOKEN"


def is_address(where: Union[str, Path]) -> bool:
    """Whether it is meant to be on the hub: hf://…, as text or as a path."""
    return str(where) == "hf:" or str(where).startswith("hf:/")  # a path from hf:// has lost both slashes


@dataclass(frozen=True)
class HubAddress:
    """A repository OWNER/NAME, and a branch, tag or commit of it."""

    repository: str
    revision: str = "main"

    @classmethod
    def parse(cls, where: Union[str, Path]) -> HubAddress:
        """From hf://OWNER/NAME[@REVISION]. Raises HraError for anything else."""
        match = _ADDRESS.fullmatch(str(where))
        if match is None:
            raise HraError(f"'{where}' is no address on the hub; write {_SYNTAX}")
        return cls(match.group(1), match.group(2) or cls.revision)

    @property
    def is_commit(self) -> bool:
        """Whether it always means the same files."""
        return _COMMIT.fullmatch(self.revision) is not None

    def __str__(self) -> str:
        return f"hf://{self.repository}" + ("" if self.revision == HubAddress.revision else f"@{self.revision}")


def fetch(address: HubAddress, choose: Callable[[Sequence[str]], list[str]]) -> Path:
    """The folder, named by the commit, where some of a repository's files lie in the library's cache.

    choose: gets the names of all files, which are paths in the repository, and returns those to fetch, in this order;
    the last is what makes the others worth having. What is there is not fetched again, and a commit that is there is
    not asked for, so that it needs no network. Without a network, what the cache has of the revision is used.
    Nothing that is fetched is run, or read here.

    Raises HraError where huggingface_hub is not installed, for a repository or revision that is not there, or that this
    user may not see, where the hub is out of reach and the cache has nothing, and as `choose` does.
    """
    hub = _library()
    there = _cached(hub, address, choose)
    # One file alone may be another program's; the others are asked for then.
    if address.is_commit and there is not None and there.files > 1:
        return there.folder
    try:
        return _fetch(hub, address, choose)
    except HraError:
        raise
    except hub.errors.GatedRepoError as error:
        raise HraError(f"{address} is gated: ask for access on its page on the hub, then {_LOG_IN}") from error
    except hub.errors.RepositoryNotFoundError as error:
        raise HraError(f"no repository {address} on the hub; if it is private, {_LOG_IN}") from error
    except hub.errors.RevisionNotFoundError as error:
        raise HraError(f"{address.repository} has no revision '{address.revision}' on the hub") from error
    except hub.errors.HFValidationError as error:
        raise HraError(f"{address} is no address on the hub: {_first_line(error)}") from error
    # What the library raises for no network depends on its version; it derives its own errors from these.
    except (OSError, *hub.errors.HfHubHTTPError.__bases__) as error:
        if there is not None:
            return there.folder
        raise HraError(
            f"cannot fetch {address}, and it is not in the cache {hub.constants.HF_HUB_CACHE}: {_first_line(error)}"
        ) from error


def _library() -> Any:
    try:
        import huggingface_hub
        import huggingface_hub.errors
    except ImportError as error:
        raise HraError("hf:// needs the package huggingface_hub: pip install -e '.[hub]'") from error
    return huggingface_hub


def _fetch(hub: Any, address: HubAddress, choose: Callable[[Sequence[str]], list[str]]) -> Path:
    info = hub.HfApi(library_name="hra").model_info(address.repository, revision=address.revision, timeout=_TIMEOUT)
    if _COMMIT.fullmatch(info.sha or "") is None:
        raise HraError(f"{address}: the hub does not say which commit that is")

    def download(name: str, revision: str) -> Path:
        return Path(hub.hf_hub_download(address.repository, name, revision=revision, library_name="hra"))

    names = _chosen(address, choose, [file.rfilename for file in info.siblings or ()])
    for name in names:
        file = download(name, info.sha)
    if not address.is_commit:
        download(names[0], address.revision)  # it is there; this makes the cache remember which commit it was
    return file.parents[names[-1].count("/")]


@dataclass(frozen=True)
class _Cached:
    folder: Path
    files: int  # of those that were chosen


def _cached(hub: Any, address: HubAddress, choose: Callable[[Sequence[str]], list[str]]) -> Optional[_Cached]:
    """What the cache has of a revision, where it has what is worth having."""
    try:
        # No pattern: whatever there is will do.
        found = hub.snapshot_download(
            address.repository, revision=address.revision, local_files_only=True, allow_patterns=[]
        )
    except (OSError, ValueError):  # ValueError: no name of a repository, of which the hub would say more
        return None
    folder = Path(found)
    try:
        names = [file.relative_to(folder).as_posix() for file in folder.rglob("*") if file.is_file()]
        return _Cached(folder, len(_chosen(address, choose, names)))
    except HraError:
        return None


def _chosen(address: HubAddress, choose: Callable[[Sequence[str]], list[str]], names: list[str]) -> list[str]:
    """Those that are chosen among the names that stay within a folder."""
    inside = [name for name in names if not {"..", "/", ""} & {*PurePosixPath(name).parts} and "\\" not in name]
    try:
        return choose(inside)
    except HraError as error:
        raise HraError(f"{address}: {error}") from error


def _first_line(error: BaseException) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return plain(lines[0].rstrip(".")) if lines else type(error).__name__
