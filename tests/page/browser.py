"""A headless Chromium, driven through chromedriver's HTTP: the standard library is all that it needs."""

import base64
import json
import os
import queue
import re
import shutil
import subprocess
import tempfile
import threading
import time
import urllib.error
import urllib.request

TOOLS = {"chromium": "chromium", "chromedriver": "chromium-driver"}


def missing():
    """What to install, or nothing."""
    return [package for tool, package in TOOLS.items() if shutil.which(tool) is None]


class Broken(Exception):
    """The browser or its driver did not do what it was told."""


class Browser:
    """One page in one browser, which is started with `options`. Both programs end with the `with` block."""

    def __init__(self, *options):
        self.options = options

    def __enter__(self):
        self.profile = tempfile.mkdtemp(prefix="taketurns-page-")
        self.driver = subprocess.Popen(["chromedriver", "--port=0"], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                                       stderr=subprocess.STDOUT, text=True)
        try:
            self.base = f"http://127.0.0.1:{self._port()}"
            self.session = self._call("POST", "/session", {"capabilities": {"alwaysMatch": self._capabilities()}})["sessionId"]
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_):
        try:
            self._call("DELETE", f"/session/{self.session}")
        except (AttributeError, Broken):
            pass  # There is no session to end.
        self.driver.kill()
        self.driver.wait()
        shutil.rmtree(self.profile, ignore_errors=True)

    def _port(self):
        """Where the driver listens; what else it says is read and dropped, so that it never waits for a reader."""
        said = queue.Queue()
        threading.Thread(target=lambda: [said.put(line) for line in self.driver.stdout], daemon=True).start()
        while True:
            try:
                found = re.search(r"started successfully on port (\d+)", said.get(timeout=20))
            except queue.Empty:
                raise Broken("chromedriver does not say on which port it listens") from None
            if found:
                return found[1]

    def _capabilities(self):
        options = ["--headless=new", "--disable-gpu", "--hide-scrollbars", "--no-first-run", f"--user-data-dir={self.profile}", *self.options]
        if os.geteuid() == 0:
            options.append("--no-sandbox")  # Chromium's sandbox does not run as root.
        if shutil.disk_usage("/dev/shm").total < 1 << 28:
            options.append("--disable-dev-shm-usage")
        return {"goog:chromeOptions": {"args": options, "binary": shutil.which("chromium")}, "goog:loggingPrefs": {"browser": "ALL"}}

    def _call(self, method, path, body=None):
        data = None if method != "POST" else json.dumps(body or {}).encode()
        request = urllib.request.Request(self.base + path, data, {"Content-Type": "application/json"}, method=method)
        try:
            with urllib.request.urlopen(request, timeout=60) as answer:
                return json.load(answer)["value"]
        except urllib.error.HTTPError as error:
            raise Broken(json.load(error)["value"]["message"].partition("\n")[0]) from None
        except OSError as error:
            raise Broken(f"chromedriver does not answer: {error}") from None

    def _do(self, what, body=None):
        return self._call("POST", f"/session/{self.session}/{what}", body)

    def windows(self):
        return self._call("GET", f"/session/{self.session}/window/handles")

    def window(self, handle):
        self._do("window", {"handle": handle})

    def new_window(self):
        handle = self._do("window/new", {"type": "tab"})["handle"]
        self.window(handle)
        return handle

    def close_window(self):
        self._call("DELETE", f"/session/{self.session}/window")

    def press(self, key):
        """A key, by its name in the DOM."""
        codes = {"Enter": 13, "ArrowLeft": 37, "ArrowUp": 38, "ArrowRight": 39, "ArrowDown": 40}
        text = {"Enter": "\r"}.get(key, key if len(key) == 1 else "")
        for kind in ("keyDown", "keyUp"):
            parameters = {"text": text} if text and kind == "keyDown" else {}
            self.devtools("Input.dispatchKeyEvent", type=kind, key=key, windowsVirtualKeyCode=codes.get(key, ord(key[0])), **parameters)

    def open(self, url):
        self._do("url", {"url": url})

    def run(self, script, *arguments):
        """What the page answers to a function body."""
        return self._do("execute/sync", {"script": script, "args": list(arguments)})

    def devtools(self, command, **parameters):
        return self._do("goog/cdp/execute", {"cmd": command, "params": parameters})

    def log(self):
        """What the console said since the last call: errors, and what the content security policy refused."""
        return self._do("se/log", {"type": "browser"})

    def show_as(self, width, height, scheme="light", **features):
        """As on a screen so wide and high, of such preferences."""
        self.devtools("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=False)
        media = [{"name": "prefers-color-scheme", "value": scheme}]
        media += [{"name": name.replace("_", "-"), "value": value} for name, value in features.items()]
        self.devtools("Emulation.setEmulatedMedia", features=media)

    def look_away(self, seconds):
        """Shows another tab for so long: the page is hidden meanwhile."""
        here = self._call("GET", f"/session/{self.session}/window")
        other = self._do("window/new", {"type": "tab"})["handle"]
        self._do("window", {"handle": other})
        time.sleep(seconds)
        self._call("DELETE", f"/session/{self.session}/window")
        self._do("window", {"handle": here})

    def screenshot(self, file, whole=False):
        shot = self.devtools("Page.captureScreenshot", format="png", captureBeyondViewport=whole, **self._clip(whole))
        with open(file, "wb") as out:
            out.write(base64.b64decode(shot["data"]))

    def _clip(self, whole):
        if not whole:
            return {}
        size = self.devtools("Page.getLayoutMetrics")["cssContentSize"]
        return {"clip": {"x": 0, "y": 0, "width": size["width"], "height": size["height"], "scale": 1}}
