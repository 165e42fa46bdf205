//! The double-entry journal and the hash chain that every row of the ledger hangs in.
//!
//! Accounts: `hw_clearing/<lot>` (contra of finance's fixed-asset register), `credit/<lot>` (what
//! the cloud still owes the department for its hardware), `ar/<department>` (what the department
//! owes), `revenue/<category>` and `breakage` (credit that expired). A debit is positive, a credit
//! negative, and the postings of each entry add up to zero.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::canonical::{Digest, digest_bytes};
use crate::lot::Lot;
use crate::money::{Money, MoneyError};
use crate::time::Second;

/// Account that takes credit which expired unused.
pub const BREAKAGE: &str = "breakage";

/// What an entry records.
#[derive(Serialize, Deserialize, Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum EntryKind {
    /// A lot came to life.
    Grant,
    /// A department's statement of a period was closed.
    Close,
    /// The rest of a lot expired.
    Expire,
    /// The rest of a lot was taken back.
    Void,
}

/// One side of an entry.
#[derive(Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Posting {
    /// Name of the account.
    pub account: String,
    /// Debit above zero, credit below.
    pub amount: Money,
}

/// One balanced transaction.
#[derive(Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Entry {
    /// What happened to what, e.g. `close/2026-09/gov-office`; unique over all time.
    pub id: String,
    /// What it records.
    pub kind: EntryKind,
    /// Effective instant, which is not the time of writing.
    pub at: Second,
    /// Code of the department concerned.
    pub department: String,
    /// Name of the period, for entries that belong to one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub period: Option<String>,
    /// The postings, one per account, by account name.
    pub postings: Vec<Posting>,
}

/// Why an entry is not one.
#[derive(Debug, thiserror::Error)]
pub enum JournalError {
    /// Debits and credits differ.
    #[error("failed to balance entry {id}: its postings add up to {sum}, not to 0.00")]
    Unbalanced {
        /// Id of the entry.
        id: String,
        /// What is left over.
        sum: Money,
    },
    /// Postings are not one per account in order, or are zero.
    #[error(
        "failed to read entry {id}: the posting to {account} is zero, repeated or out of order"
    )]
    Unordered {
        /// Id of the entry.
        id: String,
        /// The offending account.
        account: String,
    },
    /// A sum beyond what money can hold.
    #[error("failed to add up postings")]
    Money(#[from] MoneyError),
}

impl Entry {
    /// A balanced entry: postings to one account are merged, zero ones dropped, the rest sorted.
    pub fn new(
        id: String,
        kind: EntryKind,
        at: Second,
        department: String,
        period: Option<String>,
        postings: Vec<Posting>,
    ) -> Result<Self, JournalError> {
        let mut merged: BTreeMap<String, Money> = BTreeMap::new();
        for posting in postings {
            let sum = merged.entry(posting.account).or_insert(Money::ZERO);
            *sum = sum.checked_add(posting.amount)?;
        }
        let postings = merged
            .into_iter()
            .filter(|(_, amount)| *amount != Money::ZERO)
            .map(|(account, amount)| Posting { account, amount })
            .collect();
        let entry = Self {
            id,
            kind,
            at,
            department,
            period,
            postings,
        };
        entry.check()?;
        Ok(entry)
    }

    /// The grant of a lot: Dr `hw_clearing`, Cr `credit`.
    pub fn grant(lot: &Lot, at: Second) -> Result<Self, JournalError> {
        let postings = transfer(
            clearing_account(&lot.id),
            credit_account(&lot.id),
            lot.amount,
        )?;
        let id = format!("grant/{}", lot.id);
        Self::new(
            id,
            EntryKind::Grant,
            at,
            lot.department.clone(),
            None,
            postings,
        )
    }

    /// The expiry of a lot's rest at its end: Dr `credit`, Cr `breakage`.
    pub fn expire(
        lot: &Lot,
        remaining: Money,
        period: Option<String>,
    ) -> Result<Self, JournalError> {
        let postings = transfer(credit_account(&lot.id), BREAKAGE.to_owned(), remaining)?;
        let id = format!("expire/{}", lot.id);
        let department = lot.department.clone();
        Self::new(
            id,
            EntryKind::Expire,
            lot.span.to,
            department,
            period,
            postings,
        )
    }

    /// The taking back of a lot's rest: Dr `credit`, Cr `hw_clearing`.
    pub fn void(lot: &Lot, remaining: Money, at: Second) -> Result<Self, JournalError> {
        let postings = transfer(
            credit_account(&lot.id),
            clearing_account(&lot.id),
            remaining,
        )?;
        let id = format!("void/{}", lot.id);
        Self::new(
            id,
            EntryKind::Void,
            at,
            lot.department.clone(),
            None,
            postings,
        )
    }

