# SPDX-License-Identifier: Apache-2.0
"""Writes the inputs that a fuzz target begins with: seeds.py TARGET DIRECTORY."""
import json
import os
import sys

URLS = """\
http://example.com/
https://user:secret@EXAMPLE.com:8443/a/../b?q=1#f
http://127.1/ http://0x7f000001/ http://2130706433/ http://0177.0.0.1/
http://[::1]:8080/ http://[::ffff:127.0.0.1]/ http://[fe80::1%25eth0]/
http://xn--bcher-kva.example/ http://b\u00fccher.example/ http://\u2460.example/
http://a.b.:80/ http://a%2eb/ http:///a http://a@b@c/ http://a\\b/ http:a //a/b
ftp://a/ file:///etc/passwd javascript:alert(1) http://a:65536/ http://a:0/ http://a:/
http://a/%zz%00%ff http://a/?x=\u20ac http://\u0131.example/""".split()
JOBS = [
    {"url": "http://a/", "id": "x", "method": "post", "headers": {"A": "b", "C": ["d", "e"]},
     "body": "\u20ac\u0000", "timeout": "30s", "retry": True, "meta": {"k": [1, 2.5, None]},
     "priority": "high", "not_before": "2026-11-23T15:04:05.5Z", "requeued_from": "y"},
    {"url": "https://a/?b", "meta": -0.0}, {"url": "http://a/", "headers": {"Content-Type": ""}},
    {"id": "no url"}, ["http://a/"], "http://a/",
]
HEADS = [
    "HTTP/1.1 200 OK\r\nContent-Length: 5, 5\r\n\r\n",
    "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.0 200\nContent-Length:\t18446744073709551615\n\n",
    "HTTP/2 200 \r\na: b\r\n\r\nContent-Length: x\r\n", "HTTP/1.1 101 \r\n",
]

seeds = {"url": URLS, "head": HEADS,
         "job": URLS + [json.dumps(job) for job in JOBS]
         + [json.dumps(job, ensure_ascii=False) for job in JOBS]}[sys.argv[1]]
for i, seed in enumerate(seeds):
    with open(os.path.join(sys.argv[2], f"seed-{i}"), "wb") as file:
        file.write(seed.encode())
