//! Which domains a department may publish under: those that the office entered for it, but for what an older department
//! claims.

use std::collections::BTreeSet;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use leasehold_api::tenancy::Department;

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

/// Which of its domains the department has, among these departments.
///
/// What an older department claims is the older one's, whether that has it or not: then the answer depends on no third
/// one. Of two that were made in the same second the first by name is the older.
pub fn granted(department: &Department, others: &[Department]) -> Granted {
    let older: Vec<&Department> = others
        .iter()
        .filter(|other| age(other) < age(department))
        .collect();
    let mut granted = Granted::default();
    for domain in &department.spec.domains {
        let claims = older
            .iter()
            .flat_map(|other| other.spec.domains.iter().map(move |claim| (*other, claim)));
        let oldest = claims
            .filter(|(_, claim)| overlap(domain, claim))
            .min_by(|(one, _), (other, _)| age(one).cmp(&age(other)));
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
fn age(department: &Department) -> (Option<&Time>, &str) {
    let made = department.metadata.creation_timestamp.as_ref();
    (made, code(department))
}

fn code(department: &Department) -> &str {
    department.metadata.name.as_deref().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use k8s_openapi::jiff::Timestamp;
    use serde_json::json;

    use super::*;

    fn department(name: &str, made: i64, domains: &[&str]) -> Department {
        let spec = json!({
            "displayName": name, "administrators": [{"kind": "Group", "name": "admins"}],
            "domains": domains,
        });
        let mut department = Department::new(name, serde_json::from_value(spec).unwrap());
        let made = Timestamp::from_second(made).unwrap();
        department.metadata.creation_timestamp = Some(Time(made));
        department
    }

    fn has(department: &Department, others: &[Department]) -> Vec<String> {
        granted(department, others).domains.into_iter().collect()
    }

    #[test]
    fn a_domain_is_the_older_departments_and_the_younger_is_told_whose() {
        let (old, young) = (
            department("petition", 1, &["petition.city.example"]),
            department("audit", 2, &["petition.city.example", "audit.city.example"]),
        );
        let all = [young.clone(), old.clone()];
        assert_eq!(has(&old, &all), ["petition.city.example"]);
        let told = granted(&young, &all);
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
        let old = department("oa", 1, &["oa.city.example"]);
        let of_old = std::slice::from_ref(&old);
        for (asked, free) in [
            ("oa.city.example", false),
            ("mail.oa.city.example", false),
            ("city.example", false),
            ("myoa.city.example", true),
            ("oa.city.example.org", true),
            ("a.city.example", true),
        ] {
            let young = department("young", 2, &[asked]);
            assert_eq!(meet(&young, &old), !free, "{asked}");
            assert_eq!(meet(&old, &young), !free, "{asked}");
            assert_eq!(has(&young, of_old).len(), usize::from(free), "{asked}");
        }
    }

    #[test]
    fn of_two_of_one_second_the_first_by_name_has_it_and_nobody_is_their_own_rival() {
        let domains = ["city.example", "mail.city.example"];
        let (first, second) = (department("a", 7, &domains), department("b", 7, &domains));
        let all = [second.clone(), first.clone()];
        assert_eq!(has(&first, &all), domains);
        assert_eq!(has(&second, &all), Vec::<String>::new());
        assert!(!meet(&first, &first));
    }

    #[test]
    fn what_the_older_claims_in_vain_is_not_the_youngest_ones_either() {
        let oldest = department("oldest", 1, &["a.city.example"]);
        let older = department("older", 2, &["city.example"]);
        let youngest = department("youngest", 3, &["b.city.example"]);
        let all = [oldest, older, youngest.clone()];
        assert_eq!(has(&youngest, &all), Vec::<String>::new());
    }
}
