"""What the history of the store tells of pods, claims, namespaces, quotas and the operator's heartbeat."""

import json
from bisect import bisect_left
from dataclasses import dataclass, field

import effective
from audit import Clock
from etcd import HEARTBEAT
from quantities import MICRO, base_units, nanos, second
from seam import joined

ROLE = "leasehold.dev/namespace-role"
OWNER = ("leasehold.dev/department", "leasehold.dev/tenancy", "leasehold.dev/incarnation")
# taints of a node that is not heard of, and after how many seconds of silence it has them
SILENT = ("node.kubernetes.io/unreachable", "node.kubernetes.io/not-ready")
NODE_GRACE = 50
CLASS_CAPACITY = ".storageclass.storage.k8s.io/requests.storage"


@dataclass(slots=True)
class State:
    """An object as one write left it. Times are seconds."""

    revision: int
    # when the server stamped this write; none when nothing in the object says so
    stamp: int | None
    # since when it holds anything: a pod since it was bound, a claim for good once it is
    start: int | None
    # what it holds, by meter
    amounts: dict
    # its phase says that it is over
    terminal: bool
    # when the last of its containers finished, if all have
    finished: int | None
    # the latest time at which anything of it is known to have been there
    alive: int
    # since when its node was not heard of, if that is why it is taken away
    silent: int | None = None
    # the newest second that is in its managed fields
    newest: int = 0


@dataclass(slots=True)
class Life:
    """One object from its creation to its removal, or from one seam of the store to the next."""

    kind: str
    uid: str
    namespace: str
    name: str
    created: int
    states: list = field(default_factory=list)
    # the revision of the removal
    removed: int | None = None
    # the life of its namespace
    place: object = None
    # it begins at a seam, where the store was put back to a state in which the object was there
    is_put_back: bool = False
    # its removal is a seam, where the store was put back to a state in which the object was not there yet
    is_undone: bool = False

    def title(self):
        kind = "Pod" if self.kind == "pods" else "PersistentVolumeClaim"
        return f"{kind} {self.namespace}/{self.name}"


@dataclass(slots=True)
class Place:
    """One life of a namespace, with its quota."""

    name: str
    created: int
    owner: tuple | None = None
    removed: int | None = None


@dataclass(slots=True)
class Quota:
    """A version of a tenancy's quota: what is granted, and what admission counts with."""

    revision: int
    # when the server stamped this write; none when nothing in the object says so
    stamp: int | None
    place: Place
    spec: dict
    status: dict
    used: dict


