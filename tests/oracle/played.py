"""Histories, audit logs and answers made by hand, for the tests of the oracle. Seconds count from 2026-09-01T00:00:00Z."""

import copy
import json
from pathlib import Path

from quantities import MICRO, second, written

ZERO = second("2026-09-01T00:00:00Z")
OWNER = ("edu", "oa", "1")
PLACE = "edu--prod"


def time(at):
    """A second as an object has it."""
    return written(ZERO + at)


def event(verb, resource, name, came, done, namespace=PLACE, code=200, subresource=""):
    """A line of the audit log; `came` and `done` in seconds, which may have decimals."""
    moment = lambda at: f"{written(ZERO + int(at))[:-1]}.{round(at % 1 * MICRO):06}Z"
    return {
        "stage": "ResponseComplete",
        "verb": verb,
        "requestURI": f"/api/v1/namespaces/{namespace}/{resource}/{name}",
        "objectRef": {"resource": resource, "namespace": namespace, "name": name, "subresource": subresource},
        "responseStatus": {"code": code},
        "requestReceivedTimestamp": moment(came),
        "stageTimestamp": moment(done),
    }


def fields(*times):
    """Managed fields of so many writers, with the second at which each wrote last."""
    return [{"manager": f"writer-{n}", "operation": "Update", "time": time(at)} for n, at in enumerate(times)]


class Store:
    """Writes in the order of revisions, as `etcd.collect` tells them."""

    def __init__(self):
        self.lines, self._versions, self._revision = [], {}, 0

    def put(self, key, about, revision=None):
        """Writes an object; gives the revision."""
        self._revision = revision or self._revision + 1
        self._versions[key] = 0 if about is None else self._versions.get(key, 0) + 1
        line = {"revision": self._revision, "version": self._versions[key], "key": key}
        if about is not None:
            line["object"] = about
        self.lines.append(line)
        return self._revision

    def backup(self):
        """What it is now, to go on from another time."""
        return copy.deepcopy(self)

    def save(self, path):
        """As a file of `etcd.collect`."""
        Path(path).write_text("".join(json.dumps(line) + "\n" for line in self.lines), encoding="utf-8")

    def namespace(self, name=PLACE, owner=OWNER, at=0, uid="ns-1"):
        """A tenancy's namespace, or anybody's."""
        labels = {}
        if owner:
            labels = {
                "leasehold.dev/namespace-role": "tenancy",
                "leasehold.dev/department": owner[0],
                "leasehold.dev/tenancy": owner[1],
                "leasehold.dev/incarnation": owner[2],
            }
        meta = {"name": name, "uid": uid, "creationTimestamp": time(at), "labels": labels}
        return self.put(f"/registry/namespaces/{name}", {"metadata": meta})

    def beat(self, at):
        """A heartbeat of the operator."""
        meta = {"namespace": "leasehold-system", "name": "leasehold-heartbeat", "creationTimestamp": time(0)}
        meta["managedFields"] = fields(at)
        return self.put("/registry/leases/leasehold-system/leasehold-heartbeat", {"metadata": meta, "spec": {}})

    def server(self, at, holder):
        """A process of the API server makes itself known."""
        meta = {"namespace": "kube-system", "name": "apiserver-x", "creationTimestamp": time(0)}
        meta["managedFields"] = fields(at)
        about = {"metadata": meta, "spec": {"holderIdentity": holder}}
        return self.put("/registry/leases/kube-system/apiserver-x", about)

    def pod(self, name, stamps, created=0, uid=None, cpu="1", place=PLACE, **more):
        """A version of a pod of one container. `stamps` are the seconds of its writers."""
        spec = {"containers": [{"name": "main", "resources": {"requests": {"cpu": cpu}}}], "nodeName": "n1"}
        status = {"phase": more.get("phase", "Running")}
        if more.get("scheduled") is None:
            del spec["nodeName"]
        else:
            bound = {"type": "PodScheduled", "status": "True", "lastTransitionTime": time(more["scheduled"])}
            status["conditions"] = [bound]
        report = {"name": "main", "state": {"running": {}}}
        if more.get("finished") is not None:
            report["state"] = {"terminated": {"finishedAt": time(more["finished"])}}
        if more.get("actual") is not None:
            report["resources"] = {"requests": {"cpu": more["actual"]}}
            report["allocatedResources"] = {"cpu": more["actual"]}
        if more.get("reported", True):
            status["containerStatuses"] = [report]
        meta = {"name": name, "namespace": place, "uid": uid or f"uid-{name}", "creationTimestamp": time(created)}
        meta["managedFields"] = fields(*stamps)
        return self.put(f"/registry/pods/{place}/{name}", {"metadata": meta, "spec": spec, "status": status})

    def claim(self, name, stamps, phase, capacity=None, created=0, storage_class="ssd"):
        """A version of a claim that asks for 8 GiB."""
        spec = {"storageClassName": storage_class, "resources": {"requests": {"storage": "8Gi"}}}
        status = {"phase": phase}
        if capacity:
            status["capacity"] = {"storage": capacity}
        meta = {"name": name, "namespace": PLACE, "uid": f"uid-{name}", "creationTimestamp": time(created)}
        meta["managedFields"] = fields(*stamps)
        about = {"metadata": meta, "spec": spec, "status": status}
        return self.put(f"/registry/persistentvolumeclaims/{PLACE}/{name}", about)

    def quota(self, stamp, spec, status, place=PLACE, used=0):
        """A version of a tenancy's quota, in cores."""
        hard = lambda cores: {} if cores is None else {"hard": {"requests.cpu": str(cores)}}
        meta = {"name": "leasehold", "namespace": place, "uid": f"q-{place}", "creationTimestamp": time(stamp)}
        # what admission counts with is written by somebody else
        meta["managedFields"] = fields(stamp) if status is None else fields(stamp, stamp)
        about = {"metadata": meta, "spec": hard(spec), "status": {**hard(status), "used": {"requests.cpu": str(used)}}}
        return self.put(f"/registry/resourcequotas/{place}/leasehold", about)

    def tenancy(self, cores, owner=OWNER):
        """What the department asks for."""
        meta = {"name": owner[1], "namespace": f"dept-{owner[0]}", "creationTimestamp": time(0)}
        about = {"metadata": meta, "spec": {"lease": [{"item": "vcpu-x86", "quantity": str(cores)}]}}
        return self.put(f"/registry/tenancy.leasehold.dev/tenancies/dept-{owner[0]}/{owner[1]}", about)

    def book(self):
        """A catalogue with one item."""
        item = {"name": "vcpu-x86", "resource": "cpu", "unit": "Core"}
        about = {"metadata": {"name": "b", "creationTimestamp": time(0)}, "spec": {"items": [item]}}
        return self.put("/registry/charging.leasehold.dev/pricebooks/b", about)

    def gone(self, kind, name, place=PLACE):
        """A removal."""
        return self.put(f"/registry/{kind}/{place}/{name}", None)


