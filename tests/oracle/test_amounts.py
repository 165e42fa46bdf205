"""What a pod reserves, and how quantities and times are read. Expected values are worked out by hand."""

import unittest

from effective import requests
from quantities import NANO, base_units, micros, nanos, second, written

GI = 1 << 30


def container(name, cpu, **more):
    return {"name": name, "resources": {"requests": {"cpu": cpu}}, **more}


def sidecar(name, cpu):
    return container(name, cpu, restartPolicy="Always")


def cpu(spec, status=None):
    return requests({"spec": spec, "status": status or {}}).get("cpu", 0)


def report(name, allocated, actual):
    return {"name": name, "allocatedResources": {"cpu": allocated}, "resources": {"requests": {"cpu": actual}}}


class Quantities(unittest.TestCase):
    def test_every_way_of_writing_a_quantity_is_read_exactly(self):
        for text, value in [
            ("48", 48 * NANO),
            ("500m", NANO // 2),
            ("0.5", NANO // 2),
            (".5", NANO // 2),
            ("5.", 5 * NANO),
            ("1.5Gi", 3 * GI // 2 * NANO),
            ("2e3", 2000 * NANO),
            ("2E3", 2000 * NANO),
            ("5e-1", NANO // 2),
            ("1E", 10**18 * NANO),
            ("1Ei", (1 << 60) * NANO),
            ("250u", 250_000),
            ("7n", 7),
            ("0.1n", 1),
        ]:
            self.assertEqual(nanos(text), value, text)

    def test_what_is_no_quantity_is_refused(self):
        for text in ["", "one", "-1", "1.2.3", "1Zi", "1e", "0x10"]:
            with self.assertRaises(ValueError, msg=text):
                nanos(text)

    def test_what_is_finer_than_the_unit_is_rounded_up(self):
        self.assertEqual(base_units("cpu", nanos("1500m")), 1500)
        self.assertEqual(base_units("cpu", nanos("1u")), 1)
        self.assertEqual(base_units("memory", nanos("1500m")), 2)

    def test_times_are_read_to_the_microsecond_and_written_to_the_second(self):
        self.assertEqual(second("1970-01-02T00:00:01Z"), 86_401)
        self.assertEqual(micros("1970-01-01T00:00:01.5Z"), 1_500_000)
        self.assertEqual(micros("1970-01-01T00:00:01.123456789Z"), 1_123_456)
        self.assertIsNone(second(None))
        self.assertEqual(written(86_401), "1970-01-02T00:00:01Z")
        with self.assertRaises(ValueError):
            micros("1970-01-01T08:00:01+08:00")


class Effective(unittest.TestCase):
    def test_containers_add_up_and_init_containers_run_one_after_the_other(self):
        table = [
            # 1 + 0.5
            ([], [container("a", "1"), container("b", "500m")], 1500),
            # max(1, 3)
            ([container("i", "3")], [container("a", "1")], 3000),
            # max(1, max(2, 2))
            ([container("i", "2"), container("j", "2")], [container("a", "1")], 2000),
            # 1 + 0.5 beside it
            ([sidecar("s", "500m")], [container("a", "1")], 1500),
            # max(1 + 0.5, 3): the sidecar begins after it
            ([container("i", "3"), sidecar("s", "500m")], [container("a", "1")], 3000),
            # max(1 + 0.5, 0.5 + 3): the sidecar runs beside it
            ([sidecar("s", "500m"), container("i", "3")], [container("a", "1")], 3500),
            # max(0.1 + 2 + 2, 2 + 2)
            ([sidecar("s", "2"), sidecar("t", "2")], [container("a", "100m")], 4100),
            # max(0.1 + 1 + 1, 1 + 3, 1 + 1): what begins later is not beside it
            ([sidecar("s", "1"), container("i", "3"), sidecar("t", "1")], [container("a", "100m")], 4000),
        ]
        for inits, containers, expected in table:
            self.assertEqual(cpu({"initContainers": inits, "containers": containers}), expected, inits)

    def test_the_overhead_comes_on_top_of_whatever_stands(self):
        spec = {"initContainers": [container("i", "3")], "containers": [container("a", "1")], "overhead": {"cpu": "250m"}}
        self.assertEqual(cpu(spec), 3250)

    def test_what_a_pod_asks_as_a_whole_stands_for_cpu_and_memory_and_not_for_devices(self):
        own = {"cpu": "3", "memory": "1Gi", "nvidia.com/gpu": "2", "ephemeral-storage": "1Gi", "hugepages-2Mi": "4Mi"}
        spec = {
            "resources": {"requests": {"cpu": "2"}},
            "containers": [{"name": "a", "resources": {"requests": own}}],
            "overhead": {"cpu": "100m"},
        }
        self.assertEqual(requests({"spec": spec}), {"cpu": 2100, "memory": GI, "nvidia.com/gpu": 2})

    def test_a_resize_counts_with_the_greatest_of_wanted_allocated_and_in_force(self):
        for wanted, allocated, actual, expected in [
            ("3", "1", "1", 3000),
            ("1", "2", "3", 3000),
            ("1", "2", "1", 2000),
            ("1", "1", "1", 1000),
        ]:
            status = {"containerStatuses": [report("a", allocated, actual)]}
            self.assertEqual(cpu({"containers": [container("a", wanted)]}, status), expected)

    def test_what_the_node_can_never_give_does_not_count_and_what_it_puts_off_does(self):
        for reason, expected in [("Infeasible", 1000), ("Deferred", 64_000)]:
            status = {
                "conditions": [{"type": "PodResizePending", "status": "True", "reason": reason}],
                "containerStatuses": [report("a", "1", "1")],
            }
            self.assertEqual(cpu({"containers": [container("a", "64")]}, status), expected)

    def test_sidecars_can_be_resized_and_plain_init_containers_cannot(self):
        for init, expected in [(sidecar("s", "1"), 1000 + 4000), (container("s", "1"), 1000)]:
            status = {"initContainerStatuses": [report("s", "4", "4")]}
            spec = {"initContainers": [init], "containers": [container("a", "1")]}
            self.assertEqual(cpu(spec, status), expected)

    def test_a_resize_of_the_pod_as_a_whole_counts_with_the_greatest(self):
        spec = {"resources": {"requests": {"cpu": "1"}}, "containers": [container("a", "500m")]}
        status = {"resources": {"requests": {"cpu": "3"}}, "allocatedResources": {"cpu": "2"}}
        self.assertEqual(cpu(spec, status), 3000)
        self.assertEqual(cpu(spec, {"allocatedResources": {"cpu": "2"}}), 1000)

    def test_without_resources_in_its_status_a_container_counts_with_what_it_asks_for(self):
        status = {"containerStatuses": [{"name": "a", "allocatedResources": {"cpu": "9"}}]}
        self.assertEqual(cpu({"containers": [container("a", "1")]}, status), 1000)


if __name__ == "__main__":
    unittest.main()
