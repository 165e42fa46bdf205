"""Every version of every object that matters, from etcd itself, into a file of JSON lines.

etcd is asked over its gateway (plain HTTP) to watch from its first revision on. Nothing may have been compacted, and the
API server must store JSON (`--etcd-compaction-interval=0 --storage-media-type=application/json`). A line is

    {"revision": 12, "version": 3, "key": "/registry/pods/a/b", "object": {...}}

`version` counts the writes of one life of the key from 1; at a removal it is 0 and there is no object. Of managed fields
only who and when is kept. No rule is applied here.
"""

import base64
import json
import socket

HEARTBEAT = "/registry/leases/leasehold-system/leasehold-heartbeat"
PREFIXES = (
    "/registry/namespaces/",
    "/registry/resourcequotas/",
    "/registry/pods/",
    "/registry/persistentvolumeclaims/",
    "/registry/leases/kube-system/apiserver-",
    HEARTBEAT,
    "/registry/tenancy.leasehold.dev/tenancies/",
    "/registry/charging.leasehold.dev/pricebooks/",
)
PATIENCE = 120


class Gone(Exception):
    """The history cannot be read."""


def collect(address, path, prefixes=PREFIXES):
    """Writes the history up to now into a file, ordered by revision within each prefix; gives the newest revision."""
    newest = _newest(address)
    with open(path, "w", encoding="utf-8") as out:
        for prefix in prefixes:
            for stored in _watch(address, prefix, newest):
                json.dump(_line(stored), out, ensure_ascii=False, separators=(",", ":"))
                out.write("\n")
    return newest


def _line(stored):
    line = {
        "revision": int(stored["mod_revision"]),
        "version": int(stored.get("version", 0)),
        "key": base64.b64decode(stored["key"]).decode(),
    }
    if stored.get("value"):
        text = base64.b64decode(stored["value"])
        if text[:1] != b"{":
            raise Gone(f"{line['key']} is not stored as JSON")
        line["object"] = json.loads(text)
        for entry in line["object"].get("metadata", {}).get("managedFields") or []:
            entry.pop("fieldsV1", None)
    return line


def _beyond(prefix):
    raw = prefix.encode()
    return raw[:-1] + bytes([raw[-1] + 1])


def _range(prefix):
    encode = lambda raw: base64.b64encode(raw).decode()
    return {"key": encode(prefix.encode()), "range_end": encode(_beyond(prefix))}


def _newest(address):
    with _send(address, "/v3/kv/range", dict(_range("/registry/"), count_only=True)) as answer:
        return int(json.loads(answer.read())["header"]["revision"])


def _watch(address, prefix, newest):
    """The stored versions up to a revision. That there are no more is told by a later one, or by etcd's word that the watch
    has caught up."""
    wanted = dict(_range(prefix), start_revision="1", progress_notify=True)
    with _send(address, "/v3/watch", {"create_request": wanted}) as lines:
        for text in lines:
            line = json.loads(text)
            if "result" not in line:
                raise Gone(f"etcd refuses to tell the history of {prefix}: {line}")
            told = line["result"]
            if told.get("canceled"):
                raise Gone(f"the history of {prefix} is gone: {told}")
            events = told.get("events") or []
            for event in events:
                if int(event["kv"]["mod_revision"]) > newest:
                    return
                yield event["kv"]
            if not events and not told.get("created") and int(told["header"]["revision"]) >= newest:
                return
    raise Gone(f"etcd ended the watch of {prefix} early")


def _send(address, path, body):
    """Asks in HTTP/1.0, so that the answer does not come in chunks."""
    body = json.dumps(body).encode()
    host, port = address.rsplit(":", 1)
    head = f"POST {path} HTTP/1.0\r\nHost: {address}\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    with socket.create_connection((host, int(port)), timeout=PATIENCE) as stream:
        stream.sendall(head.encode() + body)
        answer = stream.makefile("rb", buffering=1 << 20)
    status = answer.readline()
    if b" 200 " not in status:
        raise Gone(f"etcd answers {path} with {status!r}")
    while answer.readline().strip():
        pass
    return answer
