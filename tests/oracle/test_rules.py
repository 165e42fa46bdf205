"""What must be billed for histories made by hand."""

import unittest

import rules
from audit import Audit, Clock, _request
from history import History
from played import OWNER, PLACE, ZERO, Store, event
from quantities import MICRO


def read(store, events=(), claims="bound"):
    audit = Audit(_request(one) for one in events)
    return History(store.lines, audit, claims)


def told(history, meter="pod/cpu", lag=10):
    """By uid: steps as (true bounds, billed bounds, amount), in seconds; of what is recorded one second."""
    expected, _ = rules.of_history(history, lag)
    return {uid: [_step(when, amount) for when, amount in one.steps] for (uid, of), one in expected.items() if of == meter}


def _step(when, amount):
    if when.is_recorded:
        return when.truth[0] - ZERO, amount
    bounds = lambda pair: (pair[0] - ZERO, pair[1] - ZERO)
    return bounds(when.truth), bounds(when.billed), amount


class Clocks(unittest.TestCase):
    def test_what_is_known_of_one_revision_bounds_those_after_and_before_it(self):
        clock = Clock([(10, 100, 105), (30, 300, None), (20, 90, 250), (40, 310, 400)])
        self.assertEqual([clock.low(r) for r in (9, 10, 15, 20, 30, 35, 99)], [0, 100, 100, 100, 300, 300, 310])
        self.assertEqual([clock.high(r) for r in (1, 10, 15, 20, 25, 30, 40, 41)], [105, 105, 250, 250, 400, 400, 400, None])

    def test_a_creation_that_was_stamped_after_its_fields_bounds_the_write(self):
        store = Store()
        store.namespace()
        revision = store.pod("a", [5], created=6)
        self.assertEqual(read(store).clock.low(revision), (ZERO + 6) * MICRO)

    def test_a_request_of_the_log_narrows_when_the_server_stamped_a_write(self):
        store = Store()
        store.namespace()
        revision = store.pod("a", [5], created=5)
        clock = read(store, [event("create", "pods", "a", 5.2, 5.3, code=201)]).clock
        self.assertEqual(clock.low(revision), ZERO * MICRO + 5_200_000)
        self.assertEqual(clock.high(revision), ZERO * MICRO + 5_300_000)

    def test_the_request_that_made_an_object_is_told_from_those_that_changed_it(self):
        store = Store()
        store.namespace()
        made, changed = store.pod("a", [5], created=5), store.pod("a", [5, 5], created=5)
        events = [
            event("create", "pods", "a", 5.2, 5.3, code=201),
            event("create", "pods", "a", 5.4, 5.5, code=201, subresource="binding"),
            event("patch", "pods", "a", 5.8, 5.9, subresource="status"),
        ]
        clock = read(store, events).clock
        bounds = [(clock.low(revision) - ZERO * MICRO, clock.high(revision) - ZERO * MICRO) for revision in (made, changed)]
        self.assertEqual(bounds, [(5_200_000, 5_300_000), (5_400_000, 5_900_000)])

    def test_of_several_requests_that_may_have_made_it_all_are_allowed_for(self):
        store = Store()
        store.namespace()
        store.pod("a", [1], created=1)
        revision = store.pod("a", [1, 5], created=1)
        events = [event("patch", "pods", "a", came, came + 0.25, subresource="status") for came in (5.0, 5.5, 7.0)]
        clock = read(store, events).clock
        self.assertEqual(clock.low(revision), ZERO * MICRO + 5_000_000)
        self.assertEqual(clock.high(revision), ZERO * MICRO + 5_750_000)

    def test_dry_runs_refusals_and_half_written_lines_say_nothing(self):
        line = event("delete", "pods", "a", 1, 2)
        self.assertIsNotNone(_request(line))
        self.assertIsNone(_request({**line, "stage": "RequestReceived"}))
        self.assertIsNone(_request({**line, "responseStatus": {"code": 404}}))
        self.assertIsNone(_request({**line, "requestURI": line["requestURI"] + "?dryRun=All"}))


