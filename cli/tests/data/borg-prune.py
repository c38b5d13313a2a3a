"""What Borg 2 keeps: python3 borg-prune.py BORG > borg-prune.txt

BORG is a checkout of https://github.com/borgbackup/borg. Its own `do_prune` decides; what it needs of a repository is a
list of archives. A case is a paragraph: runs of archives (the first, seconds between them, how many; a `!` protects
them), the zone, the time of day, the options; then, a line each, which rule keeps which archives, #1 first.
"""

import ast
import json
import os
import subprocess
import sys
import time
from collections import namedtuple
from datetime import datetime, timedelta, timezone
from types import SimpleNamespace

ArchiveInfo = namedtuple("ArchiveInfo", "name id ts tags")


class CommandError(Exception):
    pass


class Now(datetime):
    moment = None

    @classmethod
    def now(cls, tz=None):
        return cls.moment


def load(path, names, **given):
    """The module, or some functions of it, without what it imports of Borg."""
    tree = ast.parse(open(path).read())
    own = lambda node: isinstance(node, ast.ImportFrom) and node.level > 0
    tree.body = [node for node in tree.body if not own(node) and (not names or getattr(node, "name", "") in names)]
    module = dict(given, __name__="borg")
    exec(compile(tree, path, "exec"), module)
    return module


quiet = SimpleNamespace(info=lambda *a: None)
shown = []
borg = os.path.join(sys.argv[1], "src/borg")
prune = load(
    f"{borg}/archiver/prune_cmd.py",
    None,
    with_repository=lambda **_: lambda method: method,
    Manifest=SimpleNamespace(Operation=SimpleNamespace(DELETE=None)),
    ArchiveInfo=ArchiveInfo,
    ArchiveFormatter=lambda *_: SimpleNamespace(get_item_data=lambda info, jsonline: {"ts": info.ts}),
    ProgressIndicatorPercent=lambda **_: None,
    CommandError=CommandError,
    MAX_ARCHIVES=400000,
    create_logger=lambda: quiet,
    sig_int=None,
    basic_json_data=lambda manifest, extra: extra,
    json_print=shown.append,
)
prune["datetime"] = Now
spans = load(
    f"{borg}/helpers/parseformat.py", ["interval", "int_or_interval"], timedelta=timedelta, ArgumentTypeError=ValueError
)


def moment(text):
    return datetime.strptime(text, "%Y-%m-%dT%H:%M:%SZ").replace(tzinfo=timezone.utc)


