//! The order in which the engine's changes become durable: a ratchet never before the row of a message that moved it.
//!
//! The library writes its Signal state later: all of it at once, some time after a message was decrypted. While it
//! works off the backlog it stores the messages first. Later it does not wait for messages of other chats, which may be
//! decrypted and not stored yet. Killed in between, such a message is lost: WhatsApp sends it again, it counts as read,
//! and its content is nowhere.
//!
//! So what the library hands over is held back here, in memory, until every message that was being read at that moment
//! is stored, or has turned out to have nothing to store. That is exact: a message that begins to be read later moved
//! no ratchet of an earlier hand-over. It is prompt too, because those that are waited for only wait for their own row.
//! A ratchet that is a little old does no harm: a message that is sent again decrypts again.
//!
//! Two rules close the circle. Nothing leaves over the wire before what was handed over until then is durable
//! ([`WriteOrder::written`]): the library takes the return of a write as the sign that it may use the keys. And when a
//! row cannot be written, nothing that is held is ever written ([`WriteOrder::freeze`]); the next connection begins
//! with the older ratchets.

use std::{
    collections::{BTreeMap, HashSet, VecDeque},
    sync::{Mutex, MutexGuard, PoisonError},
};

use domain::port::{KeyChange, KeyEntry};
use tokio::sync::Notify;

/// A message that is being read, by number.
pub(crate) type ReadingNumber = u64;

/// A name of a key: namespace and key.
type KeyName = (&'static str, String);

/// Contentless messages whose mark waits for the next hand-over. When full the oldest is dropped: its message may be
/// asked for again once more than it needed to be.
const MARKS_MAX: usize = 1024;

/// Which changes are held, and what they wait for.
#[derive(Default)]
pub(crate) struct WriteOrder {
    state: Mutex<OrderState>,
    changed: Notify,
    /// One write at a time, in the order of the hand-overs.
    pub(super) writing: tokio::sync::Mutex<()>,
}

#[derive(Default)]
struct OrderState {
    last_reading: ReadingNumber,
    /// Messages that were begun and are not stored.
    unstored: BTreeMap<ReadingNumber, UnstoredMessage>,
    /// What is not written yet, oldest first.
    queue: VecDeque<HeldChanges>,
    handed: u64,
    written: u64,
    /// Messages that ended without content, to be marked with the next hand-over.
    marks: Vec<String>,
    frozen: bool,
}

struct UnstoredMessage {
    id: String,
    /// The chat that its row will name, as the library's spans show it, once it is known that it has content. Then a
    /// row has to follow.
    chat: Option<String>,
    /// The library is done with it; its row is written with others of the backlog.
    ended: bool,
}

#[derive(Default)]
struct HeldChanges {
    changes: BTreeMap<KeyName, Option<Vec<u8>>>,
    waits: HashSet<ReadingNumber>,
    /// The last hand-over in it.
    through: u64,
    /// Whether the library got the answer that it is written, and it is not.
    owed: bool,
}

/// What a hand-over came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum HandOver {
    /// Nothing is in its way: it is written at once, and the caller waits for that.
    Now(u64),
    /// It is written later; nothing leaves over the wire before.
    Later,
    /// Nothing is written any more.
    Frozen,
}

/// What can be written now.
pub(super) struct WritableChanges {
    pub changes: Vec<KeyChange>,
    through: u64,
    /// Whether nobody waits for the result.
    pub owed: bool,
}

impl WriteOrder {
    fn lock(&self) -> MutexGuard<'_, OrderState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A message begins to be decrypted.
    pub fn begin(&self, id: String) -> ReadingNumber {
        let mut state = self.lock();
        state.last_reading += 1;
        let number = state.last_reading;
        state.unstored.insert(number, UnstoredMessage { id, chat: None, ended: false });
        number
    }

    /// It has content of this chat, so it ends with its row. Content of another message that came in it is not its own.
    pub fn has_content(&self, reading: ReadingNumber, chat: String, id: &str) {
        if let Some(message) = self.lock().unstored.get_mut(&reading)
            && message.id == id
        {
            message.chat = Some(chat);
        }
    }

