"""The rooms of hra_cli keep their order; docs/architecture.md has the picture."""

import ast
import graphlib
from collections import defaultdict
from pathlib import Path

ROOT = Path(__file__).parents[2]
FILES = sorted((ROOT / "hra_cli").rglob("*.py"))
# From the top. Rooms on one floor do not import each other.
FLOORS = """
    __main__
    app
    commands
    report
    comparison
    baselines
    export
    recognition
    training
    experiment
    transducer
    adapter backbone
    data
    scoring
    nn io
    errors
    __init__
"""
FLOOR_OF = {room: floor for floor, rooms in enumerate(FLOORS.split("\n")) for room in rooms.split()}


def room_of(file: Path) -> str:
    """The folder below hra_cli, or the module that lies there itself."""
    return file.relative_to(ROOT / "hra_cli").parts[0].removesuffix(".py")


def tree(file: Path) -> ast.Module:
    return ast.parse(file.read_text(encoding="utf-8"), str(file))


def file_of(module: str):
    """The file of a module or package of hra_cli; None for what is no module, such as a class."""
    path = ROOT.joinpath(*module.split("."))
    return next((file for file in (path.with_suffix(".py"), path / "__init__.py") if file.is_file()), None)


def imports(file: Path):
    """(line, file) of every import of hra_cli, wherever in `file` it stands."""
    for node in ast.walk(tree(file)):
        if isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{file}:{node.lineno} imports relatively"
            names = [(f"{node.module}.{alias.name}", node.module) for alias in node.names]
        elif isinstance(node, ast.Import):
            names = [(alias.name, alias.name) for alias in node.names]
        else:
            continue
        for module, package in names:
            if module.split(".")[0] == "hra_cli":
                yield node.lineno, file_of(module) or file_of(package)


def shown(file: Path, line: int) -> str:
    return f"{file.relative_to(ROOT)}:{line}"


def test_every_room_has_a_floor():
    assert {room_of(file) for file in FILES} <= FLOOR_OF.keys()


def test_imports_go_down():
    upward = {
        f"{shown(file, line)} imports {imported.relative_to(ROOT)}"
        for file in FILES
        for line, imported in imports(file)
        if room_of(file) != room_of(imported) and FLOOR_OF[room_of(file)] >= FLOOR_OF[room_of(imported)]
    }
    assert not upward, "\n".join(sorted(upward))


def test_no_files_import_each_other():
    graph = {file: {imported for _, imported in imports(file)} for file in FILES}
    try:
        graphlib.TopologicalSorter(graph).prepare()
        circle = []
    except graphlib.CycleError as error:
        circle = [str(file.relative_to(ROOT)) for file in error.args[1]]
    assert not circle


def test_text_meets_the_terminal_in_two_files():
    """Where it is made plain: lines in terminal.py, tables in tables.py."""
    printers = {"print": "terminal.py", "Console": "tables.py", "pprint": "", "echo": "", "secho": ""}
    prints = [
        f"{shown(file, node.lineno)} calls {ast.unparse(node.func)}"
        for file in FILES
        for node in ast.walk(tree(file))
        if isinstance(node, ast.Call)
        for name, where in printers.items()
        if ast.unparse(node.func) == name or (name != "print" and ast.unparse(node.func).endswith(f".{name}"))
        if (room_of(file), file.name) != ("commands", where)
    ]
    assert not prints, "\n".join(prints)


def test_no_two_rooms_have_files_of_one_name():
    """But files in commands/, which are named after their subcommand, and packages."""
    rooms = defaultdict(set)
    for file in FILES:
        if room_of(file) != "commands" and file.name != "__init__.py":
            rooms[file.name].add(room_of(file))
    twice = {name: sorted(where) for name, where in rooms.items() if len(where) > 1}
    assert not twice
