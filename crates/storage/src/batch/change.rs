//! Changes of batches. Each looks at the batch as it is in its own transaction: what no longer fits changes nothing.

use domain::{
    EventId, SessionId, Timestamp, WaMessageId,
    batch::{Batch, BatchId, BatchState, Hold, HoldReason, PROGRESS_GAP},
    event::{self, EventDraft, EventType},
    port::{BatchChange, ItemOutcome, StoreResult},
};

use super::read;
use crate::{
    db,
    error::{Doing as _, corrupt},
    writer::Unit,
};

const DOING: &str = "changing a batch";

db::statements! {
    BEGIN = both("update batch_item set state = 'open', at = $3, epoch = $4 where batch = $1 and place = $2 and \
         state = 'pending'");
    START = both("update batch set state = 'processing', started_at = $2, told_at = $2 where position = $1");
    CLEAR_HOLD = both("update batch set hold_reason = null, hold_until = null where position = $1");
    SET_HOLD = both("update batch set hold_reason = $2, hold_until = $3 where position = $1");
    PUT_BACK = both("update batch_item set state = 'pending', at = null, wa_id = coalesce($3, wa_id) \
         where batch = $1 and place = $2 and state = 'open'");
    DROP = both("update batch_item set state = 'cancelled', at = null, content = null \
         where batch = $1 and place = $2 and state = 'open'");
    SENT = both("update batch_item set state = 'sent', at = $3, content = null \
         where batch = $1 and place = $2 and state = 'open'");
    FAILED = both("update batch_item set state = 'failed', at = $3, error_code = $4, error_message = $5, content = \
         null \
         where batch = $1 and place = $2 and state = 'open'");
    COUNT = both("update batch set sent = sent + $2, failed = failed + $3, cancelled = cancelled + $4 \
         where position = $1");
    CANCEL_REST = both("update batch_item set state = 'cancelled', at = null, content = null \
         where batch = $1 and state = 'pending'");
    FINISH = both("update batch set state = $2, completed_at = $3, hold_reason = null, hold_until = null \
         where position = $1");
    TOLD_AT = both("select told_at from batch where position = $1");
    TELL = both("update batch set told_at = $2 where position = $1");
    PACE = both("insert into batch_pace (session_id, next_at) values ($1, $2) \
         on conflict (session_id) do update set next_at = excluded.next_at");
}

/// Runs one statement; how many rows it changed.
macro_rules! run {
    ($unit:expr, $sql:expr $(, $bind:expr)* $(,)?) => {
        db::query(&$sql)$(.bind($bind))*.execute(&mut $unit.conn).await.doing(DOING)?.rows_affected()
    };
}

pub(crate) async fn change(
    unit: &mut Unit,
    session: SessionId,
    id: &BatchId,
    change: BatchChange,
    (event, at): (EventId, Timestamp),
) -> StoreResult<Option<Vec<EventDraft>>> {
    let Some((position, batch)) = read::find(unit, session, id).await? else {
        return Ok(None);
    };
    let this = BatchUpdate { position, batch, event, at };
    match change {
        BatchChange::Begin { index, epoch, pace } => this.begin(unit, (index, epoch), pace).await,
        BatchChange::PutBack { index, wa_id, pace } => {
            this.put_back(unit, index, wa_id, pace).await
        }
        BatchChange::Settle { index, outcome, pace } => {
            this.settle(unit, index, outcome, pace).await
        }
        BatchChange::Hold(hold) => this.hold(unit, hold).await,
        BatchChange::Release { paused } => this.release(unit, paused).await,
        BatchChange::Cancel => this.cancel(unit).await,
    }
}

/// A batch as it was before the change. The answer of each change: its events, or nothing when it did not fit.
struct BatchUpdate {
    position: i64,
    batch: Batch,
    event: EventId,
    at: Timestamp,
}

type Told = StoreResult<Option<Vec<EventDraft>>>;

impl BatchUpdate {
    async fn begin(&self, unit: &mut Unit, (index, epoch): (u32, u64), pace: Timestamp) -> Told {
        let epoch = i64::try_from(epoch).map_err(|_| corrupt(DOING))?;
        if self.batch.state.is_over() || self.batch.is_paused() {
            return Ok(None);
        }
        if run!(unit, BEGIN, self.position, index, self.at.millis(), epoch) == 0 {
            return Ok(None);
        }
        run!(unit, CLEAR_HOLD, self.position);
        run!(unit, PACE, self.batch.session.to_string(), pace.millis());
        if self.batch.state != BatchState::Pending {
            return Ok(Some(vec![]));
        }
        run!(unit, START, self.position, self.at.millis());
        self.tell(unit, EventType::BatchStarted).await
    }

