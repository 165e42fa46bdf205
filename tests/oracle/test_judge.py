"""The comparison finds what differs, and nothing else."""

import base64
import copy
import json
import socket
import tempfile
import threading
import unittest
from contextlib import redirect_stderr, redirect_stdout
from io import StringIO
from pathlib import Path

import command
import etcd
import rules
from answer import Answer, uid_of
from audit import Audit, _request
from history import History
from judge import judge, tellings
from played import Ledger, Store, event, time

LAG = 10
LIVES = "Pod edu--prod/lives"
PULLED = "Pod edu--prod/pulled"


def played():
    """Two pods with recorded times, one of them resized; one that is pulled away at 52; a lease."""
    store = Store()
    store.book()
    store.server(0, "first")
    store.namespace()
    store.tenancy(4)
    store.quota(1, 4, None)
    store.quota(1, 4, 4)
    store.pod("short", [2], created=2, phase="Pending")
    store.pod("short", [2, 4], created=2, scheduled=3)
    store.pod("short", [2, 6], created=2, scheduled=3, phase="Succeeded", finished=6)
    store.pod("lives", [10, 11], created=10, scheduled=10, actual="1")
    store.pod("lives", [20, 11], created=10, scheduled=10, cpu="2", actual="1")
    store.pod("lives", [20, 22], created=10, scheduled=10, cpu="2", actual="2")
    store.pod("pulled", [30, 31], created=30, scheduled=30)
    store.beat(48)
    store.gone("pods", "pulled")
    store.pod("lives", [20, 60], created=10, scheduled=10, cpu="2", actual="2", phase="Failed", finished=60)
    store.beat(61)
    events = [
        event("patch", "resourcequotas", "leasehold", 1.1, 1.2, code=201),
        event("update", "resourcequotas", "leasehold", 1.3, 1.4, subresource="status"),
        event("delete", "pods", "pulled", 52.1, 52.2),
        event("patch", "leases", "leasehold-heartbeat", 61.5, 61.6, namespace="leasehold-system"),
    ]
    return store, events


def answered():
    """What a good operator answers."""
    ledger = Ledger()
    ledger.count("uid-short", "pod/cpu", "Pod edu--prod/short", (3, 1000), (6, 0))
    ledger.count("uid-lives", "pod/cpu", LIVES, (10, 1000), (20, 2000), (60, 0))
    ledger.count("uid-pulled", "pod/cpu", PULLED, (30, 1000), (48, 0, 48, 53))
    ledger.count("edu/oa/1", "lease/vcpu-x86", "Tenancy edu/oa", (1, 4000))
    return ledger


def verdict(store, events, ledger):
    history = History(store.lines, Audit(_request(one) for one in events))
    expected, nobody = rules.of_history(history, LAG)
    answer = Answer(ledger.intervals, ledger.rows)
    return judge(history, expected, nobody, rules.leases(history, 0), answer, LAG)


def told(change=None, store=None):
    """Object and field of each deviation of a changed answer."""
    (played_store, events), ledger = played(), answered()
    if change:
        change(ledger)
    found = verdict(store or played_store, events, ledger)
    return [(deviation.object, deviation.field) for deviation in found.deviations]


def replaced(uid, meter, title, *steps, **more):
    """The same answer with other steps of one object."""

    def change(ledger):
        ledger.intervals = [one for one in ledger.intervals if uid_of(one) != uid]
        if steps:
            ledger.count(uid, meter, title, *steps, **more)

    return change


def lives(*steps, **more):
    return replaced("uid-lives", "pod/cpu", LIVES, *steps, **more)


def pulled(*steps):
    return replaced("uid-pulled", "pod/cpu", PULLED, *steps)


