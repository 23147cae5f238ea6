//! Changes, events and deliveries in one transaction.

use std::{collections::VecDeque, sync::Arc};

use async_trait::async_trait;
use domain::{
    SessionId, Timestamp,
    event::{Event, EventDraft},
    port::{
        Ledger, Quarantined, SessionPatch, StoreResult, Trouble, UnreadableRow, Write, WriteOutcome,
    },
};
use rand::Rng as _;

use crate::{
    approval,
    batch::{self, EventStamp},
    db,
    delivery::push,
    error::{Doing as _, gone},
    event_log, group, label, lease, media,
    message::{self, Ack},
    open::LedgerStore,
    people, session,
    writer::Unit,
};

db::statements! {
    ANYTHING = both("select 1");
    PROBE = both("insert into meta (key, value) values ('probe', $1) \
         on conflict (key) do update set value = excluded.value");
}

#[async_trait]
impl Ledger for LedgerStore {
    async fn write(&self, writes: Vec<Write>) -> StoreResult<Vec<WriteOutcome>> {
        self.writer.write(writes).await
    }

    async fn release_held(&self, now: Timestamp) -> StoreResult<u64> {
        let mut total = 0;
        loop {
            let released = self
                .writer
                .run("releasing held changes", move |unit| Box::pin(message::release(unit, now)))
                .await?;
            total += released;
            // In portions, so that other writers are not kept waiting.
            if released < message::RELEASE_BATCH {
                return Ok(total);
            }
        }
    }

    async fn ping(&self) -> StoreResult<()> {
        self.writer.pulse().await?;
        let answer = db::query_scalar::<i64>(&ANYTHING).fetch_one(&self.readers).await;
        answer.doing("asking the database").map(|_| ())
    }

    fn trouble(&self) -> Option<Trouble> {
        self.writer.condition().trouble()
    }

    async fn probe(&self) -> StoreResult<()> {
        const DOING: &str = "seeing whether writes are taken";
        let written = self.writer.run(DOING, |unit| {
            Box::pin(async move {
                let mut bytes = [0; 8];
                rand::rng().fill_bytes(&mut bytes);
                let done = db::query(&PROBE).bind(bytes.to_vec()).execute(&mut unit.conn).await;
                done.doing(DOING).map(|_| ())
            })
        });
        let written = written.await;
        match &written {
            Ok(()) => self.writer.condition().works(),
            Err(error) => self.writer.condition().look_at(error),
        }
        written
    }

    fn unreadable(&self) -> Vec<UnreadableRow> {
        self.unreadable.all()
    }

    async fn quarantine(&self, put_aside: Quarantined) -> StoreResult<bool> {
        self.put_one_aside(put_aside).await
    }

    async fn put_aside(&self) -> StoreResult<u64> {
        self.count_put_aside().await
    }
}

/// What a write did, before its events are numbered.
enum AppliedWrite {
    /// Nothing; it has no events then.
    Unchanged,
    /// The change is made; its session is there.
    Changed,
    /// An event by itself; its session may not exist.
    EventOnly,
    /// Before, with these events: its caller did not hear of the commit.
    Before(Vec<Arc<Event>>),
}

/// Applies units of writes one after another, then numbers and stores the events of all of them together.
pub(crate) async fn apply(
    unit: &mut Unit,
    units: &[Vec<Write>],
) -> StoreResult<Vec<Vec<WriteOutcome>>> {
    let (mut applied, mut drafts) = (Vec::with_capacity(units.len()), Vec::new());
    let mut recorded = Vec::new();
    let all: Vec<&Write> = units.iter().flatten().collect();
    let (mut next, mut ahead) = (all.as_slice(), VecDeque::new());
    for writes in units {
        let mut of_unit = Vec::with_capacity(writes.len());
        for write in writes {
            if matches!(write, Write::ChangeMessage { .. }) {
                // It looks whether its event was recorded before.
                recorded.extend(push::record(unit, std::mem::take(&mut drafts)).await?);
            }
            if ahead.is_empty() {
                ahead.extend(message::insert_many(unit, next).await?);
            }
            next = next.split_first().map_or(&[], |(_, behind)| behind);
            let stored = ahead.pop_front() == Some(true);
            let (done, events) = match write {
                Write::InsertMessage { events, .. } if stored => {
                    (AppliedWrite::Changed, events.clone())
                }
                write => match repeated(unit, write, &drafts).await? {
                    Some(events) => (AppliedWrite::Before(events), vec![]),
                    None => change(unit, write).await?,
                },
            };
            of_unit.push((done, events.len()));
            drafts.extend(events);
        }
        applied.push(of_unit);
    }
    recorded.extend(push::record(unit, drafts).await?);
    let mut recorded = recorded.into_iter();
    let mut outcomes = Vec::with_capacity(units.len());
    for of_unit in applied {
        let mut answers = Vec::with_capacity(of_unit.len());
        for (done, count) in of_unit {
            let events: Option<Vec<Arc<Event>>> = recorded.by_ref().take(count).collect();
            answers.push(match (done, events) {
                (AppliedWrite::Before(events), _) => WriteOutcome::Applied(events),
                (AppliedWrite::Unchanged, _) | (AppliedWrite::EventOnly, None) => {
                    WriteOutcome::Unchanged
                }
                (_, Some(events)) => WriteOutcome::Applied(events),
                (AppliedWrite::Changed, None) => {
                    return Err(gone("recording an event of a session"));
                }
            });
        }
        outcomes.push(answers);
    }
    Ok(outcomes)
}

