"""A training config for tests that are about something else: a handful of steps takes no time."""

from pathlib import Path

TINY = str(Path(__file__).with_name("tiny.yaml"))
