//! `leasehold quote`: what a tenancy would cost, from files alone.

use std::{
    collections::BTreeSet,
    io::Write,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result, bail};
use leasehold_api::{charging::PriceBookSpec, platform::CloudPolicySpec, tenancy::TenancySpec};
use leasehold_export::sheet;
use leasehold_ledger::{
    book::{Book, Catalogue},
    money::Money,
    policy::Policy,
    quote::{Quotation, Wish, quote},
    time::LocalDate,
};
use leasehold_planner::{
    convert,
    request::{ApprovedPart, Prices, base_quantity, items_of},
    rules::Refusal,
};
use serde::Serialize;
use serde_json::{Map, Value};

use crate::{
    Outcome,
    cli::{Format, QuoteArgs},
    manifest::{self, Manifest},
    output,
    session::Session,
};

/// A quoted tenancy, as programs get it.
#[derive(Serialize, Clone, Debug, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
struct Quoted {
    tenancy: String,
    provider: String,
    /// Why the request would be refused although it has a price.
    #[serde(skip_serializing_if = "Option::is_none")]
    refused: Option<String>,
    quotation: Quotation,
}

/// Quotes every tenancy of the file.
pub fn run(arguments: &QuoteArgs, session: &Session, out: &mut dyn Write) -> Result<Outcome> {
    let policy = policy(arguments.policy.as_deref())?;
    let books = books(&arguments.prices)?;
    let provider = provider(&books, arguments.provider.as_deref())?;
    let catalogue = Catalogue::new(books, policy.time_zone.clone())?;
    let documents = manifest::read(&arguments.file)?;
    let tenancies = manifest::of_kind::<TenancySpec>(&documents, "Tenancy")?;
    if tenancies.is_empty() {
        bail!(
            "failed to find a Tenancy in {}; give a file that holds one",
            arguments.file.display()
        );
    }
    let cloud = Cloud {
        policy,
        provider,
        catalogue,
    };
    let quoted = tenancies
        .iter()
        .map(|tenancy| quoted(tenancy, &cloud))
        .collect::<Result<Vec<Quoted>>>()?;
    print(&quoted, session.common.output, out)?;
    Ok(Outcome::Done)
}

/// What prices and terms are taken from.
struct Cloud {
    policy: Policy,
    provider: String,
    catalogue: Catalogue,
}

fn print(quoted: &[Quoted], format: Format, out: &mut dyn Write) -> Result<()> {
    if format == Format::Json {
        return output::json(quoted, out);
    }
    for one in quoted {
        if format == Format::Table {
            writeln!(out, "tenancy {}, provider {}", one.tenancy, one.provider)?;
        }
        let mut sheet = sheet::quotation(&one.quotation);
        sheet.notes.extend(one.refused.clone());
        output::show(&one.quotation, &sheet, format, out)?;
    }
    Ok(())
}

/// The policy of the file; without one the policy that holds when its object says nothing.
fn policy(file: Option<&Path>) -> Result<Policy> {
    let spec: CloudPolicySpec = match file {
        Some(file) => {
            let documents = manifest::read(file)?;
            let mut found = manifest::of_kind::<CloudPolicySpec>(&documents, "CloudPolicy")?;
            found
                .pop()
                .map(|policy| policy.spec)
                .with_context(|| format!("failed to find a CloudPolicy in {}", file.display()))?
        }
        None => serde_json::from_value(Value::Object(Map::new()))
            .context("failed to make the default policy")?,
    };
    Ok(convert::ledger_policy(&spec)?)
}

fn books(files: &[PathBuf]) -> Result<Vec<Book>> {
    let mut books = Vec::new();
    for file in files {
        let documents = manifest::read(file)?;
        for Manifest { name, spec } in manifest::of_kind::<PriceBookSpec>(&documents, "PriceBook")?
        {
            let book = convert::ledger_book(&name, &spec)?;
            let faults: Vec<String> = book
                .validate()
                .iter()
                .map(|fault| format!("{}: {}", fault.field, fault.message))
                .collect();
            if !faults.is_empty() {
                bail!("failed to accept price book {name}: {}", faults.join("; "));
            }
            books.push(book);
        }
    }
    if books.is_empty() {
        bail!("failed to find a PriceBook; name a file that holds one with --prices");
    }
    Ok(books)
}