class Pods(unittest.TestCase):
    def setUp(self):
        self.store = Store()
        self.store.namespace()

    def test_a_pod_counts_from_its_binding_to_the_end_of_its_last_container(self):
        self.store.pod("a", [1], created=1, phase="Pending")
        self.store.pod("a", [1], created=1, phase="Pending", scheduled=2)
        self.store.pod("a", [1, 3], created=1, scheduled=2)
        self.store.pod("a", [1, 8], created=1, scheduled=2, phase="Succeeded", finished=7)
        self.assertEqual(told(read(self.store)), {"uid-a": [(2, 1000), (7, 0)]})
        # its removal changes nothing
        self.store.gone("pods", "a")
        self.assertEqual(told(read(self.store)), {"uid-a": [(2, 1000), (7, 0)]})

    def test_one_that_was_never_bound_counts_nothing_and_one_that_goes_on_has_no_end(self):
        self.store.pod("a", [1], created=1, phase="Pending")
        self.store.gone("pods", "a")
        self.store.pod("b", [1, 3], created=1, scheduled=2)
        self.assertEqual(told(read(self.store)), {"uid-b": [(2, 1000)]})

    def test_one_that_was_made_with_a_node_counts_from_its_creation(self):
        self.store.pod("a", [1], created=1)
        about = self.store.lines[-1]["object"]
        about["spec"]["nodeName"] = "n1"
        self.assertEqual(told(read(self.store)), {"uid-a": [(1, 1000)]})

    def test_one_whose_containers_have_ended_when_it_is_removed_ended_with_them(self):
        self.store.pod("a", [1, 3], created=1, scheduled=2)
        self.store.pod("a", [1, 9], created=1, scheduled=2, finished=9)
        self.store.gone("pods", "a")
        self.assertEqual(told(read(self.store)), {"uid-a": [(2, 1000), (9, 0)]})

    def test_one_of_whose_containers_one_runs_has_not_ended_with_the_others(self):
        for containers in ("containers", "initContainers"):
            store = Store()
            store.namespace()
            store.pod("a", [1, 9], created=1, scheduled=2, finished=9)
            spec = store.lines[-1]["object"]["spec"]
            spec[containers] = [*spec.get(containers, []), {"name": "other", "restartPolicy": "Always"}]
            store.gone("pods", "a")
            found = told(read(store, [event("delete", "pods", "a", 20.1, 20.2)]))
            self.assertEqual(found["uid-a"][1], ((20, 20), (9, 21), 0), containers)

    def test_one_that_ends_in_its_first_second_counts_nothing(self):
        self.store.pod("a", [1, 2], created=1, scheduled=2, phase="Succeeded", finished=2)
        self.assertEqual(told(read(self.store)), {})

    def test_a_node_whose_clock_is_behind_takes_nothing_away(self):
        self.store.pod("a", [11, 12], created=11, scheduled=12, phase="Succeeded", finished=8)
        self.store.pod("b", [11, 12], created=11, scheduled=12, phase="Running")
        self.assertEqual(told(read(self.store)), {"uid-b": [(12, 1000)]})

    def test_a_name_that_is_used_again_is_another_pod(self):
        for number, at in enumerate((0, 10)):
            uid = f"uid-{number}"
            self.store.pod("a", [at, at + 2], created=at, uid=uid, scheduled=at + 1)
            self.store.pod("a", [at, at + 4], created=at, uid=uid, scheduled=at + 1, phase="Failed", finished=at + 3)
            self.store.gone("pods", "a")
        self.assertEqual(told(read(self.store)), {"uid-0": [(1, 1000), (3, 0)], "uid-1": [(11, 1000), (13, 0)]})

    def test_a_resize_counts_from_its_write_when_it_grows_and_from_its_last_step_when_it_shrinks(self):
        put = lambda stamps, cpu, actual: self.store.pod("a", stamps, created=1, scheduled=2, cpu=cpu, actual=actual)
        put([1, 3], "1", "1")
        put([5, 3], "2", "1")
        put([5, 6], "2", "2")
        put([9, 6], "1", "2")
        put([9, 15], "1", "1")
        self.store.pod("a", [9, 21], created=1, scheduled=2, cpu="1", actual="1", phase="Succeeded", finished=20)
        self.assertEqual(told(read(self.store)), {"uid-a": [(2, 1000), (5, 2000), (15, 1000), (20, 0)]})

    def test_what_is_written_after_the_end_changes_nothing(self):
        self.store.pod("a", [1, 8], created=1, scheduled=2, phase="Succeeded", finished=7)
        self.store.pod("a", [9, 8], created=1, scheduled=2, cpu="4", phase="Succeeded", finished=7)
        self.assertEqual(told(read(self.store)), {"uid-a": [(2, 1000), (7, 0)]})

    def test_an_end_that_its_node_told_twice_is_either(self):
        self.store.pod("a", [1, 3], created=1, scheduled=2)
        self.store.pod("a", [1, 8], created=1, scheduled=2, phase="Succeeded", finished=7)
        self.store.pod("a", [1, 9], created=1, scheduled=2, phase="Succeeded", finished=9)
        self.assertEqual(told(read(self.store)), {"uid-a": [(2, 1000), ((7, 9), (7, 9), 0)]})

    def test_a_removal_that_no_object_tells_lies_within_the_request_that_made_it(self):
        self.store.pod("a", [1, 3], created=1, scheduled=2)
        self.store.gone("pods", "a")
        events = [event("delete", "pods", "a", 20.9, 21.2)]
        # without a heartbeat it was last seen when it was last written; the operator's clock may be a second ahead
        self.assertEqual(told(read(self.store, events)), {"uid-a": [(2, 1000), ((20, 21), (3, 22), 0)]})

    def test_an_unseen_end_may_not_be_billed_long_before_the_last_heartbeat(self):
        self.store.pod("a", [1, 3], created=1, scheduled=2)
        self.store.beat(50)
        self.store.gone("pods", "a")
        self.store.beat(55)
        events = [event("delete", "pods", "a", 52.1, 52.2)]
        self.assertEqual(told(read(self.store, events)), {"uid-a": [(2, 1000), ((52, 52), (40, 53), 0)]})

    def test_of_a_request_to_end_and_the_removal_that_follows_the_removal_counts(self):
        self.store.pod("a", [1, 3], created=1, scheduled=2)
        self.store.pod("b", [10], created=10)
        self.store.gone("pods", "a")
        events = [
            event("delete", "pods", "a", 5.0, 5.1),
            event("create", "pods", "b", 10.5, 10.6, code=201),
            event("delete", "pods", "a", 11.0, 11.1),
        ]
        self.assertEqual(told(read(self.store, events))["uid-a"][1][0], (11, 11))

    def test_of_several_removals_the_last_was_the_one(self):
        self.store.pod("a", [1, 3], created=1, scheduled=2)
        self.store.gone("pods", "a")
        events = [event("delete", "pods", "a", 5.0, 5.1), event("delete", "pods", "a", 11.0, 11.1)]
        self.assertEqual(told(read(self.store, events))["uid-a"][1][0], (11, 11))
        # two at once may both have been it
        events.append(event("delete", "pods", "a", 10.5, 13.0))
        self.assertEqual(told(read(self.store, events))["uid-a"][1][0], (10, 13))

    def test_a_removal_without_a_request_on_record_lies_between_its_neighbours(self):
        self.store.pod("a", [1, 3], created=1, scheduled=2)
        self.store.pod("b", [10], created=10)
        self.store.gone("pods", "a")
        self.store.pod("c", [12], created=12)
        events = [event("create", "pods", "c", 12.3, 12.4, code=201)]
        self.assertEqual(told(read(self.store, events))["uid-a"][1][0], (10, 12))

    def test_a_phase_without_times_was_over_when_it_was_written(self):
        self.store.pod("a", [1, 3], created=1, scheduled=2)
        self.store.pod("a", [1, 30], created=1, scheduled=2, phase="Failed", reported=False)
        self.assertEqual(told(read(self.store)), {"uid-a": [(2, 1000), ((2, 30), (2, 31), 0)]})
        # and if the time is told later, that counts
        self.store.pod("a", [1, 33], created=1, scheduled=2, phase="Failed", finished=25)
        self.assertEqual(told(read(self.store)), {"uid-a": [(2, 1000), (25, 0)]})

    def test_a_pod_of_a_lost_node_ended_between_its_silence_and_its_removal(self):
        self.store.pod("a", [1, 3], created=1, scheduled=2)
        self.store.pod("a", [1, 90], created=1, scheduled=2)
        conditions = self.store.lines[-1]["object"]["status"]["conditions"]
        conditions.append({"type": "Ready", "status": "False", "lastTransitionTime": "2026-09-01T00:00:50Z"})
        taken = {"type": "DisruptionTarget", "status": "True", "reason": "DeletionByTaintManager"}
        conditions.append(taken)
        self.store.beat(95)
        self.store.gone("pods", "a")
        events = [event("delete", "pods", "a", 100.1, 100.2)]
        self.assertEqual(told(read(self.store, events))["uid-a"][1], ((50, 100), (50, 101), 0))
        # somebody else's removal shows that it was watched to its end
        taken["reason"] = "EvictionByEvictionAPI"
        self.assertEqual(told(read(self.store, events))["uid-a"][1], ((100, 100), (90, 101), 0))

    def test_a_pod_that_was_not_ready_by_itself_ran_until_shortly_before_its_node_was_given_up(self):
        self.store.pod("a", [1, 3], created=1, scheduled=2)
        self.store.pod("a", [1, 990], created=1, scheduled=2)
        about = self.store.lines[-1]["object"]
        ready = {"type": "Ready", "status": "False", "lastTransitionTime": "2026-09-01T00:00:50Z"}
        ready["reason"] = "ContainersNotReady"
        taken = {"type": "DisruptionTarget", "status": "True", "reason": "DeletionByTaintManager"}
        taken["lastTransitionTime"] = "2026-09-01T00:16:30Z"
        about["status"]["conditions"] += [ready, taken]
        about["spec"]["tolerations"] = [
            {"key": "node.kubernetes.io/unreachable", "effect": "NoExecute", "tolerationSeconds": 300}
        ]
        self.store.gone("pods", "a")
        events = [event("delete", "pods", "a", 1000.1, 1000.2)]
        # removed at 990, less 300 and 50
        self.assertEqual(told(read(self.store, events))["uid-a"][1], ((640, 1000), (640, 1001), 0))
        # as long as for ever: since it was not ready nobody knows
        del about["spec"]["tolerations"][0]["tolerationSeconds"]
        self.assertEqual(told(read(self.store, events))["uid-a"][1], ((50, 1000), (50, 1001), 0))

    def test_in_anybody_elses_namespace_nothing_counts(self):
        self.store.namespace("edu--free", owner=None)
        # an office's has labels of ours, but is no tenancy's
        labels = {"leasehold.dev/namespace-role": "office", "leasehold.dev/department": "edu"}
        self.store.lines[-1]["object"]["metadata"]["labels"] = labels
        self.store.pod("a", [1, 3], created=1, scheduled=2, place="edu--free")
        expected, nobody = rules.of_history(read(self.store))
        self.assertEqual((expected, nobody), ({}, {"uid-a": "Pod edu--free/a"}))

    def test_a_namespace_that_is_made_anew_may_be_another_tenancys(self):
        self.store.pod("a", [1, 3], created=1, scheduled=2)
        self.store.put(f"/registry/pods/{PLACE}/a", None)
        self.store.put(f"/registry/namespaces/{PLACE}", None)
        self.store.namespace(owner=("edu", "mail", "1"), at=20)
        self.store.pod("b", [21, 23], created=21, scheduled=22)
        expected, _ = rules.of_history(read(self.store))
        owners = {uid: one.owner for (uid, _), one in expected.items()}
        self.assertEqual(owners, {"uid-a": OWNER, "uid-b": ("edu", "mail", "1")})


