//! Facts on their way into PostgreSQL.

use leasehold_ledger::time::Second;
use sqlx::PgConnection;

use super::Placed;
use crate::StoreError;
use crate::codec::{to_integer, to_word};
use crate::error::failed;

/// How many facts are written at once, by two statements: what has to be in memory for them is little, and a larger group
/// is not faster.
pub(super) const GROUP: usize = 500;

/// Rows of the chain, as many as the arrays have elements.
const CHAIN: &str = "INSERT INTO chain (seq, kind, key, digest, prev, hash, inserted_at, epoch) \
     SELECT * FROM unnest($1::bigint[], $2::text[], $3::text[], $4::text[], $5::text[], $6::text[], \
     $7::bigint[], $8::bigint[])";

/// The bodies of facts.
const FACTS: &str = "INSERT INTO fact (seq, cluster, etcd, uid, version, meter, kind, at, quantity, \
     department, tenancy, incarnation, system, provider, contract, budget, request, object, \
     estimated, lower_at, upper_at, evidence) \
     SELECT * FROM unnest($1::bigint[], $2::text[], $3::bigint[], $4::text[], $5::text[], $6::text[], \
     $7::text[], $8::bigint[], $9::bigint[], $10::text[], $11::text[], $12::bigint[], $13::text[], \
     $14::text[], $15::text[], $16::text[], $17::bigint[], $18::text[], $19::bigint[], \
     $20::bigint[], $21::bigint[], $22::text[])";

/// Writes facts: their rows of the chain by one statement, their bodies by another.
pub(super) async fn insert_facts(
    connection: &mut PgConnection,
    facts: &[Placed<'_>],
    epoch: i64,
) -> Result<(), StoreError> {
    if facts.is_empty() {
        return Ok(());
    }
    insert_chain(connection, facts, epoch).await?;
    insert_bodies(connection, facts).await
}

/// A column of integers.
fn integers(facts: &[Placed<'_>], value: impl Fn(&Placed<'_>) -> i64) -> Vec<i64> {
    facts.iter().map(value).collect()
}

/// A column of texts.
fn texts<'f, 'a>(
    facts: &'f [Placed<'a>],
    value: impl Fn(&'f Placed<'a>) -> &'f str,
) -> Vec<String> {
    facts.iter().map(|fact| value(fact).to_owned()).collect()
}

/// A column of instants, some of which are not there.
fn instants(
    facts: &[Placed<'_>],
    value: impl Fn(&Placed<'_>) -> Option<Second>,
) -> Vec<Option<i64>> {
    let values = facts.iter().map(value);
    values.map(|instant| instant.map(Second::get)).collect()
}

/// The bounds of an estimate.
fn bounds(placed: &Placed<'_>) -> Option<(Second, Second)> {
    let bounds = placed.fact.bounds.as_ref()?;
    Some((bounds.lower, bounds.upper))
}

/// The sequence numbers.
fn sequence(facts: &[Placed<'_>]) -> Result<Vec<i64>, StoreError> {
    facts
        .iter()
        .map(|placed| to_integer("sequence number", placed.row.seq))
        .collect()
}

async fn insert_chain(
    connection: &mut PgConnection,
    facts: &[Placed<'_>],
    epoch: i64,
) -> Result<(), StoreError> {
    sqlx::query(CHAIN)
        .bind(sequence(facts)?)
        .bind(texts(facts, |placed| &placed.row.kind))
        .bind(texts(facts, |placed| &placed.row.key))
        .bind(texts(facts, |placed| placed.row.digest.as_str()))
        .bind(texts(facts, |placed| placed.row.prev.as_str()))
        .bind(texts(facts, |placed| placed.row.hash.as_str()))
        .bind(integers(facts, |placed| placed.at.get()))
        .bind(integers(facts, |_| epoch))
        .execute(connection)
        .await
        .map_err(failed("append facts"))?;
    Ok(())
}

async fn insert_bodies(
    connection: &mut PgConnection,
    facts: &[Placed<'_>],
) -> Result<(), StoreError> {
    let meters: Vec<String> = facts
        .iter()
        .map(|placed| placed.fact.meter.to_string())
        .collect();
    let kinds: Vec<String> = facts
        .iter()
        .map(|placed| to_word("fact", &placed.fact.kind))
        .collect::<Result<_, _>>()?;
    sqlx::query(FACTS)
        .bind(sequence(facts)?)
        .bind(texts(facts, |placed| &placed.fact.source.cluster))
        .bind(integers(facts, |placed| placed.fact.source.etcd.into()))
        .bind(texts(facts, |placed| &placed.fact.source.uid))
        .bind(texts(facts, |placed| &placed.fact.source.version))
        .bind(meters)
        .bind(kinds)
        .bind(integers(facts, |placed| placed.fact.at.get()))
        .bind(integers(facts, |placed| placed.fact.quantity))
        .bind(texts(facts, |placed| &placed.fact.subject.department))
        .bind(texts(facts, |placed| &placed.fact.subject.tenancy))
        .bind(integers(facts, |placed| {
            placed.fact.subject.incarnation.into()
        }))
        .bind(texts(facts, |placed| &placed.fact.subject.system))
        .bind(texts(facts, |placed| &placed.fact.subject.provider))
        .bind(texts(facts, |placed| &placed.fact.subject.contract))
        .bind(texts(facts, |placed| &placed.fact.subject.budget))
        .bind(integers(facts, |placed| placed.fact.subject.request.into()))
        .bind(texts(facts, |placed| &placed.fact.subject.object))
        .bind(integers(facts, |placed| placed.fact.estimated.into()))
        .bind(instants(facts, |placed| {
            bounds(placed).map(|(lower, _)| lower)
        }))
        .bind(instants(facts, |placed| {
            bounds(placed).map(|(_, upper)| upper)
        }))
        .bind(texts(facts, |placed| &placed.fact.evidence))
        .execute(connection)
        .await
        .map_err(failed("append facts"))?;
    Ok(())
}
