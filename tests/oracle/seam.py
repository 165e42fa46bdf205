"""Histories of a store that was put back to an earlier state, as one.

What `etcd.collect` wrote of a life of etcd, up to its end, begins as the life before it did, up to the backup. From there on
it tells other things under the same revisions. Joined they are one history with growing revisions: all of the first life,
then the seam, then what is new in the next.

At the seam stands a line for each object that is another one afterwards, marked with `restored`: as the backup had it, or
without an object where the backup had none. Nobody wrote it, and nothing in it says when.
"""

import json
from hashlib import blake2b


def joined(paths):
    """The lines of one history from the files of each life, in their order. A file is read twice, because they are large."""
    known, revision = frozenset(), 0
    ended = {}
    for place, path in enumerate(paths):
        if place:
            kept, common = _kept(path, known)
            revision += 1
            yield from _seam(ended, kept, revision)
            ended, offset = dict(kept), revision - common
        else:
            offset = 0
        news = []
        for text, digest in _texts(path):
            news.append(digest)
            if digest in known:
                continue
            line = json.loads(text)
            ended[line["key"]] = line
            if "object" not in line:
                del ended[line["key"]]
            line = dict(line, revision=line["revision"] + offset)
            revision = max(revision, line["revision"])
            yield line
        known = frozenset(news)


def _texts(path):
    with open(path, encoding="utf-8") as lines:
        for text in lines:
            yield text, blake2b(text.encode(), digest_size=16).digest()


def _kept(path, known):
    """What the backup had, by key, and a revision up to which both lives are the same."""
    kept, common = {}, 0
    for text, digest in _texts(path):
        if digest in known:
            line = json.loads(text)
            common = max(common, line["revision"])
            kept[line["key"]] = line
            if "object" not in line:
                del kept[line["key"]]
    return kept, common


def _seam(ended, kept, revision):
    for key in sorted({*ended, *kept}):
        before, after = ended.get(key), kept.get(key)
        if before == after:
            continue
        line = {"revision": revision, "version": after["version"] if after else 0, "key": key, "restored": True}
        if after:
            line["object"] = after["object"]
        yield line
