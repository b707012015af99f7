"""`simcrop export`: what is asked for reaches the export, and a hub is asked for by name."""

from pathlib import Path

import pytest

from simcrop.compose import exporting
from simcrop_cli.__main__ import main


def test_options_reach_the_export_and_the_upload(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    asked: list[tuple[object, ...]] = []

    def export(checkpoint: str, out: Path, **options: object) -> None:
        asked.append((checkpoint, out, options))

    def publish(out: Path, name: str, *, private: bool) -> str:
        asked.append((out, name, private))
        return "commit"

    monkeypatch.setattr(exporting, "export", export)
    monkeypatch.setattr(exporting, "publish", publish)
    arguments = ["export", "--checkpoint", "runs/a", "--out", str(tmp_path), "--format", "monai", "--force"]
    assert main(arguments) == 0
    options = {"kind": "monai", "licence": None, "replace_export": True, "repo_id": None}
    assert asked == [("runs/a", tmp_path, dict(options))]
    assert main([*arguments, "--push-to-hub", "somebody/chest", "--private"]) == 0
    assert asked[1:] == [
        ("runs/a", tmp_path, options | {"repo_id": "somebody/chest"}),
        (tmp_path, "somebody/chest", True),
    ]
    assert capsys.readouterr().out == "commit\n"


def test_a_private_model_needs_a_name(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["export", "--checkpoint", "runs/a", "--out", "out", "--private"]) == 2
    assert "--private is for --push-to-hub" in capsys.readouterr().err
