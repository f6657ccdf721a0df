"""What the comparison runs on: packages that must be there, and what the reader should know."""

import importlib.util
import os
import platform
import re
import shutil
import subprocess
from datetime import date
from pathlib import Path

_FOR_ALL = {"postconf": "postfix", "saslpasswd2": "sasl2-bin", "nsd": "nsd", "openssl": "openssl"}
_MODULES = {"dkim": "python3-dkim", "dns": "python3-dnspython"}
_FOR_SIGNED = {"opendkim": "opendkim"}
_FOR_JUDGED = {"opendkim": "opendkim", "opendmarc": "opendmarc",
               "policyd-spf": "postfix-policyd-spf-python"}
_IN_MEMORY = ("tmpfs", "ramfs")


def missing_packages(rows):
    """The packages of Debian that the rows need and that are not there."""
    programs = dict(_FOR_ALL)
    for row in rows:
        programs |= _FOR_SIGNED if row.signed else _FOR_JUDGED if row.judged else {}
    missing = {package for program, package in programs.items() if not shutil.which(program)}
    missing |= {package for module, package in _MODULES.items()
                if not importlib.util.find_spec(module)}
    return sorted(missing)


def file_system(directory):
    """(its type, its device) of the directory."""
    found = max((line.split() for line in Path("/proc/self/mounts").read_text().splitlines()
                 if Path(line.split()[1]) in (directory, *directory.parents)),
                key=lambda fields: len(fields[1]))
    return found[2], found[0]


def in_memory(directory):
    return file_system(directory)[0] in _IN_MEMORY


def describe(directory):
    """(what, which) for the head of the table."""
    model = re.search(r"model name\s*: (.*)", Path("/proc/cpuinfo").read_text())
    kind, device = file_system(directory)
    return [("CPU", f"{model.group(1) if model else platform.machine()}, "
                    f"{len(os.sched_getaffinity(0))} cores"),
            ("kernel", platform.release()),
            ("queues of both on", f"{kind} ({device})"),
            ("date", date.today().isoformat()),
            *((package, version) for package in (
                "postfix", *sorted(set(_FOR_JUDGED.values()))) if (version := _version(package)))]


def rsa_signatures_a_second():
    """RSA-2048 signatures with a key that is kept, on one core, by OpenSSL alone."""
    out = subprocess.run(["openssl", "speed", "-seconds", "2", "rsa2048"], check=True,
                         capture_output=True, text=True).stdout
    # rsa 2048 bits 0.000238s 0.000017s   4209.5  60543.3
    return float(re.search(r"^rsa 2048 bits +\S+s +\S+s +([\d.]+)", out, re.M).group(1))


def _version(package):
    return subprocess.run(["dpkg-query", "-W", "-f", "${Version}", package], capture_output=True,
                          text=True).stdout
