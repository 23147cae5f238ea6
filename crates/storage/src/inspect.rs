//! A look at a ledger from outside: nothing is written, nothing is brought up to date, and a gateway may run.

use std::path::Path;

use domain::{Timestamp, port::StoreResult};

use crate::{
    Database, DatabaseLimits, MasterKey,
    crypt::Cipher,
    db::{self, Conn, sqlite::SqliteConnection},
    error::Doing as _,
    open::{key_opens, postgres, sqlite},
};

const DOING: &str = "looking at the ledger";
/// Faults of the file that are told.
const FAULTS_MAX: u32 = 5;

db::statements! {
    SCHEMA = both("select max(version) from _sqlx_migrations");
    HAS_TABLES = DialectPair {
        sqlite: "select count(*) from sqlite_schema where type = 'table' and name = '_sqlx_migrations'",
        postgres: "select case when to_regclass('_sqlx_migrations') is null then 0 else 1 end",
    };
    NOW = DialectPair {
        sqlite: "select coalesce(max(updated_at), 0) from session",
        postgres: "select (extract(epoch from clock_timestamp()) * 1000)::bigint",
    };
    WRITTEN = both("select coalesce(max(updated_at), 0) from session");
    LINKED = both("select count(*) from session where deleted = 0 and wanted = 1");
    // From the index that has nothing else.
    WAITING = both("select count(*) as lanes, cast(coalesce(sum(waiting), 0) as bigint) as waiting, \
         coalesce(min(oldest), 0) as oldest from (select count(*) as waiting, min(occurred_at) as oldest from delivery \
         where state = 'pending' group by lane) as of_lane where oldest < $1");
    DEAD = both("select count(*) from delivery where state in ('exhausted','dropped') and superseded = 0");
    // On SQLite leases are in memory.
    STALE = DialectPair {
        sqlite: "select count(*) from session where deleted = 0 and lease_owner is not null and lease_until < 0",
        postgres: "select count(*) from session where deleted = 0 and lease_owner is not null \
             and lease_until <= (extract(epoch from clock_timestamp()) * 1000)::bigint",
    };
    PUT_ASIDE = both("select count(*) from quarantine");
}

/// What is known of a ledger.
#[derive(Debug, Clone, Default)]
pub struct LedgerFacts {
    /// Of which version its tables are; none where there are none yet.
    pub schema: Option<i64>,
    /// The newest version that this program knows.
    pub newest: i64,
    /// Whether the key opens it; none where no key was ever used, or none was given.
    pub key_fits: Option<bool>,
    /// What SQLite finds wrong with the file.
    pub damage: Vec<String>,
    /// The clock of the database's server.
    pub server_time: Option<Timestamp>,
    /// The rest, where its tables are of this version.
    pub work: Option<LedgerWork>,
}

/// What waits in a ledger, and what was given up.
#[derive(Debug, Clone, Copy, Default)]
pub struct LedgerWork {
    /// When a session changed last.
    pub written_at: Option<Timestamp>,
    /// Sessions that are to be connected.
    pub wanted_sessions: u64,
    /// Lanes in which something has waited for longer than it should.
    pub stuck_lanes: u64,
    /// Deliveries that wait in those lanes.
    pub stuck_deliveries: u64,
    /// Since when the oldest of them waits.
    pub stuck_since: Option<Timestamp>,
    /// Deliveries that were given up and not sent again.
    pub dead_letters: u64,
    /// Sessions whose process died without giving its lease back.
    pub stale_leases: u64,
    /// Incoming messages that could not be stored.
    pub put_aside: u64,
}

/// Looks at a ledger. What has waited since before `stuck_before` is stuck.
///
/// # Errors
/// It cannot be reached, or not be read.
pub async fn inspect(
    database: &Database,
    key: Option<&MasterKey>,
    stuck_before: Timestamp,
) -> StoreResult<LedgerFacts> {
    let (mut conn, newest, damage) = connect(database).await?;
    let looked = look(&mut conn, key, newest, stuck_before).await;
    // It was only read: how it ends changes nothing.
    let _ = conn.close().await;
    looked.map(|facts| LedgerFacts { damage, ..facts })
}

