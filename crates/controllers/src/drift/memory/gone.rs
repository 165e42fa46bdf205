//! What nobody asks about any more is forgotten.

use super::{Owner, Repairs};

impl Repairs {
    /// Nothing more is known of offices whose departments are gone. Their namespaces stay, and nobody looks after them.
    pub(crate) fn forget_offices(&self, is_there: impl Fn(&str) -> bool) {
        let stays = |owner: &Owner| owner.department_of_office().is_none_or(&is_there);
        let mut inner = self.lock();
        inner.objects.retain(|owner, _| stays(owner));
        inner.happened.retain(|owner, _| stays(owner));
        inner.contested.retain(|owner, _| stays(owner));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::drift::{memory::News, words::Key, words::What};

    #[test]
    fn an_office_is_forgotten_with_its_department_and_nothing_else_is() {
        let repairs = Repairs::default();
        let owners = [
            Owner::office("edu"),
            Owner::office("health"),
            Owner::tenancy("edu", "oa"),
            Owner::kept("disk"),
        ];
        let key = Key {
            place: Some("dept-edu".to_owned()),
            what: What::RoleBinding,
            name: "leasehold-admins".to_owned(),
        };
        for owner in &owners {
            repairs.saw(owner, &key);
            repairs.tell(owner, &key, "something happened".to_owned());
        }
        repairs.lock().contested.insert(Owner::office("edu"), 1);
        repairs.forget_offices(|code| code == "health");
        assert_eq!(repairs.contested(), 0, "nobody fights over it any more");
        let known: Vec<Owner> = repairs.lock().objects.keys().cloned().collect();
        assert!(!known.contains(&owners[0]), "{known:?}");
        assert_eq!(known.len(), 3, "{known:?}");
        let now = leasehold_ledger::time::Second::new(0);
        assert_eq!(repairs.take(&owners[0], now), News::default());
        for owner in &owners[1..] {
            assert_eq!(repairs.take(owner, now).happened.len(), 1, "{owner:?}");
        }
    }
}
