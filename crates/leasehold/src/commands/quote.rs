//! `leasehold quote`: what a tenancy would cost, from files alone.

use std::{
    collections::BTreeSet,
    io::Write,
    path::{Path, PathBuf},
};

use anyhow::{Context, Error, Result, anyhow, bail};
use leasehold_api::{charging::PriceBookSpec, platform::CloudPolicySpec, tenancy::TenancySpec};
use leasehold_export::sheet::{self, Sheet};
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
    failure,
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
    /// First day of the term.
    #[serde(skip)]
    from: LocalDate,
    /// Last day of the term.
    #[serde(skip)]
    through: LocalDate,
    /// Why the request would be refused although it has a price.
    #[serde(skip_serializing_if = "Option::is_none")]
    refused: Option<String>,
    quotation: Quotation,
}

/// Quotes every tenancy of the file. What has no price, or would be refused, is an error once all others are printed.
pub fn run(arguments: &QuoteArgs, session: &Session, out: &mut dyn Write) -> Result<Outcome> {
    let policy = policy(arguments.policy.as_deref())?;
    let books = books(&arguments.prices)?;
    let provider = provider(&books, arguments.provider.as_deref())?;
    let catalogue = Catalogue::new(books, policy.time_zone.clone())?;
    let file = &arguments.file;
    let tenancies = manifest::read::<TenancySpec>(file, "Tenancy")?;
    if tenancies.is_empty() {
        bail!(
            "failed to find a Tenancy in {}; give a file that holds one",
            manifest::named(file)
        );
    }
    let cloud = Cloud {
        policy,
        provider,
        catalogue,
    };
    let mut found = Vec::new();
    let mut failures = Vec::new();
    for tenancy in &tenancies {
        match quoted(tenancy, file, &cloud) {
            Ok(one) => {
                failures.extend(refusal(&one));
                found.push(one);
            }
            Err(error) => failures.push(error),
        }
    }
    if !found.is_empty() {
        print(&found, session.common.output, out)?;
        out.flush()?;
    }
    outcome(&failures)
}

/// What prices and terms are taken from.
struct Cloud {
    policy: Policy,
    provider: String,
    catalogue: Catalogue,
}

fn refusal(quoted: &Quoted) -> Option<Error> {
    let why = quoted.refused.as_ref()?;
    Some(anyhow!(
        "failed to accept tenancy {}: {why}",
        quoted.tenancy
    ))
}

/// The end of the command: one error that tells all of them.
fn outcome(failures: &[Error]) -> Result<Outcome> {
    if failures.is_empty() {
        return Ok(Outcome::Done);
    }
    let told: Vec<String> = failures.iter().map(failure::text).collect();
    bail!("{}", told.join("; "))
}

/// People get a table for each tenancy; programs get one document or sheet, however many there are.
fn print(quoted: &[Quoted], format: Format, out: &mut dyn Write) -> Result<()> {
    if format != Format::Table {
        return output::show(quoted, &rows(quoted), format, out);
    }
    for one in quoted {
        writeln!(out, "tenancy {}, provider {}", one.tenancy, one.provider)?;
        let mut sheet = sheet::quotation(&one.quotation);
        sheet.notes.extend(one.refused.clone());
        output::show(&one.quotation, &sheet, format, out)?;
    }
    Ok(())
}

/// The items of all quotations, each with the tenancy that it is of.
fn rows(quoted: &[Quoted]) -> Sheet {
    let mut columns = vec![
        output::text("tenancy", "租约"),
        output::text("provider", "云服务方"),
        output::text("from", "起"),
        output::text("through", "止"),
    ];
    let mut rows = Vec::new();
    for (nth, one) in quoted.iter().enumerate() {
        let sheet = sheet::quotation(&one.quotation);
        if nth == 0 {
            columns.extend(sheet.columns);
        }
        for items in sheet.rows {
            let mut row = vec![
                one.tenancy.clone(),
                one.provider.clone(),
                one.from.to_string(),
                one.through.to_string(),
            ];
            row.extend(items);
            rows.push(row);
        }
    }
    output::plain(columns, rows)
}

/// The policy of the file; without one the policy that holds when its object says nothing.
fn policy(file: Option<&Path>) -> Result<Policy> {
    let Some(file) = file else {
        let spec: CloudPolicySpec = serde_json::from_value(Value::Object(Map::new()))
            .context("failed to make the default policy")?;
        return Ok(convert::ledger_policy(&spec)?);
    };
    let name = manifest::named(file);
    let mut found = manifest::read::<CloudPolicySpec>(file, "CloudPolicy")?;
    let policy = found.pop().with_context(|| {
        format!("failed to find a CloudPolicy in {name}; give a file that holds one")
    })?;
    convert::ledger_policy(&policy.spec).with_context(|| format!("failed to read {name}"))
}

