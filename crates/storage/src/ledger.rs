//! Changes, events and deliveries in one transaction.

use async_trait::async_trait;
use domain::{
    event::{Event, EventDraft},
    port::{Ledger, SessionPatch, StoreResult, Write, WriteOutcome},
};

use crate::{
    delivery::push,
    error::{Doing as _, corrupt},
    message,
    open::SqliteStore,
    session,
    writer::Unit,
};

#[async_trait]
impl Ledger for SqliteStore {
    async fn write(&self, writes: Vec<Write>) -> StoreResult<Vec<WriteOutcome>> {
        self.writer.write(writes).await
    }

    async fn ping(&self) -> StoreResult<()> {
        let answer = sqlx::query_scalar::<_, i64>("select 1").fetch_one(&self.readers).await;
        answer.doing("asking the database").map(|_| ())
    }
}

/// What a write did, before its events are numbered.
enum Applied {
    /// Nothing; it has no events then.
    Unchanged,
    /// The change is made; its session is there.
    Changed,
    /// An event by itself; its session may not exist.
    Alone,
}

/// Applies units of writes one after another, then numbers and stores the events of all of them together.
pub(crate) async fn apply(
    unit: &mut Unit,
    units: &[Vec<Write>],
) -> StoreResult<Vec<Vec<WriteOutcome>>> {
    let (mut applied, mut drafts) = (Vec::with_capacity(units.len()), Vec::new());
    let stored = messages(unit, units).await?;
    for writes in units {
        let mut of_unit = Vec::with_capacity(writes.len());
        for write in writes {
            let (done, events) = change(unit, write, stored).await?;
            let events = if matches!(done, Applied::Unchanged) { &[] } else { events };
            drafts.extend_from_slice(events);
            of_unit.push((done, events.len()));
        }
        applied.push(of_unit);
    }
    let mut recorded = push::record(unit, drafts).await?.into_iter();
    let mut outcomes = Vec::with_capacity(units.len());
    for of_unit in applied {
        let mut answers = Vec::with_capacity(of_unit.len());
        for (done, count) in of_unit {
            let events: Option<Vec<Event>> = recorded
                .by_ref()
                .take(count)
                .map(|event| event.map(|event| Event::clone(&event)))
                .collect();
            answers.push(match (done, events) {
                (Applied::Unchanged, _) | (Applied::Alone, None) => WriteOutcome::Unchanged,
                (_, Some(events)) => WriteOutcome::Applied(events),
                (Applied::Changed, None) => {
                    return Err(corrupt("recording an event of a session"));
                }
            });
        }
        outcomes.push(answers);
    }
    Ok(outcomes)
}

/// Stores all new messages of some units together; `false`, and none is stored, when that does not do: each on its own then.
async fn messages<'w>(unit: &mut Unit, units: &'w [Vec<Write>]) -> StoreResult<bool> {
    let message = |write: &'w Write| match write {
        Write::InsertMessage { message, .. } => Some(&**message),
        _ => None,
    };
    let new: Vec<_> = units.iter().flatten().filter_map(message).collect();
    if new.len() < 2 {
        return Ok(false);
    }
    message::insert_all(unit, &new).await
}

/// The change alone, and the events it would cause.
async fn change<'a>(
    unit: &mut Unit,
    write: &'a Write,
    stored: bool,
) -> StoreResult<(Applied, &'a [EventDraft])> {
    let (applied, events) = match write {
        Write::InsertMessage { events, .. } if stored => (true, events),
        Write::InsertMessage { message, events } => (message::insert(unit, message).await?, events),
        Write::AdvanceMessage { session, wa_id, status, timestamp, metadata, events } => {
            (message::advance(unit, *session, wa_id, *status, *timestamp, metadata).await?, events)
        }
        Write::PatchSession { session, patch, events } => {
            (session::patch(unit, *session, SessionPatch::clone(patch)).await?, events)
        }
        Write::Append { event } => {
            return Ok((Applied::Alone, std::slice::from_ref(event.as_ref())));
        }
    };
    let done = if applied { Applied::Changed } else { Applied::Unchanged };
    Ok((done, events))
}