async fn connect(database: &Database) -> StoreResult<(Conn, i64, Vec<String>)> {
    match database {
        Database::Sqlite { path } => {
            let (conn, damage) = open_file(path)?;
            Ok((Conn::Sqlite(conn), sqlite::newest(), damage))
        }
        Database::Postgres(target) => {
            let conn = postgres::connect_to_look(target, DatabaseLimits::default()).await?;
            Ok((Conn::Postgres(Box::new(conn)), postgres::newest(), vec![]))
        }
    }
}

fn open_file(path: &Path) -> StoreResult<(SqliteConnection, Vec<String>)> {
    let conn = SqliteConnection::open_to_look(path).doing(DOING)?;
    let damage = conn.damage(FAULTS_MAX).doing(DOING)?;
    Ok((conn, damage))
}

async fn look(
    conn: &mut Conn,
    key: Option<&MasterKey>,
    newest: i64,
    stuck_before: Timestamp,
) -> StoreResult<LedgerFacts> {
    let server_time = if conn.is_remote() { time(conn, &NOW).await? } else { None };
    let mut facts = LedgerFacts { newest, server_time, ..LedgerFacts::default() };
    if !has_tables(conn).await? {
        return Ok(facts);
    }
    facts.schema = schema(conn).await?;
    if let Some(key) = key {
        facts.key_fits = key_opens(conn, &Cipher::new(key)).await?;
    }
    if facts.schema == Some(newest) {
        facts.work = Some(work(conn, stuck_before).await?);
    }
    Ok(facts)
}

async fn work(conn: &mut Conn, stuck_before: Timestamp) -> StoreResult<LedgerWork> {
    let waiting = db::query(&WAITING).bind(stuck_before.millis()).fetch_one(&mut *conn).await;
    let waiting = waiting.doing(DOING)?;
    let number = |name: &str| waiting.try_get::<i64, _>(name).doing(DOING);
    let (lanes, deliveries, oldest) = (number("lanes")?, number("waiting")?, number("oldest")?);
    Ok(LedgerWork {
        written_at: time(conn, &WRITTEN).await?,
        wanted_sessions: count(conn, &LINKED).await?,
        stuck_lanes: u64::try_from(lanes).unwrap_or(0),
        stuck_deliveries: u64::try_from(deliveries).unwrap_or(0),
        stuck_since: (oldest > 0).then(|| Timestamp::from_millis(oldest)),
        dead_letters: count(conn, &DEAD).await?,
        stale_leases: count(conn, &STALE).await?,
        put_aside: count(conn, &PUT_ASIDE).await?,
    })
}

async fn count(conn: &mut Conn, statement: &'static db::Statement) -> StoreResult<u64> {
    let found: i64 = db::query_scalar(statement).fetch_one(conn).await.doing(DOING)?;
    Ok(u64::try_from(found).unwrap_or(0))
}

async fn time(
    conn: &mut Conn,
    statement: &'static db::Statement,
) -> StoreResult<Option<Timestamp>> {
    let found: i64 = db::query_scalar(statement).fetch_one(conn).await.doing(DOING)?;
    Ok((found > 0).then(|| Timestamp::from_millis(found)))
}

async fn has_tables(conn: &mut Conn) -> StoreResult<bool> {
    Ok(count(conn, &HAS_TABLES).await? > 0)
}

async fn schema(conn: &mut Conn) -> StoreResult<Option<i64>> {
    db::query_scalar(&SCHEMA).fetch_one(conn).await.doing(DOING)
}

/// Of which version the tables are, and whether the key opens what is encrypted in them; none of either where there are
/// no tables, or no key was ever used.
pub(crate) async fn identity(
    conn: &mut Conn,
    cipher: &Cipher,
) -> StoreResult<(Option<i64>, Option<bool>)> {
    if !has_tables(conn).await? {
        return Ok((None, None));
    }
    Ok((schema(conn).await?, key_opens(conn, cipher).await?))
}