def text(moment):
    return moment.astimezone(timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")


def archives_of(runs):
    for run in runs.split(", "):
        first, step, count = run.removeprefix("!").split()
        for number in range(int(count)):
            ts = moment(first) + timedelta(seconds=int(step) * number)
            yield ArchiveInfo("a", (first, number), ts, ("@PROT",) if run.startswith("!") else ())


def decide(runs, zone, now, options):
    os.environ["TZ"] = zone
    time.tzset()
    Now.moment = moment(now).astimezone()
    rules = {rule.key: None for rule in prune["PRUNING_RULES"]}
    words = options.split()
    given = dict(zip(words[::2], words[1::2]))
    since = given.pop("--from", None)
    for option, value in given.items():
        name = option.removeprefix("--keep").removeprefix("-") or "keep"
        rules["quarterly_" + name if name[0].isdigit() else name] = spans["int_or_interval"](value)
    args = SimpleNamespace(
        **rules, skip=since and moment(since), name=None, match_archives=None, format="{archive}", json=True,
        dry_run=True, output_list=True, list_pruned=False, list_kept=False, short=False,
    )  # fmt: skip
    listed = sorted(archives_of(runs), key=lambda info: info.ts, reverse=True)
    manifest = SimpleNamespace(archives=SimpleNamespace(list=lambda **_: listed), key=None)
    print(f"archives {runs}\nprune {zone} {now} {options}")
    try:
        prune["PruneMixIn"]().do_prune(args, None, manifest)
    except CommandError:
        print("refused\n")
        return
    kept = {}
    for archive in shown.pop()["archives"]:
        if archive["kept"]:
            rule = archive["keep_rule"] + ("[oldest]" if archive["kept_oldest"] else "")
            kept.setdefault(rule, {})[archive["kept_archive_number"]] = archive["ts"]
    for rule, found in kept.items():
        print(rule, *(text(found[number]) for number in sorted(found)))
    print()


EVERY_DAY_OF_2015 = "2015-01-01T00:00:00Z 86400 352, 2015-12-20T00:00:00Z 86400 12"
WITH_GAPS = (
    "2025-11-15T16:00:00Z 86400 136, 2026-04-01T16:00:00Z 86400 53, 2026-05-25T16:00:00Z 86400 9, 2026-06-04T16:00:00Z 1 1"
)
# Borg's own example of quarters; 2020 has a week 53, which reaches into 2021, and 2022 begins in a week of 2021.
QUARTERS = ", ".join(
    f"{day}T00:00:00Z 1 1"
    for day in "2020-12-06 2021-01-03 2021-03-28 2021-04-25 2021-06-27 2021-07-04 2021-09-26 2021-10-03 2021-12-26 2022-01-02".split()
)
DAILY = "2018-11-01T22:30:00Z 86400 1200"
HOURLY = "2026-10-24T00:15:00Z 900 300"
FEW = "2026-01-01T12:00:00Z 86400 5"
RULES = "secondly minutely hourly daily weekly monthly 13weekly 3monthly yearly".split()

decide(EVERY_DAY_OF_2015, "UTC", "2016-01-01T00:00:00Z", "--keep-daily 14 --keep-monthly 6 --keep-yearly 1")
decide(
    WITH_GAPS,
    "UTC",
    "2026-06-04T16:12:00Z",
    "--from 2026-06-04T16:00:00Z --keep-daily 1w --keep-weekly 4 --keep-monthly 5m --keep-yearly 2",
)
for rule in ["13weekly", "3monthly"]:
    for amount in ["99", "-1", "3", "1y", "39w"]:
        decide(QUARTERS, "UTC", "2022-01-02T12:00:00Z", f"--keep-{rule} {amount}")
for zone in ["Europe/Berlin", "Pacific/Auckland", "America/Los_Angeles"]:
    for rule in RULES[4:]:
        decide(DAILY, zone, "2022-02-13T12:00:00Z", f"--keep-{rule} 20")
    # the night in which an hour is there twice
    for rule in ["minutely", "hourly", "daily"]:
        decide(HOURLY, zone, "2026-10-27T04:00:00Z", f"--keep-{rule} 12")
for rule in RULES:
    decide(FEW, "UTC", "2026-01-06T12:00:00Z", f"--keep-{rule} 3d")
    decide(FEW, "UTC", "2026-01-06T12:00:00Z", f"--keep-{rule} 7")
    decide(FEW, "UTC", "2026-01-06T12:00:00Z", f"--keep-{rule} all")
    decide(FEW, "UTC", "2026-01-06T12:00:00Z", f"--keep-{rule} 0")
for options in [
    "--keep 3",
    "--keep 36H",
    "--keep 0d",
    "--keep 2 --keep-daily 2 --keep-weekly 2 --keep-monthly 2 --keep-13weekly 2 --keep-yearly 2",
    "--keep 2 --keep-daily 2 --keep-weekly 2 --keep-monthly 2 --keep-3monthly 2 --keep-yearly 2",
    "--keep 1d --keep-daily 7d --keep-weekly 4w --keep-monthly 12m --keep-yearly all",
    "--keep-daily 7 --keep-yearly 0",
    "--keep-daily 30d --keep-weekly 7d",
    "--keep-daily 7d --keep-weekly 7d",
    "--keep-daily -1 --keep-weekly 4",
    "--keep-daily all --keep-weekly all",
    "--keep-daily 7 --keep-weekly all",
    "--from 2021-01-04T00:00:00Z --keep-weekly 60",
    "--from 2021-01-04T00:00:00Z --keep-13weekly 52w",
    "--from 2030-01-01T00:00:00Z --keep-monthly 3",
]:
    decide("2019-06-01T03:00:00Z 43200 1300", "Europe/Berlin", "2021-03-13T00:00:00Z", options)
for options in ["--keep -1", "--from 2000-01-01T00:00:00Z --keep-monthly 3"]:
    decide(FEW, "UTC", "2026-01-06T12:00:00Z", options)
# only the last rule keeps the oldest, whatever room others have
for options in [
    "--keep-daily 9 --keep-yearly 0",
    "--keep-daily 9 --keep-weekly 1",
    "--keep-daily 9 --keep-weekly 9",
    "--keep-daily 9d --keep-monthly 1",
    "--keep-daily 2 --keep-monthly 9d",
    "--keep-hourly 99 --keep-daily 1 --keep-yearly 1",
]:
    decide(HOURLY, "UTC", "2026-10-27T04:00:00Z", options)
# what is protected takes no part
decide("2026-01-01T12:00:00Z 86400 20, !2026-01-21T12:00:00Z 3600 1", "UTC", "2026-01-22T00:00:00Z", "--keep-monthly 3")
decide("!2025-01-01T12:00:00Z 86400 1, 2026-01-01T12:00:00Z 86400 20", "UTC", "2026-01-22T00:00:00Z", "--keep-yearly 3")
