"""Data out over HTTP: export, and the part of Prometheus' API that a panel asks for."""

import glob
import json
import math
import os
import random
import shutil
import socket
import subprocess
import urllib.parse

from case import expect, expect_equal, test
from cluster import sanitizer_environment
from http_tools import ask, data_cluster, write
from test_nab import DATA, device_of, load

AT = 1700000000  # a round moment, seconds


def export(case, node, wanted=200, **parameters):
    status, _, text = ask(case, node, "GET", "/export?" + urllib.parse.urlencode(parameters))
    if status != wanted:
        expect_equal((status, text), (wanted, b""), "export of %r" % parameters)
    return text.decode()


def tool_export(case, node, *arguments):
    return subprocess.run([case.program("synclogctl"), "--server", node.address, "export", *arguments],
                          capture_output=True, text=True, check=True, env=sanitizer_environment(),
                          timeout=case.patience(60)).stdout


def api(case, node, path, wanted=200, post=False, **parameters):
    """The data of a success, or (errorType, error)."""
    query = urllib.parse.urlencode(parameters)
    if post:
        status, _, text = ask(case, node, "POST", "/api/v1/" + path, query,
                              {"Content-Type": "application/x-www-form-urlencoded"})
    else:
        status, _, text = ask(case, node, "GET", "/api/v1/%s?%s" % (path, query))
    if status != wanted:
        expect_equal((status, text), (wanted, b""), "%s %r" % (path, parameters))
    answer = json.loads(text)
    expect_equal(answer["status"], "success" if status == 200 else "error", "status")
    return answer["data"] if status == 200 else (answer["errorType"], answer["error"])


def matrix(case, node, query, start, end, step, **more):
    data = api(case, node, "query_range", query=query, start=start, end=end, step=step, **more)
    expect_equal(data["resultType"], "matrix", "type of the result")
    return [(series["metric"], [(at, value) for at, value in series["values"]])
            for series in data["result"]]


# --- export ---------------------------------------------------------------------------------------

@test
def export_is_what_the_tool_exports(case):
    node = data_cluster(case, config={"client.page_rows": 50})[1]
    with node.client() as client:
        for i in range(330):
            client.insert('d,"x"', i * 1000, {"f": i / 7, "n": i, "t": 'a,"%d"\n' % i, "up": i % 2 == 0})
        client.insert("e", 5, {"f": math.nan, "s": "", "time": 1.0}, types={"f": "FLOAT"})
        client.insert("e", 6, {"f": -math.inf}, types={"f": "FLOAT"})
        client.insert("empty", 1, {"v": 1})
        client.delete("empty", 0, 10)
    for parameters, arguments in (
            ({"prefix": ""}, ("--prefix", "")), ({"prefix": "e"}, ("--prefix", "e")),
            ({"device": 'd,"x"'}, ('d,"x"',)), ({"device": "e", "names": "plain"}, ("e", "--plain-names")),
            ({"device": 'd,"x"', "time": "iso", "start": "1970-01-01T00:00:10Z", "end": 20000},
             ('d,"x"', "--iso", "--start", "10000", "--end", "20000"))):
        expect_equal(export(case, node, **parameters), tool_export(case, node, *arguments),
                     "export of %r" % parameters)
    some = export(case, node, device='d,"x"', measurements="n,up", start=0, end=1000)
    expect_equal(some, "time,n,up\n0,0,true\n1000,1,false\n", "two columns")
    expect_equal(export(case, node, prefix="none"), "device,time\n", "nothing")
    lines = [json.loads(line) for line in export(case, node, prefix="", format="jsonl").splitlines()]
    expect_equal(len(lines), 332, "lines")
    expect_equal(lines[7], {"device": 'd,"x"', "time": 7000,
                            "values": {"f": 1.0, "n": 7, "t": 'a,"7"\n', "up": False}}, "a line")
    expect_equal([line["values"]["f"] for line in lines[-2:]], ["NaN", "-Infinity"], "no numbers")


