"""A real Prometheus that scrapes nodes, as conf/ has it: the shipped alert rules, job synclogd."""

import json
import os
import re
import shutil
import subprocess
import urllib.error
import urllib.parse
import urllib.request

from cluster import ROOT, Failed, free_port

RULES = os.path.join(ROOT, "conf", "synclogd-alerts.yml")


def alert_expressions():
    """{alert: expr} of the shipped rules."""
    with open(RULES, encoding="utf-8") as file:
        return dict(re.findall(r"- alert: (\w+)\n\s+expr: (.*)\n", file.read()))


class Prometheus:
    """For nodes that have .http. Ends with the test."""

    @staticmethod
    def is_there():
        return shutil.which("prometheus") is not None

    def __init__(self, case, nodes):
        self.case = case
        self.port = free_port(case)
        folder = os.path.join(case.dir, "prometheus")
        os.makedirs(folder)
        targets = ", ".join("'127.0.0.1:%d'" % node.http for node in nodes)
        with open(folder + "/prometheus.yml", "w", encoding="utf-8") as file:
            file.write("global: {scrape_interval: 500ms, evaluation_interval: 1s}\n"
                       "rule_files: ['%s']\n"
                       "scrape_configs:\n  - job_name: synclogd\n"
                       "    static_configs: [{targets: [%s]}]\n" % (RULES, targets))
        with open(folder + "/log", "w", encoding="utf-8") as log:
            self.process = subprocess.Popen(
                ["prometheus", "--config.file=prometheus.yml", "--storage.tsdb.path=data",
                 "--web.listen-address=127.0.0.1:%d" % self.port], cwd=folder, stdout=log, stderr=log)
        case.at_end(self.end)

    def end(self):
        self.process.terminate()
        self.process.wait()

    def ask(self, query):
        """The result of an instant query; [] while it starts."""
        url = "http://127.0.0.1:%d/api/v1/query?%s" % (self.port, urllib.parse.urlencode({"query": query}))
        try:
            with urllib.request.urlopen(url, timeout=self.case.patience(10)) as reply:
                return json.load(reply)["data"]["result"]
        except urllib.error.HTTPError as error:
            if error.code == 503:
                return []
            raise Failed("%s: %s" % (query, error.read())) from None
        except OSError:
            return []

    def wait_scraped(self, count):
        self.case.eventually("all nodes are scraped", lambda: len(self.ask("sum_over_time(up[1m]) > 3")) == count,
                             timeout=30, pause=0.1)