    async fn put_back(
        &self,
        unit: &mut Unit,
        index: u32,
        wa_id: Option<WaMessageId>,
        pace: Option<Timestamp>,
    ) -> Told {
        if self.batch.state.is_over() {
            if run!(unit, DROP, self.position, index) == 0 {
                return Ok(None);
            }
            run!(unit, COUNT, self.position, 0, 0, 1);
        } else {
            let wa_id = wa_id.as_ref().map(WaMessageId::as_str);
            if run!(unit, PUT_BACK, self.position, index, wa_id) == 0 {
                return Ok(None);
            }
        }
        self.pace(unit, pace).await?;
        Ok(Some(vec![]))
    }

    async fn settle(
        &self,
        unit: &mut Unit,
        index: u32,
        outcome: ItemOutcome,
        pace: Option<Timestamp>,
    ) -> Told {
        let failed = matches!(outcome, ItemOutcome::Failed(_));
        let changed = match outcome {
            ItemOutcome::Sent(at) => run!(unit, SENT, self.position, index, at.millis()),
            ItemOutcome::Failed(error) => {
                let at = self.at.millis();
                run!(unit, FAILED, self.position, index, at, error.code, error.message)
            }
        };
        if changed == 0 {
            return Ok(None);
        }
        run!(unit, COUNT, self.position, i32::from(!failed), i32::from(failed), 0);
        self.pace(unit, pace).await?;
        if self.batch.state.is_over() {
            return Ok(Some(vec![]));
        }
        let now = self.now(unit).await?;
        let stopped = failed && self.batch.options.stop_on_error;
        if stopped || now.progress.pending == 0 {
            finish(unit, self.position, now.progress.end(stopped), self.at).await?;
            let ended = self.now(unit).await?;
            return Ok(Some(vec![end_event(&ended, self.event, self.at)]));
        }
        self.tell_progress(unit).await
    }

    async fn hold(&self, unit: &mut Unit, hold: Hold) -> Told {
        let by_user = hold.reason == HoldReason::Paused;
        let stays = self.batch.is_paused() || self.batch.hold == Some(hold);
        if self.batch.state.is_over() || stays {
            return Ok(None);
        }
        let until = hold.until.map(Timestamp::millis);
        run!(unit, SET_HOLD, self.position, hold.reason.as_str(), until);
        // The same reason with a later end is no news.
        let known = self.batch.hold.is_some_and(|before| before.reason == hold.reason);
        if known && !by_user {
            return Ok(Some(vec![]));
        }
        self.tell(unit, EventType::BatchPaused).await
    }

    async fn release(&self, unit: &mut Unit, paused: bool) -> Told {
        if self.batch.hold.is_none() || self.batch.is_paused() != paused {
            return Ok(None);
        }
        run!(unit, CLEAR_HOLD, self.position);
        Ok(Some(vec![]))
    }

    async fn cancel(&self, unit: &mut Unit) -> Told {
        if self.batch.state.is_over() {
            return Ok(None);
        }
        finish(unit, self.position, BatchState::Cancelled, self.at).await?;
        self.tell(unit, EventType::BatchCancelled).await
    }

    async fn pace(&self, unit: &mut Unit, pace: Option<Timestamp>) -> StoreResult<()> {
        if let Some(pace) = pace {
            run!(unit, PACE, self.batch.session.to_string(), pace.millis());
        }
        Ok(())
    }

    /// The batch as it is now.
    async fn now(&self, unit: &mut Unit) -> StoreResult<Batch> {
        read::at(unit, self.position).await?.ok_or_else(|| corrupt(DOING))
    }

    async fn tell(&self, unit: &mut Unit, kind: EventType) -> Told {
        let batch = self.now(unit).await?;
        let draft = event::batch_event(self.event, kind, &batch, self.at);
        Ok(Some(vec![draft]))
    }

    async fn tell_progress(&self, unit: &mut Unit) -> Told {
        let told: Option<i64> = db::query_scalar(&TOLD_AT)
            .bind(self.position)
            .fetch_one(&mut unit.conn)
            .await
            .doing(DOING)?;
        let told = told.map(Timestamp::from_millis);
        if told.is_some_and(|told| self.at.since(told) < PROGRESS_GAP) {
            return Ok(Some(vec![]));
        }
        run!(unit, TELL, self.position, self.at.millis());
        self.tell(unit, EventType::BatchProgress).await
    }
}

/// Ends a batch: what was not handed over is cancelled.
pub(super) async fn finish(
    unit: &mut Unit,
    position: i64,
    state: BatchState,
    at: Timestamp,
) -> StoreResult<()> {
    let cancelled = run!(unit, CANCEL_REST, position);
    let cancelled = i64::try_from(cancelled).map_err(|_| corrupt(DOING))?;
    run!(unit, COUNT, position, 0, 0, cancelled);
    run!(unit, FINISH, position, state.as_str(), at.millis());
    Ok(())
}

/// Tells that a batch has ended by itself.
pub(super) fn end_event(batch: &Batch, event: EventId, at: Timestamp) -> EventDraft {
    let kind = match batch.state {
        BatchState::Failed => EventType::BatchFailed,
        _ => EventType::BatchCompleted,
    };
    event::batch_event(event, kind, batch, at)
}
