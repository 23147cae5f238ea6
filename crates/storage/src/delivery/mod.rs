//! The queue of lanes.
//!
//! A lane row exists while something waits in it. A claim writes owner, lease and a fresh epoch on the row; every later
//! call compares the epoch. Epochs come from one counter, so a lane that was deleted and made again never repeats one.

mod claim;
mod log;
mod settle;

use async_trait::async_trait;
use domain::{
    Timestamp,
    delivery::{ClaimedLane, LaneId},
    port::{DeliveryQueue, QueueStats, Settlement, StoreResult},
};
use sqlx::Row as _;

use crate::{
    error::{Doing as _, corrupt},
    open::SqliteStore,
};

const RENEW: &str =
    "update lane set lease_until = $3 where id = $1 and epoch = $2 and owner is not null";
const RELEASE: &str =
    "update lane set owner = null, lease_until = null where id = $1 and epoch = $2";
const NEXT_DUE: &str = "select min(case when lane.owner is null then lane.due_at else lane.lease_until end) \
     from lane join webhook on webhook.id = lane.webhook_id where webhook.active = 1";
const STATS: &str = "select count(case when state = 'pending' then 1 end) as pending, \
     count(case when state = 'exhausted' then 1 end) as exhausted, \
     min(case when state = 'pending' then occurred_at end) as oldest from delivery";

/// Epochs are positive and fit the column.
pub(crate) fn stored_epoch(epoch: u64) -> StoreResult<i64> {
    i64::try_from(epoch).map_err(|_| corrupt("reading a lane's epoch"))
}

#[async_trait]
impl DeliveryQueue for SqliteStore {
    async fn claim(
        &self,
        worker: &str,
        lanes: u32,
        window: u32,
        now: Timestamp,
        until: Timestamp,
    ) -> StoreResult<Vec<ClaimedLane>> {
        let worker = worker.to_owned();
        self.writer
            .run("claiming lanes", move |unit| {
                Box::pin(claim::claim(unit, worker, lanes, window, now, until))
            })
            .await
    }

    async fn settle(&self, settlement: Settlement) -> StoreResult<bool> {
        self.writer
            .run("settling a delivery", move |unit| Box::pin(settle::settle(unit, settlement)))
            .await
    }

    async fn renew(&self, lane: &LaneId, epoch: u64, until: Timestamp) -> StoreResult<bool> {
        let (lane, epoch) = (lane.clone(), stored_epoch(epoch)?);
        self.writer
            .run("renewing a lane's lease", move |unit| {
                Box::pin(async move {
                    let done = sqlx::query(RENEW)
                        .bind(lane.as_str())
                        .bind(epoch)
                        .bind(until.millis())
                        .execute(&mut unit.conn)
                        .await;
                    Ok(done.doing("renewing a lane's lease")?.rows_affected() == 1)
                })
            })
            .await
    }

    async fn release(&self, lane: &LaneId, epoch: u64) -> StoreResult<()> {
        let (lane, epoch) = (lane.clone(), stored_epoch(epoch)?);
        self.writer
            .run("releasing a lane", move |unit| {
                Box::pin(async move {
                    let done = sqlx::query(RELEASE)
                        .bind(lane.as_str())
                        .bind(epoch)
                        .execute(&mut unit.conn)
                        .await;
                    done.doing("releasing a lane").map(|_| ())
                })
            })
            .await
    }

    async fn next_due(&self) -> StoreResult<Option<Timestamp>> {
        let due: Option<i64> = sqlx::query_scalar(NEXT_DUE)
            .fetch_one(&self.readers)
            .await
            .doing("looking for the next due lane")?;
        Ok(due.map(Timestamp::from_millis))
    }

    async fn stats(&self) -> StoreResult<QueueStats> {
        const DOING: &str = "counting deliveries";
        let row = sqlx::query(STATS).fetch_one(&self.readers).await.doing(DOING)?;
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