class Judge(unittest.TestCase):
    def test_a_good_answer_has_no_deviation_and_is_counted(self):
        found = verdict(*played(), answered())
        self.assertEqual(found.deviations, [])
        self.assertEqual(found.counts["recorded times"], 2 + 3 + 1)
        self.assertEqual(found.counts["bounded times"], 1)
        self.assertEqual((found.counts["lease times"], found.losses), (1, [4]))

    def test_a_second_more_or_less_is_told_wherever_times_are_recorded(self):
        for steps, name in [
            ([(9, 1000), (20, 2000), (60, 0)], "start"),
            ([(11, 1000), (20, 2000), (60, 0)], "start"),
            ([(10, 1000), (21, 2000), (60, 0)], "change to 2000"),
            ([(10, 1000), (20, 2000), (59, 0)], "end"),
            ([(10, 1000), (20, 2000), (61, 0)], "end"),
        ]:
            self.assertEqual(told(lives(*steps)), [(LIVES, name)], steps)

    def test_another_amount_and_a_step_too_few_or_too_many_are_told(self):
        for steps in [
            [(10, 1000), (20, 2001), (60, 0)],
            [(10, 1000), (60, 0)],
            [(10, 1000), (15, 1500), (20, 2000), (60, 0)],
            [(10, 1000), (20, 2000)],
            [(10, 1000), (20, 0), (25, 2000), (60, 0)],
        ]:
            self.assertEqual(told(lives(*steps)), [(LIVES, "quantities")], steps)

    def test_what_is_missing_doubled_or_invented_is_told(self):
        self.assertEqual(told(lives()), [(LIVES, "interval")])
        again = lambda ledger: ledger.intervals.append(copy.deepcopy(ledger.intervals[0]))
        self.assertIn(("Pod edu--prod/short", "interval"), told(again))
        invented = lambda ledger: ledger.count("uid-x", "pod/cpu", "Pod edu--prod/x", (1, 1000), (2, 0))
        self.assertEqual(told(invented), [("Pod edu--prod/x", "interval")])
        other = lambda ledger: ledger.count("uid-lives", "pod/memory", LIVES, (10, 5), (60, 0))
        self.assertEqual(told(other), [(LIVES, "interval")])

    def test_a_step_may_be_left_out_if_it_may_have_lasted_for_no_second_and_no_other(self):
        at = rules.When.at
        unsure = rules.When((30, 31), (30, 32))
        steps = [(at(25), 500), (at(28), 1500), (unsure, 750), (unsure, 1500), (at(33), 750), (at(34), 0)]
        told = lambda steps, *amounts: list(tellings(steps, amounts))
        self.assertIn([*steps[:2], *steps[4:]], told(steps, 500, 1500, 750, 0))
        self.assertEqual(told(steps, 500, 1500, 750, 1500, 750, 0), [steps])
        apart = [*steps[:3], (at(33), 1500), (at(34), 0)]
        self.assertEqual(told(apart, 500, 1500, 0), [])
        self.assertEqual(told(steps, 500, 1500, 750), [])
        self.assertEqual(told(steps, 1500, 750, 0), [])

    def test_whoever_else_it_counts_to_is_told(self):
        steps = [(10, 1000), (20, 2000), (60, 0)]
        for owner in [("edu", "mail", "1"), ("edu", "oa", "2"), ("health", "oa", "1")]:
            self.assertEqual(told(lives(*steps, owner=owner)), [(LIVES, "subject")])

    def test_what_is_recorded_must_not_be_marked_as_an_estimate(self):
        self.assertEqual(told(lives((10, 1000), (20, 2000), (60, 0, 55, 65))), [(LIVES, "end")])

    def test_an_unseen_end_lies_between_the_last_sight_and_the_removal(self):
        # true end 52; last heartbeat before it 48, less 10
        for end in [(38, 0, 38, 52), (52, 0, 48, 53), (53, 0)]:
            self.assertEqual(told(pulled((30, 1000), end)), [], end)
        for end in [
            # too early, too late
            (37, 0, 37, 53),
            (54, 0, 48, 54),
            # not marked
            (48, 0),
            # bounds without the truth
            (45, 0, 40, 50),
            (50, 0, 54, 60),
        ]:
            self.assertEqual(told(pulled((30, 1000), end)), [(PULLED, "end")], end)

    def test_the_end_of_a_claim_may_be_bounded_where_the_watch_had_not_stood(self):
        store = Store()
        store.server(0, "first")
        store.namespace()
        store.claim("files", [1, 5], "Bound", "10Gi", created=1)
        store.beat(48)
        store.gone("persistentvolumeclaims", "files")
        store.beat(61)
        events = [
            event("delete", "persistentvolumeclaims", "files", 52.1, 52.2),
            event("patch", "leases", "leasehold-heartbeat", 61.5, 61.6, namespace="leasehold-system"),
        ]

        def deviations(*end):
            ledger = Ledger()
            ledger.count("uid-files", "claim/ssd", "PersistentVolumeClaim edu--prod/files", (5, 10 << 30), end)
            return [deviation.field for deviation in verdict(store, events, ledger).deviations]

        # brought by a watch that stood, and with the news after a start: seconds after the last sight is enough
        self.assertEqual(deviations(52, 0), [])
        self.assertEqual(deviations(48, 0, 48, 60), [])
        # at the last sight without saying that nobody saw the end, bounded elsewhere, or long before
        self.assertEqual(deviations(48, 0), ["end"])
        self.assertEqual(deviations(40, 0, 40, 45), ["end"])
        self.assertEqual(deviations(10, 0, 10, 60), ["end"])

    def test_a_lease_is_compared_with_its_quota(self):
        of = lambda *steps: replaced("edu/oa/1", "lease/vcpu-x86", "Tenancy edu/oa", *steps)
        self.assertEqual(told(of((2, 4000))), [])
        for steps, name in [
            ([(0, 4000)], "step to 4000"),
            ([(9, 4000)], "step to 4000"),
            ([(1, 5000)], "quantities"),
            ([(1, 4000), (9, 0)], "quantities"),
            ([], "quantities"),
        ]:
            self.assertEqual(told(of(*steps)), [("Tenancy edu/oa", name)], steps)

    def test_meters_that_it_does_not_know_are_counted_and_not_judged(self):
        ledger = answered()
        ledger.count("uid-lb", "service/lb", "Service edu--prod/web", (1, 1), (2, 0))
        found = verdict(*played(), ledger)
        self.assertEqual((found.deviations, found.counts["intervals of other meters"]), ([], 1))


