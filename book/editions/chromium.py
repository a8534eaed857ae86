"""The Chromium of this machine, headless, and a local web server for it to read from."""

import os
import shutil
import sys
import threading
from contextlib import contextmanager
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from playwright.sync_api import sync_playwright

PROGRAM = os.environ.get("CHROMIUM") or shutil.which("chromium") or shutil.which("google-chrome")
# No sandbox in a container that is root; nothing that the browser would fetch for itself.
ARGUMENTS = [
    "--no-sandbox",
    "--disable-quic",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]


def need():
    """Leave, and say what to do, if there is no Chromium."""
    if not PROGRAM or not Path(PROGRAM).exists():
        sys.exit(
            "There is no Chromium here. Install it (on Debian: apt-get install chromium), or name "
            "it before the command: CHROMIUM=/path/to/chromium make ..."
        )


@contextmanager
def launched():
    """Start a browser, and close it."""
    need()
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=PROGRAM, args=ARGUMENTS)
        yield browser
        browser.close()


class Quiet(SimpleHTTPRequestHandler):
    """Serves files and says nothing."""

    protocol_version = "HTTP/1.1"

    def log_message(self, format, *args):
        """Say nothing."""


@contextmanager
def served(folder):
    """Serve a folder, and give its address, which ends in a slash."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=folder))
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}/"
    server.shutdown()
    thread.join()
    server.server_close()
