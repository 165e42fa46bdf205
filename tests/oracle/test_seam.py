"""A store that was put back to an earlier state is one history, and what that did to objects is judged."""

import json
import tempfile
import unittest
from pathlib import Path

import rules
from answer import Answer
from audit import Audit, _request
from history import History
from judge import judge
from played import Ledger, Store, event, time
from seam import joined

LAG = 10
CORE = "pod/cpu"


def title(name):
    return f"Pod edu--prod/{name}"


def running(store, name, stamps, **more):
    store.pod(name, stamps, scheduled=10, created=10, **more)


def lives():
    """Two lives of a store: backed up at 20, put back at 40, heard of again at 45."""
    first = Store()
    first.server(0, "first")
    first.namespace()
    for name in ("lives", "returns", "grown", "again", "waits"):
        if name == "waits":
            first.pod(name, [10], created=10, phase="Pending")
        else:
            running(first, name, [10, 11], actual="1")
    first.beat(20)
    second = first.backup()

    first.pod("lost", [22, 23], created=22, scheduled=22)
    first.pod("changed", [22, 23], created=22, scheduled=22, actual="1")
    first.gone("pods", "returns")
    running(first, "grown", [24, 11], cpu="2", actual="2")
    running(first, "again", [10, 30], phase="Succeeded", finished=30)
    first.pod("waits", [10, 27], created=10, scheduled=27)
    first.pod("changed", [22, 37], created=22, scheduled=22, cpu="2", actual="2")
    # written once more, which says nothing new
    first.pod("changed", [22, 37, 38], created=22, scheduled=22, cpu="2", actual="2")
    first.beat(38)
    first.pod("changed", [22, 37, 39], created=22, scheduled=22, cpu="2", actual="2", phase="Succeeded", finished=39)

    second.server(45, "second")
    second.pod("waits", [10, 48], created=10, scheduled=48)
    running(second, "again", [10, 49], phase="Succeeded", finished=49)
    second.beat(52)
    second.gone("pods", "lives")
    second.beat(62)
    events = [
        event("delete", "pods", "returns", 23.2, 23.4),
        event("delete", "pods", "lives", 60.1, 60.2),
        event("patch", "leases", "leasehold-heartbeat", 38.1, 38.2, namespace="leasehold-system"),
        event("patch", "leases", "apiserver-x", 45.1, 45.2, namespace="kube-system"),
        event("patch", "leases", "leasehold-heartbeat", 62.5, 62.6, namespace="leasehold-system"),
    ]
    return [first, second], events


GOOD = {
    "lives": [(10, 1000), (60, 0, 58, 61)],
    "returns": [(10, 1000), (22, 0, 20, 24), (50, 1000, 38, 50)],
    "grown": [(10, 1000), (24, 2000), (50, 1000, 38, 50)],
    "again": [(10, 1000), (30, 0), (49, 1000, 38, 49), (49, 0)],
    "waits": [(27, 1000), (38, 0, 38, 50), (48, 1000)],
    "lost": [(22, 1000), (38, 0, 38, 50)],
    "changed": [(22, 1000), (37, 2000), (39, 0, 38, 50)],
}


def told(**changed):
    """Deviations where an operator answers what is good, but for some pods."""
    ledger = Ledger()
    for name, steps in {**GOOD, **changed}.items():
        if steps:
            ledger.count(f"uid-{name}", CORE, title(name), *steps)
    ledger.gap(38, 50, upper={CORE: 1_000_000})
    stores, events = lives()
    with tempfile.TemporaryDirectory() as folder:
        paths = [Path(folder, f"{place}.jsonl") for place, _ in enumerate(stores)]
        for store, path in zip(stores, paths):
            store.save(path)
        history = History.load(paths, Audit(_request(one) for one in events))
    expected, nobody = rules.of_history(history, LAG)
    answer = Answer(ledger.intervals, ledger.rows)
    found = judge(history, expected, nobody, {}, answer, LAG)
    return [(deviation.object.rsplit("/", 1)[-1], deviation.field) for deviation in found.deviations]