    /// The library is done with it. Without content there is nothing to wait for, unless it was cut off half-way. With
    /// content it is stored by now, or with others of the backlog later.
    pub fn end(&self, reading: ReadingNumber, cut_off: bool) {
        let mut state = self.lock();
        let Some(message) = state.unstored.get_mut(&reading) else { return };
        if cut_off {
            return;
        }
        message.ended = true;
        if message.chat.is_none()
            && let Some(message) = state.unstored.remove(&reading)
        {
            state.mark(reading, message.id);
            self.changed.notify_waiters();
        }
    }

    /// The messages that rows are about, given as (chat, id). Rows that the message being read now does not wait for
    /// are those of the backlog: the library takes everything that waits for its row into one such write.
    pub fn of_rows(
        &self,
        rows: &[(String, String)],
        current: Option<ReadingNumber>,
    ) -> Vec<ReadingNumber> {
        let state = self.lock();
        let named = |message: &UnstoredMessage| {
            message
                .chat
                .as_ref()
                .is_some_and(|chat| rows.iter().any(|(of, id)| of == chat && *id == message.id))
        };
        let own = current.and_then(|current| state.unstored.get(&current)).is_some_and(|message| {
            rows.len() == 1
                && message.chat.is_some()
                && rows.iter().any(|(_, id)| *id == message.id)
        });
        if own {
            return current.into_iter().collect();
        }
        let about =
            |message: &UnstoredMessage| message.chat.is_some() && (message.ended || named(message));
        state.unstored.iter().filter(|(_, message)| about(message)).map(|(n, _)| *n).collect()
    }

    /// Their rows are durable.
    pub fn stored(&self, readings: &[ReadingNumber]) {
        let mut state = self.lock();
        for reading in readings {
            state.unstored.remove(reading);
        }
        self.changed.notify_waiters();
    }

    /// Takes changes over. Later changes of a key replace earlier ones.
    pub fn hand_over(&self, changes: Vec<KeyChange>) -> HandOver {
        let mut state = self.lock();
        if state.frozen {
            return HandOver::Frozen;
        }
        state.handed += 1;
        let (through, free) = (state.handed, state.is_free());
        let waits: Vec<ReadingNumber> = state.unstored.keys().copied().collect();
        let marks = std::mem::take(&mut state.marks);
        let next = state.held_for(free);
        next.through = through;
        next.waits.extend(waits);
        for change in changes.into_iter().chain(marks.into_iter().map(super::done_mark)) {
            match change {
                KeyChange::Put { namespace, key, value, .. } => {
                    next.changes.insert((namespace, key), Some(value));
                }
                KeyChange::Delete { namespace, key } => {
                    next.changes.insert((namespace, key), None);
                }
            }
        }
        drop(state);
        if free { HandOver::Now(through) } else { HandOver::Later }
    }

    /// What can be written now. It stays held until [`WriteOrder::wrote`].
    pub(super) fn ready(&self) -> Option<WritableChanges> {
        let mut state = self.lock();
        if state.frozen {
            return None;
        }
        let OrderState { queue, unstored, .. } = &mut *state;
        let held = queue.front_mut()?;
        held.waits.retain(|reading| unstored.contains_key(reading));
        if !held.waits.is_empty() {
            return None;
        }
        let change = |((namespace, key), value): (&KeyName, &Option<Vec<u8>>)| match value {
            Some(value) => super::put_kept(namespace, key, value),
            None => KeyChange::Delete { namespace, key: key.clone() },
        };
        let changes = held.changes.iter().map(change).collect();
        Some(WritableChanges { changes, through: held.through, owed: held.owed })
    }

    /// What was ready is durable.
    pub(super) fn wrote(&self, ready: &WritableChanges) {
        let mut state = self.lock();
        // A freeze in between has emptied it.
        if state.queue.front().is_some_and(|held| held.through == ready.through) {
            state.queue.pop_front();
        }
        state.written = ready.through;
        drop(state);
        self.changed.notify_waiters();
    }

