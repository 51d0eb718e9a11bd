"""What every kind of peer can do; a call is named, for a peer may be in several."""


class Peer:
    """a peer whose functions are called by name: `do` is its own kind's"""

    def offer(self, call, restart=False):
        return self.do("offer", call, restart)

    def answer(self, call, sdp):
        return self.do("answer", call, sdp)

    def accept(self, call, sdp):
        return self.do("accept", call, sdp)

    def state(self, call):
        return self.do("state", call)

    def speak(self, call):
        return self.do("speak", call)

    def stats(self):
        return self.do("stats")

    def silence(self):
        return self.do("silence")

    def close(self):
        return self.do("close_all")
