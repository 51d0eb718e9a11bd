"""Checks that only some scenarios have."""


def janus(truth, reading, results):
    pass
