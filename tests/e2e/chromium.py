"""Opens pages in a headless Chromium, looks for what a reader would stumble over, and takes screenshots.

usage: chromium.py CHROMIUM FOLDER FILE...   screenshots go into FOLDER

For every file, on a wide and a narrow light screen, a dark one and on paper: nothing is requested but the file itself, the console
stays empty, the page is not wider than the screen, and no text of a drawing is cut at the drawing's edge. Speaks the DevTools
protocol over pipes, so no port is opened and nothing has to be installed beside the browser.
"""
import base64
import json
import os
import pathlib
import select
import subprocess
import sys
import tempfile
import time

VIEWS = [  # name, width, media, features
    ("wide", 1400, "screen", "light"),
    ("phone", 420, "screen", "light"),
    ("dark", 1400, "screen", "dark"),
    ("print", 800, "print", "light"),
]

LOOK = """(() => {
  const wrong = [];
  const root = document.documentElement;
  if (root.tagName === 'HTML' && root.scrollWidth > window.innerWidth + 1)
    wrong.push(`the page is ${root.scrollWidth} wide on a screen of ${window.innerWidth}`);
  for (const text of document.querySelectorAll('svg text')) {
    let svg = text.closest('svg');
    while (svg.parentElement && svg.parentElement.closest('svg')) svg = svg.parentElement.closest('svg');
    const a = text.getBoundingClientRect(), b = svg.getBoundingClientRect();
    if (a.width && (a.left < b.left - 1 || a.right > b.right + 1 || a.top < b.top - 1 || a.bottom > b.bottom + 1))
      wrong.push(`"${text.textContent}" is cut at the edge of its drawing`);
  }
  for (const image of document.querySelectorAll('img'))
    if (!image.complete || !image.naturalWidth) wrong.push('a picture cannot be shown');
  const colours = [...document.querySelectorAll('svg')].length;
  return JSON.stringify({wrong, drawings: colours, dark: getComputedStyle(document.body || root).backgroundColor,
                         height: Math.max(root.scrollHeight, 200)});
})()"""


