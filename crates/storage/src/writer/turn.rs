//! How a transaction begins and ends.
//!
//! SQLite's file has one writer by itself. On PostgreSQL the writers of all processes take turns by one advisory lock, so
//! that a transaction sees what a SQLite writer would: nobody else in between. What a process remembers of the webhooks
//! counts for as long as their version in the database is the one it knows; lanes get their tickets from one counter.

use domain::port::StoreResult;

use super::{Outside, unit::Unit};
use crate::{
    db::{self, Conn, Kind},
    error::Doing as _,
};

/// What processes tell each other goes over this channel, one per schema: `{who} {what}…`.
pub(crate) const CHANNEL: &str = "waypost";

const BEGIN: &str =
    "begin; select pg_advisory_xact_lock(hashtextextended('waypost ' || current_schema(), 0))";
// A server with a standby that has to confirm gives up waiting for it at the limit and says "committed" all the same.
const COMMIT: &str = "set local statement_timeout = 0; commit";
const STATE: &str = "select coalesce((select value from counter where name = 'webhook_version'), 0) as version, \
     coalesce((select value from counter where name = 'lane_ticket'), 0) as ticket";
const KEEP_TICKET: &str = "insert into counter (name, value) values ('lane_ticket', $1) \
     on conflict (name) do update set value = excluded.value";
const NEXT_VERSION: &str = "insert into counter (name, value) values ('webhook_version', 1) \
     on conflict (name) do update set value = counter.value + 1 returning value";

const DOING: &str = "committing";

pub(super) async fn statement(unit: &mut Unit, sql: &'static str) -> StoreResult<()> {
    db::query(sql).execute(&mut unit.conn).await.doing(DOING).map(|_| ())
}

/// Begins a transaction in which nobody else writes.
pub(super) async fn begin(unit: &mut Unit, outside: &Outside) -> StoreResult<()> {
    if unit.conn.kind() == Kind::Sqlite {
        // IMMEDIATE: the write lock is taken now, never half-way.
        return statement(unit, "begin immediate").await;
    }
    take_turn(&mut unit.conn).await?;
    // Another process may have held something since.
    unit.holding = None;
    let state = db::query(STATE).fetch_one(&mut unit.conn).await.doing(DOING)?;
    let version: i64 = state.try_get("version").doing(DOING)?;
    if unit.version != Some(version) {
        unit.webhooks.reset();
        unit.doubtful = None;
        outside.receivers.forget();
        unit.version = Some(version);
    }
    unit.first_ticket = state.try_get("ticket").doing(DOING)?;
    unit.last_ticket = unit.first_ticket;
    Ok(())
}

async fn take_turn(conn: &mut Conn) -> StoreResult<()> {
    let Conn::Postgres(conn) = conn else { return Ok(()) };
    if conn.renewed().await.is_ok() && conn.script(BEGIN).await.is_ok() {
        return Ok(());
    }
    // The server was started again, or the network was gone: once more on a new connection.
    conn.drop_broken();
    conn.renewed().await.doing(DOING)?;
    conn.script(BEGIN).await.doing(DOING)
}

/// Whether the statements from now on are those of a job that may touch many rows.
pub(super) fn set_patient(unit: &mut Unit, patient: bool) {
    if let Conn::Postgres(conn) = &mut unit.conn {
        conn.set_patient(patient);
    }
}

/// Commits.
pub(super) async fn commit(unit: &mut Unit) -> StoreResult<()> {
    if unit.conn.kind() == Kind::Postgres {
        leave_word(unit).await?;
    }
    match &mut unit.conn {
        Conn::Postgres(conn) => conn.script(COMMIT).await.doing(DOING),
        Conn::Sqlite(_) => statement(unit, "commit").await,
    }
}

/// What the next writer has to know, and what the other processes are told.
async fn leave_word(unit: &mut Unit) -> StoreResult<()> {
    if unit.last_ticket != unit.first_ticket {
        let ticket = unit.last_ticket;
        db::query(KEEP_TICKET).bind(ticket).execute(&mut unit.conn).await.doing(DOING)?;
    }
    let mut word = String::new();
    if unit.webhooks.is_changed() {
        let version = db::query_scalar(NEXT_VERSION).fetch_one(&mut unit.conn).await;
        unit.version = Some(version.doing(DOING)?);
        word.push_str(" webhooks");
    }
    if !unit.committing.opened.is_empty() {
        word.push_str(" lanes");
    }
    if !word.is_empty() {
        db::query("select pg_notify($1 || '_' || current_schema(), $2)")
            .bind(CHANNEL)
            .bind(format!("{}{word}", unit.name))
            .execute(&mut unit.conn)
            .await
            .doing(DOING)?;
    }
    Ok(())
}

/// Ends a transaction that did not work out.
pub(super) async fn give_up(unit: &mut Unit) {
    unit.version = None;
    // Harmless when the transaction is gone already.
    let done = statement(unit, "rollback").await;
    if let (Err(_), Conn::Postgres(conn)) = (done, &mut unit.conn) {
        conn.drop_broken();
    }
}