@test
def export_is_refused(case):
    node = data_cluster(case)[1]
    with node.client() as client:
        client.insert("d", 1, {"v": 1})
    for parameters, part in (({}, "either"), ({"device": "d", "prefix": ""}, "either"),
                             ({"device": "x"}, "no device"), ({"device": ""}, "no device"),
                             ({"device": "d", "measurements": "w"}, "no measurement"),
                             ({"device": "d", "start": "soon"}, "start"),
                             ({"device": "d", "end": "99999999999999999999"}, "end"),
                             ({"device": "d", "format": "xml"}, "format"),
                             ({"device": "d", "time": "x"}, "time"),
                             ({"device": "d", "token": "1"}, "token"),
                             ({"device": "d", "token": "9-9:1"}, "9-9")):
        text = export(case, node, 400, **parameters)
        expect(part in text, "%r: %s", parameters, text)
    expect_equal(ask(case, node, "POST", "/export?device=d", b"x")[0], 405, "POST")
    expect_equal(ask(case, node, "HEAD", "/export?device=d")[::2], (200, b""), "HEAD")
    node.config["http.data"] = "no"
    node.write_config()
    node.signal(1)
    case.eventually("it is switched off", lambda: ask(case, node, "GET", "/export?device=d")[0] == 403)
    expect_equal(ask(case, node, "GET", "/api/v1/labels")[0], 403, "labels")


@test
def a_read_with_a_token_sees_the_write(case):
    cluster = data_cluster(case, 3)
    for i in range(case.scaled(60)):
        token = write(case, cluster[i % 3 + 1], "d v=%d %d" % (i, i))
        there = cluster[(i + 1) % 3 + 1]
        expect_equal(export(case, there, device="d", token=token, start=i), "time,v\n%d,%d.0\n" % (i, i),
                     "export")
        data = api(case, there, "query", query="v", time=i / 1000, token=token)
        expect_equal(data["result"][0]["value"][1], str(i), "query")
    cluster[2].stop()
    token = write(case, cluster[1], "d v=1 1000").rsplit(":", 1)[0] + ":99999"
    cluster[3].config["client.read_timeout"] = "200ms"
    cluster[3].write_config()
    cluster[3].signal(1)
    case.eventually("it waits for so long only", lambda: ask(
        case, cluster[3], "GET", "/export?device=d&token=" + token)[0] == 503)
    expect_equal(api(case, cluster[3], "query", 503, query="v", token=token)[0], "timeout", "query")


@test(timeout=120)
def slow_readers_are_few_and_bounded(case):
    node = data_cluster(case)[1]
    text = "x" * 500
    rows = case.scaled(40000, 20000)
    for begin in range(0, rows, 10000):
        write(case, node, "".join('big s="%s" %d\n' % (text, i) for i in range(begin, begin + 10000)))
    whole = export(case, node, device="big")
    expect_equal(whole.count("\n"), rows + 1, "lines")
    before = node.rss_mib()
    slow = []
    for _ in range(30):
        raw = socket.create_connection(("127.0.0.1", node.http), timeout=case.patience(30))
        raw.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        raw.sendall(b"GET /export?device=big HTTP/1.1\r\nHost: h\r\n\r\n")
        slow.append(raw)
    heads = [raw.recv(15) for raw in slow]
    expect_equal(sorted(set(heads)), [b"HTTP/1.1 200 OK", b"HTTP/1.1 503 Se"], "answers")
    expect_equal(heads.count(b"HTTP/1.1 200 OK"), 8, "readers at a time")
    status, head, _ = ask(case, node, "GET", "/api/v1/query?query=s")
    expect_equal((status, head["Retry-After"]), (503, "1"), "a read too many")
    write(case, node, "other v=1 1")
    if not case.flavour.sanitized:
        expect(node.rss_mib() < before + 200, "memory: %d MiB, before %d", node.rss_mib(), before)
    for raw in slow:
        raw.close()
    case.eventually("places are free again", lambda: ask(
        case, node, "GET", "/export?device=other")[2] == b"time,v\n1,1.0\n")
    expect_equal(export(case, node, device="big"), whole, "afterwards")


