//! Leases in the sessions' rows, where several processes share the database.
//!
//! One is looked at in the transaction of the write, which has the session's row locked until its end, so that nobody
//! takes the session over in between; once is enough for a transaction.

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use domain::{
    SessionId, Timestamp,
    port::{Held, Holder, Lease, StoreResult},
};

use super::{CHECKING, LeaseApplicant, OwnerTally, SessionLeases, readable_ids, taken};
use crate::{
    db::{self, Query, Readers, Row},
    error::{Doing as _, gone, not_owner},
    unreadable::UnreadableRows,
    writer::{Unit, Writer},
};

db::statements! {
    // One statement decides and takes: two callers cannot both see it free.
    ACQUIRE = postgres("update session set lease_owner = $2, \
         lease_until = (extract(epoch from clock_timestamp()) * 1000)::bigint + $3, \
         lease_epoch = case when lease_owner = $2 then lease_epoch else lease_epoch + 1 end \
         where id = $1 and deleted = 0 and (lease_owner is null or lease_owner = $2 \
         or lease_until <= (extract(epoch from clock_timestamp()) * 1000)::bigint) \
         returning lease_epoch, wanted, wish");
    UNHELD = postgres("select id from session where deleted = 0 and (wanted = 1 or wish is not null) and \
         (lease_owner is null \
         or lease_until <= (extract(epoch from clock_timestamp()) * 1000)::bigint) order by created_at, id limit $1");
    RELEASE = postgres("update session set lease_owner = null, lease_until = null \
         where id = $1 and lease_owner = $2 and lease_epoch = $3");
    HOLDER = postgres("select session.lease_owner as owner, node.url as url from session \
         left join node on node.id = session.lease_owner where session.id = $1 \
         and session.lease_until > (extract(epoch from clock_timestamp()) * 1000)::bigint");
    ALL_HELD = postgres("select id from session where lease_owner is not null \
         and lease_until > (extract(epoch from clock_timestamp()) * 1000)::bigint");
    BY_OWNER = postgres("select lease_owner as owner, count(*) as sessions, max(lease_until) as until from session \
         where lease_owner is not null \
         and lease_until > (extract(epoch from clock_timestamp()) * 1000)::bigint group by lease_owner");
    // The transaction has the rows already; a job that finds out itself which sessions it is about gets them here.
    IS_HELD = postgres("select coalesce(lease_owner = $2 and lease_epoch = $3, false) from session where id = $1 \
         and deleted = 0 \
         for no key update");
    IS_IDLE = postgres("select wanted = 0 and (lease_owner is null \
         or lease_until <= (extract(epoch from clock_timestamp()) * 1000)::bigint) from session where id = $1 and \
         deleted = 0 \
         for no key update");
}

/// The leases of all processes.
pub(crate) struct RowLeases {
    readers: Readers,
    /// Where leases are renewed: behind other work they could come too late.
    heartbeats: Readers,
    unreadable: Arc<UnreadableRows>,
}

impl RowLeases {
    pub(crate) fn new(
        readers: Readers,
        heartbeats: Readers,
        unreadable: Arc<UnreadableRows>,
    ) -> Self {
        Self { readers, heartbeats, unreadable }
    }
}

#[async_trait]
impl SessionLeases for RowLeases {
    fn is_shared(&self) -> bool {
        true
    }

    async fn acquire(&self, _writer: &Writer, by: LeaseApplicant) -> StoreResult<Option<Held>> {
        let row = acquire(by.session, &by.owner, by.lasts).fetch_optional(&self.heartbeats).await;
        taken(row, by.session, by.owner)
    }

    async fn release(&self, writer: &Writer, lease: &Lease) -> StoreResult<()> {
        const DOING: &str = "releasing a session's lease";
        let lease = lease.clone();
        writer
            .run_for(lease.session, DOING, move |unit| {
                Box::pin(async move {
                    db::query(&RELEASE)
                        .bind(lease.session.to_string())
                        .bind(&*lease.owner)
                        .bind(stored(lease.epoch))
                        .execute(&mut unit.conn)
                        .await
                        .doing(DOING)
                        .map(|_| ())
                })
            })
            .await
    }

