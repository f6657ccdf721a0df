"""The table of medians, for a terminal and for docs/performance.md."""

from statistics import median

_GROUPS = ("messages/s", "CPU s/1,000", "memory MB")
_COLUMNS = ("relayd", "Postfix", "ratio")


def medians(runs):
    """Of a row's results by server: {"relayd": {"rate": …, "cpu": …, "memory": …}, …}."""
    return {server: {what: median(getattr(one, what) for one in results)
                     for what in ("rate", "cpu", "memory")}
            for server, results in runs.items()}


def ratios(row):
    """How many times better relayd is: more messages, less CPU, less memory."""
    ours, theirs = row["relayd"], row["postfix"]
    return {"rate": ours["rate"] / theirs["rate"], "cpu": theirs["cpu"] / ours["cpu"],
            "memory": theirs["memory"] / ours["memory"]}


def _cells(title, row):
    cells = [title]
    for what, form in (("rate", ",.0f"), ("cpu", ".2f"), ("memory", ",.0f")):
        cells += [format(row[server][what], form) for server in ("relayd", "postfix")]
        cells.append(f"{ratios(row)[what]:.1f} ×")
    return cells


def text(rows):
    """rows: title -> medians."""
    lines = [["", *(name for name in _COLUMNS * len(_GROUPS))],
             *(_cells(title, row) for title, row in rows.items())]
    width = max(len(line[0]) for line in lines)
    groups = " " * width + "".join(group.rjust(20).ljust(30) for group in _GROUPS)
    return "\n".join([groups.rstrip(), *(line[0].ljust(width) + "".join(
        cell.rjust(10) for cell in line[1:]) for line in lines)])


def markdown(rows):
    head = ["work", *(f"{group}: {name}" for group in _GROUPS for name in _COLUMNS)]
    lines = [head, ["---", *["--:"] * (len(head) - 1)],
             *(_cells(title, row) for title, row in rows.items())]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)
