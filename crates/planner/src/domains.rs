//! Which domains a department may publish under: those that the office entered for it, but for what an older department
//! claims.

use std::collections::{BTreeMap, BTreeSet};

use leasehold_api::tenancy::Department;
use leasehold_ledger::time::Second;

use crate::rules::Refusal;

/// The domains of a department, told apart.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Granted {
    /// Those that it has.
    pub domains: BTreeSet<String>,
    /// Why it has not the others.
    pub refused: Vec<Refusal>,
}

/// Whether two departments claim domains of which one is or lies in the other. Nobody meets themselves.
pub fn meet(one: &Department, other: &Department) -> bool {
    let theirs = &other.spec.domains;
    code(one) != code(other)
        && one
            .spec
            .domains
            .iter()
            .any(|domain| theirs.iter().any(|their| overlap(domain, their)))
}

/// Which of its domains the department has, among these departments. `known` says since when each is known, by its code;
/// one that is not in it was never seen before, and is the youngest.
///
/// What an older department claims is the older one's, whether that has it or not: then the answer depends on no third
/// one. Of two that are known since the same second the first by name is the older.
pub fn granted(
    department: &Department,
    others: &[Department],
    known: &BTreeMap<String, Second>,
) -> Granted {
    let older: Vec<&Department> = others
        .iter()
        .filter(|other| age(other, known) < age(department, known))
        .collect();
    let mut granted = Granted::default();
    for domain in &department.spec.domains {
        let claims = older
            .iter()
            .flat_map(|other| other.spec.domains.iter().map(move |claim| (*other, claim)));
        let oldest = claims
            .filter(|(_, claim)| overlap(domain, claim))
            .min_by(|(one, _), (other, _)| age(one, known).cmp(&age(other, known)));
        match oldest {
            None => {
                granted.domains.insert(domain.to_string());
            }
            Some((other, claim)) => granted.refused.push(Refusal::new(
                "D04",
                format!("domain {domain}"),
                format!(
                    "domains that no older department has, and {} has {claim}",
                    code(other)
                ),
                "the office takes one of the two out of spec.domains",
            )),
        }
    }
    granted
}

/// Whether the domains are the same or one lies in the other.
fn overlap(one: &str, other: &str) -> bool {
    lies_in(one, other) || lies_in(other, one)
}

/// Whether a name is the domain or lies in it: whole labels count, so that `myoa.example` is not in `oa.example`.
fn lies_in(name: &str, domain: &str) -> bool {
    name.strip_suffix(domain)
        .is_some_and(|before| before.is_empty() || before.ends_with('.'))
}

/// What tells the older of two departments.
fn age<'a>(
    department: &'a Department,
    known: &BTreeMap<String, Second>,
) -> (bool, Option<Second>, &'a str) {
    let code = code(department);
    let since = known.get(code).copied();
    (since.is_none(), since, code)
}

fn code(department: &Department) -> &str {
    department.metadata.name.as_deref().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn department(name: &str, domains: &[&str]) -> Department {
        let spec = json!({
            "displayName": name, "administrators": [{"kind": "Group", "name": "admins"}],
            "domains": domains,
        });
        Department::new(name, serde_json::from_value(spec).unwrap())
    }

    fn known(since: &[(&str, i64)]) -> BTreeMap<String, Second> {
        let since = since.iter();
        since
            .map(|(code, second)| ((*code).to_owned(), Second::new(*second)))
            .collect()
    }

    fn has(department: &Department, others: &[Department], since: &[(&str, i64)]) -> Vec<String> {
        let granted = granted(department, others, &known(since));
        granted.domains.into_iter().collect()
    }

    #[test]
    fn a_domain_is_the_older_departments_and_the_younger_is_told_whose() {
        let (old, young) = (
            department("petition", &["petition.city.example"]),
            department("audit", &["petition.city.example", "audit.city.example"]),
        );
        let (all, since) = (
            [young.clone(), old.clone()],
            [("petition", 1), ("audit", 2)],
        );
        assert_eq!(has(&old, &all, &since), ["petition.city.example"]);
        let told = granted(&young, &all, &known(&since));
        assert_eq!(
            told.domains,
            BTreeSet::from(["audit.city.example".to_owned()])
        );
        let refused: Vec<String> = told.refused.iter().map(ToString::to_string).collect();
        let expected = "rule D04: asked domain petition.city.example, allowed domains that no older department has, and petition has petition.city.example; the office takes one of the two out of spec.domains";
        assert_eq!(refused, [expected]);
    }

    #[test]
    fn a_domain_above_or_below_that_of_another_is_refused_and_one_that_only_ends_alike_is_not() {
        let old = department("oa", &["oa.city.example"]);
        let of_old = std::slice::from_ref(&old);
        for (asked, free) in [
            ("oa.city.example", false),
            ("mail.oa.city.example", false),
            ("city.example", false),
            ("myoa.city.example", true),
            ("oa.city.example.org", true),
            ("a.city.example", true),
        ] {
            let young = department("young", &[asked]);
            assert_eq!(meet(&young, &old), !free, "{asked}");
            assert_eq!(meet(&old, &young), !free, "{asked}");
            let had = has(&young, of_old, &[("oa", 1), ("young", 2)]);
            assert_eq!(had.len(), usize::from(free), "{asked}");
        }
    }

    #[test]
    fn of_two_of_one_second_the_first_by_name_has_it_and_nobody_is_their_own_rival() {
        let domains = ["city.example", "mail.city.example"];
        let (first, second) = (department("a", &domains), department("b", &domains));
        let (all, since) = ([second.clone(), first.clone()], [("a", 7), ("b", 7)]);
        assert_eq!(has(&first, &all, &since), domains);
        assert_eq!(has(&second, &all, &since), Vec::<String>::new());
        assert!(!meet(&first, &first));
    }

    #[test]
    fn who_was_never_seen_before_is_the_youngest() {
        let (new, known) = (
            department("a", &["city.example"]),
            department("b", &["city.example"]),
        );
        let (all, since) = ([new.clone(), known.clone()], [("b", 7)]);
        assert_eq!(has(&new, &all, &since), Vec::<String>::new());
        assert_eq!(has(&known, &all, &since), ["city.example"]);
    }

    #[test]
    fn what_the_older_claims_in_vain_is_not_the_youngest_ones_either() {
        let oldest = department("oldest", &["a.city.example"]);
        let older = department("older", &["city.example"]);
        let youngest = department("youngest", &["b.city.example"]);
        let all = [oldest, older, youngest.clone()];
        let since = [("oldest", 1), ("older", 2), ("youngest", 3)];
        assert_eq!(has(&youngest, &all, &since), Vec::<String>::new());
    }
}
