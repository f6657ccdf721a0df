"""What benchmarks of whole programs share: processor time, memory, the disk, tables for people."""

import os
import re
import resource
import statistics
import time
from pathlib import Path

from tests.support.process import free_port

KIB = 1024
_TICKS_PER_S = os.sysconf("SC_CLK_TCK")


def allow_many_files():
    """As many file descriptors as there may be, for this process and those that it starts."""
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    return hard


def cpu_seconds(pid):
    """User and system time of a process so far."""
    fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / _TICKS_PER_S


def idle_share(seconds=1.0):
    """What part of this machine's processors had nothing to do in the next moment."""
    def times():
        return [int(field) for field in Path("/proc/stat").read_text().split("\n")[0].split()[1:9]]

    before = times()
    time.sleep(seconds)
    spent = [now - then for now, then in zip(times(), before)]
    return (spent[3] + spent[4]) / max(1, sum(spent))


def memory(pid):
    """Octets: RssAnon, VmRSS and others of /proc/PID/status, and Pss."""
    text = Path(f"/proc/{pid}/status").read_text() + Path(f"/proc/{pid}/smaps_rollup").read_text()
    return {name: int(kib) * KIB for name, kib in re.findall(r"^(\w+):\s+(\d+) kB", text, re.M)}


def socket_memory():
    """Octets that the kernel holds for TCP: buffers, and its own objects (slabs of all kinds)."""
    pages = int(re.search(r"TCP: .* mem (\d+)", Path("/proc/net/sockstat").read_text()).group(1))
    slab = int(re.search(r"Slab:\s+(\d+) kB", Path("/proc/meminfo").read_text()).group(1))
    return pages * os.sysconf("SC_PAGE_SIZE"), slab * KIB


def sync_times_ms(directory, octets, seconds, syncs=1):
    """How long it takes to append so many octets to a file there and to fdatasync it, so many times
    in a row."""
    path = Path(directory) / "sync-probe"
    block = os.urandom(octets)
    times = []
    with open(path, "ab", buffering=0) as file:
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            begin = time.monotonic()
            for _ in range(syncs):
                file.write(block)
                os.fdatasync(file.fileno())
            times.append((time.monotonic() - begin) * 1000)
    path.unlink()
    return times


def percentile(values, percent):
    return sorted(values)[min(len(values) - 1, int(len(values) * percent / 100))]


def medians(runs):
    """Of runs, each a dictionary of numbers, the median of each number."""
    return {name: statistics.median(run[name] for run in runs) for name in runs[0]}


def dead_accounts(destinations):
    """An account plan, a tenant for each destination: smarthost and back end refuse connections."""
    port = free_port()
    lines = []
    for n in range(destinations):
        lines += ["[[tenant]]", f'name = "t{n}"', "[tenant.backend]",
                  f'url = "http://127.0.0.1:{port}/t"', "[[tenant.domain]]",
                  f'name = "d{n}.example"', "[tenant.domain.smarthost]", 'host = "127.0.0.1"',
                  f"port = {port}", 'tls = "none"', "[[tenant.domain.address]]",
                  f'address = "support@d{n}.example"']
    return "\n".join(lines) + "\n"


def table(title, rows, markdown=False):
    """Rows (dictionaries with the same keys) as text."""
    cells = [list(rows[0])] + [[_cell(value) for value in row.values()] for row in rows]
    widths = [max(len(row[column]) for row in cells) for column in range(len(cells[0]))]
    lines = []
    for number, row in enumerate(cells):
        padded = [cell.ljust(width) if column == 0 else cell.rjust(width)
                  for column, (cell, width) in enumerate(zip(row, widths))]
        lines.append("| " + " | ".join(padded) + " |" if markdown else "  ".join(padded).rstrip())
        if number == 0 and markdown:
            lines.append("|" + "|".join("---" if column == 0 else "---:"
                                        for column in range(len(row))) + "|")
    return f"{'### ' if markdown else ''}{title}\n\n" + "\n".join(lines) + "\n"


def _cell(value):
    if not isinstance(value, float):
        return f"{value:,}" if isinstance(value, int) else str(value)
    return f"{value:,.0f}" if value >= 1000 else f"{value:.3g}" if value < 100 else f"{value:.0f}"
