"""A server on this machine that speaks as much of the Hugging Face hub's API as huggingface_hub asks a hub for."""

import hashlib
import json
import os
import re
import threading
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import unquote


@dataclass
class Repository:
    """commits: files by path, by commit. branches: the commit of each. refusal: its X-Error-Code, for everybody."""

    commits: dict[str, dict[str, bytes]]
    branches: dict[str, str]
    refusal: str | None = None


@dataclass
class Hub:
    """repositories: by OWNER/NAME. asked: "METHOD path" of every request. broken: answers 500 to all."""

    address: str
    repositories: dict[str, Repository] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)
    broken: bool = False

    def environment(self, cache):
        """The environment variables of a process that takes this for the hub, with its cache in the folder `cache`."""
        clean = {name: value for name, value in os.environ.items() if not name.startswith("HF_")}
        return {**clean, "HF_ENDPOINT": self.address, "HF_HOME": str(cache), "NO_PROXY": "127.0.0.1"}


@contextmanager
def serving():
    """A hub without repositories, which is gone after the block."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            hub.asked.append(f"{self.command} {self.path}")
            status, headers, content = answer(hub, unquote(self.path))
            self.send_response(status)
            for name, value in {"Content-Length": str(len(content)), **headers}.items():
                self.send_header(name, value)
            self.end_headers()
            if self.command == "GET":
                self.wfile.write(content)

        do_HEAD = do_GET

        def log_message(self, *arguments):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    hub = Hub(f"http://127.0.0.1:{server.server_port}")
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield hub
    finally:
        server.shutdown()
        server.server_close()


def answer(hub, path):
    """(status, headers, content)."""
    about = re.fullmatch(r"/api/models/([^/]+/[^/]+)(?:/revision/(.+))?", path)
    file = re.fullmatch(r"/([^/]+/[^/]+)/resolve/(refs/pr/\d+|[^/]+)/(.+)", path)
    match = about or file
    if hub.broken or match is None:
        return 500 if hub.broken else 404, {}, b""
    repository = hub.repositories.get(match.group(1))
    # As the hub does: whoever has not logged in is not told which repositories are private, and which are not there.
    refusal = "RepoNotFound" if repository is None else repository.refusal
    if refusal == "RepoNotFound" or (refusal == "GatedRepo" and file):
        return 401 if refusal == "RepoNotFound" else 403, {"X-Error-Code": refusal}, b""
    revision = match.group(2) or "main"
    commit = repository.branches.get(revision, revision)
    if commit not in repository.commits:
        return 404, {"X-Error-Code": "RevisionNotFound"}, b""
    files = repository.commits[commit]
    if about:
        content = {"id": match.group(1), "sha": commit, "siblings": [{"rfilename": name} for name in files]}
        return 200, {"Content-Type": "application/json"}, json.dumps(content).encode()
    if file.group(3) not in files:
        return 404, {"X-Error-Code": "EntryNotFound"}, b""
    content = files[file.group(3)]
    return 200, {"ETag": f'"{hashlib.sha256(content).hexdigest()}"', "X-Repo-Commit": commit}, content
