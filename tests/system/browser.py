"""A headless Chromium, driven as WebDriver says: a page as a person has it, with keys, sizes, colour schemes."""

import base64
import json
import os
import shutil
import subprocess
import urllib.error
import urllib.request

from cluster import Failed, free_port

OPTIONS = ["--headless=new", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--hide-scrollbars",
           "--disable-background-networking", "--disable-component-update", "--disable-sync", "--disable-dev-shm-usage",
           "--no-default-browser-check", "--disable-extensions"]
# Keys, as WebDriver calls them.
TAB, SHIFT, ENTER, RIGHT, DOWN = "\ue004", "\ue008", "\ue007", "\ue014", "\ue015"


class Browser:
    """One window. Ends with the test."""

    @staticmethod
    def is_there():
        return shutil.which("chromedriver") is not None and shutil.which("chromium") is not None

    def __init__(self, case):
        self.case = case
        self.base = "http://127.0.0.1:%d" % free_port(case)
        folder = os.path.join(case.dir, "browser")
        os.makedirs(folder)
        environment = dict(os.environ, HOME=folder, XDG_CONFIG_HOME=folder, XDG_CACHE_HOME=folder)
        with open(folder + "/log", "w", encoding="utf-8") as log:
            self.process = subprocess.Popen(["chromedriver", "--port=" + self.base.rsplit(":", 1)[1]], stdout=log, stderr=log,
                                            env=environment)
        case.at_end(self.end)
        self.session = ""
        case.eventually("chromedriver is ready", lambda: self.call("GET", "/status")["ready"], timeout=30, pause=0.1)
        asked = {"browserName": "chrome", "goog:loggingPrefs": {"browser": "ALL"},
                 "goog:chromeOptions": {"binary": shutil.which("chromium"), "args": OPTIONS + ["--user-data-dir=%s/profile" % folder]}}
        self.session = "/session/" + self.call("POST", "/session", {"capabilities": {"alwaysMatch": asked}})["sessionId"]

    def end(self):
        try:
            self.call("DELETE", "")  # the browser with it
        except (OSError, Failed):
            pass
        self.process.terminate()
        self.process.wait()

    def call(self, method, path, body=None):
        data = json.dumps(body).encode() if body is not None else None
        request = urllib.request.Request(self.base + self.session + path, data, {"Content-Type": "application/json"}, method=method)
        try:
            with urllib.request.urlopen(request, timeout=self.case.patience(60)) as reply:
                return json.load(reply)["value"]
        except urllib.error.HTTPError as error:
            raise Failed("%s %s: %s" % (method, path, error.read().decode())) from None

    def devtools(self, command, **parameters):
        return self.call("POST", "/goog/cdp/execute", {"cmd": command, "params": parameters})

    def open(self, url):
        self.call("POST", "/url", {"url": url})

    def run(self, script, *arguments):
        """What the body of a function returns in the page."""
        return self.call("POST", "/execute/sync", {"script": script, "args": list(arguments)})

    def text(self):
        return self.run("return document.body.innerText")

    def press(self, keys):
        """Keys to whatever has the focus, one after the other; SHIFT holds for the next one."""
        actions, held = [], False
        for key in keys:
            if key == SHIFT:
                held = True
                actions.append({"type": "keyDown", "value": SHIFT})
                continue
            actions += [{"type": "keyDown", "value": key}, {"type": "keyUp", "value": key}]
            if held:
                actions.append({"type": "keyUp", "value": SHIFT})
                held = False
        self.call("POST", "/actions", {"actions": [{"type": "key", "id": "keys", "actions": actions}]})

    def size(self, width, height, phone=False):
        self.devtools("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=2 if phone else 1,
                      mobile=phone)

    def scheme(self, name):
        """light or dark"""
        self.devtools("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": name}])

    def picture(self, path):
        with open(path, "wb") as file:
            file.write(base64.b64decode(self.call("GET", "/screenshot")))

    def tree(self):
        """What a screen reader gets: [(role, name, node)] of all that is not ignored."""
        nodes = self.devtools("Accessibility.getFullAXTree")["nodes"]
        return [(node["role"]["value"], node.get("name", {}).get("value", ""), node)
                for node in nodes if not node.get("ignored")]

    def complaints(self):
        """What the page wrote to the console as an error."""
        return [each["message"] for each in self.call("POST", "/se/log", {"type": "browser"}) if each["level"] == "SEVERE"]