class Judged(unittest.TestCase):
    def test_what_was_put_back_goes_on_ends_or_begins_again_as_it_did(self):
        self.assertEqual(told(), [])

    def test_what_is_only_seen_later_may_be_told_as_one(self):
        # the scheduler was quicker than the operator, and so was the end that came again
        self.assertEqual(told(waits=[(27, 1000)], again=[(10, 1000), (30, 0)]), [])

    def test_one_that_was_seen_to_begin_only_when_it_was_back_is_told_of_from_then(self):
        self.assertEqual(told(returns=[(50, 1000, 38, 50)]), [("returns", "quantities")])
        # the first life of the pod was over in the second in which it had begun
        early = told(again=[(46, 1000, 38, 50), (49, 0)])
        self.assertEqual(early, [("again", "start")])

    def test_what_changed_in_its_last_second_ended_with_the_change(self):
        self.assertEqual(told(changed=[(22, 1000), (37, 2000), (37, 0, 37, 50)]), [])
        # only if it says so
        self.assertEqual(told(changed=[(22, 1000), (37, 0)]), [("changed", "quantities")])
        self.assertEqual(told(changed=[(22, 1000), (36, 0, 36, 50)]), [("changed", "quantities")])

    def test_what_the_store_has_forgotten_ends(self):
        self.assertEqual(told(lost=[(22, 1000)]), [("lost", "quantities")])
        self.assertEqual(told(lost=[(22, 1000), (27, 0, 27, 50)]), [("lost", "end")])
        self.assertEqual(told(lost=[(22, 1000), (30, 0)]), [("lost", "end")])
        self.assertEqual(told(lost=[(22, 1000), (42, 0)]), [("lost", "end")])
        self.assertEqual(told(lost=None), [("lost", "interval")])

    def test_what_is_back_counts_again_and_is_marked(self):
        self.assertEqual(told(returns=GOOD["returns"][:2]), [("returns", "quantities")])
        self.assertEqual(told(returns=[*GOOD["returns"][:2], (50, 1000)]), [("returns", "change to 1000")])
        self.assertEqual(told(returns=[*GOOD["returns"][:2], (55, 1000, 38, 55)]), [("returns", "change to 1000")])

    def test_what_was_changed_is_as_it_was(self):
        self.assertEqual(told(grown=GOOD["grown"][:2]), [("grown", "quantities")])
        self.assertEqual(told(grown=[(10, 1000), (24, 2000), (50, 1000)]), [("grown", "change to 1000")])

    def test_what_goes_on_has_no_seam(self):
        steps = [(10, 1000), (38, 0, 38, 50), (50, 1000, 38, 50), (60, 0, 58, 61)]
        self.assertEqual(told(lives=[(10, 1000), (38, 0), (50, 1000), (60, 0, 58, 61)]), [("lives", "quantities")])
        # also where an operator says that it does not know better
        self.assertEqual(told(lives=steps), [("lives", "quantities")])


class Joined(unittest.TestCase):
    def read(self, *lives):
        with tempfile.TemporaryDirectory() as folder:
            paths = [Path(folder, f"{place}.jsonl") for place, _ in enumerate(lives)]
            for store, path in zip(lives, paths):
                store.save(path)
            return list(joined(paths))

    def test_one_life_is_what_it_is(self):
        first = Store()
        first.beat(1)
        self.assertEqual(self.read(first), first.lines)

    def test_each_life_goes_on_from_the_one_before_it(self):
        first = Store()
        first.server(0, "a")
        first.put("/registry/pods/x/kept", {"n": 1})
        second = first.backup()
        first.put("/registry/pods/x/kept", {"n": 2})
        first.put("/registry/pods/x/new", {"n": 3})
        second.put("/registry/pods/x/kept", {"n": 4})
        third = second.backup()
        second.gone("pods", "kept", place="x")
        third.put("/registry/pods/x/last", {"n": 5})
        found = [
            (line["revision"], line["key"].rsplit("/", 1)[-1], (line.get("object") or {}).get("n"), "restored" in line)
            for line in self.read(first, second, third)[1:]
        ]
        self.assertEqual(
            found,
            [
                (2, "kept", 1, False),
                (3, "kept", 2, False),
                (4, "new", 3, False),
                (5, "kept", 1, True),
                (5, "new", None, True),
                (6, "kept", 4, False),
                (7, "kept", None, False),
                (8, "kept", 4, True),
                (9, "last", 5, False),
            ],
        )

    def test_a_removal_that_is_in_both_lives_by_chance_is_in_both(self):
        first = Store()
        first.server(0, "a")
        first.put("/registry/pods/x/one", {"n": 1})
        first.put("/registry/pods/x/two", {"n": 2})
        second = first.backup()
        for store in (first, second):
            store.beat(store.lines[0]["revision"] + (store is second))
            store.gone("pods", "one", place="x")
        found = [
            (line["revision"], line["key"].rsplit("/", 1)[-1], "object" in line, "restored" in line)
            for line in self.read(first, second)[3:]
        ]
        self.assertEqual(
            found,
            [
                (4, "leasehold-heartbeat", True, False),
                (5, "one", False, False),
                (6, "leasehold-heartbeat", False, True),
                (6, "one", True, True),
                (7, "leasehold-heartbeat", True, False),
                (8, "one", False, False),
            ],
        )

    def test_what_was_put_back_dates_nothing(self):
        stores, _ = lives()
        with tempfile.TemporaryDirectory() as folder:
            paths = [Path(folder, f"{place}.jsonl") for place, _ in enumerate(stores)]
            for store, path in zip(stores, paths):
                store.save(path)
            history = History.load(paths, Audit())
        (seam,) = history.seams
        self.assertEqual(history.clock.low(seam), history.clock.low(seam - 1))
        self.assertEqual(len(history.beats), 4)
        self.assertEqual(len(history.servers), 2)


if __name__ == "__main__":
    unittest.main()
