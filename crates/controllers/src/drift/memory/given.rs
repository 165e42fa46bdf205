//! What quotas that follow use were given. What others write in them is none of it.

use leasehold_planner::quota::Hard;

use super::{Owner, Repairs};

impl Repairs {
    /// What the quota of a namespace was given last, where it follows use and that is known.
    pub(crate) fn given(&self, owner: &Owner, namespace: &str) -> Option<Hard> {
        let inner = self.lock();
        inner.given.get(owner)?.get(namespace).cloned()
    }

    /// The quota of a namespace, which follows use, is given this.
    pub(crate) fn gave(&self, owner: &Owner, namespace: &str, hard: &Hard) {
        let mut inner = self.lock();
        let given = inner.given.entry(owner.clone()).or_default();
        given.insert(namespace.to_owned(), hard.clone());
    }

    /// Nobody knows any more what the quota of a namespace was given.
    pub(crate) fn lose(&self, owner: &Owner, namespace: &str) {
        if let Some(given) = self.lock().given.get_mut(owner) {
            given.remove(namespace);
        }
    }

    /// Nobody knows any more what the owner's quotas were given.
    pub(crate) fn lose_all(&self, owner: &Owner) {
        self.lock().given.remove(owner);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_given_is_known_until_the_namespace_or_the_owner_is_gone() {
        let repairs = Repairs::default();
        let (owner, other) = (Owner::tenancy("edu", "oa"), Owner::tenancy("edu", "mail"));
        let hard = Hard::from([("requests.cpu".to_owned(), 5_000)]);
        for place in ["edu--prod", "edu--test", "edu--late"] {
            repairs.gave(&owner, place, &hard);
        }
        assert_eq!(repairs.given(&owner, "edu--prod"), Some(hard.clone()));
        assert_eq!(repairs.given(&other, "edu--prod"), None);
        repairs.lose(&owner, "edu--prod");
        assert_eq!(repairs.given(&owner, "edu--prod"), None);
        repairs.forget_in(&owner, "edu--test");
        assert_eq!(repairs.given(&owner, "edu--test"), None);
        assert_eq!(repairs.given(&owner, "edu--late"), Some(hard));
        repairs.forget_all(&owner);
        assert_eq!(repairs.given(&owner, "edu--late"), None);
    }
}
