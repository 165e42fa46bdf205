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

/// Something that happened, or of which nobody knows whether it did ([`Write::is_unclear`]).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Told {
    Surely(Event),
    Perhaps(Event),
}

/// What happened to each object of one department, in order.
pub type Lives = BTreeMap<String, Vec<Told>>;

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
        if is_ours && is_lasting && is_its {
            lives.entry(key(write, code)).or_default().push(event);
        }
    }
    lives
}

fn event(write: &Write) -> Option<Told> {
    let told = if write.is_unclear() {
        Told::Perhaps
    } else {
        Told::Surely
    };
    match write.verb.as_str() {
        "create" => Some(told(Event::Made)),
        "patch" | "update" if write.code == 201 || write.is_unclear() => Some(told(Event::Made)),
        "delete" => Some(told(Event::Removed)),
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

/// What surely happened. A removal that was asked for twice, because nobody heard of the first, is one.
fn sure(life: &[Told]) -> Vec<Event> {
    let mut events: Vec<Event> = life
        .iter()
        .filter_map(|told| match told {
            Told::Surely(event) => Some(*event),
            Told::Perhaps(_) => None,
        })
        .collect();
    events.dedup_by(|next, event| *next == Event::Removed && *event == Event::Removed);
    events
}

/// Whether a life may have been the expected one: what is unclear happened or did not.
fn may_be(life: &[Told], last: Option<Event>, expected: &[Event]) -> bool {
    let Some((told, rest)) = life.split_first() else {
        return expected.is_empty();
    };
    let (event, may_pass) = match *told {
        Told::Surely(event) => (event, false),
        Told::Perhaps(event) => (event, true),
    };
    let is_again = event == Event::Removed && last == Some(Event::Removed);
    let happened = expected.first() == Some(&event);
    (happened && may_be(rest, Some(event), &expected[1..]))
        || ((may_pass || is_again) && may_be(rest, last, expected))
}

/// The first difference, in words.
pub fn difference(expected: &Lives, found: &Lives) -> Option<String> {
    let keys = expected.keys().chain(found.keys());
    for key in keys {
        let life = |lives: &Lives| lives.get(key).cloned().unwrap_or_default();
        let (one, other) = (sure(&life(expected)), life(found));
        if !may_be(&other, None, &one) {
            return Some(format!("{key}: expected {one:?}, found {other:?}"));
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
        let surely = |life: Vec<Event>| life.into_iter().map(Told::Surely).collect();
        let expected = expected.map(|(key, life)| (key.to_owned(), surely(life)));
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
    fn what_was_carried_out_for_a_caller_who_had_gone_may_have_happened() {
        // made, and the answer was lost with the server's call to its store
        assert_eq!(told(|writes| writes[1].code = 500), None);
        // asked for twice; the first was not carried out
        let unclear = |place: usize| {
            move |writes: &mut Vec<Write>| {
                let mut again = writes[place].clone();
                again.code = 504;
                writes.insert(place, again);
            }
        };
        for place in [0, 1, 3] {
            assert_eq!(told(unclear(place)), None);
        }
        // a change that is unclear is not a second life, and cannot stand for what was never made
        assert_eq!(told(|writes| writes[2].code = 504), None);
        assert!(told(|writes| writes[0].verb = "patch".to_owned()).is_none());
        let never = told(|writes| writes.retain(|write| write.code == 200));
        assert!(never.is_some());
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
