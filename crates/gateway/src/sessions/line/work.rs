//! The worker of a line.

use std::{sync::Arc, time::Duration};

use domain::{
    SessionId, Timer,
    backoff::Backoff,
    port::{Lease, StoreError, StoreErrorKind, StoreResult, Write, WriteOutcome},
};

use super::{Ack, LineEntry, acks, same};
use crate::sessions::{SessionsInner, facts::SessionFact};

/// Entries in one commit.
const AT_ONCE: usize = 256;
/// Between two tries while the ledger fails.
const RETRY: Backoff =
    Backoff { base: Duration::from_millis(100), cap: Duration::from_secs(5), jitter_percent: 20 };

/// Works the line off; ends when nothing waits. When the process stops, the first failure ends it too.
pub(super) async fn run(inner: &Arc<SessionsInner>, session: SessionId) {
    let mut worker = LineWorker { inner, session, failures: 0 };
    while let Some((lease, entries)) = worker.take() {
        worker.store(&lease, entries).await;
    }
}

struct LineWorker<'a> {
    inner: &'a Arc<SessionsInner>,
    session: SessionId,
    /// Tries in a row that failed.
    failures: u32,
}

impl LineWorker<'_> {
    /// What is stored next. Without anything the line is gone.
    fn take(&self) -> Option<(Lease, Vec<LineEntry>)> {
        let mut lines = self.inner.lines.lock();
        let line = lines.get_mut(&self.session)?;
        let (mut under, mut entries) = (None, Vec::new());
        let mut renames = false;
        while entries.len() < AT_ONCE {
            // What is filed under a person's id is looked up when the pair of their ids is stored.
            let Some((lease, next)) = line.waiting.front() else { break };
            if under.get_or_insert_with(|| lease.clone()) != lease {
                break;
            }
            // The session's restriction, which a refusal may begin, is looked up too.
            let alone = matches!(
                next,
                LineEntry::Purge
                    | LineEntry::Limits(_)
                    | LineEntry::Ack(Ack { refused: Some(_), .. })
            );
            if (renames || alone) && !entries.is_empty() {
                break;
            }
            renames = matches!(next, LineEntry::Fact(SessionFact::Identities(_)));
            entries.extend(line.waiting.pop_front().map(|(_, entry)| entry));
            if alone {
                break;
            }
        }
        line.in_hand = entries.len();
        match under {
            Some(lease) if !entries.is_empty() => Some((lease, entries)),
            _ => {
                lines.remove(&self.session);
                None
            }
        }
    }

    /// Stores entries together; one by one when one of them can never be stored.
    async fn store(&mut self, lease: &Lease, entries: Vec<LineEntry>) {
        match self.surely(lease, &entries).await {
            Ok(()) => self.left(&entries),
            Err(error)
                if entries.len() > 1
                    && error.kind != StoreErrorKind::NotOwner
                    && !self.gives_up() =>
            {
                for entry in entries {
                    let entry = [entry];
                    if let Err(error) = self.surely(lease, &entry).await {
                        self.dropped(&error, 1);
                    }
                    self.left(&entry);
                }
            }
            Err(error) => {
                self.dropped(&error, entries.len());
                self.left(&entries);
            }
        }
    }

    fn left(&self, entries: &[LineEntry]) {
        let records = entries.iter().filter(|entry| entry.is_record()).count();
        if let Some(line) = self.inner.lines.lock().get_mut(&self.session) {
            line.leave(entries.len(), records);
        }
    }

    fn dropped(&self, error: &StoreError, entries: usize) {
        match error.kind {
            // A session that was deleted needs no news.
            StoreErrorKind::Gone => {}
            // What WhatsApp was not acknowledged it tells the next owner.
            StoreErrorKind::NotOwner => tracing::warn!(session.id = %self.session, entries,
                "another process runs the session: what it told here is not stored"),
            _ => {
                tracing::error!(session.id = %self.session, entries, error = error as &dyn std::error::Error,
                "what a session told was not stored");
            }
        }
    }

    /// Until it is stored, or can never be.
    async fn surely(&mut self, lease: &Lease, entries: &[LineEntry]) -> StoreResult<()> {
        let mut made = None;
        loop {
            match self.try_once(lease, entries, &mut made).await {
                Ok(outcomes) => {
                    self.works_again();
                    acks::tell(self.inner, self.session, entries, outcomes);
                    return Ok(());
                }
                Err(error) if may_pass(&error) && !self.gives_up() => self.fails(error).await,
                Err(error) => return Err(error),
            }
        }
    }

    /// The writes are made once: their events keep their ids, however often they are tried.
    async fn try_once(
        &self,
        lease: &Lease,
        entries: &[LineEntry],
        made: &mut Option<Vec<Vec<Write>>>,
    ) -> StoreResult<Vec<Vec<(Write, WriteOutcome)>>> {
        if matches!(entries, [LineEntry::Purge]) {
            self.inner.ports.store.purge_device_keys(lease).await?;
            return Ok(vec![vec![]]);
        }
        let writes = match made {
            Some(made) => made,
            None => {
                let mut all = Vec::with_capacity(entries.len());
                for entry in entries {
                    all.push(acks::writes(self.inner, self.session, entry).await?);
                }
                made.insert(all)
            }
        };
        let together: Vec<Write> = writes.iter().flatten().cloned().collect();
        let outcomes = match together.is_empty() {
            true => vec![],
            false => self.inner.ledger.write(Some(lease), together).await?,
        };
        let mut outcomes = outcomes.into_iter();
        let of_entry = |writes: &Vec<Write>| {
            let writes = writes.iter().cloned();
            writes.zip(outcomes.by_ref()).collect()
        };
        Ok(writes.iter().map(of_entry).collect())
    }

    /// Whether this was the last try.
    fn gives_up(&self) -> bool {
        self.inner.supervisor.stopping().is_cancelled() && self.failures > 0
    }

    async fn fails(&mut self, error: StoreError) {
        self.failures += 1;
        if self.failures == 1 {
            tracing::warn!(session.id = %self.session, error = &error as &dyn std::error::Error,
                "what a session tells waits for the ledger");
        }
        if let Some(line) = self.inner.lines.lock().get(&self.session) {
            line.progress.send_modify(|progress| progress.error = Some(same(&error)));
        }
        let (clock, stopping) = (&self.inner.ports.clock, self.inner.supervisor.stopping());
        let wait = RETRY.wait(self.failures, self.inner.ports.entropy.fraction());
        tokio::select! {
            () = clock.sleep_until(Timer::RecordRetry, clock.now().plus(wait)) => {}
            // One more try.
            () = stopping.cancelled() => {}
        }
    }

    fn works_again(&mut self) {
        if self.failures > 0 {
            tracing::info!(session.id = %self.session, tries = self.failures, "what a session tells is stored again");
        }
        self.failures = 0;
    }
}

fn may_pass(error: &StoreError) -> bool {
    matches!(error.kind, StoreErrorKind::Busy | StoreErrorKind::Unavailable)
}
