"""What the scheduler reserves for a pod, by the formula that Kubernetes documents (KEP 753, 1287, 2837).

    running   = sum of the containers and of the restartable init containers
    starting  = greatest, over the init containers, of itself and the restartable ones before it
    pod       = max(running, starting), where the pod asks as a whole for cpu or memory, that; and its overhead

A container that can be resized in place (not a plain init container) counts, once its node has reported resources of it,
with the greatest of what is asked for, what is allocated and what is in force; without what is asked for, if the node has
said that it can never be given.
"""

from quantities import base_units, nanos


def requests(pod):
    """Amounts by resource: thousandths of a core, bytes, pieces. Only what is metered, and nothing of zero."""
    spec, status = pod.get("spec") or {}, pod.get("status") or {}
    infeasible = _is_infeasible(status)
    reports = {}
    for group in ("containerStatuses", "initContainerStatuses"):
        for report in status.get(group) or []:
            reports[report["name"]] = report

    running, beside, starting = {}, {}, {}
    for container in spec.get("containers") or []:
        _add(running, _of_container(container, reports, infeasible))
    for container in spec.get("initContainers") or []:
        if restarts(container):
            own = _of_container(container, reports, infeasible)
            _add(running, own)
            _add(beside, own)
            _raise(starting, beside)
        else:
            own = dict(beside)
            _add(own, _amounts(_requests_of(container)))
            _raise(starting, own)
    _raise(running, starting)
    _whole(spec, status, infeasible, running)
    _add(running, _amounts(spec.get("overhead")))
    counted = {name: base_units(name, amount) for name, amount in running.items() if is_metered(name)}
    return {name: amount for name, amount in counted.items() if amount > 0}


def restarts(container):
    """Whether an init container goes on beside the containers."""
    return container.get("restartPolicy") == "Always"


def is_metered(resource):
    """cpu, memory and whatever a vendor names; Kubernetes' other own resources are bounded, not metered."""
    return resource in ("cpu", "memory") or "/" in resource


def _of_container(container, reports, infeasible):
    asked = _amounts(_requests_of(container))
    report = reports.get(container["name"])
    if not report or report.get("resources") is None:
        return asked
    actual = _amounts(report["resources"].get("requests"))
    return _greatest(asked, actual, _amounts(report.get("allocatedResources")), infeasible)


def _whole(spec, status, infeasible, total):
    asked = _amounts((spec.get("resources") or {}).get("requests"))
    named = [name for name in asked if name in ("cpu", "memory") or name.startswith("hugepages-")]
    in_force = asked
    if status.get("resources") is not None:
        actual = _amounts(status["resources"].get("requests"))
        in_force = _greatest(asked, actual, _amounts(status.get("allocatedResources")), infeasible)
    for name in named:
        total[name] = in_force.get(name, 0)


def _greatest(asked, actual, allocated, infeasible):
    greatest = {} if infeasible else dict(asked)
    _raise(greatest, actual)
    _raise(greatest, allocated)
    return greatest


def _is_infeasible(status):
    for condition in status.get("conditions") or []:
        if condition.get("type") == "PodResizePending":
            return condition.get("reason") == "Infeasible"
    return False


def _requests_of(container):
    return (container.get("resources") or {}).get("requests")


def _amounts(quantities):
    return {name: nanos(text) for name, text in (quantities or {}).items()}


def _add(to, more):
    for name, amount in more.items():
        to[name] = to.get(name, 0) + amount


def _raise(to, least):
    for name, amount in least.items():
        to[name] = max(to.get(name, 0), amount)