class Claims(unittest.TestCase):
    GIB = 1 << 30

    def setUp(self):
        self.store = Store()
        self.store.namespace()

    def test_a_claim_counts_what_its_volume_has_from_its_binding_to_its_removal(self):
        self.store.claim("c", [1], "Pending", created=1)
        self.store.claim("c", [1, 5], "Bound", "10Gi", created=1)
        self.store.claim("c", [1, 9], "Bound", "12Gi", created=1)
        self.store.claim("c", [1, 30], "Lost", "12Gi", created=1)
        self.store.gone("persistentvolumeclaims", "c")
        # taken away by whoever takes its finalizer away
        events = [
            event("delete", "persistentvolumeclaims", "c", 20.0, 20.1),
            event("update", "persistentvolumeclaims", "c", 40.0, 40.1),
        ]
        steps = told(read(self.store, events), "claim/ssd")["uid-c"]
        self.assertEqual(steps, [(5, 10 * self.GIB), (9, 12 * self.GIB), ((40, 40), (30, 41), 0)])

    def test_by_another_policy_it_counts_what_it_asks_for_before_that(self):
        self.store.claim("c", [1], "Pending", created=1)
        self.store.claim("c", [1, 5], "Bound", "10Gi", created=1)
        steps = told(read(self.store, claims="requested"), "claim/ssd")["uid-c"]
        self.assertEqual(steps, [(1, 8 * self.GIB), (5, 10 * self.GIB)])

    def test_one_without_a_class_counts_nothing(self):
        self.store.claim("c", [1, 5], "Bound", "10Gi", created=1, storage_class="")
        self.assertEqual(rules.of_history(read(self.store))[0], {})


