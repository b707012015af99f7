"""A model hub of one's own on this machine: as much of its HTTP interface as a download asks for."""

import hashlib
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

import pytest

COMMIT = "c0ffee" + "0" * 34
GATED = "somebody/gated"


@contextmanager
def serving(models: dict[str, Path], monkeypatch: pytest.MonkeyPatch, cache: Path) -> Iterator[list[str]]:
    """Serve folders as models while the block runs; huggingface_hub asks here and caches in `cache`.

    Args:
        models: NAMESPACE/NAME -> folder.
        monkeypatch: undoes it at the end of the test.
        cache: folder.

    Yields:
        The paths that were asked for, in order.
    """
    asked: list[str] = []

    class Handler(_Handler):
        folders, paths = models, asked

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.02,))
    thread.start()
    point_to(f"http://127.0.0.1:{server.server_port}", monkeypatch, cache)
    try:
        yield asked
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def point_to(endpoint: str, monkeypatch: pytest.MonkeyPatch, cache: Path) -> None:
    """Let huggingface_hub ask an address, without a token, and cache in a folder."""
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "ENDPOINT", endpoint)
    monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", endpoint + "/{repo_id}/resolve/{revision}/{filename}")
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(cache))
    monkeypatch.setattr(constants, "HF_HUB_DISABLE_XET", True)
    monkeypatch.setenv("HF_HUB_DISABLE_PROGRESS_BARS", "1")
    monkeypatch.setenv("NO_PROXY", "*")


class _Handler(BaseHTTPRequestHandler):
    folders: dict[str, Path]
    paths: list[str]

    def do_GET(self) -> None:
        path = unquote(urlsplit(self.path).path).strip("/")
        self.paths.append(path)
        parts = path.split("/")
        name = "/".join(parts[2:4] if path.startswith("api/models/") else parts[:2])
        if name == GATED:
            self._refuse(403, "GatedRepo")
        elif name not in self.folders:
            self._refuse(404, "RepoNotFound")
        elif path.startswith("api/models/"):
            self._tell(name, parts[4:])
        else:
            self._send_file(self.folders[name] / "/".join(parts[4:]))

    do_HEAD = do_GET  # noqa: N815 (the name that http.server calls)

    def _tell(self, name: str, what: list[str]) -> None:
        files = sorted(path for path in self.folders[name].rglob("*") if path.is_file())
        if what[:1] == ["tree"]:
            self._send(json.dumps([_entry(self.folders[name], path) for path in files]).encode())
        elif what and what[1] not in ("main", COMMIT):
            self._refuse(404, "RevisionNotFound")
        else:
            siblings = [{"rfilename": path.relative_to(self.folders[name]).as_posix()} for path in files]
            self._send(json.dumps({"id": name, "sha": COMMIT, "siblings": siblings}).encode())

    def _send_file(self, path: Path) -> None:
        if path.is_file():
            self._send(path.read_bytes(), ETag=f'"{hashlib.sha1(path.read_bytes()).hexdigest()}"')
        else:
            self._refuse(404, "EntryNotFound")

    def _send(self, content: bytes, **headers: str) -> None:
        self.send_response(200)
        for key, value in {**headers, "X-Repo-Commit": COMMIT, "Content-Length": str(len(content))}.items():
            self.send_header(key, value)
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(content)

    def _refuse(self, status: int, code: str) -> None:
        self.send_response(status)
        for key, value in {"X-Error-Code": code, "X-Error-Message": code, "Content-Length": "0"}.items():
            self.send_header(key, value)
        self.end_headers()

    def log_message(self, format: str, *args: Any) -> None:
        return


def _entry(root: Path, path: Path) -> dict[str, Any]:
    content = path.read_bytes()
    oid = hashlib.sha1(content).hexdigest()
    return {"type": "file", "path": path.relative_to(root).as_posix(), "size": len(content), "oid": oid}
