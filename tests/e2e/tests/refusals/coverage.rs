//! No rule is left out: each is broken by somebody in front of the real API server, and each that the
//! operator holds has a neighbour there that is accepted. No control plane is needed to count them.
//!
//! A rule is broken by a manifest in `examples/refused/`, a case of the kinds' table, a case of the
//! policies' tables, or a test. A test says in its name which rules it is about (`_t24`); the few
//! whose names do not are listed here.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::{fs, io};

use leasehold_planner::rules::{Held, RULES, rule};
use leasehold_testkit::repository;

/// A rule, and the file and name of a test.
type Named = (&'static str, &'static str, &'static str);

/// Tests that break a rule which their names do not mention.
const BROKEN: [Named; 3] = [
    (
        "H07",
        "bad_input/proofs.rs",
        "a_bad_proof_is_a_finding_of_the_contribution_that_it_speaks_of",
    ),
    (
        "T20",
        "refusals/departments.rs",
        "requests_that_break_a_rule_are_refused_with_the_numbers_and_reach_nobody",
    ),
    (
        "T31",
        "provisioning/changes.rs",
        "a_share_does_not_shrink_below_what_runs",
    ),
];

/// The lease of `examples/05-tenancy.yaml`, with volumes, budget and split.
const LEASED: (&str, &str) = (
    "refusals/files.rs",
    "every_manifest_of_the_folder_is_refused_in_the_words_of_its_head",
);
/// A contribution with everything that finance needs, credited.
const CREDITED: (&str, &str) = (
    "refusals/hardware.rs",
    "an_operator_killed_around_the_approval_grants_the_credit_once",
);
/// A share that shrinks to what is not in use.
const MOVED: (&str, &str) = (
    "provisioning/changes.rs",
    "a_department_moves_its_share_by_itself_and_never_holds_more_than_it_leases",
);
/// A ceiling that suffices to the fen.
const SUFFICES: (&str, &str) = (
    "refusals/departments.rs",
    "requests_that_break_a_rule_are_refused_with_the_numbers_and_reach_nobody",
);
/// A book of cores by the core, published.
const PUBLISHED: (&str, &str) = (
    "refusals/prices.rs",
    "an_item_has_one_price_on_a_day_and_what_begins_a_day_later_joins_b11",
);

/// A suspension of the office, in force.
const SUSPENDED: (&str, &str) = (
    "life/suspension.rs",
    "the_office_stops_a_tenancy_its_pods_go_and_come_back_and_what_ended_stays_over_t42",
);

/// Where the neighbour of a rule is accepted, unless it is in a test that bears the rule's name.
const ACCEPTED: [(&str, (&str, &str)); 22] = [
    ("B10", PUBLISHED),
    ("H01", CREDITED),
    ("H02", CREDITED),
    ("H03", CREDITED),
    ("H04", CREDITED),
    ("H05", CREDITED),
    ("H06", CREDITED),
    ("H07", CREDITED),
    ("H20", CREDITED),
    ("H24", CREDITED),
    ("H25", CREDITED),
    ("T02", LEASED),
    ("T20", LEASED),
    ("T21", LEASED),
    ("T22", LEASED),
    ("T23", LEASED),
    ("T27", LEASED),
    ("T28", SUFFICES),
    ("T30", LEASED),
    ("T31", MOVED),
    ("T34", LEASED),
    ("T41", SUSPENDED),
];

/// The tests of this package: file, relative to `tests/`, and name.
fn tests() -> BTreeSet<(String, String)> {
    let root = repository().join("tests/e2e/tests");
    let mut found = BTreeSet::new();
    for path in sources(&root, "rs").unwrap() {
        let file = path.strip_prefix(&root).unwrap().display().to_string();
        let text = fs::read_to_string(&path).unwrap();
        let mut lines = text.lines().map(str::trim);
        while let Some(line) = lines.next() {
            if !(line.starts_with("#[tokio::test") || line == "#[test]") {
                continue;
            }
            let head = lines.find(|line| line.contains("fn ")).unwrap_or_default();
            let after = head.split("fn ").nth(1).unwrap_or_default();
            let name = after.split('(').next().unwrap_or_default();
            found.insert((file.clone(), name.to_owned()));
        }
    }
    found
}

/// Files below a folder whose names end so.
fn sources(folder: &Path, end: &str) -> io::Result<Vec<std::path::PathBuf>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_dir() {
            found.extend(sources(&path, end)?);
        } else if path.extension().is_some_and(|extension| extension == end) {
            found.push(path);
        }
    }
    Ok(found)
}

