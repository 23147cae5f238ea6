//! Tables and properties of what a change does to a batch.

use std::time::Duration;

use proptest::prelude::*;

use super::*;
use crate::{
    batch::{BatchId, BatchOptions, ItemError},
    ids::SessionId,
};

fn at(seconds: i64) -> Timestamp {
    Timestamp::from_seconds(seconds)
}

/// A batch with its items, changed as the ledger changes it.
struct World {
    record: BatchRecord,
    items: Vec<ItemState>,
}

impl World {
    fn new(items: u32, stop_on_error: bool) -> Self {
        let progress = Progress { total: items, pending: items, ..Progress::default() };
        let batch = Batch {
            session: SessionId::from_uuid(uuid::Uuid::nil()),
            id: BatchId::parse("spring").unwrap(),
            state: BatchState::Pending,
            hold: None,
            options: BatchOptions { stop_on_error, ..BatchOptions::default() },
            progress,
            created_at: at(0),
            started_at: None,
            completed_at: None,
        };
        Self {
            record: BatchRecord { batch, open: 0, notified_at: None },
            items: vec![ItemState::Pending; items as usize],
        }
    }

    /// The effects of a change, or nothing when it was refused.
    fn change(&mut self, seconds: i64, change: BatchChange) -> Option<Vec<BatchEffect>> {
        let item = change.item().and_then(|index| self.items.get(index as usize).copied());
        let done = transition(&self.record, item, change, at(seconds));
        let (next, effects) = done.ok()?;
        self.record = next;
        for effect in &effects {
            self.perform(effect);
        }
        Some(effects)
    }

    fn perform(&mut self, effect: &BatchEffect) {
        let (index, state) = match effect {
            BatchEffect::OpenItem { index, .. } => (*index, ItemState::Open),
            BatchEffect::RequeueItem { index, .. } => (*index, ItemState::Pending),
            BatchEffect::CancelItem { index } => (*index, ItemState::Cancelled),
            BatchEffect::FinishItem { index, outcome: ItemOutcome::Sent(_) } => {
                (*index, ItemState::Sent)
            }
            BatchEffect::FinishItem { index, .. } => (*index, ItemState::Failed),
            BatchEffect::CancelPending => {
                let pending = self.items.iter_mut().filter(|it| **it == ItemState::Pending);
                pending.for_each(|item| *item = ItemState::Cancelled);
                return;
            }
            BatchEffect::SetPace(_) | BatchEffect::Emit(_) => return,
        };
        self.items[index as usize] = state;
    }

    /// The event of a change; `Err` when it was refused.
    fn event(&mut self, seconds: i64, change: BatchChange) -> Result<Option<EventType>, ()> {
        self.change(seconds, change).map(|effects| event_of(&effects)).ok_or(())
    }

    fn count(&self, state: ItemState) -> u32 {
        self.items.iter().filter(|item| **item == state).count() as u32
    }

    fn progress(&self) -> Progress {
        Progress {
            total: self.items.len() as u32,
            sent: self.count(ItemState::Sent),
            failed: self.count(ItemState::Failed),
            pending: self.count(ItemState::Pending) + self.count(ItemState::Open),
            cancelled: self.count(ItemState::Cancelled),
        }
    }
}

fn event_of(effects: &[BatchEffect]) -> Option<EventType> {
    let mut events = effects.iter().filter_map(|effect| match effect {
        BatchEffect::Emit(event) => Some(*event),
        _ => None,
    });
    let event = events.next();
    assert_eq!(events.next(), None, "a change has one event at most");
    event
}

fn begin(index: u32) -> BatchChange {
    BatchChange::Begin { index, epoch: 7, pace: at(100) }
}

fn sent(index: u32) -> BatchChange {
    BatchChange::Finish { index, outcome: ItemOutcome::Sent(at(3)), pace: None }
}

fn failed(index: u32) -> BatchChange {
    let outcome = ItemOutcome::Failed(ItemError::new("SEND_FAILED", "no"));
    BatchChange::Finish { index, outcome, pace: None }
}

fn put_back(index: u32) -> BatchChange {
    BatchChange::PutBack { index, wa_id: None, pace: None }
}

fn hold(reason: HoldReason, until: i64) -> BatchChange {
    BatchChange::Hold(Hold { reason, until: Some(at(until)) })
}

const REFUSED: Result<Option<EventType>, ()> = Err(());
const QUIET: Result<Option<EventType>, ()> = Ok(None);

