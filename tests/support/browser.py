"""A headless Chromium that tests drive over two pipes, by the DevTools protocol; it reaches no network."""

import base64
import io
import json
import os
import select
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

_NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
_FLAGS = (
    "--headless=new", "--no-sandbox", "--no-first-run", "--disable-dev-shm-usage", "--remote-debugging-pipe",
    "--use-angle=swiftshader", "--enable-unsafe-swiftshader", "--disable-background-networking", "--hide-scrollbars",
    "--host-resolver-rules=MAP * ~NOTFOUND",
)  # fmt: skip
_MIDDLE = """selector => {
  const element = document.querySelector(selector);
  element.scrollIntoView({block: "nearest"});
  const {x, y, width, height} = element.getBoundingClientRect();
  return [x + width / 2, y + height / 2];
}"""
_DRAG = """(selector, value) => {
  const slider = document.querySelector(selector);
  slider.value = value;
  slider.dispatchEvent(new Event("input", {bubbles: true}));
}"""
_START = """import fcntl, os, sys
ends = [fcntl.fcntl(int(end), fcntl.F_DUPFD, 10) for end in sys.argv[1:3]]
for place, end in zip((3, 4), ends):
    os.dup2(end, place)
os.execv(sys.argv[3], sys.argv[3:])
"""
"""The browser reads from descriptor 3 and writes to 4."""
_TWO_FRAMES = "requestAnimationFrame(() => requestAnimationFrame(done))"
_SECONDS = 120.0
"""A busy machine draws by software: far more than it takes."""


def chromium_or_skip() -> str:
    """Path of a Chromium; skips the test where there is none."""
    found = next((path for name in _NAMES if (path := shutil.which(name))), None)
    if found is None:
        pytest.skip(f"no browser: none of {', '.join(_NAMES)} is installed")
    return found


