//! Who may do what in a database of a server. A file has no roles.

use crate::backend::{Pool, Value};
use crate::codec::column;
use crate::schema;
use crate::store::Roles;
use crate::{Place, StoreError};

/// The role of the connection, and whether it could change or take away what is remembered: as the owner of a table, of the
/// schema or of the database, as a superuser, or by a right that it was given.
const RIGHTS: &str = "SELECT current_user::text AS role, ( \
     EXISTS (SELECT 1 FROM pg_catalog.pg_class c WHERE c.relnamespace = 'leasehold'::regnamespace \
         AND c.relname IN ('chain', 'fact', 'document', 'entry', 'posting', 'meta') \
         AND (pg_has_role(c.relowner, 'USAGE') \
             OR has_table_privilege(c.oid, 'UPDATE, DELETE, TRUNCATE, TRIGGER'))) \
     OR EXISTS (SELECT 1 FROM pg_catalog.pg_namespace n WHERE n.nspname = 'leasehold' \
         AND (pg_has_role(n.nspowner, 'USAGE') OR has_schema_privilege(n.oid, 'CREATE'))) \
     OR EXISTS (SELECT 1 FROM pg_catalog.pg_database d WHERE d.datname = current_database() \
         AND pg_has_role(d.datdba, 'USAGE')) \
     )::text AS too_many";

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
