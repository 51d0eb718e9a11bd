"""The scenarios: who calls whom over what network. Each leaves a capture and what the peers said of it."""

ALL = {}


def scenario(function):
    ALL[function.__name__.replace("_", "-")] = function
    return function


def pair(r, call="call", a="10.1.0.2", b="10.2.0.2", **impair):
    """two Chromiums and a call between them; `impair` is what happens to what each sends"""
    names = [call[-1] + "a", call[-1] + "b"] if call != "call" else ["a", "b"]
    impair = {"delay": 20, **impair}
    peers = r.chromiums(**{names[0]: (a, impair), names[1]: (b, impair)})
    r.capture()
    r.p2p(call, *peers)
    r.connected((call, peers[0]), (call, peers[1]))
    r.truth["meetings"].append(names)
    return peers


def plain(r, seconds=12, **impair):
    pair(r, **impair)
    r.talk(seconds)
    r.finish()


@scenario
def p2p(r):
    """Chromium and Chromium, no impairment but 20 ms each way"""
    plain(r)


@scenario
def p2p_loss_1(r):
    """1 percent of what each sends is lost"""
    plain(r, seconds=15, loss=1)


@scenario
def p2p_loss_5(r):
    """5 percent lost"""
    plain(r, loss=5)


@scenario
def p2p_loss_10(r):
    """10 percent lost"""
    plain(r, loss=10)


@scenario
def p2p_jitter(r):
    """delay of 80 ms with a deviation of 30"""
    plain(r, delay=80, jitter=30)


@scenario
def p2p_reorder(r):
    """2 percent of the packets overtake those of the last 30 ms"""
    plain(r, delay=30, reorder=2)
