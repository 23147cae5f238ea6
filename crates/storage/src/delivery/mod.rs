//! The queue of lanes.
//!
//! # The cast
//! - [`push`] numbers events and stores their deliveries, each in its lane; a lane row exists while something waits.
//! - [`claim`] takes lanes that are due. On SQLite the claim is in memory ([`leases`]) and [`due`] finds them, so taking one
//!   costs no commit; on PostgreSQL it is in the lane's row ([`postgres`]) as well.
//! - [`settle`] records results, those of many lanes in one commit.
//! - [`shared`] answers a queue that several processes share.
//! - [`lines`] remembers what waits in lanes, [`recent`] keeps the events of the last commits, so that a fresh event goes out without being read back.

mod claim;
mod due;
pub(crate) mod leases;
pub(crate) mod lines;
mod log;
pub(crate) mod postgres;
pub(crate) mod push;
pub(crate) mod recent;
pub(crate) mod settle;
mod shared;

use std::sync::Arc;

use async_trait::async_trait;
use domain::{
    Timestamp, WebhookId,
    delivery::{ClaimedLane, Delivery, LaneId},
    port::{DeliveryQueue, QueueStats, Settled, Settlement, StoreResult},
    webhook::Webhook,
};

use crate::{
    db::{self, Kind},
    error::Doing as _,
    open::LedgerStore,
};

const NEXT: &str = "select (select min(due_at) from lane where tried = 1 and due_at > $1) as retry, \
     (select min(held_until) from webhook where active = 1 and held_until > $1 and held_until < 9223372036854775807) as probe";
const REQUEUE: &str = "update lane set due_at = $2 where id = $1 and tried = 0";
// Each from an index that has only these rows. A dead letter that was put on its way again is one no longer.
const STATS: &str = "select (select count(*) from delivery where state = 'pending') as pending, \
     (select count(*) from delivery where state in ('exhausted', 'dropped') and superseded = 0 and state = 'exhausted') as exhausted, \
     (select min(occurred_at) from delivery where state = 'pending') as oldest";

#[async_trait]
impl DeliveryQueue for LedgerStore {
    async fn claim(
        &self,
        worker: &str,
        lanes: u32,
        window: u32,
        now: Timestamp,
        until: Timestamp,
    ) -> StoreResult<Vec<ClaimedLane>> {
        let taker = leases::Taker { owner: worker, now, until };
        claim::claim(self, claim::Asked { taker, lanes, window }).await
    }

    async fn more(&self, lane: &LaneId, epoch: u64, window: u32) -> StoreResult<Vec<Delivery>> {
        claim::more(self, lane.as_str(), epoch, window).await
    }

    async fn settle(&self, settlement: Settlement) -> StoreResult<Settled> {
        self.writer.settle(settlement).await
    }

    async fn renew(&self, lane: &LaneId, epoch: u64, until: Timestamp) -> StoreResult<bool> {
        match self.readers.kind() {
            Kind::Sqlite => Ok(self.leases.renew(lane, epoch, until)),
            Kind::Postgres => postgres::renew(self, lane, epoch, until).await,
        }
    }

    async fn release(&self, lane: &LaneId, epoch: u64) -> StoreResult<()> {
        if self.leases.with(lane.as_str(), epoch, |_| ()).is_none() {
            return Ok(());
        }
        if self.readers.kind() == Kind::Postgres {
            let released = postgres::release(self, lane.as_str(), epoch).await;
            self.leases.put_back(lane.as_str(), epoch);
            return released;
        }
        let name = lane.clone();
        // Behind the lanes that wait by now: a long lane must not come first again and again.
        let requeue = self.writer.run("releasing a lane", move |unit| {
            Box::pin(async move {
                let ticket = unit.ticket();
                let done = db::query(REQUEUE)
                    .bind(name.as_str())
                    .bind(ticket)
                    .execute(&mut unit.conn)
                    .await;
                done.doing("releasing a lane").map(|_| ())
            })
        });
        let requeued = requeue.await;
        // Its new ticket may have been seen while it was still held.
        self.leases.put_back(lane.as_str(), epoch);
        requeued
    }

    async fn hold(&self, webhook: WebhookId, until: Timestamp) -> StoreResult<()> {
        self.leases.hold(webhook, until);
        Ok(())
    }

    async fn next_due(&self, now: Timestamp) -> StoreResult<Option<Timestamp>> {
        const DOING: &str = "looking for the next due lane";
        let row =
            db::query(NEXT).bind(now.millis()).fetch_one(&self.couriers).await.doing(DOING)?;
        let retry: Option<i64> = row.try_get("retry").doing(DOING)?;
        let probe: Option<i64> = row.try_get("probe").doing(DOING)?;
        let leased = match self.readers.kind() {
            Kind::Sqlite => None,
            Kind::Postgres => postgres::next_end(self, now).await?,
        };
        let stored = retry.into_iter().chain(probe).chain(leased).map(Timestamp::from_millis);
        Ok(stored.chain(self.leases.next_end()).min())
    }

    async fn elsewhere(&self) {
        self.elsewhere.notified().await;
    }

    async fn receiver(&self, webhook: WebhookId) -> StoreResult<Option<Arc<Webhook>>> {
        self.receiver_of(webhook).await
    }

    async fn stats(&self) -> StoreResult<QueueStats> {
        const DOING: &str = "counting deliveries";
        let row = db::query(STATS).fetch_one(&self.readers).await.doing(DOING)?;
        let count = |name: &str| {
            row.try_get::<i64, _>(name).doing(DOING).map(|n| u64::try_from(n).unwrap_or(0))
        };
        let oldest: Option<i64> = row.try_get("oldest").doing(DOING)?;
        Ok(QueueStats {
            pending: count("pending")?,
            exhausted: count("exhausted")?,
            oldest_pending: oldest.map(Timestamp::from_millis),
        })
    }
}
