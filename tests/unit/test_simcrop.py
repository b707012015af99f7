"""Names that the package offers."""

import subprocess
import sys

import pytest
from support.api_guide import GUIDE, guide_text

import simcrop


def test_what_the_package_offers_is_imported_when_asked_for() -> None:
    code = (
        "import sys, simcrop; heavy = {'torch', 'transformers', 'triton'};"
        "assert not heavy & set(sys.modules); assert 'load_model' in dir(simcrop);"
        "print(simcrop.split_sentences('One. Two.'), simcrop.__version__)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == f"['One.', 'Two.'] {simcrop.__version__}\n"
    with pytest.raises(AttributeError, match="no attribute 'load_modle'"):
        simcrop.load_modle  # noqa: B018


def test_the_guide_has_every_signature_and_docstring() -> None:
    guide = GUIDE.read_text(encoding="utf-8")
    assert guide_text(guide) == guide, "run `make guides`"
    assert all(f"\n### simcrop.{name}\n" in guide for name in simcrop.__all__ if name != "__version__")
