"""Bring the viewer of HTML pages before the package is built or installed; without it only pages are missing."""

import runpy
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface


class ViewerHook(BuildHookInterface[Any]):
    """Runs for wheels, source distributions and editable installations."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Put the viewer's file into its folder, from where the build takes it; tell where that cannot be."""
        viewer = runpy.run_path(str(Path(self.root, "simcrop", "adapters", "pages", "niivue.py")))
        try:
            viewer["bring"]()
        except OSError as error:
            self.app.display_warning(f"pages cannot be written yet: {error}; {viewer['HOW_TO_BRING']}")
