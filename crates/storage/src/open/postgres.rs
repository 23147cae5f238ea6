//! A schema in a PostgreSQL database.

use std::{sync::Arc, time::Duration};

use domain::port::StoreResult;
use rand::Rng as _;
use sqlx::{
    Connection as _, PgConnection,
    migrate::{MigrateError, Migrator},
    postgres::{PgConnectOptions, PgSslMode},
};

use super::{
    LedgerStore, OpenError, PostgresOptions, StoreOptions, key_fits,
    listener::{ListenerParts, NoticeListener},
};
use crate::{
    crypt::Cipher,
    db::{
        Conn, DbError, Readers,
        postgres::{self, DatabaseLimits, within},
    },
    delivery::claims::RowClaims,
    error::Doing as _,
    known_keys::KnownKeys,
    lease::RowLeases,
    unreadable::UnreadableRows,
    writer::{CHANNEL, CommitCaches, Outside, SHARES, Seams, SharedTurn, Unit, Writer},
};

static MIGRATIONS: Migrator = sqlx::migrate!("migrations/postgres");

/// Statements that a connection keeps compiled.
const STATEMENTS_MAX: usize = 256;
/// Connections for the leases of sessions.
const HEARTBEATS: u32 = 2;

/// Connections for the claims of lanes.
const COURIERS: u32 = 4;

/// Opens a schema, and makes it if it is missing.
pub(super) async fn open(
    options: StoreOptions,
    target: PostgresOptions,
) -> Result<LedgerStore, OpenError> {
    let database = target.to_string();
    let failed = |source| OpenError::Store { database: database.clone(), source };
    let cipher = Arc::new(Cipher::new(&options.master_key));
    let limits = options.limits;
    let connect = connect_options(&target, &limits);
    migrate(&connect, &target.schema, limits.connect).await.map_err(|error| match error {
        MigrationFailure::Store(source) => failed(source),
        MigrationFailure::Migration(source) => OpenError::migration(database.clone(), source),
    })?;
    let conn = postgres::PostgresConnection::open(connect.clone(), limits).await;
    let mut conn = Conn::Postgres(Box::new(conn.doing("opening the database").map_err(failed)?));
    if !key_fits(&mut conn, &cipher).await.map_err(failed)? {
        return Err(OpenError::WrongKey(database));
    }
    // Lists and logs have conditions that may be left out: planned without the values, a page of a large log is read
    // and sorted as a whole.
    let planned = connect.clone().options([("plan_cache_mode", "force_custom_plan")]);
    let connections =
        |options, count| Readers::Postgres(postgres::PostgresReaders::open(options, limits, count));
    let readers = connections(planned, options.readers.max(1));
    let couriers = connections(connect.clone(), COURIERS);
    let heartbeats = connections(connect.clone(), HEARTBEATS);
    let unreadable = Arc::<UnreadableRows>::default();
    let name = format!("{:016x}", rand::rng().next_u64());
    let version = newest();
    let seams = Seams {
        claims: Arc::new(RowClaims::new(couriers.clone(), readers.clone())),
        leases: Arc::new(RowLeases::new(readers.clone(), heartbeats.clone(), unreadable.clone())),
        turn: Arc::new(SharedTurn::new(name.clone(), version)),
    };
    let caches = Arc::new(CommitCaches::new(seams.claims.clone(), KnownKeys::new(false)));
    let listener = NoticeListener::start(ListenerParts {
        options: connect.clone(),
        limits,
        channel: format!("{CHANNEL}_{}", target.schema),
        own: name,
        caches: caches.clone(),
    });
    let unit = |conn| {
        Unit::new(conn, cipher.clone(), options.entropy.clone(), seams.clone())
            .noting(unreadable.clone())
    };
    let mut units = vec![unit(conn)];
    for _ in 0..SHARES {
        let conn = postgres::PostgresConnection::open(connect.clone(), limits).await;
        let conn = conn.doing("opening the database").map_err(failed)?;
        units.push(unit(Conn::Postgres(Box::new(conn))));
    }
    let outside = Outside::new(caches.clone());
    let writer = Writer::start(units, outside, limits)
        .map_err(|source| OpenError::Io { path: database.clone().into(), source })?;
    Ok(LedgerStore {
        writer: writer.with_failpoint(options.failpoint),
        readers,
        couriers,
        heartbeats: Some(heartbeats),
        cipher,
        seams,
        caches,
        unreadable,
        _listener: Some(Arc::new(listener)),
        _lock: None,
    })
}

/// The newest version of the tables that this program knows.
pub(crate) fn newest() -> i64 {
    MIGRATIONS.iter().map(|one| one.version).max().unwrap_or(0)
}

/// A connection that makes nothing and brings nothing up to date.
pub(crate) async fn connect_to_look(
    target: &PostgresOptions,
    limits: DatabaseLimits,
) -> StoreResult<postgres::PostgresConnection> {
    let options = connect_options(target, &limits);
    let options = options.options([("default_transaction_read_only", "on")]);
    postgres::PostgresConnection::open(options, limits).await.doing("reaching the database")
}

fn connect_options(target: &PostgresOptions, limits: &DatabaseLimits) -> PgConnectOptions {
    let options = PgConnectOptions::new_without_pgpass()
        .host(&target.host)
        .port(target.port)
        .username(&target.username)
        .database(&target.database)
        .application_name("waypost")
        .ssl_mode(if target.tls.is_some() { PgSslMode::VerifyFull } else { PgSslMode::Disable })
        .statement_cache_capacity(STATEMENTS_MAX)
        .options([
            ("search_path", target.schema.as_str()),
            // The last commit must survive a power cut.
            ("synchronous_commit", "on"),
            // Ours are short: to compile one takes longer than to run it.
            ("jit", "off"),
        ])
        .options(limits.of_server());
    let options = match target.tls.as_ref().and_then(|tls| tls.ca.as_ref()) {
        Some(ca) => options.ssl_root_cert(ca),
        None => options,
    };
    match &target.password {
        Some(password) => options.password(password),
        None => options,
    }
}

enum MigrationFailure {
    Store(domain::port::StoreError),
    Migration(MigrateError),
}

/// Makes the schema and brings its tables to this version; several processes may do so at once.
async fn migrate(
    options: &PgConnectOptions,
    schema: &str,
    limit: Duration,
) -> Result<(), MigrationFailure> {
    let failed = |error: DbError| {
        MigrationFailure::Store(match Err::<(), _>(error).doing("opening the database") {
            Err(error) => error,
            Ok(()) => crate::error::unavailable("opening the database"),
        })
    };
    let store = |error: sqlx::Error| failed(error.into());
    // A migration may take its time, and waits for one that another process makes.
    let patient = options.clone().options([("statement_timeout", "0"), ("lock_timeout", "0")]);
    let connecting = within(limit, PgConnection::connect_with(&patient));
    let mut conn = connecting.await.map_err(failed)?;
    // DialectPair that make it at once are told apart by a unique index, as an error; it is there then.
    let quoted = schema.replace('"', "\"\"");
    let make = format!("create schema if not exists \"{quoted}\"");
    let made = sqlx::raw_sql(sqlx::AssertSqlSafe(make)).execute(&mut conn).await;
    let there: bool = sqlx::query_scalar("select to_regnamespace(quote_ident($1)) is not null")
        .bind(schema)
        .fetch_one(&mut conn)
        .await
        .map_err(store)?;
    if let (Err(error), false) = (made, there) {
        return Err(store(error));
    }
    MIGRATIONS.run(&mut conn).await.map_err(MigrationFailure::Migration)?;
    conn.close().await.map_err(store)
}
