"""What must be billed, by the rules of metering, for what the history tells.

A pod holds what the scheduler reserves for it from the moment that it is bound to a node until its last container has
finished; one that was never bound holds nothing. A claim holds the real capacity of its volume, of its storage class, from
the moment that it is bound until it is removed. A tenancy's lease of an item holds from the instant that its quota stood,
in other amounts from the instant that those stood, until it stands no more.

Where the time of a step is recorded in an object, it is that second. Where it is not, it is bounded: what was truly so by
the clock of the record, and what may be billed by the rule that an end which nobody saw counts at the last sight (and a
beginning at the first). What the operator had in sight is told by its heartbeat, which is in the record too: `LAG` seconds
before the last beat at the latest it knew everything, because it gives up on a silent watch by then.
"""

from dataclasses import dataclass, field

from quantities import MICRO, base_units, nanos

LAG = 30
# the operator knows the API server's second to one second
CLOCK = 1
# so many seconds a write may take from its stamp until it is stored
STAMPS = 5
# the operator ends what is given back in its next round, within so many seconds
ROUND = 5


@dataclass(slots=True)
class When:
    """When a step was made, in seconds, bounds included: in truth, and what may be billed."""

    truth: tuple
    billed: tuple
    # not before which second it was stored, and so could be seen. The server stamps a write first, then counts quotas with it
    # and stores it, which takes seconds where it is busy
    stored: int = 0
    # nobody can have seen it: the store was put back
    seam: bool = False

    @classmethod
    def at(cls, second, stored=0):
        """A recorded second."""
        return cls((second, second), (second, second), stored)

    @property
    def is_recorded(self):
        """Whether an object of the API server says the second."""
        return self.truth == self.billed and self.truth[0] == self.truth[1]


@dataclass(slots=True)
class Expected:
    """What must be found of one object and meter: steps to an amount each, in order; the last to 0 if it has ended."""

    uid: str
    title: str
    meter: str
    owner: tuple
    steps: list = field(default_factory=list)


def of_history(history, lag=LAG):
    """Everything that must be found, by uid and meter, and what nobody may bill, by uid."""
    expected, nobody = {}, {}
    lives = {}
    for life in history.lives:
        lives.setdefault(life.uid, []).append(life)
    for stretches in lives.values():
        # an object that was put back goes on, or begins again, as what it was
        life = stretches[0]
        if life.place is None or life.place.owner is None:
            nobody[life.uid] = life.title()
            continue
        read = _pod if life.kind == "pods" else _claim
        steps = [step for stretch in stretches for step in read(history, stretch, lag)]
        for meter in sorted({meter for _, amounts in steps for meter in amounts}):
            course = _course([(when, amounts.get(meter, 0)) for when, amounts in steps])
            if course:
                found = Expected(life.uid, life.title(), meter, life.place.owner, course)
                expected[life.uid, meter] = found
    return expected, nobody


def _course(steps):
    """Steps that change something; of those that are recorded in one second, the last."""
    course = []
    for when, amount in steps:
        if course and course[-1][0].is_recorded and when.is_recorded and course[-1][0].truth == when.truth:
            course.pop()
        if (course[-1][1] if course else 0) != amount:
            course.append((when, amount))
    return course


def _pod(history, life, lag):
    states = life.states
    seam = [(_seam(history, life.created, lag), {})] if life.is_put_back else []
    first = next((place for place, state in enumerate(states) if state.start is not None), None)
    if first is None or (seam and _is_over(states[0])):
        return seam
    start = states[first].start
    end, over = _end_of_pod(history, life, start, lag)
    begun = When.at(start, _stored(history, states[first].revision))
    if seam and first == 0:
        begun, seam = seam[0][0], []
    return seam + _steps(history, states[first:], begun, end, over, lag)


def _sights(life, start):
    """Seconds at which an object that was removed is on record as being there. Of one that the store has forgotten nothing was
    left to be seen later, and what was written last may have been seen by nobody."""
    return [start] if life.is_undone else [start, life.states[-1].alive]


def _is_over(state):
    return state.terminal or state.finished is not None


