"""Builds the package with the code that Thrift generates from the project's IDL (thrift-compiler)."""

import os
import shutil
import sys
import tempfile

from setuptools import setup
from setuptools.command.build_py import build_py

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(HERE))
sys.path.insert(0, os.path.join(HERE, "synclog_client"))

import _generated  # noqa: E402  # pylint: disable=wrong-import-position


class BuildWithThrift(build_py):
    """Puts the generated package beside the written one."""

    def run(self):
        super().run()
        with tempfile.TemporaryDirectory() as folder:
            made = os.path.join(folder, "gen-py")
            _generated.generate(made, [os.path.join(ROOT, "thrift", name + ".thrift") for name in _generated.IDL])
            shutil.copytree(os.path.join(made, "synclog"), os.path.join(self.build_lib, "synclog"),
                            dirs_exist_ok=True)


with open(os.path.join(ROOT, "VERSION"), encoding="ascii") as version:
    setup(version=version.read().strip(), packages=["synclog_client"],
          package_data={"synclog_client": ["py.typed"]}, cmdclass={"build_py": BuildWithThrift})