class Leases(unittest.TestCase):
    KEY = (OWNER, "requests.cpu")

    def setUp(self):
        self.store = Store()
        self.store.book()
        self.store.namespace()

    def steps(self, promise=0):
        found = rules.leases(read(self.store), promise).get(self.KEY, [])
        return [(when.billed[0] - ZERO, when.billed[1] - ZERO, amount) for when, amount in found]

    def test_a_lease_counts_from_when_its_quota_stood(self):
        self.store.tenancy(4)
        self.store.quota(5, 4, None)
        self.store.quota(5, 4, 4)
        # nothing later is dated
        self.assertEqual(self.steps()[0][0], 5)
        self.assertEqual(self.steps()[0][2], 4000)
        self.store.pod("a", [8], created=8)
        self.assertEqual(len(self.steps()), 1)

    def test_what_is_granted_and_not_counted_yet_does_not_stand(self):
        self.store.tenancy(4)
        self.store.quota(5, 4, None)
        self.assertEqual(self.steps(), [])

    def test_of_two_namespaces_the_later_counts(self):
        self.store.namespace("edu--test", uid="ns-2")
        self.store.tenancy(6)
        self.store.quota(5, 4, None)
        self.store.quota(5, 4, 4)
        self.store.quota(9, 2, None, place="edu--test")
        self.store.quota(9, 2, 2, place="edu--test")
        self.assertEqual([(low, amount) for low, _, amount in self.steps()], [(5, 6000)])

    def test_what_moves_between_namespaces_is_no_other_lease(self):
        self.store.namespace("edu--test", uid="ns-2")
        self.store.tenancy(6)
        for place in (PLACE, "edu--test"):
            self.store.quota(5, 3, None, place=place)
            self.store.quota(5, 3, 3, place=place)
        self.store.quota(20, 1, 3)
        self.store.quota(20, 1, 1)
        self.store.quota(21, 5, 3, place="edu--test")
        self.store.quota(21, 5, 5, place="edu--test")
        self.assertEqual([amount for _, _, amount in self.steps()], [6000])

    def test_a_part_that_stands_is_no_lease_though_another_time_so_much_was_leased(self):
        self.store.namespace("edu--test", uid="ns-2")
        self.store.tenancy(4)
        self.store.put("/registry/tenancy.leasehold.dev/tenancies/dept-edu/oa", None)
        self.store.tenancy(6)
        self.store.quota(5, 4, 4)
        self.store.quota(9, 2, 2, place="edu--test")
        self.store.tenancy(4)
        self.assertEqual([amount for _, _, amount in self.steps()], [6000])

    def test_what_was_stamped_first_may_be_stored_last(self):
        self.store.tenancy(4)
        self.store.pod("a", [6], created=6)
        self.store.quota(5, 4, 4)
        self.assertEqual([(low, amount) for low, _, amount in self.steps()], [(5, 4000)])

    def test_what_is_given_back_counts_until_nothing_runs_on_it(self):
        self.store.tenancy(4)
        self.store.quota(5, 4, 4, used=2)
        self.store.quota(20, 0, 0, used=2)
        self.assertEqual([amount for _, _, amount in self.steps()], [4000])
        self.store.quota(30, 0, 0, used=0)
        self.store.pod("a", [31], created=31)
        self.assertEqual([amount for _, _, amount in self.steps()], [4000, 0])

    def test_the_stamp_of_the_first_write_is_that_of_its_fields(self):
        self.store.tenancy(4)
        self.store.quota(5, 4, 4)
        self.store.lines[-1]["object"]["metadata"]["creationTimestamp"] = "2026-09-01T00:00:06Z"
        self.assertEqual([(low, amount) for low, _, amount in self.steps()], [(5, 4000)])

    def test_more_counts_when_it_stands_less_from_the_promise_and_nothing_at_the_end(self):
        self.store.tenancy(4)
        self.store.quota(5, 4, 4)
        self.store.tenancy(8)
        self.store.quota(15, 8, 4)
        self.store.quota(15, 8, 8)
        self.store.tenancy(2)
        self.store.quota(60, 2, 8)
        self.store.quota(60, 2, 2)
        self.store.gone("resourcequotas", "leasehold")
        found = [(low, amount) for low, _, amount in self.steps(promise=15)]
        self.assertEqual(found[:3], [(5, 4000), (15, 8000), (45, 2000)])
        self.assertEqual(found[3][1], 0)


if __name__ == "__main__":
    unittest.main()
