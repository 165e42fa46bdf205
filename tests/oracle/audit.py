"""Who wrote what and when, from the API server's audit log."""

import json
from bisect import bisect_left
from collections import namedtuple
from pathlib import Path

from quantities import MICRO, micros

# microseconds: when the request came, and when its answer was complete; the write lies between the two
Request = namedtuple("Request", "came done verb subresource code")

# no request that writes takes longer, in seconds: the API server ends it
LONGEST = 60


def files(path):
    """A log and what was rotated away from it, as kube-apiserver names it."""
    path = Path(path)
    rotated = sorted(path.parent.glob(f"{path.stem}-*{path.suffix}"))
    return [*rotated, path]


class Audit:
    """Requests that changed something, by object."""

    def __init__(self, requests=()):
        self._of = {}
        for key, request in requests:
            self._of.setdefault(key, []).append(request)
        for found in self._of.values():
            found.sort()

    @classmethod
    def read(cls, paths):
        """From logs of JSON lines. A last line that was cut short by a kill is passed over."""
        return cls(request for path in paths for request in _requests(path))

    def about(self, key):
        """All requests about one object, in order; whole collections of its namespace among them."""
        resource, namespace, _ = key
        return sorted(self._of.get(key, []) + self._of.get((resource, namespace, ""), []))

    def writes(self, key, stamp, is_first):
        """Requests that may have made a write that the server stamped with this second."""
        found = self._of.get(key, [])
        first = bisect_left(found, ((stamp - LONGEST) * MICRO,))
        last = bisect_left(found, ((stamp + 1) * MICRO,))
        return [
            request
            for request in found[first:last]
            if stamp <= request.done // MICRO and _makes(request) == is_first
        ]

    def __len__(self):
        return sum(len(found) for found in self._of.values())


def _makes(request):
    """Whether the object was made by it. An apply that makes it is answered with 201, and so is a write of a part."""
    return request.subresource == "" and (request.verb == "create" or request.code == 201)


def _requests(path):
    with open(path, encoding="utf-8", errors="replace") as lines:
        for line in lines:
            try:
                event = json.loads(line)
            except ValueError:
                continue
            found = _request(event)
            if found:
                yield found


def _request(event):
    code = (event.get("responseStatus") or {}).get("code", 0)
    if event.get("stage") != "ResponseComplete" or not 200 <= code < 300:
        return None
    if "dryRun=" in event.get("requestURI", ""):
        return None
    about = event.get("objectRef") or {}
    resource, name = about.get("resource", ""), about.get("name", "")
    # the API server calls a namespace's own name its namespace
    namespace = "" if resource == "namespaces" else about.get("namespace", "")
    request = Request(
        micros(event["requestReceivedTimestamp"]),
        micros(event["stageTimestamp"]),
        event.get("verb", ""),
        about.get("subresource", ""),
        code,
    )
    return (resource, namespace, name), request


class Clock:
    """When each revision was written, as closely as the record tells: revisions grow with time, so that what is known of
    one bounds those after it from below and those before it from above. Microseconds; etcd itself has no clock."""

    def __init__(self, bounds):
        """`bounds`: (revision, not before, not after), where not after may be none."""
        bounds = sorted(bounds, key=lambda bound: bound[0])
        self._revisions = [revision for revision, _, _ in bounds]
        self._low, self._high = [], [None] * len(bounds)
        low = 0
        for _, least, _ in bounds:
            low = max(low, least)
            self._low.append(low)
        high = None
        for place in range(len(bounds) - 1, -1, -1):
            most = bounds[place][2]
            if most is not None:
                high = most if high is None else min(high, most)
            self._high[place] = high

    def low(self, revision):
        """Not before."""
        place = bisect_left(self._revisions, revision + 1) - 1
        return self._low[place] if place >= 0 else 0

    def high(self, revision):
        """Not after; none when nothing later is dated."""
        place = bisect_left(self._revisions, revision)
        return self._high[place] if place < len(self._high) else None
