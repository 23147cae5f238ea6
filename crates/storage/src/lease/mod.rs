//! The right to run a session, which is also the fence: who may write for a session that runs.
//!
//! The lease's number is in the session's row. On PostgreSQL the owner and the time are there too, by the database's
//! clock ([`rows`]): the clocks of the processes need not agree. A SQLite file belongs to one process, which has them
//! in memory ([`memory`]), so that a renewal writes nothing.

pub(crate) mod memory;
pub(crate) mod processes;
pub(crate) mod rows;

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use domain::{
    SessionId, Timestamp,
    port::{Held, Holder, Lease, StoreResult},
    session::Wish,
};

use crate::{
    db::{self, DbError, Row},
    error::{Doing as _, corrupt, not_owner},
    open::LedgerStore,
    unreadable::UnreadableRows,
    writer::{Unit, Writer},
};

pub(crate) use memory::MemoryLeases;
pub(crate) use processes::OwnerTally;
pub(crate) use rows::RowLeases;

db::statements! {
    ANNOUNCE = both("insert into node (id, url, seen_at) values ($1, $2, $3) \
         on conflict (id) do update set url = excluded.url, seen_at = excluded.seen_at");
    SILENT = both("select id from node where seen_at < $1 \
         and not exists (select 1 from session where session.lease_owner = node.id)");
    FORGET = both("delete from node where id = $1");
}

const TAKING: &str = "taking a session's lease";
const CHECKING: &str = "looking at a session's lease";

/// Who wants to run a session.
#[derive(Clone)]
pub(crate) struct LeaseApplicant {
    pub(crate) session: SessionId,
    pub(crate) owner: Arc<str>,
    pub(crate) now: Timestamp,
    pub(crate) lasts: Duration,
}

/// Where the leases of sessions are.
#[async_trait]
pub(crate) trait SessionLeases: Send + Sync {
    /// Whether other processes may have some.
    fn is_shared(&self) -> bool;

    /// Takes or renews one; `None` when it is somebody else's, or there is no such session.
    async fn acquire(&self, writer: &Writer, by: LeaseApplicant) -> StoreResult<Option<Held>>;

    async fn release(&self, writer: &Writer, lease: &Lease) -> StoreResult<()>;

    /// Who runs a session, and where that process is asked.
    async fn holder(&self, session: SessionId, now: Timestamp) -> StoreResult<Option<Holder>>;

    /// Sessions that somebody runs.
    async fn held(&self, now: Timestamp) -> StoreResult<Vec<SessionId>>;

    /// How many sessions each owner runs.
    async fn by_owner(&self, now: Timestamp) -> StoreResult<Vec<OwnerTally>>;

    /// Sessions that somebody wants to run, or wants something of, and nobody has.
    async fn unheld(&self, now: Timestamp, limit: u32) -> StoreResult<Vec<SessionId>>;

    /// Whether anything is, or was last, this owner's, as far as the rows do not say so.
    fn is_owner(&self, owner: &str) -> bool;

    /// A session is gone.
    fn forget(&self, session: SessionId);

    /// Whether this lease is the session's, as of this transaction and until its end; `None` when there is no such
    /// session.
    async fn is_held(&self, unit: &mut Unit, lease: &Lease) -> StoreResult<Option<bool>>;

    /// Fails with `NotOwner` when somebody runs the session, or wants it to run.
    async fn check_unheld(
        &self,
        unit: &mut Unit,
        session: SessionId,
        now: Timestamp,
    ) -> StoreResult<()>;
}

/// Fails with `NotOwner` unless this lease is the session's, and with `Gone` when there is no such session.
pub(crate) async fn check(unit: &mut Unit, lease: &Lease) -> StoreResult<()> {
    let leases = unit.seams.leases.clone();
    match leases.is_held(unit, lease).await? {
        Some(true) => Ok(()),
        Some(false) => Err(not_owner(CHECKING)),
        None => Err(crate::error::gone(CHECKING)),
    }
}

/// Fails with `NotOwner` when somebody runs the session, or wants it to run.
pub(crate) async fn check_unheld(
    unit: &mut Unit,
    session: SessionId,
    now: Timestamp,
) -> StoreResult<()> {
    let leases = unit.seams.leases.clone();
    leases.check_unheld(unit, session, now).await
}

impl LedgerStore {
    /// Stores where this process is asked; processes that were not heard of since `forget_before` are forgotten.
    pub(crate) async fn announce_node(
        &self,
        owner: &str,
        url: &str,
        now: Timestamp,
        forget_before: Timestamp,
    ) -> StoreResult<()> {
        const DOING: &str = "telling where this process is asked";
        let (owner, url) = (owner.to_owned(), url.to_owned());
        self.writer
            .run(DOING, move |unit| {
                Box::pin(async move {
                    let told = db::query(&ANNOUNCE)
                        .bind(owner)
                        .bind(url)
                        .bind(now.millis())
                        .execute(&mut unit.conn)
                        .await;
                    told.doing(DOING)?;
                    let silent: Vec<String> = db::query_scalar(&SILENT)
                        .bind(forget_before.millis())
                        .fetch_all(&mut unit.conn)
                        .await
                        .doing(DOING)?;
                    for node in silent {
                        if !unit.seams.leases.is_owner(&node) {
                            let done = db::query(&FORGET).bind(node).execute(&mut unit.conn).await;
                            done.doing(DOING)?;
                        }
                    }
                    Ok(())
                })
            })
            .await
    }
}

/// Those that can be read; the others are told once.
fn readable_ids(unreadable: &UnreadableRows, rows: &[Row], doing: &'static str) -> Vec<SessionId> {
    let id = |row: &Row| {
        let id: String = row.try_get("id").doing(doing)?;
        id.parse().map_err(|_| corrupt(doing))
    };
    unreadable.rows("session's id", &["id"], rows, id)
}

fn taken(
    row: Result<Option<Row>, DbError>,
    session: SessionId,
    owner: Arc<str>,
) -> StoreResult<Option<Held>> {
    let lease = |epoch| Lease { session, owner, epoch };
    row.doing(TAKING)?.map(|row| read(&row, lease)).transpose()
}

fn read(row: &Row, lease: impl FnOnce(u64) -> Lease) -> StoreResult<Held> {
    let bad = || corrupt(TAKING);
    let epoch: i64 = row.try_get("lease_epoch").doing(TAKING)?;
    let wish: Option<String> = row.try_get("wish").doing(TAKING)?;
    Ok(Held {
        lease: lease(u64::try_from(epoch).map_err(|_| bad())?),
        wanted: row.try_get::<i64, _>("wanted").doing(TAKING)? == 1,
        wish: wish.map(|wish| Wish::parse(&wish).ok_or_else(bad)).transpose()?,
    })
}
