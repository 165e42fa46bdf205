//! Price books and the catalogue: which price was in force for what, and when.
//!
//! A book is a provider's price list with a validity of whole local days. Books of one provider
//! never price one item twice on one day, so the rate at an instant is unique, and every line of a
//! statement names the digest of its rate.

mod catalogue;

use std::{collections::BTreeSet, fmt};

use serde::{Deserialize, Serialize};

use crate::{
    canonical::{CanonicalError, Digest, digest_of},
    money::{Money, Price, Unit},
    time::{LocalDate, Span, Zone},
};

pub use catalogue::{BookError, Catalogue, Rate};

/// Class of a charge, as the government's catalogue groups services. In JSON in lower case.
#[derive(Serialize, Deserialize, Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[serde(rename_all = "lowercase")]
pub enum Category {
    /// Lines, addresses, bandwidth.
    Network,
    /// Processors, memory, accelerators.
    Compute,
    /// Volumes, objects, shares.
    Storage,
    /// Operating systems.
    Os,
    /// Databases.
    Database,
    /// Middleware.
    Middleware,
    /// Protection and audit.
    Security,
    /// Copies for recovery.
    Backup,
}

impl Category {
    /// All classes in the order of the catalogue.
    pub const ALL: [Self; 8] = [
        Self::Network,
        Self::Compute,
        Self::Storage,
        Self::Os,
        Self::Database,
        Self::Middleware,
        Self::Security,
        Self::Backup,
    ];

    /// The class as documents and accounts write it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Network => "network",
            Self::Compute => "compute",
            Self::Storage => "storage",
            Self::Os => "os",
            Self::Database => "database",
            Self::Middleware => "middleware",
            Self::Security => "security",
            Self::Backup => "backup",
        }
    }
}

impl fmt::Display for Category {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// What of an item is billed.
#[derive(Serialize, Deserialize, Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Basis {
    /// What the lease reserves, used or not.
    Reserved,
    /// What is used while the lease holds the item.
    Metered,
    /// Each unit once, when it is first leased.
    OneOff,
}

impl Basis {
    /// The basis as documents write it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Reserved => "Reserved",
            Self::Metered => "Metered",
            Self::OneOff => "OneOff",
        }
    }
}

impl fmt::Display for Basis {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// What length of time a price is for.
#[derive(Serialize, Deserialize, Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Per {
    /// A calendar month of the policy's zone, prorated by seconds.
    Month,
    /// 3600 seconds.
    Hour,
    /// No time at all: paid once.
    Once,
}

impl Per {
    /// The length as documents write it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Month => "Month",
            Self::Hour => "Hour",
            Self::Once => "Once",
        }
    }
}

impl fmt::Display for Per {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// One priced item of a book.
#[derive(Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Item {
    /// Name that leases use, a DNS label.
    pub name: String,
    /// Name for people.
    pub display_name: String,
    /// Class of the charge.
    pub category: Category,
    /// The resource of pods and quotas that it stands for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resource: Option<String>,
    /// The storage class that it stands for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub storage_class: Option<String>,
    /// The declared meter that counts it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub meter: Option<String>,
    /// What the price is for one of.
    pub unit: Unit,
    /// What time the price is for.
    pub per: Per,
    /// What is billed.
    pub basis: Basis,
    /// Price of one unit for that time, in the book's currency.
    pub price: Price,
}

/// Tax, which prices contain; it is printed and never computed with.
#[derive(Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Tax {
    /// Whether prices contain it; books whose prices do not are refused.
    pub included: bool,
    /// Its rate in percent, such as `6`.
    pub percent: String,
}

/// A provider's price list.
#[derive(Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Book {
    /// Its name.
    pub name: String,
    /// Who is paid.
    pub provider: String,
    /// The contract that fixed the prices.
    pub contract: String,
    /// First local day of validity.
    pub from: LocalDate,
    /// Last local day of validity.
    pub through: LocalDate,
    /// ISO 4217 code of the currency.
    pub currency: String,
    /// Tax inside the prices.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tax: Option<Tax>,
    /// The priced items.
    pub items: Vec<Item>,
}

/// What is wrong with a book.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BookFault {
    /// Short name of the rule, such as `item-unique`.
    pub rule: &'static str,
    /// Where, such as `items[2].price`.
    pub field: String,
    /// What was found and what to do.
    pub message: String,
}

/// What the digest of a rate covers.
#[derive(Serialize)]
struct RateBody<'a> {
    provider: &'a str,
    contract: &'a str,
    book: &'a str,
    item: &'a Item,
}

impl Book {
    /// Digest of the whole book.
    pub fn digest(&self) -> Result<Digest, CanonicalError> {
        digest_of(self)
    }

    /// Digest of one rate: provider, contract, name of the book and item, but not the validity,
    /// which may still be ended earlier.
    pub fn rate_digest(&self, item: &Item) -> Result<Digest, CanonicalError> {
        digest_of(&RateBody {
            provider: &self.provider,
            contract: &self.contract,
            book: &self.name,
            item,
        })
    }

    /// The instants of its validity.
    pub fn span(&self, zone: &Zone) -> Span {
        zone.span_of_days(self.from, self.through)
    }

    /// Whether both books price an item of one provider on a common day.
    pub fn overlaps(&self, other: &Self) -> bool {
        let names: BTreeSet<&str> = self.items.iter().map(|item| item.name.as_str()).collect();
        self.provider == other.provider
            && self.from <= other.through
            && other.from <= self.through
            && other
                .items
                .iter()
                .any(|item| names.contains(item.name.as_str()))
    }

