# SPDX-License-Identifier: Apache-2.0
"""nginx with one worker on the last processor, which answers every path with 128 B, keep-alive."""
import contextlib
import os
import shutil
import socket
import subprocess
import tempfile

import daemons  # noqa: F401  for the path to what the system tests share
import harness
import nginx_harness

CONFIG = """
{user}
daemon off;
worker_processes 1;
worker_rlimit_nofile 20000;
pid nginx.pid;
error_log error.log crit;
events {{ worker_connections 10000; }}
http {{
    access_log off;
    client_body_temp_path tmp; proxy_temp_path tmp; fastcgi_temp_path tmp;
    uwsgi_temp_path tmp; scgi_temp_path tmp;
    default_type application/octet-stream;
    keepalive_requests 1000000000;
    keepalive_timeout 600s;
    server {{ listen 127.0.0.1:{port} backlog=4096; location / {{ return 200 "{answer}"; }} }}
}}
"""


def find():
    """The path of nginx, or None."""
    return shutil.which("nginx", path=os.environ.get("PATH", "") + ":/usr/sbin:/sbin")


def pin():
    """For preexec_fn: one processor, and the end when we end."""
    os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
    nginx_harness.end_with_us()


@contextlib.contextmanager
def running():
    """Yields the origin's URL, "http://127.0.0.1:PORT", while it serves."""
    with tempfile.TemporaryDirectory(prefix="penstock-nginx-") as folder, \
            socket.create_server(("127.0.0.1", 0), backlog=4096) as held:
        port = held.getsockname()[1]
        os.mkdir(os.path.join(folder, "tmp"))
        with open(os.path.join(folder, "nginx.conf"), "w", encoding="ascii") as conf:
            conf.write(CONFIG.format(user="user root;" if os.geteuid() == 0 else "", port=port,
                                     answer="x" * 128))
        # nginx takes over sockets that its older self hands to it in this variable.
        process = subprocess.Popen(
            [find(), "-p", folder + "/", "-c", "nginx.conf", "-e", "error.log"],
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
            env=dict(os.environ, NGINX=f"{held.fileno()};"), pass_fds=[held.fileno()],
            preexec_fn=pin)
        try:
            yield f"http://127.0.0.1:{port}"
        finally:
            process.terminate()
            process.wait(timeout=harness.PATIENCE)
