//! Statements for SQLite.

use serde_json::Value as Json;
use sqlx::query::Query;
use sqlx::sqlite::SqliteArguments;
use sqlx::{SqlSafeStr, Sqlite};

use super::Value;

/// A statement with its values.
pub(super) fn query<'q>(
    sql: impl SqlSafeStr,
    values: &[Value<'_>],
) -> Query<'q, Sqlite, SqliteArguments> {
    let mut query = sqlx::query::<Sqlite>(sql);
    for value in values {
        query = match *value {
            Value::Integer(value) => query.bind(value),
            Value::MaybeInteger(value) => query.bind(value),
            Value::Text(value) => query.bind(value),
            Value::MaybeText(value) => query.bind(value),
            Value::Texts(values) => query.bind(Json::from(values).to_string()),
        };
    }
    query
}
