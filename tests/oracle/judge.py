"""The comparison: each deviation with its object, field, what was expected and what was found."""

from bisect import bisect_left
from collections import Counter, namedtuple
from itertools import islice

from quantities import written
from rules import CLOCK, key_of

Deviation = namedtuple("Deviation", "object uid meter field expected found")

# of so many ways to tell a course one is looked for
TELLINGS = 64
SOURCES = {"pod": "pods", "claim": "claims"}


class Verdict:
    """What came of it."""

    def __init__(self):
        self.deviations, self.counts = [], Counter()
        # seconds between the true end and the billed one, where nobody saw it
        self.losses = []

    def deviate(self, of, name, expected, found):
        """One more deviation."""
        self.deviations.append(Deviation(of.title, of.uid, of.meter, name, str(expected), str(found)))


class _Lease:
    def __init__(self, owner, key):
        self.title, self.uid, self.meter = f"Tenancy {owner[0]}/{owner[1]}", "/".join(owner), f"lease of {key}"


def judge(history, expected, nobody, leases, answer, lag):
    """Compares everything."""
    verdict = Verdict()
    gaps = _Gaps(history, answer.gaps, lag)
    gaps.are_owned_up_to(verdict)
    for key in sorted(expected):
        _one(verdict, gaps, expected[key], answer)
    for key, found in sorted(answer.found.items()):
        if key not in expected and not found.meter.startswith("lease/"):
            why = "nothing: it is no tenancy's" if found.uid in nobody else "nothing"
            verdict.deviate(found, "interval", why, _course(found.points))
    gaps.bound_what_was_unseen(verdict)
    _leases(verdict, history, leases, answer)
    verdict.counts["intervals of other meters"] = answer.passed_over
    return verdict


def _one(verdict, gaps, wanted, answer):
    found = answer.found.get((wanted.uid, wanted.meter))
    verdict.counts[wanted.meter.split("/")[0] + " courses"] += 1
    if found is None:
        is_opened = answer.opened is None or f"{wanted.uid}/{wanted.meter}" in answer.opened
        if is_opened and _may_be_empty(wanted.steps):
            verdict.counts["courses of no length"] += 1
        elif gaps.hide(wanted):
            verdict.counts["unseen in a gap"] += 1
        elif is_opened and gaps.touch(wanted) and gaps.agree_outside(wanted, []):
            # it began unseen in one gap and ended so in another
            verdict.counts["steps lost in a gap"] += 1
        else:
            verdict.deviate(wanted, "interval", _steps(wanted.steps), "nothing")
        return
    for fault in found.faults:
        verdict.deviate(wanted, "interval", _steps(wanted.steps), fault)
    if found.owner != wanted.owner:
        verdict.deviate(wanted, "subject", wanted.owner, found.owner)
    if found.title != wanted.title:
        verdict.deviate(wanted, "object", wanted.title, found.title)
    # one course may be told in several ways, of which one has to be true
    told = [
        [_point(gaps, wanted, when, point) for (when, _), point in zip(steps, found.points)]
        for steps in tellings(wanted.steps, [point.amount for point in found.points])
    ]
    good = next((points for points in told if not any(point.why for point in points)), None)
    is_put_back = any(when.seam for when, _ in wanted.steps)
    if good is not None:
        for point in good:
            verdict.counts.update(point.counts)
            verdict.losses += point.losses
    elif (not told or is_put_back) and gaps.touch(wanted) and gaps.agree_outside(wanted, found.points):
        verdict.counts["steps lost in a gap"] += 1
    elif not told:
        verdict.deviate(wanted, "quantities", _steps(wanted.steps), _course(found.points))
    else:
        for place, point in enumerate(told[0]):
            if point.why:
                name = "end" if point.amount == 0 else "start" if place == 0 else f"change to {point.amount}"
                verdict.deviate(wanted, name, _when(point.when), point.why)


Judged = namedtuple("Judged", "when amount why counts losses")


def _point(gaps, wanted, when, point):
    """Why a step is not told as it was, if so, and what it counts as."""
    exact = when.is_recorded
    counts, losses = ["recorded times" if exact else "bounded times"], []
    low, high = when.billed
    why = None
    if not low <= point.at <= high:
        why = f"{written(point.at)}"
    elif exact and point.estimated:
        why = f"{written(point.at)}, marked as an estimate"
    elif not point.estimated and (when.seam or point.at < when.truth[0] - CLOCK):
        why = f"{written(point.at)}, not marked as an estimate"
    elif point.bounds and not _holds(point.bounds, when):
        why = f"between {_pair(point.bounds)}"
    if why is None:
        if not exact and point.amount == 0:
            losses.append(max(0, when.truth[1] - point.at))
    elif gaps.explain(wanted, when, point):
        why = None
        counts.append("bounded by a gap")
    return Judged(when, point.amount, why, counts, losses)


