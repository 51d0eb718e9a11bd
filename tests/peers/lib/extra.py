"""Checks that only some scenarios have."""
