//! The fence: who may write for a session that runs.
//!
//! Looked at in the transaction of the write. On PostgreSQL that has the session's row locked until its end, so that
//! nobody takes the session over in between; once is enough for a transaction. On SQLite one process has the file, and its leases
//! are in memory.

use domain::{
    SessionId, Timestamp,
    port::{Lease, StoreResult},
};

use super::Unit;
use crate::{
    db::{self, Kind},
    error::{Doing as _, gone, not_owner},
};

// The transaction has the rows already; a job that finds out itself which sessions it is about gets them here.
const HELD: db::Two = db::Two {
    sqlite: "select 1 from session where id = $1 and deleted = 0",
    postgres: "select coalesce(lease_owner = $2 and lease_epoch = $3, false) from session where id = $1 and deleted = 0 \
     for no key update",
};
const UNHELD: db::Two = db::Two {
    sqlite: "select wanted = 0 from session where id = $1 and deleted = 0",
    postgres: "select wanted = 0 and (lease_owner is null \
     or lease_until <= (extract(epoch from clock_timestamp()) * 1000)::bigint) from session where id = $1 and deleted = 0 \
     for no key update",
};

const DOING: &str = "looking at a session's lease";

/// Fails with `NotOwner` unless this lease is the session's, and with `Gone` when there is no such session.
pub(crate) async fn check(unit: &mut Unit, lease: &Lease) -> StoreResult<()> {
    let held: Option<bool> = match unit.conn.kind() {
        Kind::Sqlite if unit.tenures.is_held(lease) => Some(true),
        Kind::Sqlite => {
            let there: Option<i64> = db::query_scalar(HELD)
                .bind(lease.session.to_string())
                .fetch_optional(&mut unit.conn)
                .await
                .doing(DOING)?;
            there.map(|_| false)
        }
        Kind::Postgres if unit.checked.contains(lease) => Some(true),
        Kind::Postgres => db::query_scalar(HELD)
            .bind(lease.session.to_string())
            .bind(&*lease.owner)
            .bind(i64::try_from(lease.epoch).unwrap_or(i64::MAX))
            .fetch_optional(&mut unit.conn)
            .await
            .doing(DOING)?,
    };
    if !held.ok_or_else(|| gone(DOING))? {
        return Err(not_owner(DOING));
    }
    if unit.conn.kind() == Kind::Postgres {
        unit.checked.insert(lease.clone());
    }
    Ok(())
}

/// Fails with `NotOwner` when somebody runs the session, or wants it to run.
pub(crate) async fn check_unheld(
    unit: &mut Unit,
    session: SessionId,
    now: Timestamp,
) -> StoreResult<()> {
    let idle: Option<bool> = db::query_scalar(UNHELD)
        .bind(session.to_string())
        .fetch_optional(&mut unit.conn)
        .await
        .doing(DOING)?;
    let idle = idle.ok_or_else(|| gone(DOING))?;
    if idle && !unit.tenures.is_taken(session, now) { Ok(()) } else { Err(not_owner(DOING)) }
}