class Browser:
    def __init__(self, program, profile):
        to_read, self.write_fd = os.pipe()
        self.read_fd, to_write = os.pipe()

        def descriptors():  # 3 to read from, 4 to write to; moved out of the way first
            a, b = os.dup2(to_read, 63), os.dup2(to_write, 62)
            os.dup2(a, 3)
            os.dup2(b, 4)

        flags = ["--headless=new", "--no-sandbox", "--disable-gpu", "--hide-scrollbars", "--no-first-run", "--disable-extensions",
                 "--disable-background-networking", "--disable-component-update", "--disable-sync", "--disable-dev-shm-usage",
                 "--remote-debugging-pipe", f"--user-data-dir={profile}"]
        self.process = subprocess.Popen([program, *flags, "about:blank"], preexec_fn=descriptors, close_fds=False,
                                        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        os.close(to_read)
        os.close(to_write)
        self.buffer, self.count, self.events, self.session = b"", 0, [], None
        target = self.call("Target.createTarget", url="about:blank")["targetId"]
        self.session = self.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in "Page", "Runtime", "Log", "Network":
            self.call(domain + ".enable")

    def message(self, seconds):
        end = time.monotonic() + seconds
        while b"\0" not in self.buffer:
            if not select.select([self.read_fd], [], [], max(end - time.monotonic(), 0))[0]:
                return None
            data = os.read(self.read_fd, 1 << 20)
            if not data:
                raise RuntimeError("the browser is gone")
            self.buffer += data
        text, self.buffer = self.buffer.split(b"\0", 1)
        return json.loads(text)

    def call(self, method, **parameters):
        self.count += 1
        request = {"id": self.count, "method": method, "params": parameters}
        if self.session:
            request["sessionId"] = self.session
        os.write(self.write_fd, json.dumps(request).encode() + b"\0")
        while True:
            m = self.message(60)
            if m is None:
                raise RuntimeError(f"no answer to {method}")
            if m.get("id") == self.count:
                if "error" in m:
                    raise RuntimeError(f"{method}: {m['error']}")
                return m["result"]
            self.events.append(m)

    def open(self, url):
        self.events = []
        self.call("Page.navigate", url=url)
        end = time.monotonic() + 60
        while not any(e.get("method") == "Page.loadEventFired" for e in self.events):
            m = self.message(1)
            if m:
                self.events.append(m)
            assert time.monotonic() < end, f"{url} is not loaded after a minute"
        quiet = self.message(0.3)  # what comes after the load
        while quiet:
            self.events.append(quiet)
            quiet = self.message(0.3)

    def close(self):
        try:
            self.session = None
            self.call("Browser.close")
        except (RuntimeError, OSError):
            pass
        self.process.wait(20)


def complaints(browser, url):
    """What the events since open() say against the page."""
    for e in browser.events:
        p = e.get("params", {})
        if e.get("method") == "Network.requestWillBeSent":
            asked = p["request"]["url"]
            if asked != url and not asked.startswith("data:"):
                yield f"asks for {asked[:100]}"
        elif e.get("method") == "Runtime.consoleAPICalled":
            yield "says on the console: " + " ".join(str(a.get("value")) for a in p["args"])
        elif e.get("method") == "Runtime.exceptionThrown":
            yield "throws: " + p["exceptionDetails"]["text"]
        elif e.get("method") == "Log.entryAdded":
            yield "logs: " + p["entry"]["text"]


def look(browser, path, folder, views=VIEWS):
    url, name, found = pathlib.Path(path).resolve().as_uri(), pathlib.Path(path).name, []
    for view, width, media, scheme in views:
        browser.call("Emulation.setDeviceMetricsOverride", width=width, height=900, deviceScaleFactor=1, mobile=False)
        browser.call("Emulation.setEmulatedMedia", media=media, features=[{"name": "prefers-color-scheme", "value": scheme}])
        browser.open(url)
        found += [f"{name} ({view}) {c}" for c in complaints(browser, url)]
        seen = json.loads(browser.call("Runtime.evaluate", expression=LOOK)["result"]["value"])
        found += [f"{name} ({view}): {w}" for w in seen["wrong"]]
        if path.endswith((".html", ".svg")) and not seen["drawings"]:
            found.append(f"{name} ({view}): nothing is drawn")
        if path.endswith(".html") and scheme == "dark" and seen["dark"] in ("rgba(0, 0, 0, 0)", "rgb(255, 255, 255)"):
            found.append(f"{name}: is white on a dark screen")
        if folder:
            browser.call("Emulation.setDeviceMetricsOverride", width=width, height=min(int(seen["height"]), 9000), deviceScaleFactor=1,
                         mobile=False)
            shot = browser.call("Page.captureScreenshot", format="png")["data"]
            out = pathlib.Path(folder) / f"{pathlib.Path(path).resolve().parent.name}-{name}-{view}.png"
            out.write_bytes(base64.b64decode(shot))
    return found


def check_itself(browser, folder):
    """A page with each of the faults is not let through."""
    bad = pathlib.Path(folder) / "faults.html"
    bad.write_text("<!doctype html><body style='background:#fff'><img src='http://127.0.0.1:9/x.png'><script>console.log('noise')</script>"
                   "<div style='width:3000px'>x</div><svg width='40' height='20'><text x='20' y='15'>cut here</text></svg>")
    found = "\n".join(look(browser, str(bad), None, VIEWS[2:3]))
    for words in "asks for http://127.0.0.1:9", "on the console: noise", "the page is 3", "is cut", "cannot be shown", "white on a dark":
        assert words in found, f"{words!r} is not found in:\n{found}"


def main():
    program, folder, files = sys.argv[1], sys.argv[2], sys.argv[3:]
    with tempfile.TemporaryDirectory() as scratch:
        browser = Browser(program, scratch)
        try:
            check_itself(browser, scratch)
            found = [c for f in files for c in look(browser, f, folder)]
        finally:
            browser.close()
    print("\n".join(found) if found else f"{len(files)} files are as they should be")
    return bool(found)


if __name__ == "__main__":
    sys.exit(main())