/// What a unit of writes answered when it was applied before, if it was: its caller did not hear of the commit and
/// repeats it. Its events show that; what has none is applied again without harm.
pub(crate) async fn done_before(
    unit: &mut Unit,
    writes: &[Write],
) -> StoreResult<Option<Vec<WriteOutcome>>> {
    let mut outcomes = Vec::with_capacity(writes.len());
    let mut any = false;
    for write in writes {
        let events: Vec<&EventDraft> = match write {
            Write::Append { event } => vec![event],
            Write::PatchSession { events, .. } => events.iter().collect(),
            _ => vec![],
        };
        let mut recorded = Vec::with_capacity(events.len());
        for draft in events {
            let known = event_log::recorded(unit, draft.id).await?;
            let Some(known) = known.filter(|known| known.draft == *draft) else { return Ok(None) };
            recorded.push(Arc::new(known));
        }
        any |= !recorded.is_empty();
        outcomes.push(match recorded.is_empty() {
            true => WriteOutcome::Unchanged,
            false => WriteOutcome::Applied(recorded),
        });
    }
    Ok(any.then_some(outcomes))
}

/// Records events of sessions that are there.
pub(crate) async fn record_all(unit: &mut Unit, drafts: Vec<EventDraft>) -> StoreResult<()> {
    let recorded = push::record(unit, drafts).await?;
    if recorded.iter().any(Option::is_none) {
        return Err(gone("recording an event of a session"));
    }
    Ok(())
}

/// Whose record a write changes.
pub(crate) fn session_of(write: &Write) -> SessionId {
    match write {
        Write::Append { event } => event.session,
        Write::Approval(write) => write.session,
        Write::Held { lease } => lease.session,
        Write::InsertMessage { message, .. } => message.message.session,
        Write::ChangeMessage { session, .. }
        | Write::AdvanceMessage { session, .. }
        | Write::NoteReceipt { session, .. }
        | Write::LearnIdentity { session, .. }
        | Write::LearnForm { session, .. }
        | Write::LearnBlockList { session, .. }
        | Write::WishAvailable { session, .. }
        | Write::WatchPresence { session, .. }
        | Write::LearnContact { session, .. }
        | Write::MarkChat { session, .. }
        | Write::NameChat { session, .. }
        | Write::Group { session, .. }
        | Write::SettleMedia { session, .. }
        | Write::ChangeLabel { session, .. }
        | Write::PatchSession { session, .. }
        | Write::Batch { session, .. }
        | Write::Unheld { session, .. }
        | Write::ConfirmItem { session, .. }
        | Write::OpenChange { session, .. }
        | Write::CloseChange { session, .. } => *session,
    }
}

/// What this very write recorded, if it was applied before and only its answer was lost. Of a change of a session,
/// and of an event by itself, nothing but their events show it; the others find what they changed.
async fn repeated(
    unit: &mut Unit,
    write: &Write,
    drafts: &[EventDraft],
) -> StoreResult<Option<Vec<Arc<Event>>>> {
    if let Write::Group { events, .. } = write {
        let Some(first) = events.first() else { return Ok(None) };
        // WhatsApp tells an occurrence again that was not acknowledged: with the same id, maybe in other words.
        return Ok(group::is_told(unit, first, drafts).await?.then(Vec::new));
    }
    let events: Vec<&EventDraft> = match write {
        Write::PatchSession { events, .. } => events.iter().collect(),
        Write::Append { event } => vec![event],
        _ => vec![],
    };
    let Some(first) = events.first() else { return Ok(None) };
    if drafts.iter().any(|draft| draft == *first) {
        // In this very commit.
        return Ok(Some(vec![]));
    }
    let mut recorded = Vec::with_capacity(events.len());
    for draft in events {
        let known = event_log::recorded(unit, draft.id).await?;
        let Some(known) = known.filter(|known| known.draft == *draft) else { return Ok(None) };
        recorded.push(Arc::new(known));
    }
    Ok(Some(recorded))
}

