# SPDX-License-Identifier: Apache-2.0
"""httpbin on loopback, for tests against a server that is not ours (Debian: python3-httpbin)."""
import functools
import subprocess
import sys
import unittest

import harness

SERVER = """
import socketserver, sys, threading
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer
from httpbin import app

class Server(socketserver.ThreadingMixIn, WSGIServer):
    daemon_threads = True

class Handler(WSGIRequestHandler):
    def log_message(self, *args):
        pass

server = Server(("127.0.0.1", 0), Handler)
server.set_app(app)
threading.Thread(target=server.serve_forever, daemon=True).start()
print(server.server_port, flush=True)
sys.stdin.read()
"""


@functools.lru_cache(maxsize=None)
def interpreter():
    """A Python that has httpbin: it need not be the one that runs the tests.  Or None."""
    for python in sys.executable, "/usr/bin/python3":
        try:
            if subprocess.run([python, "-c", "import httpbin"], capture_output=True,
                              timeout=harness.PATIENCE).returncode == 0:
                return python
        except FileNotFoundError:
            pass
    return None


class Httpbin:
    """A running httpbin.  It ends with us in any case."""

    def __init__(self):
        python = interpreter()
        if not python:
            raise unittest.SkipTest("python3-httpbin is not installed")
        self.process = subprocess.Popen([python, "-c", SERVER], stdin=subprocess.PIPE,
                                        stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
        self.port = int(self.process.stdout.readline())

    def url(self, path, user=""):
        return f"http://{user}127.0.0.1:{self.port}{path}"

    def stop(self):
        self.process.stdin.close()
        self.process.wait(timeout=harness.PATIENCE)
        self.process.stdout.close()
