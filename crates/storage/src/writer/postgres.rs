//! Transactions on PostgreSQL, and which of a process's writers takes what.
//!
//! Whoever writes for a session locks its row first, so its writes come one after another whoever makes them; those of
//! different sessions do not wait for each other. Of several sessions the rows are locked in the order of their ids. What
//! belongs to no session goes to a writer of its own, one order per transaction, so that its locks meet nobody's
//! in another order.

use std::{
    collections::BTreeSet,
    hash::{DefaultHasher, Hash, Hasher as _},
};

use domain::{SessionId, Timestamp, port::StoreResult};

use super::{Outside, turn::CHANNEL, unit::Unit};
use crate::{
    db::{self, Conn, Kind},
    error::Doing as _,
};

/// Writers for sessions and lanes. One more takes what belongs to neither.
pub(crate) const SHARES: usize = 4;

const BEGIN: &str = "begin";
// Fails when a newer version of the program brought the tables along: what this one wrote would fit them no longer.
const UNLESS_NEWER: &str =
    "; select 1 / (case when max(version) > {version} then 0 else 1 end) from _sqlx_migrations";
const LOCK: &str = "select id from session where id in ($1) order by id for no key update";
/// Up to which position the event log is whole.
pub(crate) const HORIZON: &str = "select event_horizon()";
const LOCK_DUE: &str = "select id from session where id in (select session_id from held_change where release_at <= $1 \
     order by release_at, position limit $2) order by id for no key update";
// A server with a standby that has to confirm gives up waiting for it at the limit and says "committed" all the same.
const COMMIT: &str = "set local statement_timeout = 0; commit";
const TELL: &str = "select pg_notify($1 || '_' || current_schema(), $2)";

const WITH_VALUES: &str = "set local plan_cache_mode = force_custom_plan";

const DOING: &str = "committing";

/// The writer of those that takes what has this key.
pub(super) fn share_of(key: impl Hash) -> usize {
    let mut hasher = DefaultHasher::new();
    key.hash(&mut hasher);
    usize::try_from(hasher.finish() % SHARES as u64).unwrap_or(0)
}

/// Begins a transaction that holds the rows of some sessions.
pub(super) async fn begin(unit: &mut Unit, sessions: &BTreeSet<SessionId>) -> StoreResult<()> {
    // Others may have changed them since.
    unit.holding = None;
    unit.doubtful = None;
    unit.checked.clear();
    unit.versions.clear();
    let Conn::Postgres(conn) = &mut unit.conn else { return Ok(()) };
    let mut script = BEGIN.to_owned();
    if let Some(version) = unit.schema {
        script.push_str(&UNLESS_NEWER.replace("{version}", &version.to_string()));
    }
    if !sessions.is_empty() {
        script.push_str("; ");
        script.push_str(&LOCK.replace("$1", &quoted(sessions)));
    }
    if conn.renewed().await.is_ok() && conn.script(script.clone()).await.is_ok() {
        return Ok(());
    }
    // The server was started again, or the network was gone: once more on a new connection.
    conn.drop_broken();
    conn.renewed().await.doing(DOING)?;
    conn.script(script).await.doing(DOING)
}

/// As literals: an id is letters, digits and `_-` alone.
fn quoted(sessions: &BTreeSet<SessionId>) -> String {
    let ids: Vec<String> = sessions.iter().map(|session| format!("'{session}'")).collect();
    ids.join(", ")
}

/// Locks the sessions whose held changes are due; a job that changes several has to.
pub(crate) async fn lock_due(unit: &mut Unit, now: Timestamp, most: u64) -> StoreResult<()> {
    if unit.conn.kind() == Kind::Sqlite {
        return Ok(());
    }
    let due = db::query(LOCK_DUE).bind(now.millis()).bind(i64::try_from(most).unwrap_or(i64::MAX));
    due.fetch_all(&mut unit.conn).await.doing("releasing held changes").map(|_| ())
}

/// Has the statements of this transaction planned with their values from now on: what deletes a portion of many rows
/// would read whole tables where its number of rows is not known.
pub(crate) async fn plan_with_values(unit: &mut Unit) -> StoreResult<()> {
    if unit.conn.kind() == Kind::Sqlite {
        return Ok(());
    }
    db::query(WITH_VALUES).execute(&mut unit.conn).await.doing("planning with values").map(|_| ())
}

/// Tells the others what they have to know, and commits.
pub(super) async fn commit(unit: &mut Unit, outside: &Outside) -> StoreResult<()> {
    let mut word = String::new();
    if unit.webhooks.is_changed() {
        outside.receivers.forget();
        word.push_str(" webhooks");
    }
    if !unit.committing.opened.is_empty() {
        word.push_str(" lanes");
    }
    for session in &unit.committing.wished {
        word.push_str(" session:");
        word.push_str(&session.to_string());
    }
    if !word.is_empty() {
        db::query(TELL)
            .bind(CHANNEL)
            .bind(format!("{}{word}", unit.name))
            .execute(&mut unit.conn)
            .await
            .doing(DOING)?;
    }
    let Conn::Postgres(conn) = &mut unit.conn else { return Ok(()) };
    conn.script(COMMIT.to_owned()).await.doing(DOING)
}
