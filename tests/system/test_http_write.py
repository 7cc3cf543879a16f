"""Line protocol over HTTP: what is written, what is refused and how it is told, and that what was
answered with 204 is there."""

import glob
import gzip
import http.client
import json
import os
import random
import shutil
import socket
import threading
import time
import urllib.parse

from case import expect, expect_equal, test
from cluster import free_port
from http_tools import ask, data_cluster, rows, write
from proxy import BACK
from test_nab import DATA, device_of, load, check_series


@test
def lines_become_rows(case):
    node = data_cluster(case)[1]
    write(case, node, 'cpu,host=b,core=0 usage=12.5,n=5i,u=7u,up=t,name="a \\"b\\"" 1000\r\n'
                      '# a comment\n\n'
                      'cpu,core=0,host=b usage=13,up=F 2000\n'
                      'plant1.boiler temperature=21.5,temperature=22 3000')
    device = "cpu,core=0,host=b"
    expect_equal(rows(node, device),
                 {1000: {"usage": 12.5, "n": 5, "u": 7, "up": True, "name": 'a "b"'},
                  2000: {"usage": 13.0, "up": False}}, "rows")
    expect_equal(rows(node, "plant1.boiler"), {3000: {"temperature": 22.0}}, "the last field holds")
    with node.client() as client:
        types = {m.name: m.type for m in client.series(prefix=device)[0].measurements}
    expect_equal(types, {"usage": 5, "n": 3, "u": 3, "up": 1, "name": 6}, "types")
    # Of equal times the later line holds, whatever its fields.
    write(case, node, "d f=1 5\ne f=9 5\nd f=2,g=7 5\nd f=3 5\n")
    expect_equal(rows(node, "d"), {5: {"f": 3.0, "g": 7.0}}, "order of lines")


@test
def precisions_and_ways(case):
    node = data_cluster(case)[1]
    for query, stamp in (("", 7200000000000), ("precision=ns", 7200000000000),
                         ("precision=n", 7200000000000), ("precision=u", 7200000000),
                         ("precision=us", 7200000000), ("precision=ms", 7200000),
                         ("precision=s", 7200), ("precision=m", 120), ("precision=h", 2)):
        for path in ("/write", "/api/v2/write"):
            name = "d.%s.%d" % (query.partition("=")[2], path.count("v2"))
            write(case, node, "%s v=1 %d" % (name, stamp), query + "&db=x&bucket=y&org=z", path=path)
            expect_equal(list(rows(node, name)), [7200000], name)
    write(case, node, "neg v=1 -1", "precision=ns")
    expect_equal(list(rows(node, "neg")), [-1], "rounded down")
    before = time.time() * 1000
    write(case, node, "now v=1")
    at, = rows(node, "now")
    expect(before - 1 <= at <= time.time() * 1000 + 1, "server time: %d", at)
    packed = gzip.compress(b"gz v=1 1\n") + gzip.compress(b"gz v=2 2\n")
    write(case, node, packed, headers={"Content-Encoding": "gzip"})
    expect_equal(rows(node, "gz"), {1: {"v": 1.0}, 2: {"v": 2.0}}, "packed")
    # In chunks, the head split from the body and a line from its other half.
    with socket.create_connection(("127.0.0.1", node.http), timeout=case.patience(10)) as raw:
        raw.sendall(b"POST /write?precision=ms HTTP/1.1\r\nHost: h\r\n"
                    b"Transfer-Encoding: chunked\r\nConnection: close\r\n\r\n")
        for piece in (b"ch v=1 1\nch v", b"=2 2\n"):
            raw.sendall(b"%x\r\n%s\r\n" % (len(piece), piece))
        raw.sendall(b"0\r\n\r\n")
        expect(raw.recv(100).startswith(b"HTTP/1.1 204 "), "chunks are refused")
    expect_equal(rows(node, "ch"), {1: {"v": 1.0}, 2: {"v": 2.0}}, "chunks")


