"""What the documentation site has besides the pages in docs/: the repository's own, and one for every room of hra_cli.

mkdocs calls the functions whose names begin with on_. Nothing is imported from hra_cli: it is read as text.
"""

import ast
import os.path
import re
from pathlib import Path

from mkdocs.structure.files import File

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "hra_cli"
LINK = re.compile(r"(?<!!)\[(?P<text>[^\]]*)\]\((?P<target>[^)\s#:]+)(?P<anchor>#[^)\s]*)?\)")


def pages_outside_docs() -> dict[str, str]:
    """Where pages of the repository stand in the site."""
    pages = {
        "README.md": "index.md",
        "CONTRIBUTING.md": "contributing.md",
        "CHANGELOG.md": "changelog.md",
        "SECURITY.md": "security.md",
    }
    for results in [*sorted(ROOT.glob("recipes/*/RESULTS.md")), ROOT / "benchmarks" / "RESULTS.md"]:
        pages[str(results.relative_to(ROOT))] = f"results/{results.parent.name}.md"
    return pages


def rooms() -> dict[str, list[Path]]:
    """The files of every room, sorted; of commands/ none, which `hra --help` documents."""
    found = {}
    for file in sorted(PACKAGE.rglob("*.py")):
        room = file.relative_to(PACKAGE).parts[0].removesuffix(".py")
        if room not in ("__init__", "__main__", "app", "commands"):
            found.setdefault(room, []).append(file)
    return found


def room_page(room: str, files: list[Path]) -> str:
    content = [f"# {room}"]
    for file in files:
        if file.name == "__init__.py":
            content.append(ast.get_docstring(ast.parse(file.read_text(encoding="utf-8"))) or "")
        else:
            content.append("::: " + ".".join(file.relative_to(ROOT).with_suffix("").parts))
    return "\n\n".join(content) + "\n"


def _index_first(page: str) -> tuple[bool, str]:
    return not page.endswith("index.md"), page


def on_config(config):
    docs = Path(config.docs_dir)
    results = [page for page in pages_outside_docs().values() if page.startswith("results/")]
    notes = [str(note.relative_to(docs)) for note in sorted(docs.glob("notes/*.md"), reverse=True)]
    sources = sorted((str(source.relative_to(docs)) for source in docs.glob("sources/*.md")), key=_index_first)
    config.nav = [
        {"Start": "index.md"},
        {"Data": [*sources, "text.md"]},
        {
            "Use": [
                "recognisers.md",
                "experiment.md",
                "long.md",
                "streaming.md",
                "cluster.md",
                "scale.md",
                "deploy.md",
                "head-file.md",
                "security.md",
                "changelog.md",
            ]
        },
        {"Results": results},
        *([{"Notes": notes}] if notes else []),
        {"Develop": ["contributing.md", "architecture.md"]},
        {"Python": [{room: f"api/{room}.md"} for room in rooms()]},
    ]
    return config


def on_files(files, config):
    for source, page in pages_outside_docs().items():
        files.append(File.generated(config, page, abs_src_path=str(ROOT / source)))
    for room, sources in rooms().items():
        files.append(File.generated(config, f"api/{room}.md", content=room_page(room, sources)))
    return files


def on_page_markdown(markdown, page, config, files):
    """Links go to where their targets stand in the site. A link to what is only in the repository becomes text; one to
    nothing at all is left for mkdocs to complain of."""
    places = pages_outside_docs()
    sources = {place: source for source, place in places.items()}
    here = page.file.src_uri
    folder = os.path.dirname(sources.get(here, f"docs/{here}"))

    def moved(link: re.Match) -> str:
        source = os.path.normpath(os.path.join(folder, link["target"]))
        place = places.get(source, source.removeprefix("docs/"))
        if files.get_file_from_path(place) is None:
            return link["text"] if (ROOT / source).exists() else link[0]
        return f"[{link['text']}]({os.path.relpath(place, os.path.dirname(here))}{link['anchor'] or ''})"

    return LINK.sub(moved, markdown)
