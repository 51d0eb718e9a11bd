"""Headless Chromium as a peer, driven by the DevTools protocol over a pipe; `page.html` is what it runs."""
import fcntl, glob, json, os, shutil, threading

from .net import inside
from .peer import Peer
from .shell import Failure, wait_for

PAGE = os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "page.html")
FLAGS = """--headless=new --no-sandbox --disable-gpu --disable-audio-output --use-fake-device-for-media-stream=fps=20
--use-fake-ui-for-media-stream --autoplay-policy=no-user-gesture-required --disable-background-networking
--disable-component-update --disable-sync --no-first-run --disable-quic --disable-extensions --disable-dev-shm-usage
--disable-default-apps --disable-domain-reliability --disable-client-side-phishing-detection --no-default-browser-check
--disable-features=WebRtcHideLocalIpsWithMdns,MediaRouter,OptimizationHints,Translate
--disable-background-timer-throttling --disable-renderer-backgrounding --disable-backgrounding-occluded-windows
--ignore-certificate-errors --remote-debugging-pipe""".split()


def program():
    found = glob.glob("/usr/lib/chromium/chromium") or glob.glob("/usr/lib*/chromium*/chromium*")
    return found[0] if found else "chromium"


class Chromium(Peer):
    engine = "chromium"

    def __init__(self, processes, name, space, addresses):
        self.name, self.addresses = name, list(addresses)
        self.folder = os.path.join(processes.logs, f"chromium-{name}")
        os.makedirs(self.folder, exist_ok=True)
        there, self.out = os.pipe()
        self.back, here = os.pipe()
        # Descriptors 3 and 4 are the protocol's; the originals are moved out of their way.
        there, here = fcntl.fcntl(there, fcntl.F_DUPFD, 20), fcntl.fcntl(here, fcntl.F_DUPFD, 20)
        shell = ["bash", "-c", f'exec "$@" 3<&{there} 4>&{here} {there}<&- {here}>&-', "-"]
        environment = dict(os.environ, HOME=self.folder, DBUS_SESSION_BUS_ADDRESS="disabled:")
        self.process = processes.start(f"chromium-{name}", [
            *shell, *inside(space, program(), *FLAGS, "--user-data-dir=" + self.folder, "about:blank")],
            pass_fds=(there, here), env=environment)
        os.close(there), os.close(here)
        self.processes, self.answers, self.number, self.said = processes, {}, 0, threading.Condition()
        threading.Thread(target=self.listen, daemon=True).start()
        targets = wait_for("a page of Chromium", 30, lambda: [
            t for t in self.call("Target.getTargets", seconds=30)["targetInfos"] if t["type"] == "page"])
        self.session = self.call("Target.attachToTarget", targetId=targets[0]["targetId"], flatten=True)["sessionId"]
        self.call("Page.enable", self.session)
        self.call("Page.navigate", self.session, url="file://" + PAGE)
        wait_for("the page", 20, lambda: self.js("typeof make == 'function'"))

    def listen(self):
        rest = b""
        while True:
            got = os.read(self.back, 1 << 20)
            *messages, rest = (rest + got).split(b"\0")
            with self.said:
                for message in map(json.loads, messages):
                    if "id" in message:
                        self.answers[message["id"]] = message
                if not got:
                    self.answers[None] = True
                self.said.notify_all()
            if not got:
                return

    def call(self, method, session=None, seconds=30, **parameters):
        with self.said:
            self.number += 1
            number = self.number
        message = {"id": number, "method": method, "params": parameters}
        if session:
            message["sessionId"] = session
        os.write(self.out, json.dumps(message).encode() + b"\0")
        with self.said:
            if not self.said.wait_for(lambda: number in self.answers or None in self.answers, seconds):
                raise Failure(f"{self.name}: no answer to {method}")
            answer = self.answers.pop(number, {"error": "Chromium ended"})
        if "error" in answer:
            raise Failure(f"{self.name}: {method}: {answer['error']}")
        return answer["result"]

    def js(self, text, seconds=30):
        got = self.call("Runtime.evaluate", self.session, seconds, expression=text, awaitPromise=True, returnByValue=True)
        if "exceptionDetails" in got:
            raise Failure(f"{self.name}: {text[:80]}: {got['exceptionDetails'].get('exception', {}).get('description')}")
        return got["result"].get("value")

    def do(self, function, *arguments, seconds=30):
        return self.js(f"{function}({', '.join(map(json.dumps, arguments))})", seconds)

    def make(self, call, **options):
        return self.do("make", call, options)

    def end(self):
        try:
            self.call("Browser.close", seconds=5)
        except (Failure, OSError):
            pass
        self.processes.stop(self.process, seconds=3)
        shutil.rmtree(self.folder, ignore_errors=True)