    /// Whether the entry takes back all of a lot: nothing of it was used, and nothing has expired.
    pub fn takes_back_all(&self, lot: &Lot) -> bool {
        let account = credit_account(&lot.id);
        self.kind == EntryKind::Void
            && self
                .postings
                .iter()
                .any(|posting| posting.account == account && posting.amount == lot.amount)
    }

    /// Whether the entry, as read back, is still balanced, ordered and free of zeros.
    pub fn check(&self) -> Result<(), JournalError> {
        let mut last: Option<&str> = None;
        for posting in &self.postings {
            let in_order = last.is_none_or(|before| before < posting.account.as_str());
            if !in_order || posting.amount == Money::ZERO {
                return Err(JournalError::Unordered {
                    id: self.id.clone(),
                    account: posting.account.clone(),
                });
            }
            last = Some(&posting.account);
        }
        let sum = Money::sum(self.postings.iter().map(|p| p.amount))?;
        if sum != Money::ZERO {
            return Err(JournalError::Unbalanced {
                id: self.id.clone(),
                sum,
            });
        }
        Ok(())
    }
}

/// Dr `debit`, Cr `credit`, both by `amount`.
pub fn transfer(debit: String, credit: String, amount: Money) -> Result<Vec<Posting>, MoneyError> {
    Ok(vec![
        Posting {
            account: debit,
            amount,
        },
        Posting {
            account: credit,
            amount: amount.checked_neg()?,
        },
    ])
}

/// The account that holds what is left of a lot, as a credit balance.
pub fn credit_account(lot: &str) -> String {
    format!("credit/{lot}")
}

/// The account that stands for the hardware behind a lot.
pub fn clearing_account(lot: &str) -> String {
    format!("hw_clearing/{lot}")
}

/// The account of what a department owes.
pub fn receivable_account(department: &str) -> String {
    format!("ar/{department}")
}

/// Balance of every account that the entries touch.
pub fn balances<'a>(
    entries: impl IntoIterator<Item = &'a Entry>,
) -> Result<BTreeMap<String, Money>, JournalError> {
    let mut balances: BTreeMap<String, Money> = BTreeMap::new();
    for posting in entries.into_iter().flat_map(|e| &e.postings) {
        let balance = balances
            .entry(posting.account.clone())
            .or_insert(Money::ZERO);
        *balance = balance.checked_add(posting.amount)?;
    }
    Ok(balances)
}

/// One link of the chain: what was written, and the hash of all that was written before.
#[derive(Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ChainRow {
    /// Place in the ledger, from 1 without gaps.
    pub seq: u64,
    /// `fact`, `document` or `entry`.
    pub kind: String,
    /// Key of the fact or entry; for a document what [`crate::document::row_key`] gives.
    pub key: String,
    /// Digest of the body's canonical JSON.
    pub digest: Digest,
    /// Hash of the row before, or [`genesis`].
    pub prev: Digest,
    /// [`link`] over all the other fields.
    pub hash: Digest,
}

impl ChainRow {
    /// The row that follows `head` (sequence and hash of the last row; `None` for an empty ledger).
    pub fn after(head: Option<(u64, &Digest)>, kind: &str, key: &str, digest: Digest) -> Self {
        let (seq, prev) = match head {
            Some((seq, hash)) => (seq.saturating_add(1), hash.clone()),
            None => (1, genesis()),
        };
        let hash = link(seq, kind, key, &digest, &prev);
        Self {
            seq,
            kind: kind.to_owned(),
            key: key.to_owned(),
            digest,
            prev,
            hash,
        }
    }
}

/// The hash that the first row of every ledger follows.
pub fn genesis() -> Digest {
    digest_bytes(b"leasehold ledger, version 1")
}