    /// What was ready could not be written, and whoever handed it over gets the error.
    pub(super) fn refused(&self, ready: &WritableChanges) {
        self.wrote(ready);
    }

    /// Nothing that is held, or comes, is written.
    pub fn freeze(&self) {
        let mut state = self.lock();
        state.frozen = true;
        state.queue.clear();
        state.marks.clear();
        drop(state);
        self.changed.notify_waiters();
    }

    /// Waits until what was handed over before is durable; `false` when it never will be.
    pub async fn written(&self) -> bool {
        let through = self.lock().handed;
        self.written_through(through).await
    }

    /// The same, for one hand-over.
    pub(super) async fn written_through(&self, through: u64) -> bool {
        loop {
            let changed = self.changed.notified();
            tokio::pin!(changed);
            changed.as_mut().enable();
            {
                let state = self.lock();
                if state.written >= through {
                    return true;
                }
                if state.frozen {
                    return false;
                }
            }
            changed.await;
        }
    }

    /// Completes when something changed since `seen` was taken.
    pub(super) fn changes(&self) -> tokio::sync::futures::Notified<'_> {
        self.changed.notified()
    }

    /// Wakes the task that writes what is ready.
    pub(super) fn wake(&self) {
        self.changed.notify_waiters();
    }

    /// The held value of a key: `Some(None)` when it is deleted.
    pub fn held(&self, namespace: &'static str, key: &str) -> Option<Option<Vec<u8>>> {
        let state = self.lock();
        let name = (namespace, key.to_owned());
        state.queue.iter().rev().find_map(|held| held.changes.get(&name).cloned())
    }

    /// A list as it is with what is held.
    pub fn laid_over(
        &self,
        namespace: &'static str,
        prefix: &str,
        stored: Vec<KeyEntry>,
    ) -> Vec<KeyEntry> {
        let state = self.lock();
        if state.queue.is_empty() {
            return stored;
        }
        let mut entries: BTreeMap<String, KeyEntry> =
            stored.into_iter().map(|entry| (entry.key.clone(), entry)).collect();
        for held in &state.queue {
            for ((_, key), value) in held
                .changes
                .iter()
                .filter(|((ns, key), _)| *ns == namespace && key.starts_with(prefix))
            {
                match value {
                    Some(value) => {
                        let entry =
                            KeyEntry { key: key.clone(), value: value.clone(), expires_at: 0 };
                        entries.insert(key.clone(), entry);
                    }
                    None => {
                        entries.remove(key);
                    }
                }
            }
        }
        entries.into_values().collect()
    }
}

impl OrderState {
    /// Whether a hand-over waits for nothing.
    fn is_free(&self) -> bool {
        self.unstored.is_empty()
    }

    /// Where the next hand-over goes. What the first in the queue waits for must not grow, or it would never be
    /// written; and one that somebody waits for must not wait for more.
    fn held_for(&mut self, free: bool) -> &mut HeldChanges {
        let joins =
            !free && self.queue.len() > 1 && self.queue.back().is_some_and(|last| last.owed);
        if !joins {
            self.queue.push_back(HeldChanges { owed: !free, ..HeldChanges::default() });
        }
        let last = self.queue.len() - 1;
        &mut self.queue[last]
    }

    /// Leaves a mark for a message without content, no later than the ratchet that it moved.
    fn mark(&mut self, reading: ReadingNumber, id: String) {
        let mut marked = false;
        for held in self.queue.iter_mut().filter(|held| held.waits.contains(&reading)) {
            if let KeyChange::Put { namespace, key, value, .. } = super::done_mark(id.clone()) {
                held.changes.insert((namespace, key), Some(value));
                marked = true;
            }
        }
        if !marked {
            if self.marks.len() >= MARKS_MAX {
                self.marks.remove(0);
            }
            self.marks.push(id);
        }
    }
}
