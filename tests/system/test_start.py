"""Starting: what keeps a daemon from it, and how it says so."""

import os
import re
import shutil
import socket
import subprocess

from case import expect, expect_equal, test
from cluster import describe_exit, free_port, sanitizer_environment

EXIT_CONFIG = 78  # EX_CONFIG of sysexits.h; the unit file does not restart on it


def refuses_to_start(case, node, *words, code=None):
    """The daemon ends by itself with an error that holds these words; returns what it said."""
    node.launch()
    node.expect_death()
    got = node.wait_exit()
    said = node.log_text().split("--- start")[-1].split("\n", 1)[1]
    expect(got > 0, "%s ended with %s:\n%s", node, describe_exit(got), said)
    if code is not None:
        expect_equal(got, code, "exit code (%s)" % said.strip())
    for word in words:
        expect(word in said, "%s does not name %r:\n%s", node, word, said)
    return said


@test
def s30_a_second_daemon_on_the_same_data(case):
    node = case.cluster(1)[1]
    with node.client() as client:
        client.insert("d", 1, {"v": 1})
        second = case.node(node_id=1, name="second", data_dir=node.data_dir)
        refuses_to_start(case, second, node.data_dir)
        client.insert("d", 2, {"v": 2})
        expect_equal(len(list(client.query("d"))), 2, "rows at the first")
    node.kill()
    node.start()
    with node.client() as client:
        expect_equal(len(list(client.query("d"))), 2, "rows after a restart")


@test
def data_of_another_node(case):
    node = case.cluster(1)[1]
    node.stop()
    other = case.node(node_id=2, name="other", data_dir=node.data_dir)
    refuses_to_start(case, other, "node.ini", "1", "2")
    other = case.node(node_id=1, name="elsewhere", data_dir=node.data_dir, cluster_id="elsewhere")
    refuses_to_start(case, other, "elsewhere", "test")
    other = case.node(node_id=1, name="finer", data_dir=node.data_dir,
                      config={"cluster.time_precision": "us"})
    refuses_to_start(case, other, "ms", "us")
    node.start()


@test
def s29_errors_in_the_configuration(case):
    """Exit code 78, and one line with file, section and key."""
    for key, value, word in (
            ("client.listn", "127.0.0.1:1", "listn"), ("nod.id", "1", "nod"),
            ("node.id", "0", "id"), ("node.id", "x", "id"), ("node.id", "70000", "id"),
            ("node.id", None, "id"), ("node.data_dir", "relative/path", "data_dir"),
            ("cluster.time_precision", "minutes", "time_precision"),
            ("cluster.id", "", "id"), ("client.listen", "nowhere", "listen"),
            ("client.listen", "127.0.0.1:99999", "listen"),
            ("wal.wal_segment_size", "64 apples", "wal_segment_size"),
            ("wal.wal_segment_size", "1", "wal_segment_size"),
            ("wal.wal_sync", "sometimes", "wal_sync"),
            ("replication.basic_retry_wait", "-5ms", "basic_retry_wait"),
            ("replication.max_pending_batch", "0", "max_pending_batch"),
            ("replication.max_pending_batch", "5.5", "max_pending_batch"),
            ("limits.max_frame_size", "999999999999999999999999", "max_frame_size"),
            ("peer.2.address", "host", "address"), ("peer.2.addres", "host:1", "addres"),
            ("peer.x.address", "host:1", "peer.x"), ("peer.1.address", "127.0.0.1:7777", "peer.1"),
            ("peer.70000.address", "127.0.0.1:7777", "70000")):
        node = case.node(node_id=1, name="node-%s" % re.sub(r"\W", "_", key), config={key: value})
        said = refuses_to_start(case, node, node.config_path, word, code=EXIT_CONFIG)
        lines = said.strip().splitlines()
        expect(len(lines) <= 3, "%s = %s: %d lines of error", key, value, len(lines))
        expect(not os.path.exists(node.data_dir), "%s = %s: something was written", key, value)
        check = run_program(case, "synclogd", "--check-config", "-c", node.config_path)
        expect_equal(check.returncode, EXIT_CONFIG, "exit code of --check-config for %s" % key)
        expect(word in check.stderr + check.stdout, "--check-config does not name %r: %s", word,
               check.stderr)
    node = case.node(node_id=1, name="broken")
    node.write_config()
    for text in ("[node\nid = 1\n", "id = 1\n", "[node]\nid\n"):
        with open(node.config_path, "w", encoding="utf-8") as file:
            file.write(text)
        check = run_program(case, "synclogd", "--check-config", "-c", node.config_path)
        expect_equal(check.returncode, EXIT_CONFIG, "exit code for %r" % text)
        expect(node.config_path in check.stderr, "no file is named for %r: %s", text, check.stderr)
    for path in ("/nowhere/synclogd.ini", case.dir):
        check = run_program(case, "synclogd", "--check-config", "-c", path)
        expect_equal(check.returncode, EXIT_CONFIG, "exit code for %s" % path)
        expect(path in check.stderr, "%s is not named: %s", path, check.stderr)


def run_program(case, name, *arguments):
    return subprocess.run([case.program(name), *arguments], capture_output=True, text=True,
                          timeout=case.patience(20), check=False, env=sanitizer_environment(),
                          stdin=subprocess.DEVNULL)


