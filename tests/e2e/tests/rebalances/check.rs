//! Whether a history of quotas keeps a lease: every version of every quota, in the order in which they were stored.

use std::collections::BTreeMap;

/// The leased keys that are looked at.
pub const KEYS: [&str; 4] = [
    "requests.cpu",
    "limits.cpu",
    "requests.memory",
    "limits.memory",
];

/// Thousandths of a core and bytes, in the order of [`KEYS`].
pub type Amounts = [i64; 4];

/// What so many cores and GiB of memory are.
pub fn amounts(cores: i64, gib: i64) -> Amounts {
    [cores * 1000, cores * 1000, gib << 30, gib << 30]
}

/// One version of a quota.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Version {
    /// Which of all versions of anything in the store it is.
    pub revision: u64,
    /// Which version of this quota it is, from 1; 0 is its end.
    pub number: u64,
    /// Its namespace.
    pub place: String,
    /// What the operator has written.
    pub spec: Amounts,
    /// What admission counts with.
    pub status: Amounts,
}

/// What may be held, and after which revision; before the first, nothing.
#[derive(Clone, Debug, Default)]
pub struct Bound(Vec<(u64, Amounts)>);

impl Bound {
    /// From the next revision on so much may be held.
    pub fn set(&mut self, after: u64, most: Amounts) {
        self.0.push((after, most));
    }

    fn at(&self, revision: u64) -> Amounts {
        let mut latest_first = self.0.iter().rev();
        latest_first
            .find(|(after, _)| revision > *after)
            .map_or([0; 4], |(_, most)| *most)
    }
}

/// What a history that keeps its lease consists of.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Found {
    /// Versions of quotas.
    pub versions: u64,
    /// Those of them with which a quota that was there changed in what it grants.
    pub moves: u64,
}

/// Goes through the versions of all quotas in namespaces that begin so. None may be missing, and after each of them the
/// sum of max(`spec.hard`, `status.hard`) over the namespaces is within the bound.
pub fn judge(history: &[Version], prefix: &str, bound: &Bound) -> Result<Found, String> {
    let mut standing: BTreeMap<&str, &Version> = BTreeMap::new();
    let mut found = Found::default();
    let mut last = 0;
    for version in history.iter().filter(|one| one.place.starts_with(prefix)) {
        let Version {
            revision,
            number,
            place,
            ..
        } = version;
        if *revision <= last {
            return Err(format!("revision {revision} comes after {last}"));
        }
        last = *revision;
        let before = standing.insert(place, version);
        let known = before.map_or(0, |before| before.number);
        if *number != known + 1 {
            return Err(format!(
                "revision {revision} of {place} is its version {number} after version {known}"
            ));
        }
        found.versions += 1;
        found.moves += u64::from(before.is_some_and(|before| before.spec != version.spec));
        within(&standing, &bound.at(*revision))
            .map_err(|why| format!("after revision {revision} of {place}, {prefix} {why}"))?;
    }
    Ok(found)
}

fn within(standing: &BTreeMap<&str, &Version>, most: &Amounts) -> Result<(), String> {
    for (place, key) in KEYS.iter().enumerate() {
        let held = standing.values();
        let held = held.map(|version| version.spec[place].max(version.status[place]));
        let sum: i64 = held.sum();
        if sum > most[place] {
            let most = most[place];
            return Err(format!("holds {sum} of {key}, leased are {most}"));
        }
    }
    Ok(())
}

fn version(revision: u64, number: u64, place: &str, spec: i64, status: i64) -> Version {
    Version {
        revision,
        number,
        place: place.to_owned(),
        spec: amounts(spec, spec),
        status: amounts(status, status),
    }
}

fn bound(leases: &[(u64, i64)]) -> Bound {
    let mut bound = Bound::default();
    for (after, cores) in leases {
        bound.set(*after, amounts(*cores, *cores));
    }
    bound
}

/// Two quotas of four that become one of six and one of two, and stay so.
fn moved() -> Vec<Version> {
    vec![
        version(10, 1, "edu--a", 4, 0),
        version(11, 1, "edu--b", 4, 0),
        version(12, 2, "edu--a", 4, 4),
        version(13, 2, "edu--b", 4, 4),
        version(20, 3, "edu--b", 2, 4),
        version(21, 4, "edu--b", 2, 2),
        version(22, 3, "edu--a", 6, 4),
        version(23, 4, "edu--a", 6, 6),
    ]
}

#[test]
fn a_history_within_the_lease_is_good_and_its_moves_are_counted() {
    let mut history = moved();
    // what another department has is its own affair
    history.insert(0, version(9, 1, "health--a", 100, 100));
    let found = judge(&history, "edu--", &bound(&[(5, 8)]));
    let expected = Found {
        versions: 8,
        moves: 2,
    };
    assert_eq!(found, Ok(expected));
    assert!(judge(&[], "edu--", &bound(&[])).is_ok());
}

#[test]
fn one_that_grows_before_the_status_of_the_other_came_down_is_told() {
    let mut history = moved();
    history.remove(5);
    for late in &mut history[5..] {
        late.revision -= 1;
    }
    let told = judge(&history, "edu--", &bound(&[(5, 8)])).unwrap_err();
    assert_eq!(
        told,
        "after revision 21 of edu--a, edu-- holds 10000 of requests.cpu, leased are 8000"
    );
}

#[test]
fn each_of_the_keys_is_looked_at() {
    for (place, key) in KEYS.iter().enumerate() {
        for part in ["spec", "status"] {
            let mut history = moved();
            let last = history.last_mut().unwrap();
            let amounts = match part {
                "spec" => &mut last.spec,
                _ => &mut last.status,
            };
            amounts[place] += 1;
            let told = judge(&history, "edu--", &bound(&[(5, 8)])).unwrap_err();
            assert!(told.contains(&format!(" of {key}, ")), "{part}: {told}");
        }
    }
}

#[test]
fn nothing_is_held_before_it_is_leased_and_no_more_after_less_is_leased() {
    assert!(judge(&moved(), "edu--", &bound(&[(10, 8)])).is_err());
    assert!(judge(&moved(), "edu--", &bound(&[(5, 8), (22, 8)])).is_ok());
    let told = judge(&moved(), "edu--", &bound(&[(5, 8), (22, 7)])).unwrap_err();
    assert!(
        told.starts_with("after revision 23") && told.ends_with("leased are 7000"),
        "{told}"
    );
}

#[test]
fn a_version_that_nobody_saw_and_an_end_are_told() {
    for (missing, told) in [
        (0, "revision 12 of edu--a is its version 2 after version 0"),
        (4, "revision 21 of edu--b is its version 4 after version 2"),
    ] {
        let mut history = moved();
        history.remove(missing);
        let lease = bound(&[(5, 80)]);
        assert_eq!(judge(&history, "edu--", &lease), Err(told.to_owned()));
    }
    let mut history = moved();
    history.push(version(30, 0, "edu--a", 0, 0));
    assert_eq!(
        judge(&history, "edu--", &bound(&[(5, 8)])),
        Err("revision 30 of edu--a is its version 0 after version 4".to_owned())
    );
}

#[test]
fn what_is_not_in_order_is_told() {
    let lease = bound(&[(5, 8)]);
    let mut history = moved();
    history.swap(6, 7);
    let told = judge(&history, "edu--", &lease);
    let expected = "revision 23 of edu--a is its version 4 after version 2";
    assert_eq!(told, Err(expected.to_owned()));
    let mut history = moved();
    history[7].revision = 22;
    let told = judge(&history, "edu--", &lease);
    assert_eq!(told, Err("revision 22 comes after 22".to_owned()));
}