class Gaps(unittest.TestCase):
    """A second process of the API server begins at 40 and knows nothing of what came before."""

    def setUp(self):
        self.store, self.events = Store(), [
            event("create", "pods", "flits", 41.0, 41.1, code=201),
            event("delete", "pods", "flits", 44.0, 44.1),
            event("delete", "pods", "ended", 45.0, 45.1),
        ]
        self.store.server(0, "first")
        self.store.namespace()
        self.store.beat(5)
        self.store.pod("ended", [10, 11], created=10, scheduled=10)
        self.store.server(40, "second")
        self.store.pod("flits", [41, 42], created=41, scheduled=41, cpu="2")
        self.store.gone("pods", "flits")
        self.store.pod("ended", [10, 44], created=10, scheduled=10, phase="Succeeded", finished=44)
        self.store.gone("pods", "ended")
        self.store.beat(60)

    def told(self, end, gap):
        ledger = Ledger()
        ledger.count("uid-ended", "pod/cpu", "Pod edu--prod/ended", (10, 1000), end)
        if gap:
            ledger.gap(*gap[:2], upper=gap[2])
        found = verdict(self.store, self.events, ledger)
        return [(one.object, one.field) for one in found.deviations], found.counts

    def test_what_a_gap_hid_is_no_deviation_if_the_gap_bounds_it(self):
        deviations, counts = self.told((38, 0, 38, 46), (38, 46, {"pod/cpu": 8 * 4000}))
        self.assertEqual(deviations, [])
        self.assertEqual((counts["unseen in a gap"], counts["bounded by a gap"], counts["gaps"]), (1, 1, 1))

    def test_without_a_gap_the_same_is_told(self):
        deviations, _ = self.told((38, 0, 38, 46), None)
        self.assertEqual(deviations, [("Pod edu--prod/ended", "end"), ("Pod edu--prod/flits", "interval")])

    def test_a_gap_hides_nothing_that_lies_beyond_it(self):
        deviations, _ = self.told((38, 0, 38, 46), (38, 42, {"pod/cpu": 8 * 4000}))
        self.assertEqual(deviations, [("Pod edu--prod/ended", "end"), ("Pod edu--prod/flits", "interval")])

    def test_what_came_and_went_is_within_what_the_gap_says(self):
        # two cores for three seconds
        for most, expected in [(6000, []), (5999, ["upper"])]:
            deviations, _ = self.told((38, 0, 38, 46), (38, 46, {"pod/cpu": most}))
            self.assertEqual([name for _, name in deviations], expected)

    def test_a_gap_excuses_no_end_that_is_unmarked_or_bounded_elsewhere(self):
        gap = (38, 46, {"pod/cpu": 8 * 4000})
        for end in [(38, 0), (38, 0, 38, 42)]:
            deviations, _ = self.told(end, gap)
            self.assertEqual(deviations, [("Pod edu--prod/ended", "end")], end)

    def test_a_gap_needs_a_cause(self):
        # long after the API server began anew
        ledger = answered()
        ledger.gap(70, 80)
        found = verdict(*played(), ledger)
        self.assertEqual([one.field for one in found.deviations], ["gap"])

    def test_a_gap_is_no_longer_than_the_operator_was_blind(self):
        store = Store()
        store.server(0, "first")
        store.namespace()
        store.beat(36)
        store.server(40, "second")
        store.beat(60)
        for gap, expected in [((30, 50), []), ((12, 50), ["gap"]), ((30, 75), ["gap"])]:
            ledger = Ledger()
            ledger.gap(*gap)
            found = verdict(store, [], ledger)
            self.assertEqual([one.field for one in found.deviations], expected, gap)

    def test_what_may_have_no_length_is_on_record_all_the_same(self):
        store = Store()
        store.server(0, "first")
        store.namespace()
        store.beat(25)
        store.pod("blinks", [30], created=30, scheduled=30)
        store.gone("pods", "blinks")
        store.beat(45)
        events = [event("delete", "pods", "blinks", 37.0, 41.0)]
        for steps, expected in [([], ["interval"]), ([(30, 1000), (30, 0, 30, 41)], [])]:
            ledger = Ledger()
            ledger.count("uid-blinks", "pod/cpu", "Pod edu--prod/blinks", *steps)
            found = verdict(store, events, ledger)
            self.assertEqual([one.field for one in found.deviations], expected)

    def test_changes_that_a_gap_hid_are_left_out_and_the_rest_is_compared(self):
        put = lambda stamps, cpu: self.store.pod("grows", stamps, created=12, scheduled=12, cpu=cpu)
        self.store = Store()
        self.store.server(0, "first")
        self.store.namespace()
        self.store.beat(5)
        put([12], "1")
        self.store.server(40, "second")
        put([12, 41], "2")
        put([12, 43], "3")
        self.store.beat(60)
        for steps, expected in [
            ([(12, 1000), (43, 3000, 38, 46)], []),
            # not marked, too much, and too little afterwards
            ([(12, 1000), (42, 3000)], ["quantities"]),
            ([(12, 1000), (43, 4000, 38, 46)], ["quantities"]),
            ([(12, 1000), (43, 2000, 38, 46)], ["quantities"]),
        ]:
            ledger = Ledger()
            ledger.count("uid-grows", "pod/cpu", "Pod edu--prod/grows", *steps)
            ledger.gap(38, 46)
            found = verdict(self.store, [], ledger)
            self.assertEqual([one.field for one in found.deviations], expected, steps)


    def test_a_size_from_before_a_pod_was_found_may_be_missing_and_no_other_may_take_its_place_unmarked(self):
        put = lambda stamps, cpu: self.store.pod("grows", stamps, created=41, scheduled=41, cpu=cpu)
        self.store = Store()
        self.store.server(0, "first")
        self.store.namespace()
        self.store.beat(5)
        self.store.server(40, "second")
        put([41], "1")
        put([41, 44], "2")
        self.store.beat(60)
        for steps, expected in [
            ([(41, 1000), (44, 2000)], []),
            # nobody knows what it was before, and by the other bound
            ([(44, 2000, 41, 44)], []),
            ([(41, 2000, 41, 44)], []),
            # as if it had always been so
            ([(41, 2000)], ["quantities"]),
        ]:
            ledger = Ledger()
            ledger.count("uid-grows", "pod/cpu", "Pod edu--prod/grows", *steps)
            ledger.gap(38, 46)
            found = verdict(self.store, [], ledger)
            self.assertEqual([one.field for one in found.deviations], expected, steps)

    def late(self, last, *steps, gap=True):
        """A pod since 12; `last` writes of it what was so before the last sight at 42. What differs, by field."""
        self.store = Store()
        self.store.server(0, "first")
        self.store.namespace()
        self.store.beat(5)
        self.store.pod("late", [12, 13], created=12, scheduled=12)
        last()
        self.store.server(44, "second")
        self.store.beat(60)
        ledger = Ledger()
        ledger.count("uid-late", "pod/cpu", "Pod edu--prod/late", (12, 1000), *steps)
        if gap:
            ledger.gap(42, 50)
        return [one.field for one in verdict(self.store, [], ledger).deviations]

    def test_what_was_stamped_before_the_last_sight_and_stored_after_it_was_hidden(self):
        resize = lambda: self.store.pod("late", [38, 13], created=12, scheduled=12, cpu="2")

        def stored_late():
            self.store.beat(42)
            resize()

        def stored_in_time():
            resize()
            self.store.beat(42)

        self.assertEqual(self.late(stored_late, (38, 2000)), [])
        self.assertEqual(self.late(stored_late, (46, 2000, 42, 46)), [])
        # it was there to be seen, it is not marked, it is bounded elsewhere, nothing was hidden
        self.assertEqual(self.late(stored_in_time, (46, 2000, 42, 46)), ["change to 2000"])
        self.assertEqual(self.late(stored_late, (46, 2000)), ["change to 2000"])
        self.assertEqual(self.late(stored_late, (46, 2000, 45, 46)), ["change to 2000"])
        self.assertEqual(self.late(stored_late, (46, 2000, 42, 46), gap=False), ["change to 2000"])

    def test_an_end_that_its_node_told_after_the_last_sight_was_hidden(self):
        def ends(told):
            more = {"phase": "Succeeded", "finished": 38}
            put = lambda: self.store.pod("late", [12, told], created=12, scheduled=12, **more)
            if told < 42:
                put()
            self.store.beat(42)
            if told >= 42:
                put()
            self.store.gone("pods", "late")

        self.assertEqual(self.late(lambda: ends(43), (42, 0, 42, 50)), [])
        self.assertEqual(self.late(lambda: ends(39), (42, 0, 42, 50)), ["end"])
        self.assertEqual(self.late(lambda: ends(43), (42, 0)), ["end"])
        # later than it need be
        self.assertEqual(self.late(lambda: ends(43), (47, 0, 47, 50)), ["end"])


