"""Names that the package offers."""

import subprocess
import sys

import pytest

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