/// Makes only the change, and gives the events it causes, in their order.
async fn change(unit: &mut Unit, write: &Write) -> StoreResult<(AppliedWrite, Vec<EventDraft>)> {
    let events = match write {
        Write::Held { lease } => {
            lease::check(unit, lease).await?;
            return Ok((AppliedWrite::Unchanged, vec![]));
        }
        Write::Unheld { session, now } => {
            lease::check_unheld(unit, *session, *now).await?;
            return Ok((AppliedWrite::Unchanged, vec![]));
        }
        Write::Append { event } => {
            return Ok((AppliedWrite::EventOnly, vec![event.as_ref().clone()]));
        }
        Write::InsertMessage { message, events } => message::insert(unit, message, events).await?,
        Write::ChangeMessage { session, wa_id, change, hold_until, events } => {
            let change = change.as_ref().clone();
            message::change(unit, *session, wa_id, change, *hold_until, events.clone()).await?
        }
        Write::AdvanceMessage {
            session,
            wa_id,
            status,
            timestamp,
            metadata,
            hold_until,
            events,
        } => {
            let ack = Ack { status: *status, timestamp: *timestamp, metadata: metadata.clone() };
            message::advance(unit, *session, wa_id, ack, *hold_until, events.clone()).await?
        }
        Write::NoteReceipt { session, wa_id, receipt, hold_until, events } => {
            message::note_receipt(unit, *session, wa_id, receipt, *hold_until, events.clone())
                .await?
        }
        Write::LearnIdentity { session, identity, events } => {
            some_if(people::learn_identity(unit, *session, identity).await?, events)
        }
        Write::LearnBlockList { session, blocked } => {
            some_if(people::learn_block_list(unit, *session, blocked).await?, &[])
        }
        Write::WishAvailable { session, available } => {
            some_if(people::wish_available(unit, *session, *available).await?, &[])
        }
        Write::WatchPresence { session, chat, at } => {
            people::watch_presence(unit, *session, chat, *at).await?;
            some_if(true, &[])
        }
        Write::LearnForm { session, asked, form } => {
            people::learn_form(unit, *session, asked, form).await?;
            some_if(true, &[])
        }
        Write::LearnContact { session, id, patch } => {
            some_if(people::learn_contact(unit, *session, id, patch).await?, &[])
        }
        Write::MarkChat { session, chat, mark } => {
            some_if(people::mark_chat(unit, *session, chat, *mark).await?, &[])
        }
        Write::NameChat { session, chat, name } => {
            some_if(people::name_chat(unit, *session, chat, name).await?, &[])
        }
        Write::ChangeLabel { session, change, events } => {
            some_if(label::change(unit, *session, change).await?, events)
        }
        Write::Group { session, group, change, events } => {
            group::write(unit, (*session, group), change, events).await?
        }
        Write::SettleMedia { session, wa_id, state, events } => {
            some_if(media::settle(unit, *session, wa_id, state).await?, events)
        }
        Write::PatchSession { session, patch, events } => {
            let patch = SessionPatch::clone(patch);
            some_if(session::patch(unit, *session, patch).await?, events)
        }
        Write::Batch { session, batch, change, at, event } => {
            let change = change.as_ref().clone();
            let stamp = EventStamp { id: *event, at: *at };
            batch::change(unit, *session, batch, change, stamp).await?
        }
        Write::Approval(write) => approval::change(unit, write).await?,
        Write::OpenChange { session, outgoing, at } => {
            some_if(message::open_change::open(unit, *session, outgoing, *at).await?, &[])
        }
        Write::CloseChange { session, id } => {
            some_if(message::open_change::close(unit, *session, id).await?, &[])
        }
        Write::ConfirmItem { session, wa_id, sent_at, at, event } => {
            let stamp = EventStamp { id: *event, at: *at };
            batch::confirm(unit, *session, wa_id, *sent_at, stamp).await?
        }
    };
    Ok(events.map_or((AppliedWrite::Unchanged, vec![]), |events| (AppliedWrite::Changed, events)))
}

fn some_if(applied: bool, events: &[EventDraft]) -> Option<Vec<EventDraft>> {
    applied.then(|| events.to_vec())
}
