//! The catalogue: all published books, asked by provider, item and instant.

use std::collections::BTreeMap;

use super::{Basis, Book, Category, Item, Per};
use crate::{
    canonical::{CanonicalError, Digest},
    money::{Price, Unit},
    time::{LocalDate, Second, Span, Zone},
};

/// What can go wrong when books become a catalogue.
#[derive(Debug, thiserror::Error)]
pub enum BookError {
    /// Two prices for one item on one day.
    #[error(
        "failed to build the catalogue: {first} and {second} both price {provider}/{item} on \
         {day}; end one of them earlier"
    )]
    Overlap {
        /// Name of the book that is valid from an earlier day, or first by name.
        first: String,
        /// Name of the other book, the same if it lists the item twice.
        second: String,
        /// The provider.
        provider: String,
        /// The item.
        item: String,
        /// The first day on which both are in force.
        day: LocalDate,
    },
    /// A digest could not be computed.
    #[error("failed to compute the digest of book {book}")]
    Digest {
        /// Name of the book.
        book: String,
        /// Why.
        #[source]
        source: CanonicalError,
    },
}

/// A price in force, with all that a line needs to know of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rate {
    /// Price of one unit.
    pub price: Price,
    /// What it is for one of.
    pub unit: Unit,
    /// What time it is for.
    pub per: Per,
    /// What is billed.
    pub basis: Basis,
    /// Class of the charge.
    pub category: Category,
    /// The item's name for people.
    pub display_name: String,
    /// Name of the book.
    pub book: String,
    /// Digest of the rate.
    pub digest: Digest,
}

/// All published books, ready to be asked for the price at an instant.
#[derive(Clone, Debug)]
pub struct Catalogue {
    /// By provider and item, sorted by time, without overlap.
    rates: BTreeMap<String, BTreeMap<String, Vec<Priced>>>,
    zone: Zone,
}

/// One item of one book.
#[derive(Clone, Debug)]
struct Priced {
    span: Span,
    from: LocalDate,
    through: LocalDate,
    item: Item,
    rate: Rate,
}

impl Catalogue {
    /// Builds the catalogue from published books; local days are those of `zone`. The order of the
    /// books does not matter. Books are not validated again: what was published is in force.
    pub fn new(books: Vec<Book>, zone: Zone) -> Result<Self, BookError> {
        let mut rates: BTreeMap<String, BTreeMap<String, Vec<Priced>>> = BTreeMap::new();
        for book in books {
            let span = book.span(&zone);
            let of_provider = rates.entry(book.provider.clone()).or_default();
            for item in &book.items {
                let rate = rate_of(&book, item)?;
                let (from, through) = (book.from, book.through);
                let priced = Priced {
                    span,
                    from,
                    through,
                    item: item.clone(),
                    rate,
                };
                of_provider
                    .entry(item.name.clone())
                    .or_default()
                    .push(priced);
            }
        }
        for (provider, items) in &mut rates {
            for (item, entries) in items {
                entries.retain(|priced| !priced.span.is_empty());
                entries.sort_by(|a, b| {
                    (a.span, &a.rate.book, &a.rate.digest).cmp(&(
                        b.span,
                        &b.rate.book,
                        &b.rate.digest,
                    ))
                });
                refuse_overlap(provider, item, entries)?;
            }
        }
        Ok(Self { rates, zone })
    }

    /// The zone whose days bound the books.
    pub fn zone(&self) -> &Zone {
        &self.zone
    }

    /// The rate in force at an instant.
    pub fn price_at(&self, provider: &str, item: &str, at: Second) -> Option<Rate> {
        self.priced_at(provider, item, at)
            .map(|priced| priced.rate.clone())
    }

    /// The item as its book describes it at an instant.
    pub fn item(&self, provider: &str, item: &str, at: Second) -> Option<&Item> {
        self.priced_at(provider, item, at)
            .map(|priced| &priced.item)
    }

    /// A span cut where the rate changes, each part with its rate, or `None` where no price is in
    /// force. The parts tile the span in order.
    pub fn rates(&self, provider: &str, item: &str, span: Span) -> Vec<(Span, Option<Rate>)> {
        let mut parts = Vec::new();
        let mut from = span.from;
        for priced in self.entries(provider, item) {
            let Some(part) = priced.span.intersect(&span) else {
                continue;
            };
            if from < part.from {
                parts.push((
                    Span {
                        from,
                        to: part.from,
                    },
                    None,
                ));
            }
            parts.push((part, Some(priced.rate.clone())));
            from = part.to;
        }
        if from < span.to {
            parts.push((Span { from, to: span.to }, None));
        }
        parts
    }

    /// Names of the providers that have ever published a price.
    pub fn providers(&self) -> Vec<&str> {
        self.rates.keys().map(String::as_str).collect()
    }

    /// Names of the items that a provider prices at an instant.
    pub fn item_names(&self, provider: &str, at: Second) -> Vec<&str> {
        self.rates
            .get(provider)
            .into_iter()
            .flatten()
            .filter(|(_, entries)| entries.iter().any(|priced| priced.span.contains(at)))
            .map(|(name, _)| name.as_str())
            .collect()
    }

    /// The last day up to which an item is priced without a gap from `from` on; `None` if it has
    /// no price on that day.
    pub fn priced_through(&self, provider: &str, item: &str, from: LocalDate) -> Option<LocalDate> {
        let mut wanted = from;
        let mut through = None;
        for priced in self.entries(provider, item) {
            if priced.from <= wanted && wanted <= priced.through {
                through = Some(priced.through);
                wanted = priced.through.next_day();
            }
        }
        through
    }

    fn entries(&self, provider: &str, item: &str) -> &[Priced] {
        self.rates
            .get(provider)
            .and_then(|items| items.get(item))
            .map(Vec::as_slice)
            .unwrap_or_default()
    }

    fn priced_at(&self, provider: &str, item: &str, at: Second) -> Option<&Priced> {
        self.entries(provider, item)
            .iter()
            .find(|priced| priced.span.contains(at))
    }
}

fn rate_of(book: &Book, item: &Item) -> Result<Rate, BookError> {
    let digest = book.rate_digest(item).map_err(|source| BookError::Digest {
        book: book.name.clone(),
        source,
    })?;
    Ok(Rate {
        price: item.price,
        unit: item.unit,
        per: item.per,
        basis: item.basis,
        category: item.category,
        display_name: item.display_name.clone(),
        book: book.name.clone(),
        digest,
    })
}

/// Entries are sorted by their first instants: if any two overlap, two neighbours do.
fn refuse_overlap(provider: &str, item: &str, entries: &[Priced]) -> Result<(), BookError> {
    for pair in entries.windows(2) {
        let [first, second] = pair else { continue };
        if second.span.from < first.span.to {
            return Err(BookError::Overlap {
                first: first.rate.book.clone(),
                second: second.rate.book.clone(),
                provider: provider.to_owned(),
                item: item.to_owned(),
                day: second.from,
            });
        }
    }
    Ok(())
}