def _seam(history, revision, lag):
    """When the store was put back. The operator saw the state before it for the last time as it sees an object that is there,
    and could not see the one after it before the API server was back and wrote."""
    low, high = _seconds(history.clock.low(revision), history.clock.high(revision))
    beat = history.beat_before(revision)
    least = low if beat is None else min(low, beat - lag)
    return When((low, high), (least, high + CLOCK), high, True)


def _end_of_pod(history, life, start, lag):
    """When a pod ended and at which revision nothing changes any more; none if it goes on."""
    told = next((state for state in life.states if state.terminal and state.finished is not None), None)
    if told is None and life.removed and life.states[-1].finished is not None:
        told = life.states[-1]
    if told is not None:
        ends = [max(state.finished, start) for state in life.states if state.terminal and state.finished is not None]
        first, last = min(ends, default=told.finished), max(ends, default=told.finished)
        if first < last:
            # its node has told the end again, as one does that has not seen its own word: who sees the later one cannot know
            return When((first, last), (first, last), _stored(history, told.revision)), told.revision
        return When.at(max(told.finished, start), _stored(history, told.revision)), told.revision
    terminal = next((state for state in life.states if state.terminal), None)
    over = terminal.revision if terminal is not None else life.removed
    silent = next((state.silent for state in reversed(life.states) if state.silent is not None), None)
    if silent is not None and over:
        # who has written to it since is no kubelet: none of that shows that it ran
        _, high = _written(history, terminal) if terminal is not None else _seconds(*history.removal(life))
        least = min(max(silent, start), high)
        return When((least, high), (least, high + CLOCK)), over
    if terminal is not None:
        low, high = _written(history, terminal)
        # whoever wrote the phase saw the end, so it was over by then
        return _unseen(history, terminal.revision, (start, high), [start], lag), terminal.revision
    if life.removed:
        low, high = _seconds(*history.removal(life))
        end = _unseen(history, life.removed, (max(low, start), high), _sights(life, start), lag)
        end.seam = life.is_undone
        return end, life.removed
    return None, None


def _claim(history, life, lag):
    states = life.states
    seam = [(_seam(history, life.created, lag), {})] if life.is_put_back else []
    first = next((place for place, state in enumerate(states) if state.start is not None), None)
    if first is None:
        return seam
    start = states[first].start
    begun = _bounded(history, states[first])
    if start >= 0:
        begun = When.at(start, begun.stored)
    if seam and first == 0:
        begun, seam = seam[0][0], []
    end = None
    if life.removed:
        truth = _seconds(*history.removal(life))
        end = _unseen(history, life.removed, truth, _sights(life, begun.truth[0]), lag)
        end.seam = life.is_undone
    return seam + _steps(history, states[first:], begun, end, life.removed, lag)


def _steps(history, states, begun, end, over, lag):
    """Beginning, changes and end. A change counts when it was written."""
    steps = [(begun, states[0].amounts)]
    for state in states[1:]:
        if over is not None and state.revision >= over:
            break
        if state.amounts == steps[-1][1]:
            continue
        when = _bounded(history, state)
        least = begun.truth[0]
        if when.is_recorded and when.truth[0] < least:
            when = When.at(least, when.stored)
        steps.append((when, state.amounts))
    if end is not None:
        steps.append((end, {}))
    return steps


def _bounded(history, state):
    """When a state was written: to the second where the object says so."""
    stored = _stored(history, state.revision)
    if state.stamp is not None:
        return When.at(state.stamp, stored)
    low, high = _written(history, state)
    return When((low, high), (low, high + CLOCK), stored)


def _stored(history, revision):
    """The second before which a revision was not stored: all that was stamped before it was there by then."""
    return history.clock.low(revision) // MICRO


def _written(history, state):
    """When a write was stamped. One that stamped nothing new was made in the second of an earlier stamp of the object; what was
    stored before it may have been stamped later."""
    if state.stamp is not None:
        return state.stamp, state.stamp
    low, high = _seconds(history.clock.low(state.revision), history.clock.high(state.revision))
    return min(low, max(state.newest, _stored(history, state.revision) - STAMPS)), high


