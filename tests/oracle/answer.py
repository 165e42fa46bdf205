"""What the operator answers: intervals of `leasehold usage --db LEDGER -o json`, and the rows of its ledger.

Rows are those of `leasehold evidence` (or any file of JSON lines with `kind`, `key` and `body`). They say how exact each end
of an interval is meant to be, and which gaps the operator owns up to.
"""

import json
from dataclasses import dataclass, field

from quantities import second

JUDGED = ("pod/", "claim/", "lease/")


@dataclass(slots=True)
class Point:
    """A step to an amount."""

    at: int
    amount: int
    estimated: bool
    bounds: tuple | None


@dataclass(slots=True)
class Found:
    """All of one object and meter, in order; the last step is to 0 if it has ended."""

    uid: str
    title: str
    meter: str
    owner: tuple
    points: list = field(default_factory=list)
    # the last fact that ended anything in a second, by that second: also what had lasted for none, which is no interval
    ends: dict = field(default_factory=dict)
    # overlaps, which no order of steps could show
    faults: list = field(default_factory=list)


@dataclass(slots=True)
class Gap:
    """A time in which the operator says that it saw nothing."""

    source: str
    start: int
    end: int
    upper: dict


class Answer:
    """By uid and meter what was found, and the gaps. `passed_over` counts intervals of meters that are not judged here."""

    def __init__(self, intervals, rows=None):
        self.found, self.gaps, self.passed_over = {}, [], 0
        # "uid/meter" of everything that was ever opened; none where no rows are given
        self.opened = None if rows is None else set()
        facts = {}
        for row in rows or ():
            if row.get("kind") == "fact":
                facts[row["key"]] = json.loads(row["body"])
                self.opened.add(_of(row["key"]))
            elif row.get("kind") == "document" and row["key"].startswith("gap/"):
                gap = json.loads(row["body"])
                self.gaps.append(Gap(gap["source"], second(gap["from"]), second(gap["to"]), gap["upper"]))
        for interval in intervals:
            if interval["meter"].startswith(JUDGED):
                self._take(interval, facts)
            else:
                self.passed_over += 1
        for key, fact in facts.items():
            of = tuple(_of(key).split("/", 1))
            if fact["kind"] == "Closed" and of in self.found:
                self.found[of].ends[second(fact["at"])] = fact
        for key, found in list(self.found.items()):
            _join(found)
            if not found.points:
                del self.found[key]

    def _take(self, interval, facts):
        uid, meter, subject = uid_of(interval), interval["meter"], interval["subject"]
        owner = (subject["department"], subject["tenancy"], str(subject["incarnation"]))
        found = self.found.setdefault((uid, meter), Found(uid, subject["object"], meter, owner))
        if found.owner != owner:
            found.faults.append(f"counts to {owner} as well")
        start, end = second(interval["span"]["from"]), second(interval["span"]["to"])
        if start < end or interval["open"]:
            opened = facts.get(interval["openedBy"])
            found.points.append((start, end, interval["quantity"], opened, interval, facts))


def uid_of(interval):
    """The uid in the key of the fact that opened it: CLUSTER/ETCD/UID/METER/VERSION/KIND."""
    key = _of(interval["openedBy"])
    suffix = "/" + interval["meter"]
    if not key.endswith(suffix):
        raise ValueError(f"{interval['openedBy']} is no key of a fact of {interval['meter']}")
    return key.removesuffix(suffix)


def _of(key):
    return key.split("/", 2)[2].rsplit("/", 2)[0]


def _join(found):
    """Intervals that follow each other become steps."""
    stretches = sorted(found.points, key=lambda one: (one[0], one[1]))
    found.points = []
    last = None
    for start, end, amount, opened, interval, facts in stretches:
        if last is not None and start < last[0]:
            found.faults.append(f"two intervals count at once from {start} on")
        if last is not None and start > last[0]:
            found.points.append(last[1])
        if last is None or start > last[0] or found.points[-1].amount != amount:
            found.points.append(_point(start, amount, opened, interval["estimated"]))
        closed = found.ends.get(end) or facts.get(interval.get("closedBy"))
        ended = None if interval["open"] else _point(end, 0, closed, interval["estimated"])
        last = (end if ended else 1 << 60, ended)
    if last is not None and last[1] is not None:
        found.points.append(last[1])


def _point(at, amount, fact, estimated):
    if fact is None:
        return Point(at, amount, estimated, None)
    bounds = fact.get("bounds")
    if bounds:
        bounds = (second(bounds["lower"]), second(bounds["upper"]))
    return Point(at, amount, fact["estimated"], bounds)
