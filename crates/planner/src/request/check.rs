//! Whether a request can be put to a person at all.

use std::collections::BTreeMap;

use leasehold_api::{
    platform::{CloudletSpec, NetworkZoneSpec},
    tenancy::InformationSystemSpec,
    text::{Label, ObjectName},
};
use leasehold_ledger::{
    book::{Basis, Catalogue, Item},
    lot::LotState,
    money::Money,
    policy::Policy,
    quote::{Quotation, QuoteError, Wish, quote},
    time::LocalDate,
};

use super::{ApprovedPart, Asked, Prices, base_quantity};
use crate::rules::Refusal;

/// Longest term in months, from today on if it has begun: what nobody can foresee is not quoted.
pub const LONGEST_TERM_MONTHS: i32 = 120;

/// What a request is measured against.
#[derive(Clone, Copy, Debug)]
pub struct RequestContext<'a> {
    /// The local day of asking.
    pub today: LocalDate,
    /// The zone that is asked for.
    pub zone: &'a NetworkZoneSpec,
    /// The cloudlet that is asked for.
    pub cloudlet: &'a CloudletSpec,
    /// The information system.
    pub system: &'a InformationSystemSpec,
    /// All published books.
    pub catalogue: &'a Catalogue,
    /// The policy in force.
    pub policy: &'a Policy,
    /// Lots of the department with their rests, for the quotation.
    pub credit: &'a [LotState],
}

/// A term that was read.
struct Days {
    from: LocalDate,
    through: LocalDate,
    /// The first day that is still to come.
    start: LocalDate,
}

/// Checks a request and quotes it.
///
/// Everything that is wrong is told at once. The quotation's month is at the prices of the first
/// day still to come, its term the whole term.
pub fn validate(asked: &Asked, context: &RequestContext<'_>) -> Result<Quotation, Vec<Refusal>> {
    let part = &asked.part;
    let mut refused = Vec::new();
    check_place(part, context, &mut refused);
    let days = check_term(part, context.today);
    let days = match days.and_then(|days| check_effective(asked, &days).map(|()| days)) {
        Ok(days) => days,
        Err(refusal) => {
            refused.push(refusal);
            return Err(refused);
        }
    };
    let wanted = check_items(part, context, &days, &mut refused);
    if !refused.is_empty() {
        return Err(refused);
    }
    let quotation = quotation(&wanted, context, &days).map_err(|refusal| vec![refusal])?;
    check_ceiling(part, &quotation).map_err(|refusal| vec![refusal])?;
    Ok(quotation)
}

fn check_place(part: &ApprovedPart, context: &RequestContext<'_>, refused: &mut Vec<Refusal>) {
    if !context.cloudlet.zones.contains(&part.zone) {
        refused.push(Refusal::new(
            "T24",
            format!("zone {} on cloudlet {}", part.zone, part.cloudlet),
            names(context.cloudlet.zones.iter().map(Label::as_str)),
            "choose a zone that the cloudlet offers",
        ));
    }
    let (needed, offered) = (
        context.system.protection_level,
        context.zone.protection_level,
    );
    if needed > offered {
        refused.push(Refusal::new(
            "T25",
            format!(
                "protection level {needed} for system {} in zone {}",
                part.system, part.zone
            ),
            format!("level {offered} and below"),
            "choose a zone of at least that level",
        ));
    }
}

fn check_term(part: &ApprovedPart, today: LocalDate) -> Result<Days, Refusal> {
    let term = &part.term;
    let day = |text: &str| {
        LocalDate::parse(text).map_err(|error| {
            Refusal::new(
                "T23",
                format!("the day {text}"),
                "days of the calendar",
                error.to_string(),
            )
        })
    };
    let (from, through) = (day(&term.from)?, day(&term.through)?);
    if through < from {
        return Err(Refusal::new(
            "T05",
            format!("a term from {from} through {through}"),
            "a last day on or after the first",
            "correct spec.term",
        ));
    }
    if through < today {
        return Err(Refusal::new(
            "T23",
            format!("a term that ended on {through}"),
            format!("a last day from {today} on"),
            "extend spec.term.through or release the tenancy",
        ));
    }
    // a lease that is extended again and again may last longer
    let start = from.max(today);
    let latest = start.add_months(LONGEST_TERM_MONTHS).previous_day();
    if through > latest {
        return Err(Refusal::new(
            "T34",
            format!("a term through {through}"),
            format!("a last day no later than {latest}"),
            "lease for a shorter term and extend it later",
        ));
    }
    Ok(Days {
        from,
        through,
        start,
    })
}

/// The schema compares texts; that the day exists is known here.
fn check_effective(asked: &Asked, days: &Days) -> Result<(), Refusal> {
    let Some(day) = &asked.effective_from else {
        return Ok(());
    };
    let Days { from, through, .. } = days;
    let in_term = |day: &LocalDate| (from..=through).contains(&day);
    match LocalDate::parse(day) {
        Ok(day) if in_term(&day) => Ok(()),
        _ => Err(Refusal::new(
            "T06",
            format!("effectiveFrom {day}"),
            format!("a day of the calendar from {from} through {through}"),
            "choose a day of the term or leave spec.effectiveFrom out",
        )),
    }
}