class History:
    """Everything that was read, and the clock that follows from it."""

    def __init__(self, lines, audit, claims="bound"):
        self.lives, self.places, self.quotas = [], [], []
        # revisions of the operator's heartbeat
        self.beats, self._beat_times = [], None
        # first revisions of each process of the API server
        self.servers = []
        # revisions at which the store was put back
        self.seams = []
        # by (department, tenancy): (revision, what is asked for by item, none where it was removed); the catalogue by item
        self.asked, self.items = {}, {}
        self.audit = audit
        self._claims = claims
        self._open, self._here, self._stamps, self._bounds = {}, {}, {}, []
        self._holder = None
        # the versions of one object come in order; kinds may come one after the other
        for line in lines:
            self._read(line)
        self.clock = Clock(self._bounds)
        self.quotas.sort(key=lambda quota: quota.revision)
        for life in self.lives:
            life.place = self._place_at(life.namespace, life.created)
        for quota in self.quotas:
            quota.place = self._place_at(quota.place, quota.revision)

    @classmethod
    def load(cls, paths, audit, claims="bound"):
        """From files of `etcd.collect`, one for each life of etcd, line by line, because they are many."""
        return cls(joined(paths), audit, claims)

    def newest(self):
        """The newest revision that was read."""
        return max((bound[0] for bound in self._bounds), default=0)

    def _read(self, line):
        parts = line["key"].split("/")[2:]
        about = line.get("object")
        if line.get("restored"):
            self._put_back(line, parts, about)
            return
        stamp = self._stamp(line, about)
        self._date(line, parts, stamp, about)
        if parts[0] in ("pods", "persistentvolumeclaims"):
            self._of_object(line, parts, about, stamp)
        elif parts[0] == "namespaces":
            self._of_namespace(line, parts[1], about)
        elif parts[0] == "resourcequotas" and parts[2] == "leasehold":
            self._of_quota(line, parts[1], about, stamp)
        elif line["key"] == HEARTBEAT:
            self.beats.append(line["revision"])
        elif parts[0] == "leases" and about:
            self._of_server(line, about)
        elif parts[1:2] == ["tenancies"]:
            self._of_tenancy(line, parts, about)
        elif parts[1:2] == ["pricebooks"] and about:
            self.items.update({item["name"]: item for item in about["spec"].get("items") or []})

    def _put_back(self, line, parts, about):
        """What an object was when the store was put back. Nobody wrote it: it dates nothing, and is no sign of life."""
        self._stamp(line, about)
        self._bounds.append((line["revision"], 0, None))
        if line["revision"] not in self.seams:
            self.seams.append(line["revision"])
        if parts[0] in ("pods", "persistentvolumeclaims"):
            before = self._open.pop(line["key"], None)
            if before and (about is None or about["metadata"]["uid"] != before.uid):
                before.removed, before.is_undone = line["revision"], True
            if about is not None:
                self._of_object(line, parts, about, None)
                self._open[line["key"]].is_put_back = True
        elif parts[0] == "namespaces":
            self._of_namespace(line, parts[1], about)
        elif parts[0] == "resourcequotas" and parts[2] == "leasehold":
            self._of_quota(line, parts[1], about, None)
        elif parts[1:2] == ["tenancies"]:
            self._of_tenancy(line, parts, about)

    def _stamp(self, line, about):
        """The second that the server wrote into the object's managed fields with this very write."""
        key = line["key"]
        if about is None:
            self._stamps.pop(key, None)
            return None
        meta = about["metadata"]
        entries = {
            (entry.get("manager"), entry.get("operation"), entry.get("subresource")): entry.get("time")
            for entry in meta.get("managedFields") or []
        }
        known = self._stamps.get(key, {}) if line["version"] > 1 else {}
        self._stamps[key] = entries
        news = [second(at) for writer, at in entries.items() if at and known.get(writer) != at]
        return max(news, default=None)

    def _date(self, line, parts, stamp, about):
        low, high = 0, None
        if about is not None and line["version"] == 1:
            # it may be a second later than what was stamped in the managed fields before
            created = second(about["metadata"]["creationTimestamp"])
            stamp = created if stamp is None else max(stamp, created)
        if stamp is not None:
            low = stamp * MICRO
            found = self.audit.writes(_audited(parts), stamp, line["version"] == 1)
            if found:
                low = max(low, min(request.came for request in found))
                high = max(request.done for request in found)
        self._bounds.append((line["revision"], low, high))

    def _of_object(self, line, parts, about, stamp):
        key = line["key"]
        if about is None:
            life = self._open.pop(key, None)
            if life:
                life.removed = line["revision"]
            return
        meta = about["metadata"]
        life = self._open.get(key)
        if life is None or life.uid != meta["uid"]:
            life = Life(parts[0], meta["uid"], parts[1], parts[2], line["revision"])
            self._open[key] = life
            self.lives.append(life)
        read = _pod if parts[0] == "pods" else _claim
        state = read(line["revision"], about, stamp, self._claims)
        last = life.states[-1] if life.states else None
        if last and _same(last, state):
            last.alive = max(last.alive, state.alive)
        else:
            life.states.append(state)

    def _of_namespace(self, line, name, about):
        if about is None:
            place = self._here.pop(name, None)
            if place:
                place.removed = line["revision"]
            return
        place = self._here.get(name)
        if place is None:
            place = Place(name, line["revision"])
            self._here[name] = place
            self.places.append(place)
        labels = about["metadata"].get("labels") or {}
        if labels.get(ROLE) == "tenancy":
            place.owner = tuple(labels.get(label, "") for label in OWNER)

    def _of_quota(self, line, place, about, stamp):
        of = lambda part, name: _hard(((about or {}).get(part) or {}).get(name))
        quota = Quota(line["revision"], stamp, place, of("spec", "hard"), of("status", "hard"), of("status", "used"))
        self.quotas.append(quota)

    def _of_tenancy(self, line, parts, about):
        asked = None
        if about is not None:
            asked = {entry["item"]: entry["quantity"] for entry in about["spec"].get("lease") or []}
        every = self.asked.setdefault((parts[2].removeprefix("dept-"), parts[3]), [])
        if not every or every[-1][1] != asked:
            every.append((line["revision"], asked))

    def _of_server(self, line, about):
        holder = (about.get("spec") or {}).get("holderIdentity")
        if holder and holder != self._holder:
            self._holder = holder
            self.servers.append(line["revision"])

    def _place_at(self, name, revision):
        """The life of a namespace at a revision. What is in it may be removed with it, at a later one."""
        lived = [place for place in self.places if place.name == name and place.created <= revision]
        return lived[-1] if lived else None

    def removal(self, life):
        """Between which microseconds a life that has ended was removed: (not before, not after)."""
        revision = life.removed
        low = max(self.clock.low(revision), self.clock.low(life.states[-1].revision) if life.states else 0)
        high = self.clock.high(revision)
        if life.is_undone:
            return low, high
        key = (life.kind, life.namespace, life.name)
        born = self.clock.low(life.created)
        removers = [
            request
            for request in self.audit.about(key)
            if (request.verb in ("delete", "deletecollection", "update", "patch") or request.subresource == "eviction")
            and request.done >= max(low, born)
            and (high is None or request.came <= high)
        ]
        if removers:
            # after it there is nothing left to write, so it is the last, or one that was under way with it
            last = max(removers, key=lambda request: request.came)
            under_way = [request for request in removers if request.done >= last.came]
            low = max(low, min(request.came for request in under_way))
            most = max(request.done for request in under_way)
            high = most if high is None else min(high, most)
        return low, high

    def beat_times(self):
        """The seconds of all heartbeats, in order."""
        if self._beat_times is None:
            self._beat_times = [self.clock.low(beat) // MICRO for beat in sorted(self.beats)]
        return self._beat_times

    def beat_before(self, revision):
        """The second of the last heartbeat before a revision; none when there was none."""
        place = bisect_left(self.beats, revision)
        return self.clock.low(self.beats[place - 1]) // MICRO if place else None


def _audited(parts):
    """What an object is called in the audit log."""
    if "." in parts[0]:
        parts = parts[1:]
    if len(parts) == 2:
        return parts[0], "", parts[1]
    return parts[0], parts[1], parts[2]


def _same(last, state):
    return (
        last.start == state.start
        and last.amounts == state.amounts
        and last.terminal == state.terminal
        and last.finished == state.finished
        and last.silent == state.silent
    )


def _stamps_of(meta):
    times = [second(entry.get("time")) for entry in meta.get("managedFields") or [] if entry.get("time")]
    return max([*times, second(meta["creationTimestamp"])])


def _pod(revision, pod, stamp, _):
    meta, spec, status = pod["metadata"], pod.get("spec") or {}, pod.get("status") or {}
    reports = (status.get("containerStatuses") or []) + (status.get("initContainerStatuses") or [])
    ends = {}
    for report in reports:
        at = ((report.get("state") or {}).get("terminated") or {}).get("finishedAt")
        ends[report["name"]] = second(at)
    lasting = (spec.get("containers") or []) + [c for c in spec.get("initContainers") or [] if effective.restarts(c)]
    known = [at for at in ends.values() if at is not None]
    over = bool(lasting) and all(ends.get(container["name"]) is not None for container in lasting)
    start = _scheduled(status)
    if start is None and spec.get("nodeName"):
        start = second(meta["creationTimestamp"])
    return State(
        revision,
        stamp,
        start,
        {f"pod/{name}": amount for name, amount in effective.requests(pod).items()},
        status.get("phase") in ("Succeeded", "Failed"),
        max(known) if over else None,
        max([_stamps_of(meta), *known]),
        _silent(spec, status),
        _stamps_of(meta),
    )


def _scheduled(status):
    for condition in status.get("conditions") or []:
        if condition.get("type") == "PodScheduled" and condition.get("status") == "True":
            return second(condition.get("lastTransitionTime"))
    return None


def _silent(spec, status):
    """The control plane says that it takes a pod away of a node that is lost, and since when nobody knew whether the pod ran:
    since it was declared not ready. Its kubelet gives a reason where it says so itself; then the node was still heard of, and
    fell silent as long before the removal as the pod tolerates and a node may be silent."""
    conditions = {c.get("type"): c for c in status.get("conditions") or []}
    taken, ready = conditions.get("DisruptionTarget", {}), conditions.get("Ready", {})
    lost = taken.get("status") == "True" and taken.get("reason") in ("DeletionByTaintManager", "DeletionByPodGC")
    if not lost or ready.get("status") != "False":
        return None
    unready = second(ready.get("lastTransitionTime"))
    patience = _patience(spec)
    removed = second(taken.get("lastTransitionTime"))
    if not ready.get("reason") or patience is None or removed is None:
        return unready
    return max(unready, removed - patience - NODE_GRACE)


def _patience(spec):
    """For how many seconds a pod stays on a silent node; none when for ever."""
    most = 0
    for toleration in spec.get("tolerations") or []:
        if toleration.get("key") in (None, "", *SILENT) and toleration.get("effect") in (None, "", "NoExecute"):
            if toleration.get("tolerationSeconds") is None:
                return None
            most = max(most, toleration["tolerationSeconds"])
    return most


def _claim(revision, claim, stamp, policy):
    meta, spec, status = claim["metadata"], claim.get("spec") or {}, claim.get("status") or {}
    bound = status.get("phase") == "Bound"
    # of one that has lost its volume the last capacity goes on
    capacity = (status.get("capacity") or {}).get("storage") if status.get("phase") in ("Bound", "Lost") else None
    if capacity is None and policy == "requested":
        capacity = ((spec.get("resources") or {}).get("requests") or {}).get("storage")
    amounts = {}
    if spec.get("storageClassName") and capacity is not None:
        amounts[f"claim/{spec['storageClassName']}"] = base_units("storage", nanos(capacity))
    start = None
    if policy == "requested":
        start = second(meta["creationTimestamp"])
    elif bound:
        start = stamp if stamp is not None else -1
    return State(revision, stamp, start, amounts, False, None, _stamps_of(meta), newest=_stamps_of(meta))


def _hard(quantities):
    """What a quota says of what leases may name, in base units."""
    found = {}
    for key, text in (quantities or {}).items():
        if key.startswith("requests.") and key != "requests.storage":
            resource = key.removeprefix("requests.")
            found[key] = base_units(resource, nanos(text))
        elif key.endswith(CLASS_CAPACITY):
            found[key] = base_units("storage", nanos(text))
    return found
