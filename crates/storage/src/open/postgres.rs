//! A schema in a PostgreSQL database.

use std::sync::Arc;

use rand::Rng as _;
use sqlx::{
    Connection as _, PgConnection, PgPool,
    migrate::{MigrateError, Migrator},
    postgres::{PgConnectOptions, PgListener, PgSslMode},
};
use tokio::sync::Notify;

use super::{LedgerStore, OpenError, PostgresOptions, StoreOptions, key_fits};
use crate::{
    crypt::Cipher,
    db::{Conn, DbError, Readers, postgres},
    delivery::{leases::Leases, lines::Lines, recent::Recent},
    error::Doing as _,
    receivers::Receivers,
    writer::{CHANNEL, Unit, Writer},
};

static MIGRATIONS: Migrator = sqlx::migrate!("migrations/postgres");

/// Statements that a connection keeps compiled.
const STATEMENTS_MAX: usize = 256;

/// Opens it.
pub(super) async fn open(
    options: StoreOptions,
    place: PostgresOptions,
) -> Result<LedgerStore, OpenError> {
    let database = place.to_string();
    let failed = |source| OpenError::Store { database: database.clone(), source };
    let cipher = Arc::new(Cipher::new(&options.master_key));
    let connect = connect_options(&place);
    migrate(&connect, &place.schema).await.map_err(|error| match error {
        Failed::Store(source) => failed(source),
        Failed::Migration(source) => OpenError::Migration { database: database.clone(), source },
    })?;
    let conn = postgres::Connection::open(connect.clone()).await;
    let mut conn = Conn::Postgres(Box::new(conn.doing("opening the database").map_err(failed)?));
    if !key_fits(&mut conn, &cipher).await.map_err(failed)? {
        return Err(OpenError::WrongKey(database));
    }
    let readers = postgres::Readers::open(connect, options.readers.max(1));
    let (leases, recent) = (Arc::<Leases>::default(), Arc::<Recent>::default());
    let receivers = Arc::<Receivers>::default();
    let lines = Arc::<Lines>::default();
    let name = format!("{:016x}", rand::rng().next_u64());
    let elsewhere = Arc::new(Notify::new());
    let listener =
        Listener::start(readers.pool().clone(), &place.schema, &name, &elsewhere, &receivers);
    let unit = Unit::new(conn, cipher.clone(), None, leases.clone(), 0).named(name);
    let writer = Writer::start(unit, recent.clone(), receivers.clone(), lines.clone())
        .map_err(|source| OpenError::Io { path: database.clone().into(), source })?;
    Ok(LedgerStore {
        writer,
        readers: Readers::Postgres(readers),
        cipher,
        leases,
        recent,
        receivers,
        lines,
        elsewhere,
        _listener: Some(Arc::new(listener)),
        _lock: None,
    })
}

fn connect_options(place: &PostgresOptions) -> PgConnectOptions {
    let options = PgConnectOptions::new_without_pgpass()
        .host(&place.host)
        .port(place.port)
        .username(&place.username)
        .database(&place.database)
        .application_name("waypost")
        .ssl_mode(if place.tls.is_some() { PgSslMode::VerifyFull } else { PgSslMode::Disable })
        .statement_cache_capacity(STATEMENTS_MAX)
        .options([
            ("search_path", place.schema.as_str()),
            // The last commit must survive a power cut.
            ("synchronous_commit", "on"),
            // A process that was halted in its turn must not keep the others waiting for ever.
            ("idle_in_transaction_session_timeout", "30000"),
        ]);
    let options = match place.tls.as_ref().and_then(|tls| tls.ca.as_ref()) {
        Some(ca) => options.ssl_root_cert(ca),
        None => options,
    };
    match &place.password {
        Some(password) => options.password(password),
        None => options,
    }
}

enum Failed {
    Store(domain::port::StoreError),
    Migration(MigrateError),
}

/// Makes the schema and brings its tables to this version; several processes may do so at once.
async fn migrate(options: &PgConnectOptions, schema: &str) -> Result<(), Failed> {
    let store = |error: sqlx::Error| {
        Failed::Store(match Err::<(), _>(DbError::from(error)).doing("opening the database") {
            Err(error) => error,
            Ok(()) => crate::error::unavailable("opening the database"),
        })
    };
    let mut conn = PgConnection::connect_with(options).await.map_err(store)?;
    // Two that make it at once are told apart by a unique index, as an error; it is there then.
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
    MIGRATIONS.run(&mut conn).await.map_err(Failed::Migration)?;
    conn.close().await.map_err(store)
}

/// Hears what other processes tell.
pub(super) struct Listener(tokio::task::JoinHandle<()>);

impl Drop for Listener {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl Listener {
    #[expect(
        clippy::disallowed_methods,
        reason = "the listener belongs to the store and ends with it"
    )]
    fn start(
        pool: PgPool,
        schema: &str,
        name: &str,
        elsewhere: &Arc<Notify>,
        receivers: &Arc<Receivers>,
    ) -> Self {
        let (channel, own) = (format!("{CHANNEL}_{schema}"), name.to_owned());
        let (elsewhere, receivers) = (elsewhere.clone(), receivers.clone());
        Self(tokio::spawn(async move {
            loop {
                let heard = listen(&pool, &channel, &own, &elsewhere, &receivers).await;
                if pool.is_closed() {
                    return;
                }
                if let Err(error) = heard {
                    tracing::warn!(%error, "the database's news cannot be heard; trying again");
                }
                // Something may have been missed: what is remembered counts no longer, and lanes are looked for.
                receivers.forget();
                elsewhere.notify_one();
                tokio::time::sleep(std::time::Duration::from_secs(1)).await;
            }
        }))
    }
}

/// Until the connection is gone.
async fn listen(
    pool: &PgPool,
    channel: &str,
    own: &str,
    elsewhere: &Notify,
    receivers: &Receivers,
) -> Result<(), sqlx::Error> {
    let mut listener = PgListener::connect_with(pool).await?;
    listener.ignore_pool_close_event(false);
    listener.listen(channel).await?;
    // Before this moment nothing was heard.
    receivers.forget();
    while let Some(news) = listener.try_recv().await? {
        let mut words = news.payload().split(' ');
        if words.next() == Some(own) {
            continue;
        }
        for word in words {
            match word {
                "webhooks" => receivers.forget(),
                _ => elsewhere.notify_one(),
            }
        }
    }
    Ok(())
}