/// The id that a text begins with, as `T24`.
fn id(text: &str) -> Option<String> {
    let id = text.get(..3)?;
    let mut letters = id.chars();
    let shaped = letters.next()?.is_ascii_alphabetic() && letters.all(|c| c.is_ascii_digit());
    shaped.then(|| id.to_ascii_uppercase())
}

/// Every rule that something is about, with what it is.
#[derive(Default)]
struct Covered(BTreeMap<String, BTreeSet<String>>);

impl Covered {
    fn add(&mut self, rule: String, by: &str) {
        self.0.entry(rule).or_default().insert(by.to_owned());
    }

    /// Rules that the tests bear in their names.
    fn by_names(tests: &BTreeSet<(String, String)>) -> Self {
        let mut covered = Self::default();
        for (file, name) in tests {
            let words = name.split('_').filter(|word| word.len() == 3);
            for rule in words.filter_map(id) {
                covered.add(rule, &format!("{file} {name}"));
            }
        }
        covered
    }

    /// Rules of the cases in a table.
    fn by_table(&mut self, file: &Path) {
        let text = fs::read_to_string(file).unwrap();
        for line in text.lines().filter(|line| !line.starts_with('#')) {
            let rules = line.split("rule: ").skip(1).filter_map(id);
            rules.for_each(|rule| self.add(rule, &file.display().to_string()));
        }
    }

    /// Rules of the manifests that are refused.
    fn by_files(&mut self, folder: &Path) {
        for path in sources(folder, "yaml").unwrap() {
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            let rule = id(&name).unwrap_or_else(|| panic!("{name} begins with no rule"));
            self.add(rule, &name);
        }
    }
}

#[test]
fn every_rule_is_broken_by_somebody_in_front_of_the_real_api_server() {
    let mut covered = Covered::by_names(&tests());
    covered.by_files(&repository().join("examples/refused"));
    covered.by_table(&repository().join("crates/api/tests/rules.yaml"));
    let policies = repository().join("tests/e2e/tests/policies");
    for table in sources(&policies, "yaml").unwrap() {
        covered.by_table(&table);
    }
    for (rule, file, name) in BROKEN {
        covered.add(rule.to_owned(), &format!("{file} {name}"));
    }
    let left_out: Vec<&str> = RULES
        .iter()
        .map(|rule| rule.id)
        .filter(|id| !covered.0.contains_key(*id))
        .collect();
    assert!(left_out.is_empty(), "nobody breaks {left_out:?}");
    for (id, by) in covered.0 {
        assert!(rule(&id).is_some(), "{by:?} break {id}, which is no rule");
    }
}

#[test]
fn every_rule_of_the_operator_has_a_neighbour_that_is_accepted() {
    let named = Covered::by_names(&tests());
    let listed: BTreeSet<&str> = ACCEPTED.iter().map(|(rule, _)| *rule).collect();
    let left_out: Vec<&str> = RULES
        .iter()
        .filter(|rule| rule.held_by == Held::Operator)
        .map(|rule| rule.id)
        .filter(|id| !named.0.contains_key(*id) && !listed.contains(id))
        .collect();
    assert!(left_out.is_empty(), "nothing is accepted for {left_out:?}");
}

#[test]
fn the_tables_name_tests_that_are_there_and_rules_that_there_are() {
    let tests = tests();
    assert!(tests.len() > 30, "only {} tests were found", tests.len());
    let broken = BROKEN.iter().map(|(rule, file, name)| (rule, file, name));
    let accepted = ACCEPTED.iter();
    let all = broken.chain(accepted.map(|(rule, (file, name))| (rule, file, name)));
    for (id, file, name) in all {
        assert!(rule(id).is_some(), "{id} is no rule");
        let test = ((*file).to_owned(), (*name).to_owned());
        assert!(tests.contains(&test), "{file} has no test {name}");
    }
}
