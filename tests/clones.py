"""Git repositories, and the recipes in one: what a stranger has who cloned this one."""

import os
import shutil
import subprocess
from pathlib import Path

import warm

ROOT = Path(__file__).parents[1]
# A commit needs a name, and a user's own settings of git change nothing here.
GIT = {
    "GIT_CONFIG_GLOBAL": os.devnull,
    **{f"GIT_{who}_{what}": "test@localhost" for who in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")},
}


def git(directory: Path, *arguments: str) -> str:
    command = ["git", "-C", str(directory), *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=True, env={**os.environ, **GIT}).stdout


def committed(directory: Path) -> Path:
    """The folder as a git repository with everything in it committed."""
    git(directory, "init", "--quiet")
    git(directory, "add", "--all")
    git(directory, "commit", "--quiet", "--message", "everything")
    return directory


class Clone:
    """A stranger's clone of a repository with recipes."""

    def __init__(self, repository: Path, directory: Path):
        self.directory = directory
        git(repository, "clone", "--quiet", str(repository), str(directory))
        self._tools = Path(f"{directory}-tools")
        self._tools.mkdir()

    def run(self, recipe: str, *options: object, **changes: str) -> subprocess.CompletedProcess:
        """A recipe's run.sh; `changes` are of the environment."""
        command = [str(self.directory / "recipes" / recipe / "run.sh"), *map(str, options)]
        environment = {**os.environ, **warm.tools(self._tools), **changes}
        return subprocess.run(command, capture_output=True, text=True, check=False, env=environment)

    def status(self) -> str:
        return git(self.directory, "status", "--porcelain")


def recipes_repository(directory: Path) -> Path:
    """The recipes as they lie here, without what runs have made, for `Clone` to be of."""
    made_by_runs = shutil.ignore_patterns("data", "data-*", "exp", "log", "__pycache__")
    shutil.copytree(ROOT / "recipes", directory / "recipes", ignore=made_by_runs)
    shutil.copy(ROOT / ".gitignore", directory)
    return committed(directory)
