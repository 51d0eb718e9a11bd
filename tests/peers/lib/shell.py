"""Commands and processes of a run: all that is started here is ended here."""
import ctypes, os, signal, subprocess, time

PR_SET_CHILD_SUBREAPER = 36


class Failure(Exception):
    """a call that could not be made: the recording failed, not the comparison"""


def sh(*words, check=True, input=None):
    done = subprocess.run([str(w) for w in words], capture_output=True, text=True, input=input, timeout=60)
    if check and done.returncode:
        raise Failure(f"{' '.join(map(str, words))}: exit {done.returncode}: {done.stderr.strip()[-300:]}")
    return done.stdout


def adopt():
    """children of programs that end come to us, not to an init that may not be there to bury them"""
    ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


def bury():
    """after all programs of a recording have ended"""
    try:
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass
    except ChildProcessError:
        pass


class Processes:
    """long-running programs with their logs; end() stops them by their own ids"""

    def __init__(self, logs):
        self.logs, self.all = logs, []

    def start(self, name, words, **options):
        log = open(os.path.join(self.logs, name + ".log"), "ab")
        options.setdefault("stdin", subprocess.DEVNULL)
        options.setdefault("stdout", log)
        process = subprocess.Popen([str(w) for w in words], stderr=log, start_new_session=True, **options)
        log.close()
        self.all.append(process)
        return process

    def stop(self, process, signum=signal.SIGTERM, seconds=5):
        if process in self.all:
            self.all.remove(process)
        for signum, wait in ((signum, seconds), (signal.SIGKILL, 5)):
            if process.poll() is None:
                try:
                    os.killpg(process.pid, signum)
                except ProcessLookupError:
                    pass
                try:
                    process.wait(wait)
                except subprocess.TimeoutExpired:
                    continue
        return process.returncode

    def end(self):
        for process in reversed(list(self.all)):
            self.stop(process, seconds=2)
        bury()


def wait_for(what, seconds, test, every=0.1):
    until = time.monotonic() + seconds
    while True:
        got = test()
        if got:
            return got
        if time.monotonic() > until:
            raise Failure(f"{what}: not within {seconds} s")
        time.sleep(every)
