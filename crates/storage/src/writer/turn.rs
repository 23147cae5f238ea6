//! How a transaction begins and ends.
//!
//! SQLite's file has one writer by itself; for PostgreSQL see [`postgres`].

use std::collections::BTreeSet;

use domain::{SessionId, port::StoreResult};

use super::{Outside, postgres, unit::Unit};
use crate::{
    db::{self, Conn, Kind},
    error::Doing as _,
};

/// What processes tell each other goes over this channel, one per schema: `{who} {what}…`.
pub(crate) const CHANNEL: &str = "waypost";

const DOING: &str = "committing";

pub(super) async fn statement(unit: &mut Unit, sql: &'static str) -> StoreResult<()> {
    db::query(sql).execute(&mut unit.conn).await.doing(DOING).map(|_| ())
}

/// Begins a transaction in which nobody else writes for these sessions; on SQLite, nobody else writes at all.
pub(super) async fn begin(unit: &mut Unit, sessions: &BTreeSet<SessionId>) -> StoreResult<()> {
    if unit.conn.kind() == Kind::Postgres {
        return postgres::begin(unit, sessions).await;
    }
    // IMMEDIATE: the write lock is taken now, never half-way.
    statement(unit, "begin immediate").await
}

/// Whether the statements from now on are those of a job that may touch many rows.
pub(super) fn set_patient(unit: &mut Unit, patient: bool) {
    if let Conn::Postgres(conn) = &mut unit.conn {
        conn.set_patient(patient);
    }
}

/// Commits.
pub(super) async fn commit(unit: &mut Unit, outside: &Outside) -> StoreResult<()> {
    match unit.conn.kind() {
        Kind::Postgres => postgres::commit(unit, outside).await,
        Kind::Sqlite => statement(unit, "commit").await,
    }
}

/// Ends a transaction that did not work out.
pub(super) async fn give_up(unit: &mut Unit) {
    // Harmless when the transaction is gone already.
    let done = statement(unit, "rollback").await;
    match (done, &mut unit.conn) {
        (Err(_), Conn::Postgres(conn)) => conn.drop_broken(),
        (_, Conn::Sqlite(conn)) => conn.make_room(),
        _ => {}
    }
}
