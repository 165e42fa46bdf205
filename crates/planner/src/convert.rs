//! Between custom resources and the types of the ledger.

use leasehold_api::{
    charging::{Basis, Per, PriceBookSpec, PriceItem, StatementSpec, Unit},
    names::POLICY_NAME,
    platform::{
        Category, CloudPolicySpec, Currency, DecreaseEffective, EstimateBound, PeriodKindSpec,
    },
};
use leasehold_ledger::{
    book::{self, Book},
    canonical::CanonicalError,
    money::{self, MoneyError, Price},
    policy::{self, Policy, PolicyError},
    statement::Statement,
    time::{LocalDate, PeriodKind, TimeError, Zone},
};
use serde_json::Value;

/// Most lines that the object of a statement carries; the rest is in the ledger.
pub const MOST_LINES: usize = 200;
/// Most bytes of JSON that the lines of a statement's object take. The object stays under
/// 512 KiB, a third of what etcd takes.
pub const MOST_LINE_BYTES: usize = 448 * 1024;
/// Most credits that the object of a statement carries.
pub const MOST_CREDITS: usize = 64;

/// What can go wrong between a custom resource and the ledger.
#[derive(Debug, thiserror::Error)]
pub enum ConvertError {
    /// A day, a zone or a period's length cannot be read.
    #[error("failed to read {field}")]
    Time {
        /// The field.
        field: String,
        /// Why.
        #[source]
        source: TimeError,
    },
    /// A price cannot be read.
    #[error("failed to read {field}")]
    Money {
        /// The field.
        field: String,
        /// Why.
        #[source]
        source: MoneyError,
    },
    /// A rehearsal without its length.
    #[error(
        "failed to read spec.period: a rehearsal needs rehearsalSeconds; set it to 60 to 86400"
    )]
    RehearsalLength,
    /// The ledger does not accept the policy.
    #[error("failed to accept the cloud policy")]
    Policy(#[from] PolicyError),
    /// A document does not have the shape of its object, or the other way round.
    #[error("failed to turn {what} into its other form")]
    Shape {
        /// The document or object.
        what: String,
        /// Why.
        #[source]
        source: serde_json::Error,
    },
    /// The object of a statement does not carry the full document.
    #[error(
        "failed to rebuild statement {number}: its object carries all but {more} lines; read it from the ledger"
    )]
    Incomplete {
        /// Number of the statement.
        number: String,
        /// Lines that are missing.
        more: u32,
    },
    /// The object of a statement does not say what its digest stands for.
    #[error(
        "failed to trust statement {number}: its content does not match its digest; read it from the ledger"
    )]
    Altered {
        /// Number of the statement.
        number: String,
    },
    /// A digest could not be computed.
    #[error("failed to compute a digest")]
    Canonical(#[from] CanonicalError),
}

/// A category of the catalogue, as the ledger writes it.
pub const fn ledger_category(category: Category) -> book::Category {
    match category {
        Category::Network => book::Category::Network,
        Category::Compute => book::Category::Compute,
        Category::Storage => book::Category::Storage,
        Category::Os => book::Category::Os,
        Category::Database => book::Category::Database,
        Category::Middleware => book::Category::Middleware,
        Category::Security => book::Category::Security,
        Category::Backup => book::Category::Backup,
    }
}

/// A unit, as the ledger writes it.
pub const fn ledger_unit(unit: Unit) -> money::Unit {
    match unit {
        Unit::Core => money::Unit::Core,
        Unit::GiB => money::Unit::GiB,
        Unit::Count => money::Unit::Count,
    }
}

/// A currency by its ISO 4217 code.
pub const fn currency_code(currency: Currency) -> &'static str {
    match currency {
        Currency::Cny => "CNY",
    }
}

/// Categories as the ledger writes them: each once and in the order of the catalogue, so that the
/// order in which they were typed changes no digest.
pub fn ledger_categories(categories: &[Category]) -> Vec<book::Category> {
    let mut classes: Vec<book::Category> =
        categories.iter().copied().map(ledger_category).collect();
    classes.sort_unstable();
    classes.dedup();
    classes
}

/// The part of the cloud policy that bills depend on.
pub fn ledger_policy(spec: &CloudPolicySpec) -> Result<Policy, ConvertError> {
    let time_zone = Zone::parse(&spec.time_zone).map_err(|source| ConvertError::Time {
        field: "spec.timeZone".to_owned(),
        source,
    })?;
    let period = match spec.period.kind {
        PeriodKindSpec::Month => PeriodKind::Month,
        PeriodKindSpec::Day => PeriodKind::Day,
        PeriodKindSpec::Rehearsal => PeriodKind::Rehearsal {
            seconds: spec
                .period
                .rehearsal_seconds
                .ok_or(ConvertError::RehearsalLength)?,
        },
    };
    let policy = Policy {
        name: POLICY_NAME.to_owned(),
        time_zone,
        currency: currency_code(spec.currency).to_owned(),
        period,
        statement_prefix: spec.statement_prefix.clone(),
        offset_cap_percent: spec.offset.cap_percent,
        offset_classes: ledger_categories(&spec.offset.classes),
        credit_periods: spec.credit.periods,
        late_allowance_seconds: spec.metering.late_allowance_seconds,
        estimate_bound: match spec.metering.estimate_bound {
            EstimateBound::Lower => policy::EstimateBound::Lower,
            EstimateBound::Upper => policy::EstimateBound::Upper,
        },
        auto_close_after_days: spec.closing.auto_after_days,
        archive_after_days: spec.closing.archive_after_days,
        decrease_effective: match spec.decrease_effective {
            DecreaseEffective::NextPeriod => policy::DecreaseEffective::NextPeriod,
            DecreaseEffective::AtOnce => policy::DecreaseEffective::AtOnce,
        },
    };
    policy.validate()?;
    Ok(policy)
}