class Tab:
    """One page of a browser.

    Attributes:
        complaints: errors, warnings and uncaught exceptions of the console, since the page was opened.
        requested: addresses of all that it asked for.
    """

    def __init__(self, to_browser: int, from_browser: int) -> None:
        self.complaints: list[str] = []
        self.requested: list[str] = []
        self._to, self._from, self._rest, self._number, self._session = to_browser, from_browser, b"", 0, ""
        target = self.send("Target.createTarget", url="about:blank")["targetId"]
        self._session = self.send("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Log", "Network"):
            self.send(f"{domain}.enable")
        self.send("Network.emulateNetworkConditions", offline=True, latency=0, downloadThroughput=0, uploadThroughput=0)

    def open(self, path: Path, *, width: int = 1400, height: int = 900) -> None:
        """Open a file as a double click does, in a window of so many pixels."""
        self.resize(width, height)
        self.send("Page.navigate", url="about:blank")
        self.wait_for("document.URL === 'about:blank' && document.readyState === 'complete'")
        self.complaints, self.requested = [], []
        self.send("Page.navigate", url=path.resolve().as_uri())

    def resize(self, width: int, height: int) -> None:
        """Give the window another size."""
        size: dict[str, Any] = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": False}
        self.send("Emulation.setDeviceMetricsOverride", **size)

    def evaluate(self, expression: str) -> Any:
        """The value of a JavaScript expression, once its promise is kept."""
        answer = self.send("Runtime.evaluate", expression=expression, awaitPromise=True, returnByValue=True)
        assert "exceptionDetails" not in answer, answer["exceptionDetails"]
        return answer["result"].get("value")

    def wait_for(self, expression: str) -> float:
        """Wait until an expression holds; returns for how many seconds."""
        start = time.monotonic()
        # While a page is on its way, its elements may be absent.
        while not self.evaluate(f"(() => {{ try {{ return Boolean({expression}); }} catch {{ return false; }} }})()"):
            assert time.monotonic() - start < _SECONDS, f"{expression} does not come true; {self.complaints}"
            time.sleep(0.05)
        return time.monotonic() - start

    def click(self, selector: str) -> None:
        """Click on the middle of an element, as a mouse does."""
        x, y = self.evaluate(f"({_MIDDLE})({json.dumps(selector)})")
        for kind in ("mousePressed", "mouseReleased"):
            self.send("Input.dispatchMouseEvent", type=kind, x=x, y=y, button="left", clickCount=1)

    def press(self, key: str) -> None:
        """Press a key that writes a character."""
        for kind in ("keyDown", "keyUp"):
            self.send("Input.dispatchKeyEvent", type=kind, key=key, text=key if kind == "keyDown" else "")

    def set_slider(self, selector: str, value: float) -> None:
        """Put a slider at a value, as dragging it does."""
        self.evaluate(f"({_DRAG})({json.dumps(selector)}, {value})")

    def settle(self) -> None:
        """Wait until what was asked for is drawn."""
        self.evaluate(
            "new Promise(done => setTimeout(() => requestAnimationFrame(() => requestAnimationFrame(done)), 80))"
        )

    def picture(self, path: Path | None = None) -> NDArray[np.uint8]:
        """What the window shows now: [height, width, 3]; also as a PNG file."""
        self.settle()
        data = base64.b64decode(self.send("Page.captureScreenshot", format="png")["data"])
        if path is not None:
            path.write_bytes(data)
        return np.asarray(Image.open(io.BytesIO(data)).convert("RGB"))

    def send(self, method: str, **parameters: Any) -> Any:
        """Call a method of the DevTools protocol and wait for what it returns."""
        self._number += 1
        message: dict[str, Any] = {"id": self._number, "method": method, "params": parameters}
        if self._session:
            message["sessionId"] = self._session
        data = json.dumps(message).encode() + b"\0"
        while data:
            data = data[os.write(self._to, data) :]
        deadline = time.monotonic() + _SECONDS
        while (answer := self._next(deadline)).get("id") != self._number:
            self._note(answer)
        assert "error" not in answer, f"{method}: {answer['error']}"
        return answer["result"]

    def _next(self, deadline: float) -> dict[str, Any]:
        while b"\0" not in self._rest:
            ready, _, _ = select.select([self._from], [], [], max(0.0, deadline - time.monotonic()))
            assert ready, "the browser does not answer"
            data = os.read(self._from, 1 << 20)
            assert data, "the browser has gone"
            self._rest += data
        message, self._rest = self._rest.split(b"\0", 1)
        return json.loads(message)

    def _note(self, event: Mapping[str, Any]) -> None:
        told = event.get("params", {})
        match event.get("method"):
            case "Runtime.consoleAPICalled" if told["type"] in ("error", "warning", "assert"):
                self.complaints.append(" ".join(str(part.get("value", part)) for part in told["args"]))
            case "Runtime.exceptionThrown":
                self.complaints.append(json.dumps(told["exceptionDetails"]))
            case "Log.entryAdded" if told["entry"]["level"] in ("error", "warning"):
                self.complaints.append(told["entry"]["text"])
            case "Network.requestWillBeSent":
                self.requested.append(told["request"]["url"])
            case _:
                pass


@contextmanager
def opened_tab(folder: Path, *flags: str) -> Iterator[Tab]:
    """A new browser with one empty page, gone after the block; skips the test where there is no browser.

    Args:
        folder: for what the browser keeps.
        flags: more of Chromium's command line.
    """
    command = [chromium_or_skip(), *_FLAGS, f"--user-data-dir={folder}", *flags]
    read_by_browser, to_browser = os.pipe()
    from_browser, written_by_browser = os.pipe()
    process = subprocess.Popen(
        [sys.executable, "-c", _START, str(read_by_browser), str(written_by_browser), *command],
        pass_fds=(read_by_browser, written_by_browser),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    for end in (read_by_browser, written_by_browser):
        os.close(end)
    try:
        tab = Tab(to_browser, from_browser)
        yield tab
        tab.send("Target.getTargets")
    finally:
        os.close(to_browser)
        os.close(from_browser)
        try:
            process.wait(10)  # a browser ends when its pipe is closed
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, 9)
            process.wait()