class Program(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = Path(folder.name)

    def run_on(self, ledger):
        store, events = played()
        write = lambda name, lines: (self.folder / name).write_text("".join(json.dumps(one) + "\n" for one in lines))
        write("history.jsonl", store.lines)
        # the first of them was rotated away, and the last line is cut short
        write("audit-2026-09-01T00-00-00.000.log", events[:1])
        write("audit.log", events[1:])
        with open(self.folder / "audit.log", "a", encoding="utf-8") as log:
            log.write('{"stage": "Resp')
        write("rows.jsonl", ledger.rows)
        (self.folder / "usage.json").write_text(json.dumps(ledger.intervals))
        at = lambda name: str(self.folder / name)
        arguments = ["judge", "--history", at("history.jsonl"), "--audit", at("audit.log"), "--usage", at("usage.json")]
        arguments += ["--rows", at("rows.jsonl"), "--report", at("report.json"), "--lag", str(LAG), "--promise", "0"]
        said = StringIO()
        with redirect_stdout(said), redirect_stderr(said):
            code = command.main(arguments)
        return code, said.getvalue()

    def test_it_ends_with_0_and_a_summary_when_there_is_no_deviation(self):
        code, said = self.run_on(answered())
        self.assertEqual(code, 0, said)
        report = json.loads((self.folder / "report.json").read_text())
        summary = report["summary"]
        self.assertEqual(report["deviations"], [])
        self.assertEqual((summary["pods"], summary["pods that were resized"], summary["pods shorter than 5 s"]), (3, 1, 1))
        self.assertEqual(summary["requests in the audit log"], 4)

    def test_it_ends_with_1_and_names_object_field_expected_and_found(self):
        ledger = answered()
        lives((10, 1000), (20, 2000), (61, 0))(ledger)
        code, said = self.run_on(ledger)
        self.assertEqual(code, 1)
        wanted = f"DEVIATION {LIVES} (uid-lives) pod/cpu: end\n  expected {time(60)}\n  found    {time(61)}\n"
        self.assertIn(wanted, said)

    def test_it_ends_with_2_when_the_record_cannot_be_read(self):
        with redirect_stderr(StringIO()):
            code = command.main(["judge", "--history", "none", "--audit", "none", "--usage", "none"])
        self.assertEqual(code, 2)


class Etcd(unittest.TestCase):
    """A gateway that answers what etcd would."""

    def serve(self, *answers):
        listener = socket.create_server(("127.0.0.1", 0))
        self.addCleanup(listener.close)

        def run():
            for lines in answers:
                stream, _ = listener.accept()
                with stream, stream.makefile("rb") as asked:
                    length = 0
                    while line := asked.readline().strip():
                        if line.lower().startswith(b"content-length:"):
                            length = int(line.split(b":")[1])
                    self.asked.append(json.loads(asked.read(length)))
                    body = "".join(json.dumps(one) + "\n" for one in lines)
                    stream.sendall(b"HTTP/1.0 200 OK\r\nX: y\r\n\r\n" + body.encode())

        self.asked = []
        thread = threading.Thread(target=run, daemon=True)
        thread.start()
        return f"127.0.0.1:{listener.getsockname()[1]}"

    @staticmethod
    def told(*events, revision=99, **more):
        return {"result": {"header": {"revision": str(revision)}, "events": list(events), **more}}

    @staticmethod
    def kv(revision, version, about):
        encode = lambda text: base64.b64encode(text.encode()).decode()
        kv = {"key": encode("/registry/pods/a/b"), "mod_revision": str(revision)}
        if about is not None:
            kv.update(version=str(version), value=encode(about))
        return {"kv": kv}

    def collect(self, *lines):
        newest = [{"header": {"revision": "20"}}]
        address = self.serve(newest, lines)
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "history.jsonl"
            self.assertEqual(etcd.collect(address, path, prefixes=("/registry/pods/",)), 20)
            return [json.loads(line) for line in path.read_text().splitlines()]

    def test_every_version_and_removal_is_written_up_to_the_newest(self):
        pod = json.dumps({"metadata": {"managedFields": [{"manager": "m", "time": "t", "fieldsV1": {"f:a": {}}}]}})
        found = self.collect(
            self.told(created=True),
            self.told(self.kv(7, 1, pod), self.kv(8, 0, None)),
            self.told(self.kv(21, 1, pod)),
        )
        about = {"metadata": {"managedFields": [{"manager": "m", "time": "t"}]}}
        first = {"revision": 7, "version": 1, "key": "/registry/pods/a/b", "object": about}
        self.assertEqual(found, [first, {"revision": 8, "version": 0, "key": "/registry/pods/a/b"}])
        create = self.asked[1]["create_request"]
        self.assertEqual((create["start_revision"], create["progress_notify"]), ("1", True))

    def test_a_quiet_kind_ends_with_the_word_that_the_watch_has_caught_up(self):
        self.assertEqual(self.collect(self.told(created=True), self.told(revision=20)), [])

    def test_a_history_that_is_gone_or_cut_short_or_no_json_is_an_error(self):
        for lines in [
            [self.told(canceled=True)],
            [{"error": {"message": "no"}}],
            [self.told(self.kv(7, 1, "{}"))],
            [self.told(self.kv(7, 1, "k8s\x00binary"))],
        ]:
            with self.assertRaises(etcd.Gone):
                self.collect(*lines)


if __name__ == "__main__":
    unittest.main()
