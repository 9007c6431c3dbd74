"""A program for supervisord that speaks sd_notify as its argument says: `python -m tests.servers.speaker works`."""

from __future__ import annotations

import faulthandler
import os
import signal
import sys
import time
from pathlib import Path
from typing import NoReturn

from concord.adapters import notify


def speak(manner: str) -> NoReturn:
    """works: for ever. child: so does a forked child, which speaks for it. mute: never. stops: says that it ends.

    deaf: works, and does nothing about SIGABRT.
    """
    faulthandler.enable()
    while not Path(os.environ["NOTIFY_SOCKET"]).exists():
        time.sleep(0.05)
    if manner == "mute":
        time.sleep(3600)
    notify.ready()
    sys.stdout.write("has spoken\n")
    sys.stdout.flush()
    if manner == "deaf":
        signal.signal(signal.SIGABRT, signal.SIG_IGN)
    if manner == "child" and os.fork():
        time.sleep(3600)
    if manner == "stops":
        notify.stopping()
        time.sleep(3600)
    while True:
        notify.alive()
        time.sleep(0.2)


if __name__ == "__main__":
    speak(sys.argv[1])