/// A price book as the ledger keeps it. Whether it can be published is for [`Book::validate`].
pub fn ledger_book(name: &str, spec: &PriceBookSpec) -> Result<Book, ConvertError> {
    let day = |field: &str, text: &str| {
        LocalDate::parse(text).map_err(|source| ConvertError::Time {
            field: format!("spec.validity.{field} of price book {name}"),
            source,
        })
    };
    Ok(Book {
        name: name.to_owned(),
        provider: spec.provider.to_string(),
        contract: spec.contract.to_string(),
        from: day("from", &spec.validity.from)?,
        through: day("through", &spec.validity.through)?,
        currency: currency_code(spec.currency).to_owned(),
        tax: Some(book::Tax {
            included: spec.tax.included,
            percent: spec.tax.percent.to_string(),
        }),
        items: spec
            .items
            .iter()
            .map(|item| ledger_item(name, item))
            .collect::<Result<_, _>>()?,
    })
}

fn ledger_item(book: &str, item: &PriceItem) -> Result<book::Item, ConvertError> {
    let price = Price::parse(&item.price).map_err(|source| ConvertError::Money {
        field: format!("the price of {} in price book {book}", item.name),
        source,
    })?;
    Ok(book::Item {
        name: item.name.to_string(),
        display_name: item.display_name.to_string(),
        category: ledger_category(item.category),
        resource: item.resource.clone(),
        storage_class: item.storage_class.as_ref().map(ToString::to_string),
        meter: item.meter.as_ref().map(ToString::to_string),
        unit: ledger_unit(item.unit),
        per: match item.per {
            Per::Month => book::Per::Month,
            Per::Hour => book::Per::Hour,
            Per::Once => book::Per::Once,
        },
        basis: match item.basis {
            Basis::Reserved => book::Basis::Reserved,
            Basis::Metered => book::Basis::Metered,
            Basis::OneOff => book::Basis::OneOff,
        },
        price,
    })
}

/// The object of a statement: the document, shortened to [`MOST_LINES`] lines and
/// [`MOST_LINE_BYTES`]. What was left out is counted, and the digest stays that of the document.
pub fn statement_spec(statement: &Statement) -> Result<StatementSpec, ConvertError> {
    let shape = |source| ConvertError::Shape {
        what: format!("statement {}", statement.number),
        source,
    };
    let value = serde_json::to_value(statement).map_err(shape)?;
    let mut spec: StatementSpec = serde_json::from_value(value).map_err(shape)?;
    let mut bytes = 0_usize;
    let mut kept = 0_usize;
    for line in spec.lines.iter().take(MOST_LINES) {
        bytes = bytes.saturating_add(serde_json::to_vec(line).map_err(shape)?.len());
        if bytes > MOST_LINE_BYTES {
            break;
        }
        kept = kept.saturating_add(1);
    }
    let left_out = spec.lines.len().saturating_sub(kept);
    spec.lines.truncate(kept);
    spec.more_lines = u32::try_from(left_out).unwrap_or(u32::MAX);
    if spec.credits.len() > MOST_CREDITS {
        // what paid nothing explains nothing
        spec.credits.retain(|credit| credit.applied != "0.00");
        spec.credits.truncate(MOST_CREDITS);
    }
    Ok(spec)
}

/// The document that a statement's object carries, if it carries all of it and still says what its
/// digest stands for.
pub fn statement_document(spec: &StatementSpec) -> Result<Statement, ConvertError> {
    let number = spec.number.clone();
    if spec.more_lines > 0 {
        return Err(ConvertError::Incomplete {
            number,
            more: spec.more_lines,
        });
    }
    let shape = |source| ConvertError::Shape {
        what: format!("statement {}", spec.number),
        source,
    };
    let mut value = serde_json::to_value(spec).map_err(shape)?;
    if let Value::Object(fields) = &mut value {
        fields.remove("moreLines");
    }
    let document: Statement = serde_json::from_value(value).map_err(shape)?;
    if let Some(digest) = &document.digest
        && document.digest()? != *digest
    {
        return Err(ConvertError::Altered { number });
    }
    Ok(document)
}

#[cfg(test)]
mod tests;
