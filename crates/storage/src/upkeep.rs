//! Work that one of the processes that share a ledger does for all.

use std::time::Duration;

use async_trait::async_trait;
use domain::{
    Timestamp,
    port::{StoreResult, Upkeep},
};

use crate::{
    db::{self},
    error::Doing as _,
    open::LedgerStore,
};

// Until when nobody has a turn again. A time that no clock that is right can have set does not count.
const TURN: &str = "insert into counter (name, value) values ($1, $3) on conflict (name) do update \
     set value = excluded.value where counter.value <= $2 or counter.value > $3 returning value";

#[async_trait]
impl Upkeep for LedgerStore {
    async fn take_turn(
        &self,
        work: &'static str,
        now: Timestamp,
        every: Duration,
    ) -> StoreResult<bool> {
        const DOING: &str = "taking a turn";
        self.writer
            .run(DOING, move |unit| {
                Box::pin(async move {
                    let taken = db::query_scalar::<i64>(TURN)
                        .bind(format!("turn_{work}"))
                        .bind(now.millis())
                        .bind(now.plus(every).millis())
                        .fetch_optional(&mut unit.conn)
                        .await;
                    Ok(taken.doing(DOING)?.is_some())
                })
            })
            .await
    }
}
