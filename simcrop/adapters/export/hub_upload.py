"""Export folders as models of the hub, through huggingface_hub's `ModelHubMixin`."""

import shutil
from pathlib import Path
from typing import Any

from huggingface_hub import ModelHubMixin, snapshot_download


class ExportedModel(ModelHubMixin, library_name="simcrop"):
    """An export folder that `save_pretrained` copies, `push_to_hub` uploads and `from_pretrained` fetches.

    Its weights are loaded by `simcrop.load_model` and `simcrop.load_encoder`, from `.folder` or by the hub id alone.
    """

    def __init__(self, folder: Path) -> None:
        """
        Args:
            folder: of any export format; its README.md is the card that the hub shows.
        """
        self.folder = folder

    def _save_pretrained(self, save_directory: Path) -> None:
        shutil.copytree(self.folder, save_directory, dirs_exist_ok=True)

    @classmethod
    def _from_pretrained(cls, *, model_id: str, **options: Any) -> "ExportedModel":
        return cls(Path(model_id) if Path(model_id).is_dir() else Path(snapshot_download(model_id, **options)))