#[test]
fn the_first_item_starts_a_batch_and_the_last_one_ends_it() {
    let mut world = World::new(2, false);
    assert_eq!(world.event(1, begin(0)), Ok(Some(EventType::BatchStarted)));
    assert_eq!(world.event(1, begin(0)), REFUSED, "it is open");
    assert_eq!(world.event(1, sent(1)), REFUSED, "it is pending");
    assert_eq!(world.event(1, begin(9)), REFUSED, "there is none");
    assert_eq!(world.event(2, sent(0)), QUIET, "an event was emitted a second ago");
    assert_eq!(world.event(3, begin(1)), QUIET);
    assert_eq!(world.event(4, sent(1)), Ok(Some(EventType::BatchCompleted)));
    let batch = &world.record.batch;
    assert_eq!((batch.started_at, batch.completed_at), (Some(at(1)), Some(at(4))));
    assert_eq!(world.event(5, begin(1)), REFUSED, "it is over");
}

#[test]
fn the_pace_and_the_lease_go_with_the_item() {
    let mut world = World::new(1, false);
    let open = BatchEffect::OpenItem { index: 0, epoch: 7 };
    let effects = world.change(1, begin(0)).unwrap();
    assert!(effects.contains(&open) && effects.contains(&BatchEffect::SetPace(at(100))));
    let back = BatchChange::PutBack { index: 0, wa_id: None, pace: Some(at(2)) };
    let requeued = BatchEffect::RequeueItem { index: 0, wa_id: None };
    assert_eq!(world.change(2, back), Some(vec![requeued, BatchEffect::SetPace(at(2))]));
    assert_eq!(world.change(3, put_back(0)), None, "it is pending");
}

#[test]
fn progress_is_emitted_now_and_then() {
    let mut world = World::new(5, false);
    let gap = i64::try_from(PROGRESS_GAP.as_secs()).unwrap();
    let expected = [(1, None), (gap, Some(EventType::BatchProgress)), (gap + 1, None)];
    for (index, (seconds, event)) in (0..).zip(expected) {
        world.change(0, begin(index)).unwrap();
        assert_eq!(world.event(seconds, sent(index)), Ok(event), "after {seconds} s");
    }
}

#[test]
fn the_first_failure_ends_a_batch_that_stops_at_errors_and_cancels_what_did_not_begin() {
    for (stop_on_error, event, state) in [
        (true, Some(EventType::BatchFailed), BatchState::Failed),
        (false, None, BatchState::Processing),
    ] {
        let mut world = World::new(4, stop_on_error);
        world.change(1, begin(0)).unwrap();
        world.change(1, begin(1)).unwrap();
        assert_eq!(world.event(2, failed(0)), Ok(event));
        assert_eq!(world.record.batch.state, state);
        assert_eq!(world.count(ItemState::Cancelled), if stop_on_error { 2 } else { 0 });
        assert_eq!(world.event(3, sent(1)), QUIET, "what is open has its outcome counted");
        assert_eq!(world.record.batch.state, state);
    }
}

#[test]
fn a_cancel_is_final() {
    let mut world = World::new(3, false);
    world.change(1, begin(0)).unwrap();
    assert_eq!(world.event(2, BatchChange::Cancel), Ok(Some(EventType::BatchCancelled)));
    for late in [
        BatchChange::Cancel,
        begin(1),
        hold(HoldReason::Paused, 9),
        BatchChange::Release { paused: true },
    ] {
        assert_eq!(world.event(3, late.clone()), REFUSED, "{late:?}");
    }
    let dropped = BatchEffect::CancelItem { index: 0 };
    assert_eq!(world.change(4, put_back(0)), Some(vec![dropped]));
    assert_eq!(world.record.batch.progress.cancelled, 3);
    assert_eq!(world.record.batch.state, BatchState::Cancelled);
}

#[test]
fn holds_have_their_order() {
    let release = |paused| BatchChange::Release { paused };
    let paused = Ok(Some(EventType::BatchPaused));
    let mut world = World::new(1, false);
    for (step, change, expected) in [
        ("nothing to lift", release(false), REFUSED),
        ("a rule", hold(HoldReason::DailyCap, 50), paused),
        ("the same once more", hold(HoldReason::DailyCap, 50), REFUSED),
        ("the same rule, later", hold(HoldReason::DailyCap, 60), QUIET),
        ("another rule", hold(HoldReason::QuietHours, 60), paused),
        ("not paused by its user", release(true), REFUSED),
        ("its user", hold(HoldReason::Paused, 0), paused),
        ("a rule under a pause", hold(HoldReason::DailyCap, 70), REFUSED),
        ("a second pause", hold(HoldReason::Paused, 1), REFUSED),
        ("an item under a pause", begin(0), REFUSED),
        ("a rule does not lift a pause", release(false), REFUSED),
        ("its user lifts it", release(true), QUIET),
        ("a rule again", hold(HoldReason::DailyCap, 80), paused),
        ("who begins lifts the hold", begin(0), Ok(Some(EventType::BatchStarted))),
        ("nothing is left to lift", release(false), REFUSED),
    ] {
        assert_eq!(world.event(1, change), expected, "{step}");
    }
}