@test
def bad_lines_cost_themselves_only(case):
    node = data_cluster(case)[1]
    told = write(case, node, "good v=1 1\nbad\ngood v=2 2\nbad v=NaN 3\ngood v=3 99999999999999999\n",
                 "precision=s", 400)
    expect_equal(told, {"error": "partial write: unable to parse 'bad': missing fields\n"
                                 "unable to parse 'bad v=NaN 3': invalid number\n"
                                 "unable to parse 'good v=3 99999999999999999': time outside range"
                                 " dropped=0"}, "what is told")
    expect_equal(rows(node, "good"), {1000: {"v": 1.0}, 2000: {"v": 2.0}}, "the good lines")
    told = write(case, node, "bad", "", 400, "/api/v2/write")
    expect_equal(told, {"code": "invalid", "message": "unable to parse 'bad': missing fields"}, "v2")
    told = write(case, node, "\n".join("bad" for _ in range(100)), "", 400)["error"]
    expect(told.count("\n") == 20 and told.endswith("and 80 more"), "many: %s", told)
    told = write(case, node, b"m f=\xff\xfe " + b"x" * 5000, "", 400)["error"]
    expect(len(told) < 400, "a long line is told whole")


@test
def type_conflicts_are_told_by_line(case):
    cluster = data_cluster(case, 2)
    write(case, cluster[1], "m,a=1 f=1.5,g=1i 1\nm,a=2 f=2i 1\n", "precision=ms&consistency=all")
    cluster.converge()  # durable is not applied: the other node learns the types when it applies
    told = write(case, cluster[2], "m,a=1 f=3i 2\nm,a=1 g=2i 2\nm,a=2 f=3.5 2\nm,a=3 f=t 2\n"
                                   "n f=1 1\nn f=2i 2\nn f=3 3", "precision=ms", 400)["error"]
    expect(told.startswith("partial write: ") and told.endswith(" dropped=3"), "%s", told)
    expect_equal(told.count("field type conflict"), 3, "conflicts told in: %s" % told)
    for line in ("m,a=1 f=3i 2", "m,a=2 f=3.5 2", "n f=2i 2"):
        expect("unable to write '%s': field type conflict" % line in told, "not told: %s", line)
    expect_equal(rows(cluster[2], "m,a=1"), {1: {"f": 1.5, "g": 1}, 2: {"g": 2}}, "m,a=1")
    expect_equal(rows(cluster[2], "m,a=2"), {1: {"f": 2}}, "m,a=2")
    expect_equal(rows(cluster[2], "m,a=3"), {2: {"f": True}}, "m,a=3")
    expect_equal(rows(cluster[2], "n"), {1: {"f": 1.0}, 3: {"f": 3.0}}, "n")
    told = write(case, cluster[2], "n f=1i 1", "", 400)["error"]
    expect("dropped=1" in told, "all of it: %s", told)
    cluster.converge()


@test
def what_is_refused(case):
    node = data_cluster(case)[1]
    write(case, node, "m f=1", "precision=d", 400)
    write(case, node, "m f=1", "consistency=most", 400)
    write(case, node, "m f=1", "timeout_ms=-1", 400)
    write(case, node, "m f=1", "", 415, headers={"Content-Encoding": "br"})
    write(case, node, "m f=1", "", 400, headers={"Content-Encoding": "gzip"})
    write(case, node, gzip.compress(b"m f=1 1\n" * 10)[:-5], "", 400,
          headers={"Content-Encoding": "gzip"})
    bomb = gzip.compress(b"\n" * (40 << 20))
    told = write(case, node, bomb, "", 413, "/api/v2/write", {"Content-Encoding": "gzip"})
    expect_equal(told["code"], "request too large", "the bomb")
    huge = b"POST /write HTTP/1.1\r\nHost: h\r\nContent-Length: 99999999\r\n\r\n"
    for sent, wanted in ((huge, b" 413 "), (b"GET /write HTTP/1.1\r\nHost: h\r\n\r\n", b" 405 "),
                         (b"POST /write/../write HTTP/1.1\r\nHost: h\r\nContent-Length: 0\r\n\r\n", b" 404 "),
                         (b"POST /write?" + b"x" * 9000 + b" HTTP/1.1\r\n\r\n", b" 431 "),
                         (b"POST /write HTTP/1.1\r\nX: " + b"x" * 9000, b" 431 ")):
        with socket.create_connection(("127.0.0.1", node.http), timeout=case.patience(10)) as raw:
            raw.sendall(sent)
            expect(wanted in raw.recv(4096)[:40], "%r is not answered with%s", sent[:40], wanted.decode())
    status, _, text = ask(case, node, "POST", "/write", b"m f=1", {"Origin": "http://evil.example"})
    expect_equal((status, b"web pages" in text), (403, True), "a web page writes")
    # A body that breaks off in the middle of a line was never there.
    with socket.create_connection(("127.0.0.1", node.http), timeout=case.patience(10)) as raw:
        raw.sendall(b"POST /write HTTP/1.1\r\nHost: h\r\nContent-Length: 20\r\n\r\nhalf f=1 1\nhal")
    case.eventually("the connection is gone", lambda: b'synclogd_writes_total 0\n' in ask(
        case, node, "GET", "/metrics")[2])
    with node.client() as client:
        expect_equal(client.series(), [], "devices")