fn provider(books: &[Book], named: Option<&str>) -> Result<String> {
    let known: BTreeSet<&str> = books.iter().map(|book| book.provider.as_str()).collect();
    let list = || known.iter().copied().collect::<Vec<_>>().join(", ");
    match (named, known.len()) {
        (Some(named), _) if known.contains(named) => Ok(named.to_owned()),
        (Some(named), _) => bail!(
            "failed to find prices of {named}; the files hold those of {}",
            list()
        ),
        (None, 1) => Ok(list()),
        (None, _) => bail!(
            "failed to choose a provider: name one of {} with --provider",
            list()
        ),
    }
}

fn quoted(tenancy: &Manifest<TenancySpec>, cloud: &Cloud) -> Result<Quoted> {
    let name = &tenancy.name;
    let of = |what: &str| format!("failed to read the {what} of tenancy {name}");
    let part = ApprovedPart::of(&tenancy.spec);
    let from = LocalDate::parse(&part.term.from).with_context(|| of("first day"))?;
    let through = LocalDate::parse(&part.term.through).with_context(|| of("last day"))?;
    let first = cloud.policy.time_zone.local_midnight(from);
    let prices = Prices {
        catalogue: &cloud.catalogue,
        provider: &cloud.provider,
        at: first,
        since: first,
    };
    let items = quantities(&part, &prices).map_err(|refusals| {
        let reasons: Vec<String> = refusals.iter().map(ToString::to_string).collect();
        anyhow::anyhow!("failed to quote tenancy {name}: {}", reasons.join("; "))
    })?;
    let wish = Wish {
        provider: &cloud.provider,
        items: &items,
        from,
        through,
        lots: &[],
    };
    let quotation = quote(&wish, &cloud.catalogue, &cloud.policy)
        .with_context(|| format!("failed to quote tenancy {name}"))?;
    let ceiling = part.budget.ceiling.as_deref().map(Money::parse).transpose();
    let ceiling = ceiling.with_context(|| of("budget's ceiling"))?;
    let refused = ceiling
        .filter(|ceiling| quotation.term > *ceiling)
        .map(|ceiling| {
            let asked = format!("{} for the term", quotation.term);
            let remedy = "lease less, shorten the term or raise budget.ceiling";
            Refusal::new("T28", asked, ceiling.to_string(), remedy).to_string()
        });
    Ok(Quoted {
        tenancy: name.clone(),
        provider: cloud.provider.clone(),
        refused,
        quotation,
    })
}

