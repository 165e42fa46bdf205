//! The columns of the file, in their order: those of FOCUS 1.2 by name, then our own.
//!
//! Columns of FOCUS that are not listed belong to features that are not used: availability zones,
//! capacity reservations and commitment discounts. `CommitmentDiscountStatus` is always empty but
//! has to exist, because the rules of `ConsumedQuantity` read it. `PricingCurrency*` repeat the
//! billing currency; validators ask for them as soon as a public price list is declared.

use std::collections::BTreeMap;

use leasehold_ledger::book::Category;
use leasehold_ledger::canonical::Digest;
use leasehold_ledger::statement::{Credit, Line};

use super::{Charge, FocusRegion, Row, Usage, worded};

/// A column and how its cell follows from a charge.
pub(super) struct Column {
    /// Name in the header.
    pub(super) name: &'static str,
    /// The cell; empty means null.
    pub(super) value: fn(&Row<'_>) -> String,
}

impl Column {
    /// Whether text beyond ASCII may stand in it.
    pub(super) fn any_text(&self) -> bool {
        self.name.starts_with("x_") || self.name == "Tags"
    }
}

const fn column(name: &'static str, value: fn(&Row<'_>) -> String) -> Column {
    Column { name, value }
}

/// All columns.
pub(super) const COLUMNS: &[Column] = &[
    column("BilledCost", |r| r.billed().to_string()),
    column("BillingAccountId", |r| {
        format!("leasehold:billing/{}", r.names.billing_account)
    }),
    column("BillingAccountName", |r| {
        worded("account", &r.names.billing_account_name)
    }),
    column("BillingAccountType", |_| "Billing Account".to_owned()),
    column("BillingCurrency", |r| r.statement.currency.clone()),
    column("BillingPeriodEnd", |r| r.statement.period.end.to_string()),
    column("BillingPeriodStart", |r| {
        r.statement.period.start.to_string()
    }),
    column("ChargeCategory", |r| by_kind(r, "Usage", "Credit")),
    column("ChargeClass", null),
    column("ChargeDescription", description),
    column("ChargeFrequency", frequency),
    column("ChargePeriodEnd", |r| r.statement.period.end.to_string()),
    column("ChargePeriodStart", |r| {
        r.statement.period.start.to_string()
    }),
    column("CommitmentDiscountStatus", null),
    column("ConsumedQuantity", |r| {
        of_usage(r, |u| u.consumed_quantity.clone())
    }),
    column("ConsumedUnit", |r| of_usage(r, |u| u.consumed_unit.clone())),
    column("ContractedCost", exact_cost),
    column("ContractedUnitPrice", unit_price),
    column("EffectiveCost", |r| r.billed().to_string()),
    column("InvoiceId", |r| r.statement.number.clone()),
    column("InvoiceIssuerName", |r| r.provider.clone()),
    column("ListCost", exact_cost),
    column("ListUnitPrice", unit_price),
    column("PricingCategory", |r| by_kind(r, "Standard", "")),
    column("PricingCurrency", |r| r.statement.currency.clone()),
    column("PricingCurrencyContractedUnitPrice", unit_price),
    column("PricingCurrencyEffectiveCost", |r| r.billed().to_string()),
    column("PricingCurrencyListUnitPrice", unit_price),
    column("PricingQuantity", |r| {
        of_usage(r, |u| u.pricing_quantity.clone())
    }),
    column("PricingUnit", |r| of_usage(r, |u| u.pricing_unit.clone())),
    column("ProviderName", |r| r.provider.clone()),
    column("PublisherName", |r| r.provider.clone()),
    column("RegionId", |r| {
        of_region(r, |region| worded("region", &region.id))
    }),
    column("RegionName", |r| {
        of_region(r, |region| worded("region", &region.name))
    }),
    column("ResourceId", resource_id),
    column("ResourceName", resource_name),
    column("ResourceType", |r| {
        by_kind(r, "Kubernetes Tenancy Lease", "")
    }),
    column("ServiceCategory", |r| service(r).category.to_owned()),
    column("ServiceName", |r| service(r).name.to_owned()),
    column("ServiceSubcategory", |r| service(r).subcategory.to_owned()),
    column("SkuId", |r| of_usage(r, |u| sku(u.line))),
    column("SkuMeter", |r| {
        of_usage(r, |u| worded("item", &u.line.item))
    }),
    column("SkuPriceDetails", |r| of_usage(r, price_details)),
    column("SkuPriceId", |r| of_usage(r, price_id)),
    column("SubAccountId", |r| {
        format!("leasehold:department/{}", r.statement.department.name)
    }),
    column("SubAccountName", |r| {
        worded("department", &r.statement.department.name)
    }),
    column("SubAccountType", |_| "Department".to_owned()),
    column("Tags", tags),
    column("x_ChargeKey", charge_key),
    column("x_CreditGrantId", |r| {
        of_credit(r, |credit| credit.lot.clone())
    }),
    column("x_Contract", |r| of_usage(r, |u| u.line.contract.clone())),
    column("x_BudgetCode", |r| of_usage(r, |u| u.line.budget.clone())),
    column("x_DepartmentName", |r| {
        r.statement.department.display_name.clone()
    }),
    column("x_ItemName", |r| {
        of_usage(r, |u| u.line.display_name.clone())
    }),
    column("x_SystemName", |r| of_usage(r, |u| u.line.system.clone())),
    column("x_Rehearsal", |r| r.statement.period.rehearsal.to_string()),
    column("x_StatementDigest", |r| {
        r.statement
            .digest
            .as_ref()
            .map(Digest::to_string)
            .unwrap_or_default()
    }),
    column("x_RateDigests", |r| of_usage(r, rates)),
    column("x_Estimated", |r| {
        of_usage(r, |u| u.line.estimated.to_string())
    }),
];

