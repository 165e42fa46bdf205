//! Who may do what in a database of a server. A file has no roles.

use crate::backend::{Pool, Value};
use crate::codec::column;
use crate::schema;
use crate::store::Roles;
use crate::{Place, StoreError};

/// The role of the connection, and whether it could change or take away what is remembered: as the owner of a table, of the
/// schema or of the database, as a superuser, or by a right that it was given, on a whole table or on a column. What counts is
/// what any role could do that it is a member of, also where it would have to change to that role first.
const RIGHTS: &str = "SELECT current_user::text AS role, EXISTS ( \
     SELECT 1 FROM pg_catalog.pg_roles r WHERE pg_has_role(r.oid, 'MEMBER') AND ( \
         EXISTS (SELECT 1 FROM pg_catalog.pg_class c WHERE c.relnamespace = 'leasehold'::regnamespace \
             AND c.relname IN ('chain', 'fact', 'document', 'entry', 'posting', 'meta', 'hole', 'archived_object') \
             AND (c.relowner = r.oid \
                 OR has_table_privilege(r.oid, c.oid, 'UPDATE, DELETE, TRUNCATE, TRIGGER') \
                 OR has_any_column_privilege(r.oid, c.oid, 'UPDATE'))) \
         OR EXISTS (SELECT 1 FROM pg_catalog.pg_namespace n WHERE n.nspname = 'leasehold' \
             AND (n.nspowner = r.oid OR has_schema_privilege(r.oid, n.oid, 'CREATE'))) \
         OR EXISTS (SELECT 1 FROM pg_catalog.pg_database d WHERE d.datname = current_database() \
             AND d.datdba = r.oid)) \
     )::text AS too_many";

/// The role of the connection, and whether it may take facts out of the ledger, as the owner of the tables may.
const KEEPS: &str = "SELECT current_user::text AS role, ( \
     has_table_privilege('leasehold.chain', 'INSERT') \
     AND has_table_privilege('leasehold.chain', 'DELETE') \
     AND has_table_privilege('leasehold.fact', 'DELETE') \
     AND has_table_privilege('leasehold.hole', 'DELETE') \
     )::text AS enough";

const ADMIT_SERVICE: &str = "SELECT leasehold.admit_service($1)::text AS done";

const ADMIT_READER: &str = "SELECT leasehold.admit_reader($1)::text AS done";

/// Refuses a writer whose role could do more than append.
pub(crate) async fn refuse_owner(writer: &Pool, place: &Place) -> Result<(), StoreError> {
    let row = writer
        .fetch_optional("read the rights of the role", RIGHTS, &[])
        .await?;
    let Some(row) = row else { return Ok(()) };
    let too_many: String = column(&row, "too_many")?;
    if too_many == "false" {
        return Ok(());
    }
    Err(StoreError::TooManyRights {
        place: place.clone(),
        role: column(&row, "role")?,
    })
}

/// Refuses a role that could not take out what it has archived.
pub(crate) async fn refuse_reader(keeper: &Pool, place: &Place) -> Result<(), StoreError> {
    let row = keeper
        .fetch_optional("read the rights of the role", KEEPS, &[])
        .await?;
    let Some(row) = row else { return Ok(()) };
    let enough: String = column(&row, "enough")?;
    if enough == "true" {
        return Ok(());
    }
    Err(StoreError::TooFewRights {
        place: place.clone(),
        role: column(&row, "role")?,
    })
}

/// Gives the roles what they need and nothing else. Two at once come one after the other, as migrations do: the server
/// refuses the second of two changes to the rights of one schema.
pub(crate) async fn admit(owner: &Pool, roles: &Roles) -> Result<(), StoreError> {
    let mut turn = owner.begin("start letting roles in").await?;
    let mut link = turn.link();
    schema::one_at_a_time(&mut link).await?;
    for (sql, role) in [
        (ADMIT_SERVICE, &roles.service),
        (ADMIT_READER, &roles.reader),
    ] {
        if let Some(role) = role {
            link.fetch_all("let a role in", sql, &[Value::Text(role)])
                .await?;
        }
    }
    turn.commit("let roles in").await
}