@test
def overload_says_when_to_retry(case):
    cluster = data_cluster(case, 2, {"wal.throttle_threshold": "1MiB", "store.memtable_size": "64KiB",
                                     "wal.wal_segment_size": "64KiB"})
    node = cluster[1]
    cluster[2].stop()
    # Durable here but not on all members: a retry can help, and changes nothing.
    status, head, text = ask(case, node, "POST", "/write?consistency=all&timeout_ms=100&precision=ms",
                             b"d f=1 1")
    expect_equal((status, head["Retry-After"]), (503, "1"), "not everywhere: %s" % text)
    answers = {}

    def is_throttled():
        code, head, text = ask(case, node, "POST", "/write?precision=ms",
                               b'd s="%s" %d' % (b"x" * 50000, len(answers)))
        answers[len(answers)] = code
        if code == 204:
            return False
        expect_equal(code, 429, "throttled: %s" % text)
        expect(int(head["Retry-After"]) >= 1 and json.loads(text)["error"], "no hint: %s", text)
        return True
    case.eventually("writes are throttled", is_throttled)
    status, _, _ = ask(case, node, "GET", "/health")
    expect_equal(status, 503, "health of a throttled node")
    cluster[2].start()
    case.eventually("writes are taken again", lambda: ask(
        case, node, "POST", "/write?precision=ms", b"d f=2 2")[0] == 204)
    cluster.converge()


@test
def off_unless_asked_for(case):
    node = data_cluster(case, config={"http.data": None})[1]
    for method, path in (("POST", "/write"), ("POST", "/api/v2/write"), ("GET", "/ping")):
        status, _, text = ask(case, node, method, path, b"m f=1" if method == "POST" else None)
        expect_equal((status, b"data = yes" in text), (403, True), path)
    expect_equal(ask(case, node, "GET", "/metrics")[0], 200, "metrics")
    node.config["http.data"] = "yes"
    node.write_config()
    node.signal(1)
    case.eventually("it is switched on", lambda: ask(case, node, "POST", "/write", b"m f=1")[0] == 204)


@test
def telegraf_finds_what_it_asks_for(case):
    node = data_cluster(case)[1]
    for method in ("GET", "HEAD"):
        status, head, text = ask(case, node, method, "/ping")
        expect_equal((status, text), (204, b""), "ping")
        expect(head["X-Influxdb-Version"].startswith("1.8"), "version: %s", head["X-Influxdb-Version"])
    status, _, text = ask(case, node, "GET", "/ping?verbose=true")
    expect(status == 200 and json.loads(text)["version"], "verbose ping: %s", text)
    status, _, text = ask(case, node, "GET", "/health")
    expect_equal((status, json.loads(text)["status"]), (200, "pass"), "health")
    # As its v1 output does it, with a user that nobody asks for.
    query = urllib.parse.urlencode({"consistency": "any", "db": "telegraf", "rp": "", "precision": "ns"})
    write(case, node, 'disk,host=h1,path=/ free=1i,used_percent=2.5 1700000000000000000\n'
                      'system,host=h1 load1=0.1,uptime_format="1 day,  2:03" 1700000000000000000\n',
          query, headers={"User-Agent": "Telegraf/1.24", "Authorization": "Basic dTpw",
                          "Content-Type": "text/plain; charset=utf-8"})
    expect_equal(rows(node, "disk,host=h1,path=/"),
                 {1700000000000: {"free": 1, "used_percent": 2.5}}, "disk")
    if shutil.which("telegraf") is None:
        case.note("telegraf is not installed")


