//! The life of a batch as a pure function.
//!
//! [`transition`] decides what a change does to a batch, to one of its items and to the session's pace, and which event
//! it causes. The ledger loads, calls it and stores what comes out, all in one transaction.

use super::{
    Batch, BatchChange, BatchEffect, BatchRecord, BatchState, ChangeRefused, Hold, HoldReason,
    ItemOutcome, ItemState, PROGRESS_GAP, Progress,
};
use crate::{event::EventType, ids::WaMessageId, time::Timestamp};

type Changed = Result<Vec<BatchEffect>, ChangeRefused>;

/// Decides what a change does to a batch. `item` is the state of the item that the change is about
/// ([`BatchChange::item`]), where it has one.
///
/// # Errors
/// The change no longer fits.
pub fn transition(
    record: &BatchRecord,
    item: Option<ItemState>,
    change: BatchChange,
    at: Timestamp,
) -> Result<(BatchRecord, Vec<BatchEffect>), ChangeRefused> {
    let mut next = record.clone();
    let effects = match change {
        BatchChange::Begin { index, epoch, pace } => {
            demand(item == Some(ItemState::Pending))?;
            let mut effects = vec![BatchEffect::OpenItem { index, epoch }];
            effects.extend(begin(&mut next, at)?);
            effects.push(BatchEffect::SetPace(pace));
            effects
        }
        BatchChange::PutBack { index, wa_id, pace } => {
            demand(item == Some(ItemState::Open))?;
            let back = put_back(&mut next, index, wa_id);
            [back].into_iter().chain(pace.map(BatchEffect::SetPace)).collect()
        }
        BatchChange::Finish { index, outcome, pace } => {
            demand(item == Some(ItemState::Open))?;
            let after = finish(&mut next, &outcome, at);
            let finish = BatchEffect::FinishItem { index, outcome };
            [finish].into_iter().chain(pace.map(BatchEffect::SetPace)).chain(after).collect()
        }
        BatchChange::Hold(hold) => put_on_hold(&mut next, hold)?,
        BatchChange::Release { paused } => {
            demand(next.batch.hold.is_some() && next.batch.is_paused() == paused)?;
            next.batch.hold = None;
            vec![]
        }
        BatchChange::Cancel => {
            demand(!next.batch.state.is_over())?;
            end(&mut next, BatchState::Cancelled, at);
            vec![BatchEffect::CancelPending, BatchEffect::Emit(EventType::BatchCancelled)]
        }
    };
    Ok((next, effects))
}

fn demand(fits: bool) -> Result<(), ChangeRefused> {
    if fits { Ok(()) } else { Err(ChangeRefused) }
}

fn begin(next: &mut BatchRecord, at: Timestamp) -> Changed {
    demand(!next.batch.state.is_over() && !next.batch.is_paused())?;
    next.batch.hold = None;
    next.open += 1;
    if next.batch.state != BatchState::Pending {
        return Ok(vec![]);
    }
    next.batch.state = BatchState::Processing;
    next.batch.started_at = Some(at);
    next.notified_at = Some(at);
    Ok(vec![BatchEffect::Emit(EventType::BatchStarted)])
}

fn put_back(next: &mut BatchRecord, index: u32, wa_id: Option<WaMessageId>) -> BatchEffect {
    next.open = next.open.saturating_sub(1);
    if !next.batch.state.is_over() {
        return BatchEffect::RequeueItem { index, wa_id };
    }
    next.batch.progress.cancel(1);
    BatchEffect::CancelItem { index }
}

fn finish(next: &mut BatchRecord, outcome: &ItemOutcome, at: Timestamp) -> Vec<BatchEffect> {
    next.open = next.open.saturating_sub(1);
    let failed = matches!(outcome, ItemOutcome::Failed(_));
    next.batch.progress.finish(failed);
    if next.batch.state.is_over() {
        return vec![];
    }
    if let Some(event) = end_if_done(next, failed, at) {
        return vec![BatchEffect::CancelPending, BatchEffect::Emit(event)];
    }
    if next.notified_at.is_some_and(|last| at.since(last) < PROGRESS_GAP) {
        return vec![];
    }
    next.notified_at = Some(at);
    vec![BatchEffect::Emit(EventType::BatchProgress)]
}

fn put_on_hold(next: &mut BatchRecord, hold: Hold) -> Changed {
    let before = next.batch.hold;
    demand(!next.batch.state.is_over() && !next.batch.is_paused() && before != Some(hold))?;
    next.batch.hold = Some(hold);
    // The same reason with a later end is not worth an event.
    let is_same = before.is_some_and(|before| before.reason == hold.reason);
    if is_same && hold.reason != HoldReason::Paused {
        return Ok(vec![]);
    }
    Ok(vec![BatchEffect::Emit(EventType::BatchPaused)])
}

/// Ends a batch that has nothing left to do, `failed` being whether an item just failed; the event that says so.
fn end_if_done(next: &mut BatchRecord, failed: bool, at: Timestamp) -> Option<EventType> {
    let stopped = failed && next.batch.options.stop_on_error;
    let progress = next.batch.progress;
    if !stopped && progress.pending > 0 {
        return None;
    }
    let state = progress.end(stopped);
    end(next, state, at);
    Some(end_event(state))
}

/// Ends a batch: what was not handed over is cancelled, what is open keeps its chance.
fn end(next: &mut BatchRecord, state: BatchState, at: Timestamp) {
    let progress = &mut next.batch.progress;
    progress.cancel(progress.pending.saturating_sub(next.open));
    next.batch.state = state;
    next.batch.completed_at = Some(at);
    next.batch.hold = None;
}

/// A batch at its creation, when none of its items is open: one in which nothing can be sent, or that stops at errors
/// and has one already, is over at once.
pub fn end_at_once(batch: Batch) -> (BatchRecord, Vec<BatchEffect>) {
    let (failed, at) = (batch.progress.failed > 0, batch.created_at);
    let mut next = BatchRecord { batch, open: 0, notified_at: None };
    let effects = match end_if_done(&mut next, failed, at) {
        Some(event) => vec![BatchEffect::CancelPending, BatchEffect::Emit(event)],
        None => vec![],
    };
    (next, effects)
}

/// A batch of which an item that had failed went out after all; with an event when that changes how it ended.
pub fn confirm_item(batch: &Batch) -> (Batch, Option<EventType>) {
    let mut next = batch.clone();
    next.progress.confirm();
    if !matches!(next.state, BatchState::Completed | BatchState::Failed) {
        return (next, None);
    }
    let progress = next.progress;
    // What it kept from being sent stays unsent: it was stopped.
    let stopped = next.options.stop_on_error && progress.failed + progress.cancelled > 0;
    next.state = progress.end(stopped);
    let event = (next.state != batch.state).then(|| end_event(next.state));
    (next, event)
}

/// The event of a batch that has ended by itself.
const fn end_event(state: BatchState) -> EventType {
    match state {
        BatchState::Failed => EventType::BatchFailed,
        _ => EventType::BatchCompleted,
    }
}

impl Progress {
    const fn cancel(&mut self, count: u32) {
        self.pending = self.pending.saturating_sub(count);
        self.cancelled += count;
    }

    const fn finish(&mut self, failed: bool) {
        self.pending = self.pending.saturating_sub(1);
        if failed {
            self.failed += 1;
        } else {
            self.sent += 1;
        }
    }

    const fn confirm(&mut self) {
        self.failed = self.failed.saturating_sub(1);
        self.sent += 1;
    }
}

#[cfg(test)]
mod tests;