@test
def options_that_only_print(case):
    node = case.node(node_id=3, config={"wal.wal_segment_size": "8MiB"})
    node.write_config()
    check = run_program(case, "synclogd", "--check-config", "-c", node.config_path)
    expect_equal(check.returncode, 0, "--check-config of a right file (%s)" % check.stderr)
    expect_equal(check.stdout, "ok\n", "what it says")
    shown = run_program(case, "synclogd", "--print-config", "-c", node.config_path)
    expect_equal(shown.returncode, 0, "--print-config")
    for line in ("wal_segment_size = 8MiB", "id = 3", "max_pending_batch = 5", "[replication]"):
        expect(line in shown.stdout, "--print-config does not print %r:\n%s", line, shown.stdout)
    # What is printed is a configuration itself.
    printed = os.path.join(case.dir, "printed.ini")
    with open(printed, "w", encoding="utf-8") as file:
        file.write(shown.stdout)
    again = run_program(case, "synclogd", "--print-config", "-c", printed)
    expect_equal(again.stdout, shown.stdout, "--print-config of its own output")
    version = run_program(case, "synclogd", "--version")
    expect(version.returncode == 0 and re.search(r"\d+\.\d+", version.stdout), "--version: %s",
           version.stdout)
    usage = run_program(case, "synclogd", "--help")
    expect(usage.returncode == 0 and "--check-config" in usage.stdout, "--help: %s", usage.stdout)
    wrong = run_program(case, "synclogd", "--no-such-option")
    expect(wrong.returncode not in (0, -6, -11) and wrong.stderr, "an unknown option: %r", wrong)
    expect(not os.path.exists(node.data_dir), "something was written")


@test
def no_permission(case):
    """A data folder that the daemon's user may not use."""
    data_dir = os.path.join(case.dir, "locked")
    os.mkdir(data_dir)
    node = case.node(node_id=1, data_dir=os.path.join(data_dir, "data"))
    if os.getuid() == 0:
        os.chmod(case.dir, 0o755)
        os.chmod(node.dir, 0o755)
        os.chmod(data_dir, 0o700)
        node.wrapper = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", "--"]
        if subprocess.run(node.wrapper + ["test", "-x", case.program("synclogd")],
                          check=False).returncode != 0:
            case.skip("another user may not run the programs of this build folder")
    else:
        os.chmod(data_dir, 0o500)
    said = refuses_to_start(case, node, data_dir)
    expect("ermission" in said, "the error does not say why:\n%s", said)
    os.chmod(data_dir, 0o755)


@test
def an_address_in_use(case):
    node = case.node(node_id=1)
    for port in (node.client_port, node.peer_port):
        with socket.create_server(("127.0.0.1", port)):
            refuses_to_start(case, node, str(port))
    node.start()


@test
def an_address_that_is_not_here(case):
    node = case.node(node_id=1, config={"client.listen": "192.0.2.1:7670"})
    refuses_to_start(case, node, "192.0.2.1")


@test
def the_service_manager_is_told(case):
    path = os.path.join(case.dir, "notify")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as notify:
        notify.bind(path)
        notify.settimeout(case.patience(20))
        node = case.node(node_id=1)
        node.environment = {"NOTIFY_SOCKET": path}
        node.launch()

        def wait_for(word):
            told = []
            while True:
                try:
                    told.append(notify.recv(4096).decode())
                except socket.timeout:
                    expect(False, "no %s but %r", word, told)
                if word in told[-1].split("\n"):
                    return told

        wait_for("READY=1")
        expect(node.is_ready(), "READY=1 before the client port answers")
        node.stop()
        wait_for("STOPPING=1")


@test
def two_addresses(case):
    """Several addresses, one of them IPv6 where there is such a thing."""
    addresses = ["127.0.0.1:%d" % free_port(case), "127.0.0.2:%d" % free_port(case)]
    try:
        with socket.create_server(("::1", 0), family=socket.AF_INET6):
            addresses.append("[::1]:%d" % free_port(case))
    except OSError:
        case.note("no IPv6 here")
    node = case.node(node_id=1, config={"client.listen": ", ".join(addresses)})
    node.client_port = int(addresses[0].rsplit(":", 1)[1])
    node.start()
    from synclog_client import Client  # pylint: disable=import-outside-toplevel
    for address in addresses:
        with Client(address) as client:
            expect_equal(client.info().node_id, 1, "node at %s" % address)


@test
def health_check(case):
    """`synclogd --healthcheck`, as a container uses it."""
    node = case.node(node_id=1)
    node.write_config()
    down = run_program(case, "synclogd", "--healthcheck", "-c", node.config_path)
    expect(down.returncode > 0, "healthy while nothing runs")
    node.start()
    check = run_program(case, "synclogd", "--healthcheck", "-c", node.config_path)
    expect_equal(check.returncode, 0, "exit code of a healthy node (%s)" % check.stderr)


@test
def a_check_by_somebody_who_may_not_look(case):
    """--check-config says that it could not look at the data, and does not say ok."""
    if os.geteuid() != 0:
        case.skip("it takes root to become somebody else")
    node = case.node(node_id=1).start()
    node.stop()
    os.chmod(case.dir, 0o755)
    os.chmod(node.data_dir, 0o700)
    program = os.path.join(case.dir, "synclogd")
    shutil.copy(case.program("synclogd"), program)  # the build may be where only its owner may go
    for user, code, said in ((0, 0, "ok\n"), (65534, 1, "the file is right; whether it fits what is in data_dir could not be looked at\n")):
        check = subprocess.run([program, "--check-config", "-c", node.config_path], capture_output=True, text=True, check=False,
                               user=user, env=sanitizer_environment(), cwd="/")
        expect_equal((check.returncode, check.stdout), (code, said), "user %d: %s" % (user, check.stderr))
        expect(code == 0 or node.data_dir in check.stderr and "ermission denied" in check.stderr, "%s", check.stderr)