@test
def what_was_answered_survives(case):
    """P1: 204 means durable; with consistency=all on every node."""
    cluster = data_cluster(case, 3)
    wanted = {}
    for i in range(case.scaled(60)):
        node = cluster[i % 3 + 1]
        query = "precision=ms&consistency=" + ("any", "quorum", "all")[i // 3 % 3]
        write(case, node, "".join("d,n=%d v=%d %d\n" % (node.id, i, 10 * i + k) for k in range(5)), query)
        for k in range(5):
            wanted.setdefault("d,n=%d" % node.id, {})[10 * i + k] = {"v": float(i)}
        if i % 10 == 9:
            node.kill()
            node.start()
    cluster.converge()
    for device, values in wanted.items():
        expect_equal(rows(cluster[2], device), values, device)


@test
def a_token_leads_to_the_write(case):
    cluster = data_cluster(case, 3)
    for i in range(case.scaled(50)):
        token = write(case, cluster[i % 3 + 1], "d v=%d %d" % (i, i))
        origin, incarnation, index = token.replace("-", ":").split(":")
        own = cluster[i % 3 + 1].own_log().progress.log
        expect_equal((int(origin), int(incarnation)), (own.origin, own.incarnation), "log of the token")
        expect(int(index) >= 1, "index %s", index)


@test(timeout=120)
def many_lines_at_once(case):
    """A body that becomes several entries, and many clients at a time."""
    node = data_cluster(case)[1]
    count = case.scaled(100000)
    body = "".join("d,n=%d v=%d,w=%di %d\n" % (i % 50, i, i, i) for i in range(count))
    write(case, node, body)
    with node.client() as client:
        found = 0
        for device in client.series(prefix="d,n="):
            whole, = client.aggregate(device.name, "v", 0, count)
            found += whole.count
    expect_equal(found, count, "values")
    expect(node.own_log().progress.durable > 1, "one entry only")
    text = '"%s"' % ("x" * 1000000)
    write(case, node, "big %s 1" % ",".join("f%d=%s" % (i, text) for i in range(7)))
    told = write(case, node, "ok v=1 1\nbig %s 2\nok v=2 2" %
                 ",".join("f%d=%s" % (i, text) for i in range(9)), wanted=400)["error"]
    expect("more than 8388608 bytes dropped=1" in told, "too large: %s", told[-200:])
    expect_equal((list(rows(node, "ok")), list(rows(node, "big"))), ([1, 2], [1]), "beside it")


@test
def nonsense_hurts_nobody(case):
    node = data_cluster(case)[1]
    dice = random.Random(5)
    good = b'cpu,host=a,core=0 usage=12.5,n=5i,up=t,name="x, \\"y\\"" 1000\nmem free=7i 1\n'
    for i in range(case.scaled(400)):
        body = bytearray(good)
        for _ in range(dice.randrange(1, 8)):
            body[dice.randrange(len(body))] = dice.randrange(256)
        if i % 3 == 0:
            body = bytearray(gzip.compress(bytes(body)))
            body[dice.randrange(len(body))] ^= 1 << dice.randrange(8)
        status, _, text = ask(case, node, "POST", "/write?precision=ms", bytes(body),
                              {"Content-Encoding": "gzip"} if i % 3 == 0 else {})
        expect(status in (204, 400, 413), "status %d for %r: %s", status, bytes(body), text)
        if status == 400:
            expect(json.loads(text)["error"], "no reason")
    write(case, node, "after v=1 1")
    expect_equal(rows(node, "after"), {1: {"v": 1.0}}, "afterwards")


@test(timeout=120, plain=True)
def real_measurements(case):
    """The sensor data of ../shared/data, as lines, each file through another node."""
    paths = sorted(glob.glob(os.path.join(DATA, "nab", "*", "*.csv")))
    if not paths:
        case.skip("no data in %s" % os.path.join(DATA, "nab"))
    cluster = data_cluster(case, 3)
    series = {device_of(path): load(path) for path in paths}
    for number, (device, values) in enumerate(sorted(series.items())):
        lines = ["%s value=%r %d" % (device, value, at // 1000) for at, value in values.items()]
        for begin in range(0, len(lines), 5000):  # as Telegraf does it
            write(case, cluster[number % 3 + 1], "\n".join(lines[begin:begin + 5000]), "precision=s")
    digest = cluster.converge(30)
    expect_equal((digest.cells, digest.devices), (sum(map(len, series.values())), len(series)),
                 "cells and devices")
    with cluster[2].client() as client:
        for device, values in series.items():
            check_series(client, cluster[2], device, values)


# --- keys: a request that is sent again applies once ----------------------------------------------

def entries_of(cluster):
    return sum(node.own_log().progress.durable for node in cluster if node.running)


def write_until_confirmed(case, node, lines, consistency, key):
    """As a client does: 503 says that it is written here and still spreads. The token."""
    def token():
        status, head, text = ask(case, node, "POST", "/write?precision=ms&consistency=" + consistency, lines.encode(), {"Idempotency-Key": key})
        expect(status == 204 or (status == 503 and b"spreading" in text and head["Retry-After"]), "%d %s", status, text)
        return head["X-Synclog-Token"] if status == 204 else None
    return case.eventually("the write is where consistency=%s wants it" % consistency, token)


@test(timeout=90)
def a_request_with_a_key_applies_once(case):
    """Also where its lines have no time, at another node, after a kill, and for another consistency."""
    cluster = data_cluster(case, 3)
    one, two, _ = cluster
    key = {"Idempotency-Key": "request 1"}
    token = write(case, one, "d v=1\ne v=2", headers=key)
    count = entries_of(cluster)
    for path in ("/write", "/api/v2/write"):
        expect_equal(write(case, one, "d v=1\ne v=2", headers=key, path=path), token, "token of the second one")
    expect_equal(write_until_confirmed(case, one, "d v=1\ne v=2", "all", "request 1"), token, "all have it")
    expect_equal((entries_of(cluster), len(rows(one, "d"))), (count, 1), "entries and rows")
    cluster.converge()
    expect_equal(write_until_confirmed(case, two, "d v=1\ne v=2", "quorum", "request 1"), token, "at another node")
    one.kill()
    one.start()
    expect_equal(write(case, one, "d v=1\ne v=2", headers=key), token, "after a kill")
    cluster.converge()
    expect_equal((entries_of(cluster), len(rows(one, "d")), len(rows(two, "d"))), (count, 1, 1), "entries and rows")
    # Another key is another write; without one each is.
    expect(write(case, one, "d v=1 7", headers={"Idempotency-Key": "request 2"}) != token, "another key")
    write(case, one, "d v=1 7")
    expect_equal(entries_of(cluster), count + 2, "entries")
    for bad in ("", "x" * 256):
        write(case, one, "d v=1", wanted=400, headers={"Idempotency-Key": bad})


@test(timeout=90)
def a_large_body_with_a_key(case):
    """It becomes several entries: each has a key of its own, and all of them come again the same."""
    cluster = data_cluster(case, 1)
    node = cluster[1]
    lines = "".join('wide.%d v="%s" %d\n' % (i % 7, "x" * 1000, i) for i in range(4000))
    key = {"Idempotency-Key": "a large one"}
    write(case, node, lines, headers=key)
    count = entries_of(cluster)
    expect(count >= 4, "%d entries", count)
    for _ in range(2):
        write(case, node, lines, headers=key)
    expect_equal(entries_of(cluster), count, "entries")
    expect_equal(sum(len(rows(node, "wide.%d" % i)) for i in range(7)), 4000, "rows")
    # Other lines under that key are another write.
    write(case, node, 'wide.0 v="more" 5000\n', headers=key)
    expect_equal(entries_of(cluster), count + 1, "entries")
    expect_equal(rows(node, "wide.0")[5000], {"v": "more"}, "the other line")


@test(timeout=90)
def a_key_stands_for_no_line_that_was_left_out(case):
    """204 is said of lines that are there, though another try under the key left them out."""
    cluster = data_cluster(case, 2)
    one, two = cluster
    key = {"Idempotency-Key": "request 1"}
    write(case, one, "typed v=1i 1")
    # The first slice is left out whole, of the last one a line; whoever sends it again hears the same.
    wide = "".join('typed v="%s" %d\n' % ("x" * 1000, i) for i in range(1100))
    body = wide + "".join('wide v="%s" %d\n' % ("y" * 1000, i) for i in range(500)) + "typed v=1.5 2\n"
    told = write(case, one, body, wanted=400, headers=key)["error"]
    count = entries_of(cluster)
    expect("dropped=1101" in told, "%s", told)
    cluster.converge()
    for node in cluster:
        expect_equal(write(case, node, body, wanted=400, headers=key)["error"], told, "the second time")
    expect_equal(entries_of(cluster), count, "entries")
    # What a node without that type would be sent, or cuts otherwise.
    write(case, two, "other v=1.5 2\n", headers=key)
    write(case, two, "other v=1.5 2", "precision=s", headers=key)
    write(case, one, "third v=1\nother v=1.5 3\n", headers=key)
    cluster.converge()
    expect_equal(rows(two, "other"), {2: {"v": 1.5}, 2000: {"v": 1.5}, 3: {"v": 1.5}}, "lines under a used key")
    expect_equal([row["v"] for row in rows(two, "third").values()], [1.0], "a line without a time")


@test(timeout=60)
def a_token_of_each_log_that_has_a_part(case):
    """Sent again to another node, which writes what the first one did not, the answer names both logs."""
    cluster = data_cluster(case, 2)
    one, two = cluster
    key = {"Idempotency-Key": "request 1"}
    text = "x" * 900000  # two such lines are two entries
    first, second = ('large v="%s" %d\n' % (text, i) for i in (1, 2))
    for sent_first, then, device in ((one, two, "a"), (two, one, "b")):
        lines = [device + line for line in (first, second)]
        token = write(case, sent_first, lines[0], headers=key)
        cluster.converge()
        tokens = write(case, then, "".join(lines), headers=key).split(",")
        expect_equal((len(tokens), token in tokens), (2, True), "tokens of both: %s, %s" % (token, tokens))
        expect_equal(len({each.split(":")[0] for each in tokens}), 2, "logs")


@test(timeout=60)
def the_same_key_at_the_same_time(case):
    """All get the token of the first, whoever that was, over HTTP and by RPC."""
    cluster = data_cluster(case, 3)
    node, tokens = cluster[1], []

    def send(consistency):
        tokens.append(write_until_confirmed(case, node, "d v=1", consistency, "one"))
    threads = [threading.Thread(target=send, args=(("any", "quorum", "all")[i % 3],)) for i in range(24)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    expect_equal((len(tokens), len(set(tokens))), (24, 1), "answers and tokens")
    expect_equal(entries_of(cluster), 1, "entries")


@test(timeout=60)
def answers_that_are_lost_are_no_second_writes(case):
    """The connection breaks in the middle of the answer; the lines have no time of their own."""
    node = data_cluster(case, 1)[1]
    link = case.proxy().link(free_port(case), node.http)
    count = case.scaled(40, 10)
    for i in range(count):
        link.reset_after(case.random.randrange(1, 60), BACK)
        for _ in range(50):
            connection = http.client.HTTPConnection(*link.address.split(":"), timeout=case.patience(10))
            try:
                connection.request("POST", "/write", "d%d v=1" % i, {"Idempotency-Key": "write %d" % i})
                if connection.getresponse().status == 204:
                    break
            except (OSError, http.client.HTTPException):
                continue
            finally:
                connection.close()
        expect_equal(len(rows(node, "d%d" % i)), 1, "rows of write %d" % i)
    expect_equal(node.own_log().progress.durable, count, "entries")