# --- queries --------------------------------------------------------------------------------------

def fill(case, node):
    write(case, node, "".join(
        "plant1.boiler temperature=%r,pressure=%di,open=%s,note=\"x\" %d\n" %
        (20 + i / 4, i, "t" if i % 2 else "f", AT + 30 * i) for i in range(10)) +
        "cpu,host=a,core-id=0 usage=1 %d\ncpu,host=a,core-id=1 usage=2.5 %d\n"
        "cpu,host=b,core-id=0 usage=4 %d\n" % (AT, AT, AT), "precision=s")


@test
def plain_selectors(case):
    node = data_cluster(case)[1]
    fill(case, node)
    name = {"__name__": "temperature", "device": "plant1.boiler"}
    expect_equal(matrix(case, node, 'temperature{device="plant1.boiler"}', AT - 60, AT + 90, 30),
                 [(name, [(AT, "20"), (AT + 30, "20.25"), (AT + 60, "20.5"), (AT + 90, "20.75")])],
                 "a series")
    # The last value holds for five minutes, its first moment included and its last not.
    expect_equal(matrix(case, node, "temperature", AT + 269.5, AT + 571, 100.5),
                 [(name, [(AT + 269.5, "22"), (AT + 370, "22.25"), (AT + 470.5, "22.25")])], "lookback")
    expect_equal(matrix(case, node, "temperature", AT + 569.999, AT + 570, "1ms"),
                 [(name, [(AT + 569.999, "22.25")])], "the end of it")
    expect_equal(matrix(case, node, "temperature offset 1m", AT + 60, AT + 60, "1s"),
                 [(name, [(AT + 60, "20")])], "offset")
    found = api(case, node, "query", query='{device="plant1.boiler"}', time=AT + 31)["result"]
    expect_equal([(each["metric"]["__name__"], each["value"]) for each in found],
                 [("open", [AT + 31, "1"]), ("pressure", [AT + 31, "1"]),
                  ("temperature", [AT + 31, "20.25"])], "no TEXT, truths as numbers")
    for selector, cores in (('usage{host="a"}', 2), ('usage{host!="a"}', 1), ('usage{host=~"a|b"}', 3),
                            ('usage{host!~"a"}', 1), ('usage{core_id="0"}', 2), ('usage{x=""}', 3),
                            ('{__name__=~"us.*",host="b"}', 1), ('usage{device=~"cpu.*"}', 3),
                            ('usage{device="cpu"}', 0), ('usage{host=~"c"}', 0)):
        expect_equal(len(matrix(case, node, selector, AT, AT, 1)), cores, selector)
    for post in (False, True):
        expect_equal(api(case, node, "query", post=post, query="1+1", time=4),
                     {"resultType": "scalar", "result": [4, "2"]}, "what a panel tries first")
    expect_equal(api(case, node, "query_range", post=True, query="2", start="2023-11-14T22:13:20Z",
                     end=AT + 1, step="1s")["result"],
                 [{"metric": {}, "values": [[AT, "2"], [AT + 1, "2"]]}], "a number")


