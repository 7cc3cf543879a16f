"""Clusters whose nodes take data over HTTP, and requests to them."""

import http.client
import json

from case import expect_equal
from cluster import free_port


def data_cluster(case, count=1, config=None, start=True):
    """A cluster whose node N has .http, a port with [http] data = yes."""
    cluster = case.cluster(count, config=dict({"http.data": "yes"}, **(config or {})), start=False)
    for node in cluster:
        node.http = free_port(case)
        node.config["http.listen"] = "127.0.0.1:%d" % node.http
    if start:
        cluster.start()
    return cluster


def ask(case, node, method, path, body=None, headers=None, timeout=30):
    """Status, headers and bytes."""
    connection = http.client.HTTPConnection("127.0.0.1", node.http, timeout=case.patience(timeout))
    try:
        connection.request(method, path, body, headers or {})
        reply = connection.getresponse()
        return reply.status, reply.headers, reply.read()
    finally:
        connection.close()


def write(case, node, lines, query="precision=ms", wanted=204, path="/write", headers=None):
    """POSTs lines; the token, or for another status than 204 what the answer says."""
    body = lines.encode() if isinstance(lines, str) else lines
    status, head, text = ask(case, node, "POST", path + "?" + query, body, headers)
    if status != wanted:
        expect_equal((status, text), (wanted, b""), "answer to %r" % body[:80])
    return head["X-Synclog-Token"] if status == 204 else json.loads(text)


def rows(node, device):
    """{time: {measurement: value}} by RPC."""
    with node.client() as client:
        return dict(client.query(device))
