"""The viewer comes by npm or from npm's registry, and nothing but the pinned archive is taken."""

import base64
import hashlib
import importlib.util
import io
import tarfile
import threading
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from simcrop.adapters.pages.niivue import BUNDLE, INTEGRITY, bring, main

CODE = b"var niivue = {};"


class Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *words: object) -> None:
        pass


@pytest.fixture
def archive() -> bytes:
    data = io.BytesIO()
    with tarfile.open(fileobj=data, mode="w:gz") as packed:
        member = tarfile.TarInfo("package/dist/niivue.umd.js")
        member.size = len(CODE)
        packed.addfile(member, io.BytesIO(CODE))
    return data.getvalue()


@pytest.fixture
def without_npm(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    monkeypatch.delenv("NPM_CONFIG_REGISTRY", raising=False)


@pytest.fixture
def registry(tmp_path: Path, archive: bytes) -> Iterator[str]:
    """A registry on this machine that has the archive."""
    path = tmp_path / "registry" / "@niivue" / "niivue" / "-" / "niivue-0.69.0.tgz"
    path.parent.mkdir(parents=True)
    path.write_bytes(archive)
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=tmp_path / "registry")) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}/"
        server.shutdown()


def integrity_of(archive: bytes) -> str:
    return "sha512-" + base64.b64encode(hashlib.sha512(archive).digest()).decode()


def npm_that(does: str, folder: Path) -> None:
    """A program called npm."""
    (folder / "npm").write_text(f"#!/bin/sh\n{does}\n")
    (folder / "npm").chmod(0o755)


@pytest.mark.usefixtures("without_npm")
def test_without_npm_the_registry_that_npm_would_use_is_asked(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, registry: str, archive: bytes
) -> None:
    monkeypatch.setenv("NPM_CONFIG_REGISTRY", registry)
    assert bring(tmp_path / "new" / "viewer.js", integrity_of(archive)).read_bytes() == CODE
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["viewer.js"]


@pytest.mark.usefixtures("without_npm")
def test_another_archive_is_refused_and_leaves_no_file(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, registry: str
) -> None:
    monkeypatch.setenv("NPM_CONFIG_REGISTRY", registry)
    with pytest.raises(OSError, match=r"is not the pinned one \(sha512 \S+, not YMjQvJgD"):
        bring(tmp_path / "new" / "viewer.js")
    assert not (tmp_path / "new").exists()


@pytest.mark.usefixtures("without_npm")
def test_npm_packs_the_pinned_version(tmp_path: Path, archive: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "it.tgz").write_bytes(archive)
    wanted = '[ "$1 $2" = "pack @niivue/niivue@0.69.0" ] || exit 3'
    npm_that(f'{wanted}\nwhile [ $# -gt 1 ]; do shift; done\n/bin/cp {tmp_path}/it.tgz "$1/"', tmp_path)
    assert bring(tmp_path / "viewer.js", integrity_of(archive)).read_bytes() == CODE


@pytest.mark.usefixtures("without_npm")
def test_what_npm_complains_of_is_told(tmp_path: Path) -> None:
    npm_that("echo no network >&2; exit 1", tmp_path)
    with pytest.raises(OSError, match=r"^npm pack @niivue/niivue@0.69.0 failed: no network$"):
        bring(tmp_path / "viewer.js")


@pytest.mark.usefixtures("without_npm")
@pytest.mark.parametrize(
    ("registry", "message"),
    [("", "there is no npm; install Node.js, or pip install nodejs"), ("file:///etc", "an address that begins with")],
)
def test_where_nothing_can_be_asked_the_remedy_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, registry: str, message: str
) -> None:
    monkeypatch.setenv("NPM_CONFIG_REGISTRY", registry)
    with pytest.raises(OSError, match=message) as raised:
        bring(tmp_path / "viewer.js")
    assert "\n" not in str(raised.value)


def test_a_file_that_is_there_stays(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "viewer.js").write_text("mine")
    assert bring(tmp_path / "viewer.js").read_text() == "mine"
    if BUNDLE.exists():
        assert main() == 0
        assert str(BUNDLE) in capsys.readouterr().out


def test_the_pin_is_a_sha512() -> None:
    kind, _, digest = INTEGRITY.partition("-")
    assert (kind, len(base64.b64decode(digest))) == ("sha512", 64)