    /// Everything that is wrong with it; nothing if it can be published.
    pub fn validate(&self) -> Vec<BookFault> {
        let mut faults = Faults::default();
        self.check_head(&mut faults);
        if let Some(tax) = &self.tax {
            tax.check(&mut faults);
        }
        faults.check(!self.items.is_empty(), "items-present", "items", || {
            "the book prices nothing; list at least one item".to_owned()
        });
        let mut names = BTreeSet::new();
        for (n, item) in self.items.iter().enumerate() {
            let field = format!("items[{n}]");
            let unique = names.insert(item.name.as_str());
            faults.check(unique, "item-unique", &format!("{field}.name"), || {
                format!(
                    "{:?} is listed twice; keep one price for an item",
                    item.name
                )
            });
            item.check_names(&field, &mut faults);
            item.check_counting(&field, &mut faults);
        }
        faults.0
    }

    fn check_head(&self, faults: &mut Faults) {
        for (field, text) in [
            ("name", &self.name),
            ("provider", &self.provider),
            ("contract", &self.contract),
        ] {
            faults.check(is_shown(text), "text-present", field, || {
                "is empty; name it".to_owned()
            });
        }
        let ordered = self.from <= self.through;
        faults.check(ordered, "validity-order", "through", || {
            format!("{} is before the first day {}", self.through, self.from)
        });
        let code =
            self.currency.len() == 3 && self.currency.bytes().all(|b| b.is_ascii_uppercase());
        faults.check(code, "currency-code", "currency", || {
            format!(
                "{:?} is no code of ISO 4217; write one such as CNY",
                self.currency
            )
        });
    }
}

impl Tax {
    fn check(&self, faults: &mut Faults) {
        faults.check(self.included, "tax-included", "tax.included", || {
            "prices must contain the tax; write gross prices and set it to true".to_owned()
        });
        let valid = is_percentage(&self.percent);
        faults.check(valid, "tax-percent", "tax.percent", || {
            format!(
                "{:?} is no rate from 0 to 100 with up to two decimals",
                self.percent
            )
        });
    }
}

impl Item {
    fn check_names(&self, field: &str, faults: &mut Faults) {
        let valid = is_label(&self.name);
        faults.check(valid, "item-name", &format!("{field}.name"), || {
            format!(
                "{:?} is no name of up to 63 letters a-z, digits and dashes",
                self.name
            )
        });
        let shown = is_shown(&self.display_name);
        faults.check(
            shown,
            "text-present",
            &format!("{field}.displayName"),
            || "is empty; name the item for people".to_owned(),
        );
    }

    fn check_counting(&self, field: &str, faults: &mut Faults) {
        let sources = [&self.resource, &self.storage_class, &self.meter];
        let named = sources.iter().filter(|source| source.is_some()).count();
        faults.check(
            named <= 1,
            "one-source",
            &format!("{field}.storageClass"),
            || {
                "an item stands for a resource, for a storage class or for what a meter counts, not \
                 for two of them"
                    .to_owned()
            },
        );
        let countable = named > 0 || self.basis != Basis::Metered;
        faults.check(
            countable,
            "metered-source",
            &format!("{field}.basis"),
            || {
                "a metered item needs a resource, a storage class or a meter to be counted by"
                    .to_owned()
            },
        );
        let metered = self.meter.is_none() || self.basis == Basis::Metered;
        faults.check(metered, "meter-basis", &format!("{field}.basis"), || {
            format!(
                "{} is not possible with a meter; what a meter counts is Metered",
                self.basis
            )
        });
        let once = (self.basis == Basis::OneOff) == (self.per == Per::Once);
        faults.check(once, "basis-per", &format!("{field}.per"), || {
            format!(
                "{} per {} is not possible; OneOff goes with Once",
                self.basis, self.per
            )
        });
        if let Some(unit) = self.natural_unit() {
            faults.check(
                self.unit == unit,
                "unit-of-source",
                &format!("{field}.unit"),
                || format!("{} is not what it is counted in; use {unit}", self.unit),
            );
        }
    }

    /// The unit that follows from the resource or storage class, if any does.
    fn natural_unit(&self) -> Option<Unit> {
        if self.storage_class.is_some() {
            return Some(Unit::GiB);
        }
        match self.resource.as_deref()? {
            "cpu" => Some(Unit::Core),
            "memory" | "ephemeral-storage" => Some(Unit::GiB),
            name if name.starts_with("hugepages-") => Some(Unit::GiB),
            _ => Some(Unit::Count),
        }
    }
}

#[derive(Default)]
struct Faults(Vec<BookFault>);

impl Faults {
    fn check(
        &mut self,
        holds: bool,
        rule: &'static str,
        field: &str,
        message: impl FnOnce() -> String,
    ) {
        if !holds {
            self.0.push(BookFault {
                rule,
                field: field.to_owned(),
                message: message(),
            });
        }
    }
}

/// Whether there is anything to read.
fn is_shown(text: &str) -> bool {
    !text.trim().is_empty()
}

/// A DNS label: up to 63 of a-z, 0-9 and dashes inside.
fn is_label(text: &str) -> bool {
    let inner = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
    (1..=63).contains(&text.len())
        && text.bytes().all(inner)
        && !text.starts_with('-')
        && !text.ends_with('-')
}

/// 0 to 100 with at most two decimals.
fn is_percentage(text: &str) -> bool {
    Money::parse(text).is_ok_and(|rate| (0..=10_000).contains(&rate.minor()))
}

#[cfg(test)]
mod tests;