@test
def windows_and_groups(case):
    node = data_cluster(case)[1]
    fill(case, node)
    at = AT + 120
    for function, wanted in (("avg", "20.75"), ("min", "20.5"), ("max", "21"), ("sum", "62.25"),
                             ("count", "3"), ("last", "21")):
        found = matrix(case, node, "%s_over_time(temperature[90s])" % function, at, at, 1)
        expect_equal([values for _, values in found], [[(at, wanted)]], function)
        expect_equal("__name__" in found[0][0], function == "last", "the name after " + function)
    # Steps whose windows overlap, and ones with gaps between.
    expect_equal(matrix(case, node, "count_over_time(temperature[1m])", AT - 60, AT + 360, 60)[0][1],
                 [(AT, "1")] + [(AT + 60 * i, "2") for i in range(1, 5)] + [(AT + 300, "1")], "counts")
    expect_equal(matrix(case, node, "sum_over_time(pressure[10s])", AT, AT + 270, 90)[0][1],
                 [(AT, "0"), (AT + 90, "3"), (AT + 180, "6"), (AT + 270, "9")], "far steps")
    for query, wanted in (
            ("sum(usage)", [({}, "7.5")]), ("avg(usage)", [({}, "2.5")]), ("count(usage)", [({}, "3")]),
            ("max by (host) (usage)", [({"host": "a"}, "2.5"), ({"host": "b"}, "4")]),
            ("min(usage) by (core_id)", [({"core_id": "0"}, "1"), ({"core_id": "1"}, "2.5")]),
            ("sum without (device, core_id) (usage)", [({"host": "a"}, "3.5"), ({"host": "b"}, "4")]),
            ("sum(sum_over_time(usage[1m])) * 2 + 1", [({}, "16")]),
            ("100 / avg(usage)", [({}, "40")])):
        found = api(case, node, "query", query=query, time=AT)["result"]
        expect_equal([(each["metric"], each["value"][1]) for each in found], wanted, query)


@test
def names(case):
    node = data_cluster(case)[1]
    expect_equal(api(case, node, "labels"), [], "labels of nothing")
    fill(case, node)
    expect_equal(api(case, node, "labels"), ["__name__", "core_id", "device", "host"], "labels")
    expect_equal(api(case, node, "labels", **{"match[]": "temperature"}), ["__name__", "device"],
                 "labels of some")
    expect_equal(api(case, node, "label/__name__/values"), ["open", "pressure", "temperature", "usage"],
                 "names")
    expect_equal(api(case, node, "label/host/values"), ["a", "b"], "hosts")
    expect_equal(api(case, node, "label/host/values", limit=1), ["a"], "one host")
    expect_equal(api(case, node, "label/nothing/values"), [], "values of no label")
    expect_equal(api(case, node, "series", post=True, **{"match[]": 'usage{host="b"}'}),
                 [{"__name__": "usage", "core_id": "0", "device": "cpu,core-id=0,host=b", "host": "b"}],
                 "series")
    for path, parameters in (("series", {}), ("series", {"match[]": "{"}), ("labels", {"limit": "x"}),
                             ("label/a-b/values", {}), ("label/a", {}), ("label//values", {}),
                             ("label/../values", {})):
        expect_equal(api(case, node, path, 400, **parameters)[0], "bad_data", path)


@test
def what_is_wrong_with_a_query(case):
    node = data_cluster(case)[1]
    fill(case, node)
    good = {"query": "temperature", "start": AT, "end": AT + 10, "step": 1}
    for change, part in (({"query": ""}, "no expression"), ({"query": "rate(x[5m])"}, "rate"),
                         ({"query": "x{"}, "1:3: parse error"), ({"start": "x"}, '"start"'),
                         ({"end": AT - 1}, "before start"), ({"step": 0}, "zero or negative"),
                         ({"step": "x"}, '"step"'), ({"start": "1e300"}, '"start"'),
                         ({"start": "nan"}, '"start"'), ({"end": AT + 11000}, "11,000 points"),
                         ({"timeout": "x"}, '"timeout"'), ({"token": "x"}, "token"),
                         ({"query": "(" * 1000}, "nested"), ({"query": "x" * 5000 + "{"}, "parse error")):
        kind, message = api(case, node, "query_range", 400, **dict(good, **change))
        expect(kind == "bad_data" and part in message, "%r: %s", change, message)
    write(case, node, "x" * 60 + " v=1 1")
    for query, part in (('avg_over_time({device="plant1.boiler"}[5m])', "same labelset"),
                        ('{device=~"(x+x+)+[yz]"}', "took too long")):
        kind, message = api(case, node, "query", 422, query=query, time=AT)
        expect(kind == "execution" and part in message, "%s: %s", query, message)
    kind, _ = api(case, node, "query_range", 422, **dict(good, token="9-9:1"))
    expect_equal(kind, "execution", "a token of nobody")
    # More series times steps than are given at once.
    write(case, node, "".join("many,n=%d v=1 1\n" % i for i in range(101)))
    kind, message = api(case, node, "query_range", 422, query="v", start=0, end=10000, step=1)
    expect(kind == "execution" and "series" in message, "many: %s", message)
    expect_equal(len(matrix(case, node, 'v{n!=""}', 0, 10, 1)), 101, "fewer steps")
    expect_equal(api(case, node, "query_range", 503, **dict(good, timeout="0"))[0], "timeout", "no time")