fn null(_: &Row<'_>) -> String {
    String::new()
}

fn charge_key(row: &Row<'_>) -> String {
    row.key()
}

fn by_kind(row: &Row<'_>, usage: &str, credit: &str) -> String {
    match &row.charge {
        Charge::Usage(_) => usage.to_owned(),
        Charge::Credit(..) => credit.to_owned(),
    }
}

fn of_usage(row: &Row<'_>, value: impl Fn(&Usage<'_>) -> String) -> String {
    match &row.charge {
        Charge::Usage(usage) => value(usage),
        Charge::Credit(..) => String::new(),
    }
}

fn of_credit(row: &Row<'_>, value: impl Fn(&Credit) -> String) -> String {
    match &row.charge {
        Charge::Usage(_) => String::new(),
        Charge::Credit(credit, _) => value(credit),
    }
}

fn of_region(row: &Row<'_>, value: impl Fn(&FocusRegion) -> String) -> String {
    row.names.region.as_ref().map(value).unwrap_or_default()
}

fn description(row: &Row<'_>) -> String {
    match &row.charge {
        Charge::Usage(usage) => {
            format!(
                "{} leased by tenancy {}",
                usage.line.item, usage.line.tenancy
            )
        }
        Charge::Credit(credit, _) => {
            format!("Credit for handed-over hardware, lot {}", credit.lot)
        }
    }
}

fn frequency(row: &Row<'_>) -> String {
    let recurs = matches!(&row.charge, Charge::Usage(usage) if usage.timed);
    if recurs {
        "Usage-Based".to_owned()
    } else {
        "One-Time".to_owned()
    }
}

/// A credit is related to no other charge, so all of its costs are the same.
fn exact_cost(row: &Row<'_>) -> String {
    match &row.charge {
        Charge::Usage(usage) => usage.line.gross_exact.clone(),
        Charge::Credit(_, amount) => amount.to_string(),
    }
}

fn unit_price(row: &Row<'_>) -> String {
    of_usage(row, |usage| usage.line.unit_price.to_string())
}

/// The tenancy in this life of its name: what comes before item and number in the line's id.
fn resource_id(row: &Row<'_>) -> String {
    let department = &row.statement.department.name;
    of_usage(row, |usage| {
        let life = usage
            .line
            .id
            .rsplitn(3, '/')
            .nth(2)
            .unwrap_or(&usage.line.tenancy);
        format!("leasehold:tenancy/{department}/{life}")
    })
}

fn resource_name(row: &Row<'_>) -> String {
    let department = &row.statement.department.name;
    of_usage(row, |usage| {
        worded("tenancy", &format!("{department}/{}", usage.line.tenancy))
    })
}

fn sku(line: &Line) -> String {
    format!("leasehold:sku/{}/{}", line.provider, line.item)
}

/// The entry of the price list. No amount, date or department is part of it, so it stays the same
/// when a new book changes the price.
fn price_id(usage: &Usage<'_>) -> String {
    let line = usage.line;
    let basis = line.basis.as_str();
    format!(
        "leasehold:price/{}/{}/{basis}/{}",
        line.provider, line.item, usage.pricing_unit
    )
}

fn price_details(usage: &Usage<'_>) -> String {
    object(&BTreeMap::from([("x_Basis", usage.line.basis.as_str())]))
}

fn tags(row: &Row<'_>) -> String {
    let department = row.statement.department.name.as_str();
    of_usage(row, |usage| {
        object(&BTreeMap::from([
            ("leasehold/department", department),
            ("leasehold/system", usage.line.system.as_str()),
            ("leasehold/tenancy", usage.line.tenancy.as_str()),
        ]))
    })
}

/// A flat JSON object; a map of strings always has one.
fn object(fields: &BTreeMap<&str, &str>) -> String {
    serde_json::to_string(fields).unwrap_or_default()
}

fn rates(usage: &Usage<'_>) -> String {
    let digests: Vec<&str> = usage.line.rates.iter().map(Digest::as_str).collect();
    digests.join(" ")
}

/// A service as FOCUS classifies it. One name has one category.
struct Service {
    category: &'static str,
    subcategory: &'static str,
    name: &'static str,
}

const fn classified(
    category: &'static str,
    subcategory: &'static str,
    name: &'static str,
) -> Service {
    Service {
        category,
        subcategory,
        name,
    }
}

fn service(row: &Row<'_>) -> Service {
    match &row.charge {
        Charge::Credit(..) => classified(
            "Management and Governance",
            "Cost Management",
            "Hardware Credit",
        ),
        Charge::Usage(usage) => match usage.line.category {
            Category::Network => {
                classified("Networking", "Network Infrastructure", "Leased Network")
            }
            Category::Compute => classified("Compute", "Containers", "Leased Compute"),
            Category::Storage => classified("Storage", "Storage Platforms", "Leased Storage"),
            Category::Os => classified("Compute", "Other (Compute)", "Operating Systems"),
            Category::Database => classified("Databases", "Other (Databases)", "Databases"),
            Category::Middleware => classified("Integration", "Other (Integration)", "Middleware"),
            Category::Security => classified("Security", "Other (Security)", "Security Services"),
            Category::Backup => classified("Storage", "Backup Storage", "Backup"),
        },
    }
}
