//! How often each object was made and removed, by the API server's own log.

use std::collections::BTreeMap;

use leasehold_testkit::{SERVICE_ACCOUNT, Write};

/// What happened to an object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event {
    /// It was made, also by an apply.
    Made,
    /// Its removal was asked for, once or several times.
    Removed,
}

/// What happened to each object of one department, in order.
pub type Lives = BTreeMap<String, Vec<Event>>;

/// Kinds that say when something was, or how much by then: they come when they come.
const PASSING: [&str; 4] = ["events", "leases", "statements", "billingperiods"];

/// The lives of a department's objects. What the cluster's own controllers make and clear away is left out.
pub fn of(writes: &[Write], code: &str) -> Lives {
    let mut lives = Lives::new();
    for write in writes {
        let is_ours = write.user == SERVICE_ACCOUNT || !write.user.starts_with("system:");
        let is_lasting = !write.resource.contains('/')
            && !write.name.is_empty()
            && !PASSING.contains(&write.resource.as_str());
        let is_its = write.name.contains(code) || write.namespace.contains(code);
        let Some(event) = event(write) else { continue };
        if !is_ours || !is_lasting || !is_its {
            continue;
        }
        let life = lives.entry(key(write, code)).or_default();
        // a removal that was asked for twice, because nobody heard of the first, is one
        if event == Event::Made || life.last() != Some(&Event::Removed) {
            life.push(event);
        }
    }
    lives
}

fn event(write: &Write) -> Option<Event> {
    match write.verb.as_str() {
        "create" => Some(Event::Made),
        "patch" | "update" if write.code == 201 => Some(Event::Made),
        "delete" => Some(Event::Removed),
        _ => None,
    }
}

fn key(write: &Write, code: &str) -> String {
    // the API server calls a namespace's own name its namespace, unless it is being made
    let place = match write.resource.as_str() {
        "namespaces" => "",
        _ => write.namespace.as_str(),
    };
    let key = format!("{} {place}/{}", write.resource, write.name);
    key.replace(code, "CODE")
}

/// The first difference, in words.
pub fn difference(expected: &Lives, found: &Lives) -> Option<String> {
    let keys = expected.keys().chain(found.keys());
    for key in keys {
        let (one, other) = (expected.get(key), found.get(key));
        if one != other {
            let told =
                |life: Option<&Vec<Event>>| format!("{:?}", life.cloned().unwrap_or_default());
            return Some(format!(
                "{key}: expected {}, found {}",
                told(one),
                told(other)
            ));
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn write(user: &str, verb: &str, code: u16, object: [&str; 3]) -> Write {
        Write {
            user: user.to_owned(),
            verb: verb.to_owned(),
            resource: object[0].to_owned(),
            namespace: object[1].to_owned(),
            name: object[2].to_owned(),
            code,
        }
    }

    fn by_us(verb: &str, code: u16, object: [&str; 3]) -> Write {
        write(SERVICE_ACCOUNT, verb, code, object)
    }

    /// A namespace with its quota, made, given back, and made again.
    fn life(code: &str) -> Vec<Write> {
        let name = format!("{code}--prod");
        vec![
            by_us("create", 201, ["namespaces", "", &name]),
            by_us("patch", 201, ["resourcequotas", &name, "leasehold"]),
            by_us("patch", 200, ["resourcequotas", &name, "leasehold"]),
            by_us("delete", 200, ["namespaces", &name, &name]),
            by_us("create", 201, ["namespaces", "", &name]),
            by_us("patch", 201, ["resourcequotas", &name, "leasehold"]),
        ]
    }

    fn told(change: impl FnOnce(&mut Vec<Write>)) -> Option<String> {
        let mut writes = life("wild001");
        change(&mut writes);
        difference(&of(&life("calm001"), "calm001"), &of(&writes, "wild001"))
    }

    #[test]
    fn a_life_is_what_was_made_and_removed_in_order() {
        use Event::{Made, Removed};
        let lives = of(&life("calm001"), "calm001");
        let expected = [
            ("namespaces /CODE--prod", vec![Made, Removed, Made]),
            ("resourcequotas CODE--prod/leasehold", vec![Made, Made]),
        ];
        let expected = expected.map(|(key, life)| (key.to_owned(), life));
        assert_eq!(lives, Lives::from(expected));
    }

    #[test]
    fn the_same_lives_of_two_departments_do_not_differ() {
        assert_eq!(told(|_| {}), None);
        // the answer to the first removal was lost
        let again = |writes: &mut Vec<Write>| writes.insert(3, writes[3].clone());
        assert_eq!(told(again), None);
        // others, changes, parts and what passes
        let others = |writes: &mut Vec<Write>| {
            let name = "wild001--prod";
            let collector = "system:serviceaccount:kube-system:generic-garbage-collector";
            writes.push(write(
                collector,
                "delete",
                200,
                ["resourcequotas", name, "leasehold"],
            ));
            writes.push(by_us(
                "patch",
                201,
                ["statements", "dept-wild001", "2027-01"],
            ));
            writes.push(by_us("update", 200, ["namespaces", name, name]));
            writes.push(by_us(
                "delete",
                200,
                ["namespaces", "wild002--prod", "wild002--prod"],
            ));
            writes.push(by_us("create", 201, ["pods/eviction", name, "web"]));
        };
        assert_eq!(told(others), None);
    }

    #[test]
    fn what_is_made_or_removed_once_too_often_or_too_seldom_is_told() {
        let twice = told(|writes| writes.push(writes[0].clone())).unwrap();
        assert!(
            twice.starts_with("namespaces /CODE--prod: expected"),
            "{twice}"
        );
        let removed = told(|writes| writes.push(writes[3].clone()));
        assert!(removed.is_some());
        let missing = told(|writes| drop(writes.pop())).unwrap();
        assert!(
            missing.starts_with("resourcequotas CODE--prod"),
            "{missing}"
        );
        let surplus = told(|writes| {
            writes.push(by_us(
                "create",
                201,
                ["approvals", "dept-wild001", "oa-9-office"],
            ));
        });
        assert!(surplus.unwrap().starts_with("approvals dept-CODE/oa-9"));
        // the same in another order
        assert!(told(|writes| writes.swap(3, 4)).is_some());
    }
}
