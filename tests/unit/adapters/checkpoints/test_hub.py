"""Models by hub id, against a hub on this machine that speaks the real one's interface."""

import socket
from pathlib import Path

import pytest
from support.hub_fake import COMMIT, GATED, point_to, serving

from simcrop.adapters.checkpoints.hub import local_copy
from simcrop.core.errors import CheckpointError

NAME = "somebody/chest-vit"
CONTENT = {
    "manifest.json": "{}",
    "config.json": "{}",
    "model.safetensors": "weights",
    "references.safetensors": "scans",
    "tokenizer/tokenizer.json": "words",
    "README.md": "the card",
    "pictures/large.png": "0",
}


@pytest.fixture
def model(tmp_path: Path) -> Path:
    folder = tmp_path / "model"
    for name, text in CONTENT.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    return folder


def unreachable() -> str:
    """An address where nobody listens."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return f"http://127.0.0.1:{free.getsockname()[1]}"


def test_what_loading_reads_is_downloaded_and_nothing_else(
    model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with serving({NAME: model}, monkeypatch, tmp_path / "cache") as asked:
        folder = local_copy(NAME)
    found = {path.relative_to(folder).as_posix(): path.read_text() for path in folder.rglob("*") if path.is_file()}
    assert found == {name: CONTENT[name] for name in CONTENT if name not in ("README.md", "pictures/large.png")}
    assert not [path for path in asked if path.endswith((".md", ".png"))]


def test_without_a_network_the_cache_has_what_was_downloaded(
    model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    with serving({NAME: model}, monkeypatch, tmp_path / "cache"):
        folder = local_copy(NAME)
    point_to(unreachable(), monkeypatch, tmp_path / "cache")
    assert local_copy(NAME) == folder
    assert f"{NAME}: the hub cannot be reached" in caplog.text


def test_a_commit_in_the_cache_is_not_asked_for_again(
    model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with serving({NAME: model}, monkeypatch, tmp_path / "cache") as asked:
        folder = local_copy(NAME, COMMIT)
        before = len(asked)
        assert local_copy(NAME, COMMIT) == folder
        assert len(asked) == before > 0


def test_a_path_wins_over_a_hub_id(model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / NAME).mkdir(parents=True)
    with serving({NAME: model}, monkeypatch, tmp_path / "cache") as asked:
        assert local_copy(NAME) == Path(NAME)
        assert local_copy(Path("absent/folder")) == Path("absent/folder")
        assert local_copy("absent/weights.pth") == Path("absent/weights.pth")
        with pytest.raises(CheckpointError, match=f"^{NAME}: is a path, so there is no revision v1 of it"):
            local_copy(NAME, "v1")
    assert asked == []


def test_what_the_hub_refuses_is_one_line(model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    empty = tmp_path / "empty"
    empty.mkdir()
    (empty / "pytorch_model.bin").write_text("another library's")
    cases = {
        ("somebody/absent", None): r"no such file or folder here, and no such model on the hub.*hf auth login",
        (GATED, None): r"is gated; ask for access",
        (NAME, "v9"): r"has no revision v9",
        ("somebody/other", None): r"holds no manifest.json; name a model that simcrop exported",
    }
    with serving({NAME: model, "somebody/other": empty}, monkeypatch, tmp_path / "cache"):
        for (name, revision), message in cases.items():
            with pytest.raises(CheckpointError, match=rf"^{name}: {message}"):
                local_copy(name, revision)


def test_no_network_and_nothing_cached_says_both(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    point_to(unreachable(), monkeypatch, tmp_path / "cache")
    message = r"^runs/mistyped: no such file or folder here, and the hub cannot be reached \(.*refused\).*go online$"
    with pytest.raises(CheckpointError, match=message):
        local_copy("runs/mistyped")


def test_a_hub_that_does_not_answer_is_not_waited_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("simcrop.adapters.checkpoints.hub.SECONDS", 0.2)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        point_to(f"http://127.0.0.1:{silent.getsockname()[1]}", monkeypatch, tmp_path / "cache")
        with pytest.raises(CheckpointError, match=r"the hub cannot be reached \(.*timed out\)"):
            local_copy(NAME)