/// Checks the items one by one and against each other; gives their quantities in base units.
fn check_items(
    part: &ApprovedPart,
    context: &RequestContext<'_>,
    days: &Days,
    refused: &mut Vec<Refusal>,
) -> Vec<(String, i64)> {
    let zone = &context.policy.time_zone;
    let at = zone.local_midnight(days.start);
    let provider = context.cloudlet.provider.as_str();
    let prices = Prices {
        catalogue: context.catalogue,
        provider,
        at,
        since: at,
        approved: None,
    };
    let mut wanted: Vec<(String, i64)> = Vec::with_capacity(part.lease.len());
    let mut bases: BTreeMap<String, (&Item, Basis)> = BTreeMap::new();
    for entry in &part.lease {
        let Some(item) = context.catalogue.item(provider, &entry.item, at) else {
            refused.push(unpriced(&entry.item, &prices, context, days));
            continue;
        };
        match base_quantity(entry, item) {
            Ok(base) => wanted.push((entry.item.to_string(), base)),
            Err(refusal) => refused.push(refusal),
        }
        if let Some(class) = &item.storage_class
            && !context
                .zone
                .storage_classes
                .iter()
                .any(|offered| offered.as_str() == class)
        {
            refused.push(Refusal::new(
                "T26",
                format!(
                    "{} on storage class {class} in zone {}",
                    entry.item, part.zone
                ),
                names(context.zone.storage_classes.iter().map(ObjectName::as_str)),
                "lease an item on a storage class of the zone",
            ));
        }
        let Some(source) = source(item) else { continue };
        let (first, basis) = *bases.entry(source.clone()).or_insert((item, item.basis));
        if basis != item.basis {
            refused.push(Refusal::new(
                "T27",
                format!(
                    "{} ({}) and {} ({}) for {source}",
                    first.name, basis, item.name, item.basis
                ),
                "one basis for each resource",
                "lease only one of the two in this tenancy",
            ));
        }
    }
    wanted
}

/// An item without a price on the first day: never heard of, or priced at another time.
fn unpriced(name: &str, prices: &Prices<'_>, context: &RequestContext<'_>, days: &Days) -> Refusal {
    let span = context
        .policy
        .time_zone
        .span_of_days(days.from, days.through);
    let provider = context.cloudlet.provider.as_str();
    let parts = context.catalogue.rates(provider, name, span);
    let Some((priced, _)) = parts.into_iter().find(|(_, rate)| rate.is_some()) else {
        return prices.unknown(name);
    };
    let day = context.policy.time_zone.date_of(priced.from);
    Refusal::new(
        "T29",
        format!("{name} from {}", days.start),
        format!("a day on which {provider} publishes a price, such as {day}"),
        "begin later, or ask finance to publish prices for that day",
    )
}

/// The resource, storage class or meter that an item stands for.
fn source(item: &Item) -> Option<String> {
    let class = item.storage_class.as_ref();
    let meter = item.meter.as_ref();
    item.resource
        .clone()
        .or_else(|| class.map(|class| format!("storage class {class}")))
        .or_else(|| meter.map(|meter| format!("meter {meter}")))
}

fn quotation(
    items: &[(String, i64)],
    context: &RequestContext<'_>,
    days: &Days,
) -> Result<Quotation, Refusal> {
    let wish = |from: LocalDate| Wish {
        provider: &context.cloudlet.provider,
        items,
        from,
        through: days.through,
        lots: context.credit,
    };
    let mut quotation = quote(&wish(days.start), context.catalogue, context.policy)
        .map_err(|error| not_quoted(&error, days.start))?;
    if days.start > days.from
        && let Ok(whole) = quote(&wish(days.from), context.catalogue, context.policy)
    {
        quotation.term = whole.term;
    }
    Ok(quotation)
}

fn not_quoted(error: &QuoteError, day: LocalDate) -> Refusal {
    Refusal::new(
        "T29",
        format!("a quotation from {day}"),
        "items with a price on that day and amounts that can be written",
        error.to_string(),
    )
}

fn check_ceiling(part: &ApprovedPart, quotation: &Quotation) -> Result<(), Refusal> {
    let Some(ceiling) = &part.budget.ceiling else {
        return Ok(());
    };
    let refused = |allowed: String, remedy: &str| {
        let asked = format!("{} {} for the term", quotation.term, quotation.currency);
        Err(Refusal::new("T28", asked, allowed, remedy))
    };
    match Money::parse(ceiling) {
        Ok(most) if quotation.term <= most => Ok(()),
        Ok(most) => refused(
            format!("{most} by spec.budget.ceiling"),
            "lease less, shorten the term or raise the ceiling",
        ),
        Err(_) => refused(
            format!("nothing, because the ceiling {ceiling} is no amount"),
            "write spec.budget.ceiling as 60000.00",
        ),
    }
}

fn names<'a>(names: impl Iterator<Item = &'a str>) -> String {
    let list: Vec<&str> = names.collect();
    if list.is_empty() {
        "none".to_owned()
    } else {
        list.join(", ")
    }
}