/// What is leased of each item, in base units.
fn quantities(
    part: &ApprovedPart,
    prices: &Prices<'_>,
) -> Result<Vec<(String, i64)>, Vec<Refusal>> {
    let known = items_of(part, prices)?;
    let mut quantities = Vec::new();
    let mut refused = Vec::new();
    for entry in &part.lease {
        let Some(item) = known.get(entry.item.as_str()) else {
            continue;
        };
        match base_quantity(entry, item) {
            Ok(base) => quantities.push((entry.item.to_string(), base)),
            Err(refusal) => refused.push(refusal),
        }
    }
    if refused.is_empty() {
        Ok(quantities)
    } else {
        Err(refused)
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::cli::Common;

    const TENANCY: &str = r#"
apiVersion: tenancy.leasehold.dev/v1alpha1
kind: InformationSystem
metadata: {name: oa, namespace: dept-gov-office}
spec: {displayName: 政府办公OA, origin: Existing, protectionLevel: 2}
---
apiVersion: tenancy.leasehold.dev/v1alpha1
kind: Tenancy
metadata: {name: oa, namespace: dept-gov-office}
spec:
  system: oa
  zone: gov-extranet
  term: {from: 2026-09-01, through: 2026-10-31}
  contract: HS-ZFCG-2026-031
  budget: {code: "30227", ceiling: "9000.00"}
  lease:
  - {item: vcpu-x86, quantity: "48"}
  - {item: memory, quantity: 64Gi}
  - {item: block-ssd, quantity: 2Ti}
  namespaces:
  - {name: prod, share: {vcpu-x86: "48"}}
"#;

    const PRICES: &str = r#"
apiVersion: charging.leasehold.dev/v1alpha1
kind: PriceBook
metadata: {name: huangshi-2026}
spec:
  provider: hs-bigdata
  contract: HS-ZFCG-2026-001
  validity: {from: 2026-01-01, through: 2026-12-31}
  items:
  - {name: vcpu-x86, displayName: 云主机CPU, category: compute, resource: cpu, unit: Core, per: Month, price: "46.00"}
  - {name: memory, displayName: 内存, category: compute, resource: memory, unit: GiB, per: Month, price: "17.00"}
  - {name: block-ssd, displayName: SSD云硬盘, category: storage, storageClass: ssd, unit: GiB, per: Month, price: "0.70"}
"#;

    fn quote_files(tenancy: &str, prices: &str, output: Format) -> Result<String> {
        let dir = tempfile::tempdir()?;
        let (file, book) = (
            dir.path().join("tenancy.yaml"),
            dir.path().join("book.yaml"),
        );
        fs::write(&file, tenancy)?;
        fs::write(&book, prices)?;
        let session = Session::new(Common {
            output,
            ..Common::default()
        })?;
        let arguments = QuoteArgs {
            file,
            prices: vec![book],
            provider: None,
            policy: None,
        };
        let mut out = Vec::new();
        run(&arguments, &session, &mut out)?;
        Ok(String::from_utf8(out)?)
    }

    #[test]
    fn two_files_give_the_price_of_a_month_and_of_the_term() {
        let text = quote_files(TENANCY, PRICES, Format::Json).unwrap();
        let quoted: Value = serde_json::from_str(&text).unwrap();
        let one = &quoted[0];
        // 48 × 46.00 + 64 × 17.00 + 2048 × 0.70 = 2208.00 + 1088.00 + 1433.60, for two months
        assert_eq!(one["quotation"]["monthly"], "4729.60");
        assert_eq!(one["quotation"]["term"], "9459.20");
        assert_eq!(
            (&one["tenancy"], &one["provider"]),
            (&"oa".into(), &"hs-bigdata".into())
        );
        // 9459.20 is above 9000.00
        assert!(
            one["refused"].as_str().unwrap().starts_with("rule T28:"),
            "{text}"
        );
    }

    #[test]
    fn people_get_a_table_with_the_tenancy_above_it() {
        let enough = TENANCY.replace("9000.00", "9459.20");
        let text = quote_files(&enough, PRICES, Format::Table).unwrap();
        assert!(
            text.starts_with("tenancy oa, provider hs-bigdata\n"),
            "{text}"
        );
        assert!(
            text.contains("4729.60") && text.contains("云主机CPU"),
            "{text}"
        );
        assert!(!text.contains("T28"), "{text}");
    }

    #[test]
    fn what_cannot_be_leased_is_refused_by_its_rule() {
        let unknown = TENANCY.replace("item: memory", "item: gpu");
        let error = quote_files(&unknown, PRICES, Format::Table)
            .unwrap_err()
            .to_string();
        assert!(
            error.contains("T21") && error.contains("block-ssd, memory, vcpu-x86"),
            "{error}"
        );
        let fine = TENANCY.replace("64Gi", "100m");
        let error = quote_files(&fine, PRICES, Format::Table)
            .unwrap_err()
            .to_string();
        assert!(error.contains("T22"), "{error}");
    }

    #[test]
    fn prices_of_two_providers_must_be_told_apart() {
        let other = PRICES
            .replace("hs-bigdata", "other")
            .replace("huangshi-2026", "other-2026");
        let both = format!("{PRICES}---{other}");
        let error = quote_files(TENANCY, &both, Format::Table)
            .unwrap_err()
            .to_string();
        assert!(
            error.contains("hs-bigdata, other") && error.contains("--provider"),
            "{error}"
        );
    }

    #[test]
    fn a_file_without_a_tenancy_or_prices_says_what_is_missing() {
        let error = quote_files(PRICES, PRICES, Format::Table)
            .unwrap_err()
            .to_string();
        assert!(error.contains("Tenancy"), "{error}");
        let error = quote_files(TENANCY, TENANCY, Format::Table)
            .unwrap_err()
            .to_string();
        assert!(error.contains("--prices"), "{error}");
    }
}