def _holds(bounds, when):
    """Whether the operator's own bounds hold what is true. What was stored later than it is timed was not to be known before,
    and whatever it ends or changes was still on record as it had been."""
    return bounds[0] <= max(when.truth[1], when.stored) + CLOCK and when.truth[0] - CLOCK <= bounds[1]


def _may_be_empty(steps):
    """Whether what must be found may have no length at all."""
    if len(steps) != 2 or steps[1][1] != 0:
        return False
    return steps[1][0].billed[0] <= steps[0][0].billed[1]


def tellings(steps, amounts):
    """Every way in which an answer with these amounts tells the steps: those that it tells. Left out are only such as may have
    lasted for no second, and what after one of these changes nothing."""

    def rest(place, told, before):
        if place == len(steps):
            if told == len(amounts):
                yield []
            return
        when, amount = steps[place]
        if amount == before:
            yield from rest(place + 1, told, before)
            return
        if told < len(amounts) and amounts[told] == amount:
            for more in rest(place + 1, told + 1, amount):
                yield [steps[place], *more]
        if place + 1 < len(steps) and steps[place + 1][0].billed[0] <= when.billed[1]:
            yield from rest(place + 1, told, before)

    return islice(rest(0, 0, None), TELLINGS)


class _Gaps:
    """The times in which the operator says that it saw nothing, and what they excuse."""

    def __init__(self, history, gaps, lag):
        self._gaps, self._history, self._lag = gaps, history, lag
        self._unseen = {}
        beats = history.beats
        self._first = history.clock.low(beats[0]) // 1_000_000 if beats else None

    def are_owned_up_to(self, verdict):
        """A gap of a whole kind needs a cause: a process of the API server that had not seen what came before. One gap for
        each and kind."""
        starts = [self._history.clock.low(revision) // 1_000_000 for revision in self._history.servers[1:]]
        spent = Counter()
        for gap in sorted(self._gaps, key=lambda gap: gap.start):
            verdict.counts["gaps"] += 1
            if "/" in gap.source:
                continue
            causes = [at for at in starts if gap.start - self._lag <= at <= gap.end + self._lag]
            spent[gap.source] += 1
            if spent[gap.source] > len(starts) or not any(self._is_as_long(gap, at) for at in causes):
                of = _Named(f"gap of {gap.source}", gap.source)
                verdict.deviate(of, "gap", "no cause for it: nothing was lost", _pair((gap.start, gap.end)))

    def _is_as_long(self, gap, cause):
        """A gap begins where the operator had last seen everything, and ends where it sees again: it says with each beat of
        its heart that it is at work."""
        beats = self._history.beat_times()
        place = bisect_left(beats, cause)
        before = beats[place - 1] if place else gap.start
        after = beats[place] if place < len(beats) else gap.end
        return before - 2 * self._lag <= gap.start and gap.end <= after + self._lag

    def _of(self, wanted):
        source = SOURCES[wanted.meter.split("/")[0]]
        return [gap for gap in self._gaps if gap.source in (source, f"{source}/{wanted.uid}")]

    def _over(self, wanted, first, last):
        """The gap in which everything from one step to another was hidden."""
        for gap in self._of(wanted):
            if _is_hidden(gap, first) and last.truth[1] <= gap.end + CLOCK:
                return gap
        return None

    def explain(self, wanted, when, point):
        """Whether a step was made while nothing was seen, and is bounded accordingly. What was there before the operator
        ever looked was not seen either."""
        before = self._first is not None and when.truth[1] <= self._first
        gap = self._over(wanted, when, when)
        if not point.estimated or not (before or gap):
            return False
        if gap and not gap.start - self._lag <= point.at <= gap.end + CLOCK:
            return False
        return point.bounds is None or _holds(point.bounds, when)

    def hide(self, wanted):
        """Whether it came and went while nothing was seen; then it counts against what the gap bounds."""
        if wanted.steps[-1][1] != 0:
            return False
        gap = self._over(wanted, wanted.steps[0][0], wanted.steps[-1][0])
        if gap is None:
            return False
        sums = self._unseen.setdefault(id(gap), (gap, Counter()))[1]
        for (begun, amount), (ended, _) in zip(wanted.steps, wanted.steps[1:]):
            sums[wanted.meter] += amount * max(0, ended.truth[0] - begun.truth[1])
        return True

    def bound_what_was_unseen(self, verdict):
        """What came and went unseen was never more than the gap says."""
        for gap, sums in self._unseen.values():
            for meter, amount in sorted(sums.items()):
                most = gap.upper.get(meter, 0)
                if amount > most:
                    of = _Named(f"gap of {gap.source} {_pair((gap.start, gap.end))}", gap.source, meter)
                    verdict.deviate(of, "upper", f"at least {amount}", most)

    def touch(self, wanted):
        """Whether a gap lies in its life."""
        first, last = wanted.steps[0][0].truth[0], wanted.steps[-1]
        ended = last[0].truth[1] if last[1] == 0 else 1 << 60
        return any(gap.start <= ended and first <= gap.end for gap in self._of(wanted))

    def agree_outside(self, wanted, points):
        """Whether both are the same wherever something was seen, and what was found within is no more than was there and
        is marked."""
        gaps = [gap for gap in self._of(wanted) if _has_step(gap, wanted)]
        blind = [(gap.start - CLOCK, gap.end + CLOCK) for gap in gaps]
        blind += [when.billed for when, _ in wanted.steps if not when.is_recorded]
        # what was stamped before a gap and stored in it was not seen before it either
        blind += [
            (when.truth[0], gap.start) for gap in gaps for when, _ in wanted.steps if _is_hidden(gap, when)
        ]
        edges = {when.truth[0] for when, _ in wanted.steps} | {point.at for point in points}
        # and the first second in which something is seen again
        edges |= {high + 1 for _, high in blind}
        most = max(amount for _, amount in wanted.steps)
        for at in sorted(edges):
            there = _value([(when.truth[0], amount) for when, amount in wanted.steps], at)
            billed = _value([(point.at, point.amount) for point in points], at)
            if billed != there and (billed > most or not any(low <= at <= high for low, high in blind)):
                return False
        # nothing is unmarked but what is recorded as it was billed, or was seen when it happened
        return all(
            point.estimated or any(_is_seen(when, point.at) and point.amount == amount for when, amount in wanted.steps)
            for point in points
        )


def _is_hidden(gap, when):
    """Whether a step was not there to be seen when a gap began: it was made later, or stored later."""
    return gap.start - CLOCK <= max(when.truth[0], when.stored)


def _is_seen(when, at):
    """Whether a step may be told at a second without a mark."""
    low, high = when.truth if when.is_recorded else (when.truth[0] - CLOCK, when.billed[1])
    return not when.seam and low <= at <= high


def _has_step(gap, wanted):
    """Whether anything became of an object while nothing was seen. What went through it as it was is billed as it was."""
    return any(_is_hidden(gap, when) and when.truth[0] <= gap.end + CLOCK for when, _ in wanted.steps)


class _Named:
    def __init__(self, title, uid, meter="-"):
        self.title, self.uid, self.meter = title, uid, meter


def _value(steps, at):
    value = 0
    for start, amount in steps:
        if start <= at:
            value = amount
    return value


def _leases(verdict, history, leases, answer):
    """Leases of all items that one key counts are compared together: a quota does not tell them apart."""
    billed = {}
    for found in answer.found.values():
        if not found.meter.startswith("lease/"):
            continue
        key = key_of(history.items.get(found.meter.removeprefix("lease/")))
        for fault in found.faults:
            verdict.deviate(found, "interval", "one at a time", fault)
        if key is None:
            verdict.counts["leases that no quota counts"] += 1
        else:
            billed.setdefault((found.owner, key), []).append(found)
    for owner, key in sorted({*leases, *billed}):
        of = _Lease(owner, key)
        verdict.counts["lease courses"] += 1
        steps, found = leases.get((owner, key), []), billed.get((owner, key), [])
        course = _sum(found)
        if [amount for _, amount in steps] != [amount for _, amount in course]:
            verdict.deviate(of, "quantities", _steps(steps), ", ".join(f"{written(at)} {n}" for at, n in course) or "nothing")
            continue
        for (when, amount), (at, _) in zip(steps, course):
            verdict.counts["lease times"] += 1
            if not when.billed[0] <= at <= when.billed[1]:
                verdict.deviate(of, f"step to {amount}", _when(when), written(at))
        if any(point.estimated for one in found for point in one.points):
            verdict.deviate(of, "estimated", "no", "yes")


def _sum(found):
    edges = sorted({point.at for one in found for point in one.points})
    course = []
    for at in edges:
        amount = sum(_value([(point.at, point.amount) for point in one.points], at) for one in found)
        if (course[-1][1] if course else 0) != amount:
            course.append((at, amount))
    return course


def _pair(bounds):
    return f"{written(bounds[0])} and {written(bounds[1])}"


def _when(when):
    if when.is_recorded:
        return written(when.truth[0])
    return f"between {_pair(when.billed)}, in truth {_pair(when.truth)}"


def _steps(steps):
    return ", ".join(f"{_when(when)} {amount}" for when, amount in steps) or "nothing"


def _course(points):
    return ", ".join(f"{written(p.at)}{'~' if p.estimated else ''} {p.amount}" for p in points) or "nothing"