@test
def nonsense_queries(case):
    node = data_cluster(case)[1]
    fill(case, node)
    dice = random.Random(7)
    good = 'sum by (host) (avg_over_time(usage{host=~"a|b",x!="y"}[5m] offset 1h)) * 2'
    for _ in range(case.scaled(400)):
        query = bytearray(good.encode())
        for _ in range(dice.randrange(1, 6)):
            query[dice.randrange(len(query))] = dice.choice(b'(){}[]",=~!*+ab5 \\\xff\x00')
        encoded = urllib.parse.quote_from_bytes(bytes(query))
        status, _, text = ask(case, node, "GET", "/api/v1/query_range?start=1&end=9&step=1&query=" + encoded)
        expect(status in (200, 400, 422), "status %d for %r: %s", status, bytes(query), text)
        json.loads(text)


@test
def promtool_reads(case):
    if shutil.which("promtool") is None:
        case.skip("promtool is not installed")
    node = data_cluster(case)[1]
    fill(case, node)
    url = "http://127.0.0.1:%d" % node.http

    def promtool(*arguments):
        return subprocess.run(["promtool", "query", *arguments], check=True, capture_output=True,
                              text=True, timeout=case.patience(30)).stdout
    expect_equal(promtool("range", "--start=%d" % AT, "--end=%d" % (AT + 60), "--step=30s", url,
                          'temperature{device="plant1.boiler"}'),
                 'temperature{device="plant1.boiler"} =>\n20 @[%d]\n20.25 @[%d]\n20.5 @[%d]\n' %
                 (AT, AT + 30, AT + 60), "range")
    expect_equal(promtool("labels", url, "host"), "a\nb\n", "values of a label")
    expect_equal(promtool("series", "--match=temperature", url),
                 '{__name__="temperature", device="plant1.boiler"}\n', "series")


@test(timeout=120)
def real_measurements(case):
    """Windows over the sensor data, against what Python makes of the files."""
    paths = sorted(glob.glob(os.path.join(DATA, "nab", "*", "*.csv")))[::4]
    if not paths:
        case.skip("no data in %s" % os.path.join(DATA, "nab"))
    node = data_cluster(case)[1]
    for path in paths:
        values = load(path)
        name = device_of(path)
        write(case, node, "\n".join("%s value=%r %d" % (name, value, at) for at, value in values.items()))
        first, last = min(values) // 1000, max(values) // 1000
        step = max(3600, (last - first) // 5000)
        for function, compute in (("avg", lambda v: sum(v) / len(v)), ("max", max), ("count", len)):
            (_, got), = matrix(case, node, '%s_over_time(value{device="%s"}[%ds])' % (function, name, step),
                               first + step, last, step)
            wanted = {}
            for at, value in sorted(values.items()):
                place = -(-(at - (first + step) * 1000) // (step * 1000))  # the step at or behind it
                wanted.setdefault(first + step + max(place, 0) * step, []).append(value)
            for moment, text in got[1:]:  # the first window begins before the first value
                want = compute(wanted[moment])
                expect(abs(float(text) - want) <= 1e-9 * abs(want), "%s of %s at %d: %s, wanted %r",
                       function, name, moment, text, want)
            expect_equal({moment for moment, _ in got[1:]},
                         {m for m in wanted if first + step < m <= last}, "steps of " + name)