fn books(files: &[PathBuf]) -> Result<Vec<Book>> {
    let mut books = Vec::new();
    for file in files {
        for Manifest { name, spec } in manifest::read::<PriceBookSpec>(file, "PriceBook")? {
            let book = convert::ledger_book(&name, &spec)
                .with_context(|| format!("failed to read {}", manifest::named(file)))?;
            let faults: Vec<String> = book
                .validate()
                .iter()
                .map(|fault| format!("{}: {}", fault.field, fault.message))
                .collect();
            if !faults.is_empty() {
                bail!(
                    "failed to accept price book {name} in {}: {}",
                    manifest::named(file),
                    faults.join("; ")
                );
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

fn quoted(tenancy: &Manifest<TenancySpec>, file: &Path, cloud: &Cloud) -> Result<Quoted> {
    let name = &tenancy.name;
    let of = |field: &str| {
        let file = manifest::named(file);
        format!("failed to read {file}: failed to read spec.{field} of Tenancy {name}")
    };
    let part = ApprovedPart::of(&tenancy.spec);
    let from = LocalDate::parse(&part.term.from).with_context(|| of("term.from"))?;
    let through = LocalDate::parse(&part.term.through).with_context(|| of("term.through"))?;
    let first = cloud.policy.time_zone.local_midnight(from);
    let prices = Prices {
        catalogue: &cloud.catalogue,
        provider: &cloud.provider,
        at: first,
        since: first,
        approved: None,
    };
    let items = quantities(&part, &prices).map_err(|refusals| {
        let reasons: Vec<String> = refusals.iter().map(ToString::to_string).collect();
        anyhow!("failed to quote tenancy {name}: {}", reasons.join("; "))
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
    let ceiling = ceiling.with_context(|| of("budget.ceiling"))?;
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
        from,
        through,
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

    /// What is printed, and how the command ends.
    fn quote_files(tenancy: &str, prices: &str, output: Format) -> (String, Result<Outcome>) {
        let dir = tempfile::tempdir().unwrap();
        let (file, book) = (
            dir.path().join("tenancy.yaml"),
            dir.path().join("book.yaml"),
        );
        fs::write(&file, tenancy).unwrap();
        fs::write(&book, prices).unwrap();
        let session = Session::new(Common {
            output,
            ..Common::default()
        })
        .unwrap();
        let arguments = QuoteArgs {
            file,
            prices: vec![book],
            provider: None,
            policy: None,
        };
        let mut out = Vec::new();
        let outcome = run(&arguments, &session, &mut out);
        (String::from_utf8(out).unwrap(), outcome)
    }

    /// Why a command fails that prints nothing.
    fn refusal_of(tenancy: &str, prices: &str) -> String {
        let (text, outcome) = quote_files(tenancy, prices, Format::Table);
        assert_eq!(text, "");
        failure::text(&outcome.unwrap_err())
    }

    /// The tenancy with room in its budget, and after it `mail`, which leases `item` in place of memory.
    fn with_mail(item: &str) -> String {
        let oa = TENANCY.replace("9000.00", "9459.20");
        let head = "kind: Tenancy\nmetadata: {name: ";
        let mail = oa
            .replace(&format!("{head}oa"), &format!("{head}mail"))
            .replace("item: memory", &format!("item: {item}"));
        format!("{oa}---{mail}")
    }

    #[test]
    fn two_files_give_the_price_of_a_month_and_of_the_term() {
        let (text, outcome) = quote_files(TENANCY, PRICES, Format::Json);
        let quoted: Value = serde_json::from_str(&text).unwrap();
        let one = &quoted[0];
        // 48 × 46.00 + 64 × 17.00 + 2048 × 0.70 = 2208.00 + 1088.00 + 1433.60, for two months
        assert_eq!(one["quotation"]["monthly"], "4729.60");
        assert_eq!(one["quotation"]["term"], "9459.20");
        assert_eq!(
            (&one["tenancy"], &one["provider"]),
            (&"oa".into(), &"hs-bigdata".into())
        );
        // 9459.20 is above 9000.00: the price is printed, and the command fails all the same
        assert!(
            one["refused"].as_str().unwrap().starts_with("rule T28:"),
            "{text}"
        );
        let told = outcome.unwrap_err().to_string();
        assert!(
            told.starts_with("failed to accept tenancy oa: rule T28: asked 9459.20"),
            "{told}"
        );
    }

    #[test]
    fn people_get_a_table_with_the_tenancy_above_it() {
        let enough = TENANCY.replace("9000.00", "9459.20");
        let (text, outcome) = quote_files(&enough, PRICES, Format::Table);
        assert_eq!(outcome.unwrap(), Outcome::Done);
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
    fn several_tenancies_are_one_sheet_and_one_document() {
        let (text, outcome) = quote_files(&with_mail("memory"), PRICES, Format::Csv);
        assert_eq!(outcome.unwrap(), Outcome::Done);
        let head = "\u{feff}租约 tenancy,云服务方 provider,起 from,止 through,目录项 item,服务 itemName,数量 quantity,\
             单位 unit,单价 unitPrice,每月 monthly\n";
        let rows = ["oa", "mail"].map(|name| {
            let begin = format!("{name},hs-bigdata,2026-09-01,2026-10-31");
            format!(
                "{begin},block-ssd,SSD云硬盘,2048.0,GiB·Month,0.70,1433.60\n\
                 {begin},memory,内存,64.0,GiB·Month,17.00,1088.00\n\
                 {begin},vcpu-x86,云主机CPU,48.0,Core·Month,46.00,2208.00\n"
            )
        });
        assert_eq!(text, format!("{head}{}", rows.concat()));
        let (text, _) = quote_files(&with_mail("memory"), PRICES, Format::Json);
        let quoted: Vec<Value> = serde_json::from_str(&text).unwrap();
        let names: Vec<&str> = quoted
            .iter()
            .map(|one| one["tenancy"].as_str().unwrap())
            .collect();
        assert_eq!(names, ["oa", "mail"]);
    }

    #[test]
    fn what_has_a_price_is_printed_before_the_command_fails() {
        for format in [Format::Table, Format::Csv, Format::Json] {
            let (text, outcome) = quote_files(&with_mail("gpu"), PRICES, format);
            assert!(
                text.contains("4729.60") || text.contains("2208.00"),
                "{text}"
            );
            assert!(!text.contains("mail"), "{text}");
            let told = outcome.unwrap_err().to_string();
            assert!(
                told.starts_with("failed to quote tenancy mail: rule T21:"),
                "{told}"
            );
        }
    }

    #[test]
    fn what_cannot_be_leased_is_refused_by_its_rule() {
        let unknown = TENANCY.replace("item: memory", "item: gpu");
        let error = refusal_of(&unknown, PRICES);
        assert!(
            error.contains("T21") && error.contains("block-ssd, memory, vcpu-x86"),
            "{error}"
        );
        let error = refusal_of(&TENANCY.replace("64Gi", "100m"), PRICES);
        assert!(error.contains("T22"), "{error}");
    }

    #[test]
    fn what_cannot_be_read_is_named_with_its_file_and_field() {
        let error = refusal_of(&TENANCY.replace("64Gi", "[64]"), PRICES);
        for part in ["tenancy.yaml", "spec.lease[1].quantity of Tenancy oa"] {
            assert!(error.contains(part), "{part} is missing in {error}");
        }
        let error = refusal_of(&TENANCY.replace("2026-10-31", "2026-10-32"), PRICES);
        for part in ["tenancy.yaml", "spec.term.through", "2026-10-32"] {
            assert!(error.contains(part), "{part} is missing in {error}");
        }
        let error = refusal_of(TENANCY, &PRICES.replace("2026-12-31", "2026-12-32"));
        for part in ["book.yaml", "spec.validity.through", "huangshi-2026"] {
            assert!(error.contains(part), "{part} is missing in {error}");
        }
    }

    #[test]
    fn prices_of_two_providers_must_be_told_apart() {
        let other = PRICES
            .replace("hs-bigdata", "other")
            .replace("huangshi-2026", "other-2026");
        let error = refusal_of(TENANCY, &format!("{PRICES}---{other}"));
        assert!(
            error.contains("hs-bigdata, other") && error.contains("--provider"),
            "{error}"
        );
    }

    #[test]
    fn a_file_without_a_tenancy_or_prices_says_what_is_missing() {
        let error = refusal_of(PRICES, PRICES);
        assert!(error.contains("Tenancy"), "{error}");
        let error = refusal_of(TENANCY, TENANCY);
        assert!(error.contains("--prices"), "{error}");
    }
}
