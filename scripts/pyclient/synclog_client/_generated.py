"""Finds the Python code that `thrift --gen py` makes of thrift/*.thrift. An installed package brings it. In a
source tree it stands in build/gen-py, and is made when it is missing or older than the IDL. Elsewhere, name the
folder in SYNCLOG_GEN_PY."""

import fcntl
import os
import shutil
import subprocess
import sys
import tempfile
from typing import Sequence

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__)))))
IDL = ("types", "client", "peer", "admin")


def _is_fresh(folder: str, sources: Sequence[str]) -> bool:
    stamp = os.path.join(folder, ".stamp")
    if not os.path.exists(stamp):
        return False
    made = os.stat(stamp).st_mtime
    return all(os.stat(source).st_mtime <= made for source in sources)


def generate(folder: str, sources: Sequence[str]) -> None:
    """Makes the code anew, whole or not at all."""
    parent = os.path.dirname(folder)
    os.makedirs(parent, exist_ok=True)
    # Several programs may come here at once: one generates, the others wait for it.
    with open(folder + ".lock", "w", encoding="ascii") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if _is_fresh(folder, sources):
            return
        fresh = tempfile.mkdtemp(prefix="gen-py.", dir=parent)
        try:
            for source in sources:
                subprocess.run(["thrift", "--gen", "py", "-out", fresh, source], check=True)
            open(os.path.join(fresh, ".stamp"), "w", encoding="ascii").close()
            os.chmod(fresh, 0o755)
            shutil.rmtree(folder, ignore_errors=True)
            os.rename(fresh, folder)
        finally:
            shutil.rmtree(fresh, ignore_errors=True)


def load() -> None:
    """Makes the generated package `synclog` importable."""
    folder = os.environ.get("SYNCLOG_GEN_PY")
    if not folder:
        folder = os.path.join(ROOT, "build", "gen-py")
        sources = [os.path.join(ROOT, "thrift", name + ".thrift") for name in IDL]
        if not all(map(os.path.exists, sources)):
            return  # installed: it stands beside this package
        if not _is_fresh(folder, sources):
            generate(folder, sources)
    if folder not in sys.path:
        sys.path.insert(0, folder)