#[test]
fn a_batch_without_anything_to_send_is_over_at_once() {
    let made = |failed, stop_on_error| {
        let mut world = World::new(2, stop_on_error);
        world.record.batch.progress =
            Progress { total: 2, failed, pending: 2 - failed, ..Progress::default() };
        let (record, effects) = end_at_once(world.record.batch);
        (record.batch.state, record.batch.progress.cancelled, event_of(&effects))
    };
    let failed = Some(EventType::BatchFailed);
    assert_eq!(made(0, true), (BatchState::Pending, 0, None));
    assert_eq!(made(1, false), (BatchState::Pending, 0, None));
    assert_eq!(made(1, true), (BatchState::Failed, 1, failed));
    assert_eq!(made(2, false), (BatchState::Failed, 0, failed));
}

#[test]
fn a_confirmed_item_corrects_the_end_but_revives_nothing() {
    let confirmed = |state, stop_on_error, sent, failed, cancelled| {
        let mut batch = World::new(0, stop_on_error).record.batch;
        let total = sent + failed + cancelled;
        batch.progress = Progress { total, sent, failed, cancelled, pending: 0 };
        batch.state = state;
        let (batch, event) = confirm_item(&batch);
        assert_eq!((batch.progress.sent, batch.progress.failed), (sent + 1, failed - 1));
        (batch.state, event)
    };
    use BatchState::{Cancelled, Completed, Failed, Processing};
    let completed = (Completed, Some(EventType::BatchCompleted));
    assert_eq!(confirmed(Failed, false, 0, 2, 0), completed, "something was sent");
    assert_eq!(
        confirmed(Failed, true, 0, 1, 0),
        completed,
        "the last one, so it kept nothing back"
    );
    assert_eq!(confirmed(Failed, true, 0, 1, 2), (Failed, None), "it stays stopped");
    assert_eq!(confirmed(Completed, false, 1, 1, 0), (Completed, None));
    assert_eq!(confirmed(Processing, false, 0, 1, 0), (Processing, None));
    assert_eq!(confirmed(Cancelled, false, 0, 1, 1), (Cancelled, None));
}

fn any_change(items: u32) -> impl Strategy<Value = BatchChange> {
    let reasons = proptest::sample::select(&HoldReason::ALL[..]);
    prop_oneof![
        4 => (0..=items).prop_map(begin),
        3 => (0..=items).prop_map(sent),
        2 => (0..=items).prop_map(failed),
        2 => (0..=items).prop_map(put_back),
        2 => (reasons, 0..3i64).prop_map(|(reason, until)| hold(reason, until)),
        2 => any::<bool>().prop_map(|paused| BatchChange::Release { paused }),
        1 => Just(BatchChange::Cancel),
    ]
}

proptest! {
    /// Whatever happens: the numbers are those of the items, what is over stays over and says so once, and nothing
    /// begins that must not.
    #[test]
    fn numbers_items_and_state_agree(
        stop_on_error: bool,
        changes in proptest::collection::vec((any_change(5), 0..9i64), 0..60),
    ) {
        let mut world = World::new(5, stop_on_error);
        let mut seconds = 0;
        for (change, later) in changes {
            seconds += later;
            let (before, items) = (world.record.clone(), world.items.clone());
            let begins = matches!(change, BatchChange::Begin { .. });
            let done = world.change(seconds, change);
            let batch = &world.record.batch;
            prop_assert_eq!(batch.progress, world.progress());
            prop_assert_eq!(world.record.open, world.count(ItemState::Open));
            let Some(effects) = done else {
                prop_assert_eq!((&world.record, &world.items), (&before, &items));
                continue;
            };
            let event = event_of(&effects);
            if before.batch.state.is_over() {
                prop_assert_eq!(batch.state, before.batch.state);
                prop_assert_eq!((event, begins), (None, false));
            }
            prop_assert!(!begins || !before.batch.is_paused());
            if batch.state.is_over() {
                prop_assert!(batch.completed_at.is_some() && batch.hold.is_none());
                prop_assert_eq!(world.count(ItemState::Pending), 0);
                let is_end = matches!(event, Some(EventType::BatchCompleted | EventType::BatchFailed | EventType::BatchCancelled));
                prop_assert_eq!(is_end, !before.batch.state.is_over());
            } else {
                prop_assert!(batch.completed_at.is_none() && batch.progress.pending > 0);
            }
            for (was, is) in items.iter().zip(&world.items) {
                let is_final = matches!(was, ItemState::Sent | ItemState::Failed | ItemState::Cancelled);
                prop_assert!(!is_final || was == is);
            }
            if event == Some(EventType::BatchProgress) {
                let gap = before.notified_at.map(|last| at(seconds).since(last));
                prop_assert!(gap.unwrap_or(Duration::MAX) >= PROGRESS_GAP);
            }
        }
    }
}