    async fn holder(&self, session: SessionId, _now: Timestamp) -> StoreResult<Option<Holder>> {
        const DOING: &str = "looking for who runs a session";
        let row = db::query(&HOLDER).bind(session.to_string()).fetch_optional(&self.readers).await;
        let Some(row) = row.doing(DOING)? else { return Ok(None) };
        let owner: Option<String> = row.try_get("owner").doing(DOING)?;
        let url = row.try_get("url").doing(DOING)?;
        Ok(owner.map(|owner| Holder { owner, url }))
    }

    async fn held(&self, _now: Timestamp) -> StoreResult<Vec<SessionId>> {
        const DOING: &str = "listing the sessions that somebody runs";
        let rows = db::query(&ALL_HELD).fetch_all(&self.readers).await.doing(DOING)?;
        Ok(readable_ids(&self.unreadable, &rows, DOING))
    }

    async fn by_owner(&self, _now: Timestamp) -> StoreResult<Vec<OwnerTally>> {
        const DOING: &str = "counting the sessions of processes";
        let rows = db::query(&BY_OWNER).fetch_all(&self.readers).await.doing(DOING)?;
        let tally = |row: &Row| {
            let (sessions, until): (i64, i64) =
                (row.try_get("sessions").doing(DOING)?, row.try_get("until").doing(DOING)?);
            Ok(OwnerTally {
                owner: row.try_get("owner").doing(DOING)?,
                sessions: u64::try_from(sessions).unwrap_or(0),
                until: Timestamp::from_millis(until),
            })
        };
        rows.iter().map(tally).collect()
    }

    async fn unheld(&self, _now: Timestamp, limit: u32) -> StoreResult<Vec<SessionId>> {
        const DOING: &str = "looking for sessions that nobody runs";
        let query = db::query(&UNHELD).bind(i64::from(limit));
        let rows = query.fetch_all(&self.readers).await.doing(DOING)?;
        Ok(readable_ids(&self.unreadable, &rows, DOING))
    }

    fn is_owner(&self, _owner: &str) -> bool {
        false
    }

    fn forget(&self, _session: SessionId) {}

    async fn is_held(&self, unit: &mut Unit, lease: &Lease) -> StoreResult<Option<bool>> {
        if unit.checked.contains(lease) {
            return Ok(Some(true));
        }
        let held: Option<bool> = db::query_scalar(&IS_HELD)
            .bind(lease.session.to_string())
            .bind(&*lease.owner)
            .bind(stored(lease.epoch))
            .fetch_optional(&mut unit.conn)
            .await
            .doing(CHECKING)?;
        if held == Some(true) {
            unit.checked.insert(lease.clone());
        }
        Ok(held)
    }

    async fn check_unheld(
        &self,
        unit: &mut Unit,
        session: SessionId,
        _now: Timestamp,
    ) -> StoreResult<()> {
        let idle: Option<bool> = db::query_scalar(&IS_IDLE)
            .bind(session.to_string())
            .fetch_optional(&mut unit.conn)
            .await
            .doing(CHECKING)?;
        if idle.ok_or_else(|| gone(CHECKING))? { Ok(()) } else { Err(not_owner(CHECKING)) }
    }
}

fn acquire(session: SessionId, owner: &str, lasts: Duration) -> Query<'_, Row> {
    let lasts = i64::try_from(lasts.as_millis()).unwrap_or(i64::MAX / 2);
    db::query(&ACQUIRE).bind(session.to_string()).bind(owner).bind(lasts)
}

fn stored(epoch: u64) -> i64 {
    i64::try_from(epoch).unwrap_or(i64::MAX)
}
