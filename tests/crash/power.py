"""File systems that lose their power: ext4 in an image file, shut down by its own ioctl. What was
not synced is gone after the next mount, and what was synced is there, directory entries included, by
the rules of a real file system and its journal. Needs root and loop devices."""

import fcntl
import glob
import os
import shutil
import struct
import subprocess
import tempfile

from cluster import Failed

_EXT4_IOC_SHUTDOWN = 0x8004587D
_NO_LOG_FLUSH = 2


def _run(*command):
    return subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True,
                          check=False)


class Disk:
    def __init__(self, case, name, mib=96):
        if os.getuid() != 0:
            case.skip("only root may mount a file system")
        if shutil.which("mkfs.ext4") is None:
            case.skip("mkfs.ext4 is not installed")
        # The image may lie in memory: power is lost by the file system in it, not by the one around.
        around = "/dev/shm" if os.access("/dev/shm", os.W_OK) else case.dir
        handle, self.image = tempfile.mkstemp(prefix="synclogd-%s-" % name, dir=around)
        case.at_end(self._remove)
        os.truncate(handle, mib << 20)
        os.close(handle)
        self.folder = os.path.join(case.dir, "disk-" + name)
        os.mkdir(self.folder)
        made = _run("mkfs.ext4", "-q", "-F", "-m0", self.image)
        if made.returncode != 0:
            raise Failed("mkfs.ext4: %s" % made.stderr.strip())
        mounted = self._mount()
        if mounted.returncode != 0:
            case.skip("can't mount an image: %s" % mounted.stderr.strip())

    def _mount(self):
        # Nothing is written by itself while a test runs.
        return _run("mount", "-o", "loop,commit=900", self.image, self.folder)

    def shut_down(self):
        """From now on nothing reaches the disk. Whoever has files open gets EIO."""
        handle = os.open(self.folder, os.O_RDONLY)
        try:
            fcntl.ioctl(handle, _EXT4_IOC_SHUTDOWN, struct.pack("I", _NO_LOG_FLUSH))
        finally:
            os.close(handle)

    def power_on(self):
        """After shut_down(), when no process has a file open."""
        for step in (_run("umount", self.folder), self._mount()):
            if step.returncode != 0:
                raise Failed("%s: %s" % (" ".join(step.args), step.stderr.strip()))

    def _remove(self):
        if os.path.exists(getattr(self, "folder", "")):
            _run("umount", "-l", self.folder)
        os.unlink(self.image)


def forget(pid):
    """Takes away what a round has left whose process, of this number, had to be killed: mounts of
    folders that end with it, and images."""
    with open("/proc/mounts", encoding="utf-8") as file:
        folders = [line.split()[1] for line in file]
    for folder in folders:
        if folder.endswith("-%d" % pid) and "synclogd-test-" in folder:
            _run("umount", "-l", folder)
            shutil.rmtree(os.path.dirname(folder), ignore_errors=True)
    for image in glob.glob("/dev/shm/synclogd-*-%d-*" % pid):
        os.unlink(image)


def put_on_disks(round_):
    """For Round(prepare=…): each node's data directory on a disk of its own."""
    for node in round_.cluster:
        node.disk = Disk(round_.case, "%s-%d" % (node.name, os.getpid()))
        node.data_dir = node.config["node.data_dir"] = os.path.join(node.disk.folder, "data")
