# SPDX-License-Identifier: Apache-2.0
"""The Debian package for tests: the one that `make deb` has built, or $PENSTOCK_DEB.

What $PENSTOCK_DEB names is taken as it is.  Otherwise the programs in it are replaced by those
under test, which may be newer, or built with a sanitizer; all else is the package's.
"""
import glob
import os
import shutil
import subprocess
import tempfile

import harness

SOURCES = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..")
PROGRAMS = {"usr/sbin/penstockd": harness.PENSTOCKD, "usr/bin/penstock": harness.PENSTOCK}


class NoPackage(Exception):
    """Why there is none."""


def _newest(*folders):
    return max(os.stat(os.path.join(at, name)).st_mtime for folder in folders
               for at, _, names in os.walk(os.path.join(SOURCES, folder)) for name in names)


def find():
    """The package's path.  One that is older than what it is made of is none."""
    if "PENSTOCK_DEB" in os.environ:
        return os.environ["PENSTOCK_DEB"]
    build = os.path.dirname(os.path.abspath(harness.PENSTOCK))
    for folder in build, os.path.dirname(build):  # a build of the matrix is in the plain one's
        for path in glob.glob(os.path.join(folder, "packages", "deb", "penstock_*.deb")):
            if os.stat(path).st_mtime < _newest("packaging", "etc"):
                raise NoPackage(f"{path} is out of date: `make deb` builds it anew")
            return path
    raise NoPackage("there is no package: `make deb` builds it")


class Package:
    """An unpacked package, of which others can be made."""

    def __init__(self):
        path = find()
        self.dir = tempfile.mkdtemp(prefix="penstock-deb-")
        self.tree = os.path.join(self.dir, "tree")
        subprocess.run(["dpkg-deb", "-R", path, self.tree], check=True)
        if "PENSTOCK_DEB" not in os.environ or harness.SANITIZED:
            for name, program in PROGRAMS.items():
                shutil.copy(program, os.path.join(self.tree, name))
        self.version = self._field("Version")

    def _field(self, name):
        with open(os.path.join(self.tree, "DEBIAN", "control"), encoding="utf-8") as file:
            return next(line for line in file if line.startswith(name + ": ")).split()[1]

    def set_version(self, version):
        control = os.path.join(self.tree, "DEBIAN", "control")
        with open(control, encoding="utf-8") as file:
            text = file.read()
        with open(control, "w", encoding="utf-8") as file:
            file.write(text.replace(f"\nVersion: {self.version}\n", f"\nVersion: {version}\n"))
        self.version = version

    def append(self, name, text):
        """Changes one of its files."""
        with open(os.path.join(self.tree, name), "a", encoding="utf-8") as file:
            file.write(text)

    def build(self):
        """Returns the bytes of the package as it is now."""
        path = os.path.join(self.dir, "penstock.deb")
        subprocess.run(["dpkg-deb", "--root-owner-group", "-Znone", "-b", self.tree, path],
                       check=True, stdout=subprocess.DEVNULL)
        with open(path, "rb") as file:
            return file.read()

    def remove(self):
        shutil.rmtree(self.dir)
