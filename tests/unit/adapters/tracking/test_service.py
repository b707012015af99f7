"""The record of a run in a service, and what is refused or told in one line."""

import sys
from pathlib import Path

import pytest

from simcrop.adapters.tracking.service import Record, RunAbout, reason, require_package
from simcrop.core.errors import ConfigError


def test_a_record_is_read_as_it_was_written(tmp_path: Path) -> None:
    path = Record.file(tmp_path, "mlflow")
    assert Record.read(path) is None
    record = Record("abc", 12, "d1", "running")
    record.write(path)
    assert Record.read(path) == record
    assert path == tmp_path / "trackers" / "mlflow.json"
    assert [file.name for file in path.parent.iterdir()] == ["mlflow.json"]


@pytest.mark.parametrize("text", ["", "[]", '{"run_id": "abc"}', '{"id": 1, "step": 2}'])
def test_a_damaged_record_is_named(tmp_path: Path, text: str) -> None:
    path = tmp_path / "mlflow.json"
    path.write_text(text)
    with pytest.raises(ConfigError, match=r"mlflow\.json: is no record of a tracker's run; remove it"):
        Record.read(path)


def test_a_missing_package_is_one_line_with_the_remedy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "wandb", None)
    with pytest.raises(ConfigError, match=r"^train\.trackers: wandb needs the package wandb; .*'simcrop\[wandb\]'"):
        require_package("wandb")
    require_package("json")


def test_the_digest_is_of_all_settings_but_the_trackers(tmp_path: Path) -> None:
    def digest(**settings: object) -> str:
        return RunAbout("run", tmp_path, {f"train.{key}": value for key, value in settings.items()}).digest

    assert digest(lr=1.0, trackers=["mlflow"]) == digest(trackers=[], lr=1.0)
    assert digest(lr=1.0) != digest(lr=2.0)


def test_the_reason_is_what_the_system_said() -> None:
    def post() -> None:
        try:
            raise ConnectionRefusedError(111, "Connection refused")
        except OSError as error:
            raise RuntimeError("a page of words\nabout a pool") from error

    with pytest.raises(RuntimeError) as raised:
        post()
    assert reason(raised.value) == "[Errno 111] Connection refused"
    assert reason(RuntimeError("two\nlines")) == "two lines"
    assert reason(TimeoutError()) == "TimeoutError"