/// The hash of a row. Lengths are hashed with the texts so that no two rows have one encoding.
pub fn link(seq: u64, kind: &str, key: &str, digest: &Digest, prev: &Digest) -> Digest {
    let (kind_length, key_length) = (kind.len(), key.len());
    let text = format!("{seq}\n{kind_length}:{kind}\n{key_length}:{key}\n{digest}\n{prev}\n");
    digest_bytes(text.as_bytes())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::book::Category;
    use crate::time::Span;

    fn lot() -> Lot {
        Lot {
            id: "gov-office/servers-2024".to_owned(),
            department: "gov-office".to_owned(),
            contribution: "servers-2024".to_owned(),
            amount: Money::parse("219777.76").unwrap(),
            classes: vec![Category::Compute],
            cap_percent: 50,
            priority: 10,
            sequence: 1,
            span: Span {
                from: Second::new(0),
                to: Second::new(3600),
            },
            through: "2029-08-31".to_owned(),
        }
    }

    fn posting(account: &str, minor: i64) -> Posting {
        Posting {
            account: account.to_owned(),
            amount: Money::from_minor(minor),
        }
    }

    fn entry(postings: Vec<Posting>) -> Result<Entry, JournalError> {
        let id = "close/2026-09/gov-office".to_owned();
        Entry::new(
            id,
            EntryKind::Close,
            Second::new(1),
            "gov-office".to_owned(),
            None,
            postings,
        )
    }

    #[test]
    fn an_entry_sorts_and_merges_its_postings_and_drops_zeros() {
        let made = entry(vec![
            posting("revenue/compute", -70),
            posting("ar/gov-office", 60),
            posting("breakage", 0),
            posting("ar/gov-office", 10),
        ])
        .unwrap();
        assert_eq!(
            made.postings,
            [
                posting("ar/gov-office", 70),
                posting("revenue/compute", -70)
            ]
        );
    }

    #[test]
    fn an_entry_that_does_not_balance_is_refused_with_the_difference() {
        let made = entry(vec![posting("ar/a", 70), posting("revenue/compute", -69)]);
        assert!(matches!(made, Err(JournalError::Unbalanced { sum, .. }) if sum.minor() == 1));
    }

    #[test]
    fn check_finds_postings_that_were_repeated_after_the_fact() {
        let mut made = entry(vec![posting("ar/a", 70), posting("revenue/compute", -70)]).unwrap();
        made.postings.push(posting("revenue/compute", 5));
        made.postings.push(posting("revenue/storage", -5));
        assert!(matches!(made.check(), Err(JournalError::Unordered { .. })));
    }

    #[test]
    fn grant_and_expiry_leave_nothing_on_the_lot_and_all_in_breakage() {
        let lot = lot();
        let grant = Entry::grant(&lot, Second::new(0)).unwrap();
        let expiry = Entry::expire(&lot, lot.amount, None).unwrap();
        let end = balances([&grant, &expiry]).unwrap();
        assert_eq!(end["credit/gov-office/servers-2024"], Money::ZERO);
        assert_eq!(end["breakage"].minor(), -21_977_776);
        assert_eq!(
            end["hw_clearing/gov-office/servers-2024"].minor(),
            21_977_776
        );
        assert_eq!(expiry.at, lot.span.to);
    }

    #[test]
    fn grant_and_void_cancel_out() {
        let lot = lot();
        let grant = Entry::grant(&lot, Second::new(0)).unwrap();
        let void = Entry::void(&lot, lot.amount, Second::new(9)).unwrap();
        assert!(
            balances([&grant, &void])
                .unwrap()
                .values()
                .all(|b| *b == Money::ZERO)
        );
    }

    #[test]
    fn a_lot_is_taken_back_as_a_whole_by_a_return_of_all_of_it_alone() {
        let (lot, at) = (lot(), Second::new(9));
        let all = Entry::void(&lot, lot.amount, at).unwrap();
        assert!(all.takes_back_all(&lot));
        let rest = Entry::void(&lot, Money::parse("219777.75").unwrap(), at).unwrap();
        assert!(!rest.takes_back_all(&lot));
        let expired = Entry::expire(&lot, lot.amount, None).unwrap();
        assert!(!expired.takes_back_all(&lot));
        let mut other = lot.clone();
        other.id = "gov-office/servers-2025".to_owned();
        assert!(!all.takes_back_all(&other));
    }

    #[test]
    fn the_chain_starts_at_one_and_each_row_follows_the_one_before() {
        let first = ChainRow::after(None, "fact", "a", digest_bytes(b"x"));
        let second = ChainRow::after(Some((1, &first.hash)), "fact", "b", digest_bytes(b"y"));
        assert_eq!((first.seq, second.seq), (1, 2));
        assert_eq!(first.prev, genesis());
        assert_eq!(second.prev, first.hash);
    }

    #[test]
    fn moving_a_letter_from_kind_to_key_changes_the_hash() {
        let (body, prev) = (digest_bytes(b"x"), genesis());
        assert_ne!(
            link(1, "fact", "sa", &body, &prev),
            link(1, "facts", "a", &body, &prev)
        );
        assert_ne!(
            link(1, "a\n1:b", "c", &body, &prev),
            link(1, "a", "b\n1:c", &body, &prev)
        );
    }

    proptest! {
        #[test]
        fn every_entry_that_is_accepted_adds_up_to_zero_and_every_other_is_refused(
            amounts in prop::collection::vec((0_u8..4, -1_000_i64..1_000), 0..6),
            balance in any::<bool>(),
        ) {
            let mut postings: Vec<Posting> =
                amounts.iter().map(|(a, m)| posting(&format!("revenue/{a}"), *m)).collect();
            let sum: i64 = amounts.iter().map(|(_, m)| m).sum();
            if balance {
                postings.push(posting("ar/a", -sum));
            }
            match entry(postings) {
                Ok(made) => {
                    let left: i64 = made.postings.iter().map(|p| p.amount.minor()).sum();
                    prop_assert_eq!(left, 0);
                }
                Err(_) => prop_assert!(!balance && sum != 0),
            }
        }
    }
}
