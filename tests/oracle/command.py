"""The oracle of metered use. `python3 tests/oracle --help`.

It knows what must be billed from the history of the store and the audit log alone, shares nothing with the program that it
judges, and needs nothing but Python 3.11.
"""

import argparse
import json
import sys
from collections import Counter

import audit
import etcd
import judge
import rules
from answer import Answer
from history import History

SHOWN = 50


def main(arguments):
    """Runs a command and gives the exit code: 1 for deviations, 2 for what cannot be read."""
    parser = argparse.ArgumentParser(prog="oracle", description=__doc__.splitlines()[0])
    commands = parser.add_subparsers(dest="command", required=True)
    collect = commands.add_parser("collect", help="write the history of the store into a file")
    collect.add_argument("--etcd", required=True, metavar="HOST:PORT")
    collect.add_argument("--out", required=True, metavar="FILE")
    judging = commands.add_parser("judge", help="compare what the operator answers with what the history says")
    judging.add_argument(
        "--history",
        required=True,
        action="append",
        metavar="FILE",
        help="of `collect`; one for each life of an etcd that was put back, in their order",
    )
    judging.add_argument("--audit", required=True, metavar="FILE", help="the audit log; what was rotated away from it lies beside it")
    judging.add_argument("--usage", required=True, metavar="FILE", help="of `leasehold usage --db LEDGER -o json`")
    judging.add_argument("--rows", metavar="FILE", help="rows of the ledger, as of `leasehold evidence`")
    judging.add_argument("--report", metavar="FILE", help="write everything there as JSON")
    judging.add_argument("--lag", type=int, default=rules.LAG, metavar="SECONDS", help="how old a last sight may be")
    judging.add_argument("--promise", type=int, default=300, metavar="SECONDS", help="how late a decrease may stand")
    judging.add_argument("--claims", choices=("bound", "requested"), default="bound", help="since when a claim counts")
    options = parser.parse_args(arguments)
    try:
        return _collect(options) if options.command == "collect" else _judge(options)
    except (OSError, ValueError, KeyError, etcd.Gone) as error:
        print(f"oracle: failed to read the record: {error!r}", file=sys.stderr)
        return 2


def _collect(options):
    newest = etcd.collect(options.etcd, options.out)
    print(f"oracle: history up to revision {newest} in {options.out}")
    return 0


def _judge(options):
    log = audit.Audit.read(audit.files(options.audit))
    history = History.load(options.history, log, options.claims)
    expected, nobody = rules.of_history(history, options.lag)
    leases = rules.leases(history, options.promise)
    with open(options.usage, encoding="utf-8") as usage:
        intervals = json.load(usage)
    answer = Answer(intervals, _rows(options.rows))
    verdict = judge.judge(history, expected, nobody, leases, answer, options.lag)
    summary = _summary(history, expected, verdict)
    if options.report:
        with open(options.report, "w", encoding="utf-8") as report:
            deviations = [deviation._asdict() for deviation in verdict.deviations]
            json.dump({"summary": summary, "deviations": deviations}, report, ensure_ascii=False, indent=1)
    _tell(summary, verdict)
    return 1 if verdict.deviations else 0


def _rows(path):
    return None if path is None else _read(path)


def _read(path):
    with open(path, encoding="utf-8") as lines:
        for line in lines:
            yield json.loads(line)


def _summary(history, expected, verdict):
    """What the comparison was about, so that nobody takes an empty one for a good one."""
    counts = Counter(verdict.counts)
    mine = {uid for uid, _ in expected}
    counts["pods"] = len({life.uid for life in history.lives if life.kind == "pods" and life.uid in mine})
    counts["claims"] = len({life.uid for life in history.lives if life.kind != "pods" and life.uid in mine})
    counts["lives of etcd"] = 1 + len(history.seams)
    counts["objects that were put back"] = len({life.uid for life in history.lives if life.is_put_back and life.uid in mine})
    counts["objects that were undone"] = len({life.uid for life in history.lives if life.is_undone and life.uid in mine})
    lengths = {}
    for (uid, meter), one in expected.items():
        if meter == "pod/cpu" and one.steps[-1][1] == 0:
            lengths[uid] = one.steps[-1][0].truth[1] - one.steps[0][0].truth[0]
    counts["pods shorter than 5 s"] = sum(length < 5 for length in lengths.values())
    counts["pods that were resized"] = len({uid for (uid, meter), one in expected.items() if len(one.steps) > 2})
    counts["starts of the API server"] = len(history.servers)
    counts["requests in the audit log"] = len(history.audit)
    counts["beats"] = len(history.beats)
    counts["unseen ends"] = len(verdict.losses)
    counts["unseen ends that lost more than 5 s"] = sum(loss > 5 for loss in verdict.losses)
    counts["seconds lost at the most at an unseen end"] = max(verdict.losses, default=0)
    return dict(sorted(counts.items()))


def _tell(summary, verdict):
    for name, count in summary.items():
        print(f"oracle: {name}: {count}")
    for deviation in verdict.deviations[:SHOWN]:
        print(
            f"DEVIATION {deviation.object} ({deviation.uid}) {deviation.meter}: {deviation.field}\n"
            f"  expected {deviation.expected}\n  found    {deviation.found}"
        )
    if len(verdict.deviations) > SHOWN:
        print(f"… and {len(verdict.deviations) - SHOWN} more")
    print(f"oracle: {len(verdict.deviations)} deviations")