class Ledger:
    """What an operator would answer."""

    def __init__(self):
        self.intervals, self.rows, self._version = [], [], 0

    def count(self, uid, meter, title, *steps, owner=OWNER):
        """Intervals between steps of (second, amount), or (second, amount, lower, upper) where it is an estimate. The last
        step is to 0, or what is before it goes on."""
        keys = [self._fact(uid, meter, step) for step in steps]
        for place, step in enumerate(steps):
            if step[1] == 0:
                continue
            is_open = place + 1 == len(steps)
            following = None if is_open else steps[place + 1]
            interval = {
                "span": {"from": time(step[0]), "to": time(10_000 if is_open else following[0])},
                "open": is_open,
                "quantity": step[1],
                "meter": meter,
                "subject": {"department": owner[0], "tenancy": owner[1], "incarnation": int(owner[2]), "object": title},
                "estimated": len(step) > 2 or (not is_open and len(following) > 2),
                "openedBy": keys[place],
            }
            if not is_open:
                interval["closedBy"] = keys[place + 1]
            self.intervals.append(interval)

    def _fact(self, uid, meter, step):
        self._version += 1
        kind = "Changed" if step[1] else "Closed"
        body = {"at": time(step[0]), "kind": kind, "quantity": step[1], "estimated": len(step) > 2}
        if len(step) > 2:
            body["bounds"] = {"lower": time(step[2]), "upper": time(step[3])}
        key = f"cluster/1/{uid}/{meter}/{self._version}/changed"
        self.rows.append({"seq": self._version, "kind": "fact", "key": key, "body": json.dumps(body)})
        return key

    def gap(self, start, end, source="pods", **upper):
        """A gap that the operator owns up to."""
        body = {"source": source, "from": time(start), "to": time(end), "upper": upper.get("upper", {})}
        self.rows.append({"kind": "document", "key": f"gap/{source}/{start}", "body": json.dumps(body)})