def _unseen(history, revision, truth, alive, lag):
    """An end that no object tells: billed between the last sight and the event. `alive` are seconds at which the object is
    on record as being there."""
    low, high = truth
    beat = history.beat_before(revision)
    sights = [at for at in alive if at is not None]
    if beat is not None:
        sights.append(beat - lag)
    least = min(max(sights), high)
    return When((min(low, high), high), (least, high + CLOCK))


def _seconds(low, high):
    """Whole seconds that hold both bounds. What nothing later is dated by may be any time after."""
    return low // MICRO, (1 << 40 if high is None else high // MICRO)


def leases(history, promise):
    """What must be found of each tenancy's lease, by (department, tenancy, incarnation) and key of the quota.

    The quotas of a tenancy's namespaces together grant what is leased. A level counts once every one of them stands, which
    is when admission counts with it; it cannot count before the last of them was written. A decrease may count from the
    promised instant, `promise` seconds before that at the most; what is given back, until nothing runs on it. While amounts move from one namespace to another less
    stands for a moment: only what was ever asked for, or nothing, is a level.
    """
    owners, expected = {}, {}
    for quota in history.quotas:
        if quota.place is not None and quota.place.owner is not None:
            owners.setdefault(quota.place.owner, []).append(quota)
    for owner, versions in owners.items():
        asked = _asked(history, owner)
        keys = sorted({key for version in versions for key in (*version.spec, *version.status)})
        found = {key: _levels(versions, key, asked) for key in keys}
        every = [span for steps in found.values() for *span, _, _ in steps]
        for key, steps in found.items():
            if steps:
                expected[owner, key] = [(_stood(history, every, step, promise), step[2]) for step in steps]
    return expected


def _stood(history, every, step, promise):
    """When a level stood. What was asked for at once counts at once: when the last quota of all was in place."""
    left, stood, level, before = step
    together = max(last.revision for first, last in every if first.revision <= stood.revision and left.revision <= last.revision)
    # what the server stamped first it may have stored last
    low = left.stamp if left.stamp is not None else history.clock.low(left.revision) // MICRO
    _, high = _seconds(0, history.clock.high(together))
    if level < before:
        low -= promise
    if level == 0:
        high += ROUND
    return When((low, high), (low, high + CLOCK))


def _asked(history, owner):
    """(revision, amounts by key of the quota) of everything that was asked for; none where the tenancy was removed."""
    found = []
    for revision, asked in history.asked.get(owner[:2], []):
        sums = None if asked is None else {}
        for item, quantity in (asked or {}).items():
            key = key_of(history.items.get(item))
            if key is not None:
                sums[key] = sums.get(key, 0) + _leased(history.items[item], quantity)
        found.append((revision, sums))
    return found


def _may_be_leased(asked, key, revision):
    """What a tenancy may hold at a revision: nothing, or what it has asked for since it was made."""
    amounts = {0}
    for at, sums in asked:
        if at > revision:
            break
        amounts = {0} if sums is None else amounts | {sums.get(key, 0)}
    return amounts


def key_of(item):
    """The key of a quota that counts a catalogue item; none of what no quota counts."""
    if item is None:
        return None
    if item.get("storageClass"):
        return f"{item['storageClass']}.storageclass.storage.k8s.io/requests.storage"
    return f"requests.{item['resource']}" if item.get("resource") else None


def _leased(item, quantity):
    return base_units("cpu" if item["unit"] == "Core" else "", nanos(quantity))


def _levels(versions, key, asked):
    """Steps from level to level, as (version that left the old one, version with which the new one stood, new, old). A
    level stands when what is granted and what is counted agree everywhere."""
    spec, status, used, steps = {}, {}, {}, []
    level, left = 0, None
    for version in versions:
        spec[id(version.place)] = version.spec.get(key, 0)
        status[id(version.place)] = version.status.get(key, 0)
        # compute that is given back counts until nothing runs on any of it; storage until it is gone
        used[id(version.place)] = sum(amount for of, amount in version.used.items() if of.startswith("requests."))
        wanted = sum(spec.values())
        if wanted == level:
            left = None
        elif left is None:
            left = version
        runs_on = wanted == 0 and key.startswith("requests.") and any(used.values())
        if spec == status and wanted != level and not runs_on and wanted in _may_be_leased(asked, key, version.revision):
            steps.append((left, version, wanted, level))
            level, left = wanted, None
    return steps
