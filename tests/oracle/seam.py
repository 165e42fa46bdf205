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
    """The lines of one history from the files of each life, in their order. A file is read more than once, because they are
    large."""
    known, revision = {}, 0
    ended = {}
    for place, path in enumerate(paths):
        common, offset = 0, 0
        if place:
            common = _common(path, known)
            kept = _kept(path, common)
            revision += 1
            yield from _seam(ended, kept, revision)
            ended, offset = kept, revision - common
        known = {}
        for text, digest, at in _texts(path):
            known[digest] = at
            if at <= common:
                continue
            line = json.loads(text)
            _follow(ended, line)
            line["revision"] += offset
            revision = max(revision, line["revision"])
            yield line


def _texts(path):
    """Each line with a digest of it and its revision, which stands first in it."""
    with open(path, encoding="utf-8") as lines:
        for text in lines:
            yield text, blake2b(text.encode(), digest_size=16).digest(), int(text[text.index(":") + 1 : text.index(",")])


def _common(path, known):
    """The revision up to which a life is the same as the one before it. A removal says nothing of when it was, so that one
    at the same revision may be in both by chance, later than others that are not."""
    here, news = set(), []
    for _, digest, at in _texts(path):
        here.add(digest)
        if digest not in known:
            news.append(at)
    news += [at for digest, at in known.items() if digest not in here]
    return min(news, default=max(known.values(), default=0) + 1) - 1


def _kept(path, common):
    """What the backup had, by key."""
    kept = {}
    for text, _, at in _texts(path):
        if at <= common:
            _follow(kept, json.loads(text))
    return kept


def _follow(objects, line):
    if "object" in line:
        objects[line["key"]] = dict(line)
    else:
        objects.pop(line["key"], None)


def _seam(ended, kept, revision):
    for key in sorted({*ended, *kept}):
        before, after = ended.get(key), kept.get(key)
        if before == after:
            continue
        line = {"revision": revision, "version": after["version"] if after else 0, "key": key, "restored": True}
        if after:
            line["object"] = after["object"]
        yield line
