//! What PostgreSQL has beside the tables: the view for operators, and the roles with their rights.

use engine::ports::store::StoreError;
use sqlx::{AssertSqlSafe, Connection as _, PgConnection};

use crate::{
    dialect::Connection,
    error, installation,
    postgres::{PostgresAddress, WRITER},
    store::OpenError,
};

const VIEW: &str = include_str!("../postgres/view.sql");
const ROLES: &str =
    concat!(include_str!("../postgres/roles.sql"), "\n", include_str!("../postgres/operations.sql"));

/// The lock of whoever changes the schema.
const MIGRATOR: i64 = WRITER + 1;

/// What a migration did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Migrated {
    /// The schema that was there; `None` in an empty database.
    pub from: Option<i64>,
    /// The schema that is there.
    pub to: i64,
    /// Why roles and their rights could not be set, if so: the schema is up to date all the same.
    pub roles_refused: Option<String>,
}

/// Brings schema, view, roles and their rights up to date, past any pooler. One at a time does it; the others wait.
///
/// # Errors
/// [`OpenError`]; nothing was changed when the schema is newer, or when whoever connects may not change it.
pub async fn migrate(address: &PostgresAddress) -> Result<Migrated, OpenError> {
    let mut connection = Connection::PostgresAlone(address.alone("migration").await?);
    let stored =
        async |connection: &mut Connection| installation::stored(connection, installation::STEPS).await;
    let from = stored(&mut connection).await?.map(|(version, _)| version);
    installation::migrate(&mut connection, installation::STEPS).await?;
    let made = stored(&mut connection).await?;
    let to = made.as_ref().map_or(installation::SCHEMA_VERSION, |(version, _)| *version);
    let Connection::PostgresAlone(mut server) = connection else {
        return Err(StoreError::Conflict("a connection became another".to_owned()).into());
    };
    lock(&mut server).await?;
    // Those of a later version are its own.
    let later = made.is_some_and(|(version, software)| {
        version > installation::SCHEMA_VERSION || installation::is_later(&software)
    });
    let roles = if later { Ok(()) } else { run(&mut server, ROLES).await };
    server.close().await.map_err(error::of)?;
    Ok(Migrated { from, to, roles_refused: roles.err().map(|error| error.to_string()) })
}

/// Whether whoever is connected may change the schema.
pub(crate) async fn may_migrate(connection: &mut PgConnection) -> Result<bool, OpenError> {
    const MAY: &str = "SELECT coalesce(has_schema_privilege(current_schema(), 'CREATE'), false)";
    Ok(sqlx::query_scalar(MAY).fetch_one(connection).await.map_err(error::of)?)
}

/// Waits for whoever changes the schema; the lock is the session's.
pub(crate) async fn lock(connection: &mut PgConnection) -> Result<(), OpenError> {
    sqlx::query("SELECT pg_advisory_lock($1)").bind(MIGRATOR).execute(connection).await.map_err(error::of)?;
    Ok(())
}

/// Lets the next one change it.
pub(crate) async fn unlock(connection: &mut PgConnection) -> Result<(), OpenError> {
    sqlx::query("SELECT pg_advisory_unlock($1)")
        .bind(MIGRATOR)
        .execute(connection)
        .await
        .map_err(error::of)?;
    Ok(())
}

/// Makes the view, as this version has it.
pub(crate) async fn view(connection: &mut PgConnection) -> Result<(), OpenError> {
    run(connection, VIEW).await
}

/// Runs a text of this crate's in a transaction, in the schema of the tables.
async fn run(connection: &mut PgConnection, text: &'static str) -> Result<(), OpenError> {
    let schema: String = sqlx::query_scalar("SELECT quote_ident(current_schema())")
        .fetch_one(&mut *connection)
        .await
        .map_err(error::of)?;
    let text = text.replace("{schema}", &schema).replace("{writer}", &WRITER.to_string());
    let mut transaction = connection.begin().await.map_err(error::of)?;
    sqlx::raw_sql(AssertSqlSafe(text)).execute(&mut *transaction).await.map_err(error::of)?;
    Ok(transaction.commit().await.map_err(error::of)?)
}
