//! What a lease bounds, one thing at a time: the keys of a quota that stand for it.

use leasehold_ledger::money::format_quantity;

use super::{CLASS_CAPACITY, Hard, ObservedQuota, is_leased, unit_of};

/// Storage of all classes together. It is no thing of its own: it is as large as its classes are.
const ALL_STORAGE: &str = "requests.storage";

/// One thing that a lease bounds: requests and limits of a resource, or the capacity of a storage
/// class. Its keys have the same amount and move together.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Pool {
    /// What people call it: the resource or the storage class.
    pub name: String,
    /// Its keys in a quota.
    pub keys: Vec<String>,
}

impl Pool {
    /// As much as all of its keys allow.
    pub fn least(&self, amounts: &Hard) -> i64 {
        self.amounts(amounts).min().unwrap_or(0)
    }

    /// As much as the largest of its keys says.
    pub fn most(&self, amounts: &Hard) -> i64 {
        self.amounts(amounts).max().unwrap_or(0)
    }

    fn amounts(&self, amounts: &Hard) -> impl Iterator<Item = i64> {
        self.keys
            .iter()
            .map(move |key| amounts.get(key).copied().unwrap_or(0))
    }
}

/// The things that these leased keys stand for, in the order of their keys.
pub(super) fn pools(hard: &Hard) -> Vec<Pool> {
    hard.keys()
        .filter(|key| is_leased(key) && *key != ALL_STORAGE)
        .filter_map(|key| pool(key, hard))
        .collect()
}

/// The thing of which this is the first key; none for the limits that stand beside requests.
fn pool(key: &str, hard: &Hard) -> Option<Pool> {
    let of = |name: &str, keys: Vec<String>| Pool {
        name: name.to_owned(),
        keys,
    };
    if let Some(class) = key.strip_suffix(CLASS_CAPACITY) {
        return Some(of(class, vec![key.to_owned()]));
    }
    if let Some(resource) = key.strip_prefix("requests.") {
        let limits = format!("limits.{resource}");
        let mut keys = vec![key.to_owned()];
        if hard.contains_key(&limits) {
            keys.push(limits);
        }
        return Some(of(resource, keys));
    }
    let resource = key.strip_prefix("limits.")?;
    let alone = !hard.contains_key(&format!("requests.{resource}"));
    alone.then(|| of(resource, vec![key.to_owned()]))
}

/// Makes the storage of all classes as large as they are together.
pub(super) fn add_up_storage(hard: &mut Hard) {
    let classes = hard.iter().filter(|(key, _)| key.ends_with(CLASS_CAPACITY));
    let sum = classes.fold(0_i64, |sum, (_, bytes)| sum.saturating_add(*bytes));
    if let Some(all) = hard.get_mut(ALL_STORAGE) {
        *all = sum;
    }
}

/// Used and granted of everything that is leased, as `cpu 12/20, memory 20Gi/40Gi`. What is neither
/// used nor granted is left out.
pub fn told(quota: &ObservedQuota) -> String {
    let granted = quota.status_hard.as_ref().unwrap_or(&quota.spec_hard);
    let parts: Vec<String> = pools(granted)
        .iter()
        .filter_map(|pool| {
            let (used, has) = (pool.most(&quota.used), pool.least(granted));
            let unit = unit_of(pool.keys.first()?);
            (used > 0 || has > 0).then(|| {
                let [used, has] = [used, has].map(|amount| format_quantity(amount, unit));
                format!("{} {used}/{has}", pool.name)
            })
        })
        .collect();
    parts.join(", ")
}

/// Name and amount of what is granted, as it was [`told`]; what is not granted is left out.
pub fn granted_in(told: &str) -> Vec<(&str, &str)> {
    let parts = told.split(", ");
    let granted = parts.filter_map(|part| {
        let (name, amounts) = part.rsplit_once(' ')?;
        let (_, has) = amounts.split_once('/')?;
        (has != "0").then_some((name, has))
    });
    granted.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_granted_is_read_from_what_is_told() {
        let told = "cpu 12/20, memory 20Gi/40Gi, gold storage 1/0";
        assert_eq!(granted_in(told), [("cpu", "20"), ("memory", "40Gi")]);
        assert_eq!(granted_in(""), []);
    }

    fn hard(amounts: &[(&str, i64)]) -> Hard {
        amounts
            .iter()
            .map(|(key, amount)| ((*key).to_owned(), *amount))
            .collect()
    }

    const SSD: &str = "ssd.storageclass.storage.k8s.io/requests.storage";
    const HDD: &str = "hdd.storageclass.storage.k8s.io/requests.storage";

    #[test]
    fn requests_and_limits_are_one_thing_and_all_storage_is_none_of_its_own() {
        let leased = hard(&[
            ("limits.cpu", 4),
            ("requests.cpu", 4),
            ("requests.nvidia.com/gpu", 2),
            ("requests.storage", 7),
            (SSD, 7),
            ("pods", 8),
        ]);
        let found: Vec<(String, Vec<String>)> = pools(&leased)
            .into_iter()
            .map(|pool| (pool.name, pool.keys))
            .collect();
        let expected = [
            ("cpu", vec!["requests.cpu", "limits.cpu"]),
            ("nvidia.com/gpu", vec!["requests.nvidia.com/gpu"]),
            ("ssd", vec![SSD]),
        ];
        let expected = expected.map(|(name, keys)| {
            let keys: Vec<String> = keys.into_iter().map(str::to_owned).collect();
            (name.to_owned(), keys)
        });
        assert_eq!(found, expected);
    }

    #[test]
    fn all_storage_is_what_its_classes_are_together() {
        let mut amounts = hard(&[("requests.storage", 1), (SSD, 3), (HDD, 4)]);
        add_up_storage(&mut amounts);
        assert_eq!(amounts["requests.storage"], 7);
        let mut none = hard(&[("requests.storage", 1)]);
        add_up_storage(&mut none);
        assert_eq!(none["requests.storage"], 0);
    }

    #[test]
    fn what_a_namespace_has_is_told_by_what_counts_and_by_the_scarcer_of_two_bounds() {
        let granted = hard(&[
            ("limits.cpu", 20_000),
            ("requests.cpu", 20_000),
            ("limits.memory", 40 << 30),
            ("requests.memory", 40 << 30),
            ("requests.nvidia.com/gpu", 0),
            ("requests.storage", 2 << 40),
            (SSD, 2 << 40),
        ]);
        let quota = ObservedQuota {
            spec_hard: hard(&[("requests.cpu", 24_000), ("limits.cpu", 24_000)]),
            status_hard: Some(granted),
            used: hard(&[
                ("requests.cpu", 11_000),
                ("limits.cpu", 12_500),
                ("requests.memory", 20 << 30),
                (SSD, 1 << 40),
            ]),
        };
        assert_eq!(told(&quota), "cpu 12500m/20, memory 20Gi/40Gi, ssd 1Ti/2Ti");
        let new = ObservedQuota {
            status_hard: None,
            ..quota
        };
        assert_eq!(told(&new), "cpu 12500m/24");
    }
}
