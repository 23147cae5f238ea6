//! One item: begun, handed over, and what its send came to.

use std::{sync::Arc, time::Duration};

use domain::{
    Timer, Timestamp, WaMessageId,
    batch::{Batch, BatchChange, BatchItem, HoldReason, ItemContent, ItemOutcome, Said, Source},
    port::{Connection, RecipientScope, StoreError},
};

use super::{
    outcome::{self, ItemSendResult},
    runner::{BatchRunner, ColdHold, RunnerTurn},
};
use crate::messages::{BatchItemSend, MediaInput, Preview, Say, ToSend};

/// How often an item may come back from a session that is ready before it has failed.
const COMEBACKS_MAX: u32 = 5;
/// Longest wait for single sends that go first.
const YIELD_MAX: Duration = Duration::from_secs(30);

impl BatchRunner {
    pub(super) async fn step(
        &mut self,
        batch: Batch,
        item: BatchItem,
        content: ItemContent,
        link: Arc<dyn Connection>,
    ) -> Result<RunnerTurn, StoreError> {
        let stopping = self.shared.supervisor.stopping();
        let clock = self.shared.ports.clock.clone();
        let yielded = clock.now().plus(YIELD_MAX);
        tokio::select! {
            biased;
            () = self.shared.messages.idle(self.session) => {}
            () = clock.sleep_until(Timer::BatchYield, yielded) => {}
            () = stopping.cancelled() => return Ok(RunnerTurn::Done),
        }
        if self.shared.brake.is_on() {
            return Ok(RunnerTurn::Again);
        }
        let (index, before) = (item.index, self.pace);
        let gap = batch.options.gap(self.shared.ports.entropy.fraction());
        let begin =
            BatchChange::Begin { index, epoch: self.lease.epoch, pace: self.now().plus(gap) };
        if !self.write(&batch.id, begin).await? {
            // A cancel or a pause was first.
            return Ok(RunnerTurn::Again);
        }
        self.last = Some(batch.id.clone());
        let was_heard = self.cold.is_some_and(|cold| cold.until > self.now());
        let heard = Arc::default();
        let from = BatchItemSend {
            heard: Arc::clone(&heard),
            id: item.wa_id.clone(),
            on: link,
            lease: self.lease.clone(),
            uploads: self.uploads.entry(batch.id.clone()).or_default().clone(),
        };
        self.handed.insert(item.wa_id.clone(), Arc::downgrade(&from.on));
        let sending = self.shared.messages.send_item(self.session, to_send(&item, content), from);
        let cut = self.shared.supervisor.cut();
        let result = tokio::select! {
            result = sending => result,
            // The send goes on by itself; the next life learns from its row what became of it.
            () = cut.cancelled() => return Ok(RunnerTurn::Done),
        };
        // From its answer on, not from when that was stored.
        let after = heard.get().copied().unwrap_or_else(|| self.now()).plus(gap);
        self.took(&batch, &item, outcome::of_send(result), (before, after, was_heard)).await
    }

    async fn took(
        &mut self,
        batch: &Batch,
        item: &BatchItem,
        came: ItemSendResult,
        (before, after, was_heard): (Timestamp, Timestamp, bool),
    ) -> Result<RunnerTurn, StoreError> {
        let came = match came {
            // Its link was lost meanwhile and it went out again: the first one may have arrived before the second was
            // refused.
            ItemSendResult::RecipientCold if !self.went_out_once(&item.wa_id).await => {
                self.cold_refused(None).await;
                ItemSendResult::Finished(outcome::unconfirmed())
            }
            came => came,
        };
        if !matches!(came, ItemSendResult::Unresolved) {
            self.handed.remove(&item.wa_id);
        }
        match came {
            ItemSendResult::Finished(outcome) => {
                self.settled(batch, item, outcome, (before, after)).await?;
            }
            ItemSendResult::Unresolved => self.pace = after,
            ItemSendResult::RecipientCold if was_heard => {
                self.settled(batch, item, outcome::cold_failure(), (before, after)).await?;
            }
            ItemSendResult::RecipientCold => {
                self.cold_refused(None).await;
                self.back(batch, item, after).await?;
            }
            ItemSendResult::Requeue => {
                let times = self.comebacks.entry((batch.id.clone(), item.index)).or_default();
                *times += 1;
                if *times > COMEBACKS_MAX && self.is_connected() {
                    self.settled(batch, item, outcome::given_up(), (before, before)).await?;
                } else {
                    self.back(batch, item, before.max(self.soon())).await?;
                }
            }
            // The next look holds the batch.
            ItemSendResult::Braked => self.back(batch, item, before).await?,
            ItemSendResult::RateLimited(reason, seconds) => {
                let until = self.now().plus(Duration::from_secs(seconds));
                let mut pace = before;
                match reason {
                    None => pace = pace.max(until),
                    Some(reason @ HoldReason::ColdDailyCap) => {
                        self.cold =
                            Some(ColdHold { until, whom: RecipientScope::HasHistory, reason });
                    }
                    Some(reason) => self.capped = Some((reason, until)),
                }
                self.back(batch, item, pace).await?;
            }
            ItemSendResult::SessionGone => return Ok(RunnerTurn::Done),
        }
        Ok(RunnerTurn::Again)
    }

    /// Records an outcome. What never reached WhatsApp costs no delay.
    async fn settled(
        &mut self,
        batch: &Batch,
        item: &BatchItem,
        outcome: ItemOutcome,
        (before, after): (Timestamp, Timestamp),
    ) -> Result<(), StoreError> {
        let row = self.shared.ports.store.message(self.session, &item.wa_id).await?;
        self.pace = if row.is_some() { after } else { before };
        let change = BatchChange::Finish { index: item.index, outcome, pace: Some(self.pace) };
        self.write(&batch.id, change).await.map(|_| ())
    }

    /// Puts an item back; under a new id when its id was used up by a row that has failed.
    async fn back(
        &mut self,
        batch: &Batch,
        item: &BatchItem,
        pace: Timestamp,
    ) -> Result<(), StoreError> {
        let row = self.shared.ports.store.message(self.session, &item.wa_id).await?;
        let wa_id = row.map(|_| WaMessageId::new(&*self.shared.ports.entropy));
        self.pace = pace;
        let change = BatchChange::PutBack { index: item.index, wa_id, pace: Some(pace) };
        self.write(&batch.id, change).await.map(|_| ())
    }
}

fn to_send(item: &BatchItem, content: ItemContent) -> ToSend {
    let say = match content.said {
        Said::Text(text) => Say::Text { text, preview: Preview::Off },
        Said::File { kind, source, mimetype, filename, caption } => {
            let input = match source {
                Source::Url(url) => MediaInput::Url(url),
                Source::Bytes(kept) => MediaInput::Kept(kept.into()),
            };
            Say::Media { kind, input, mimetype, filename, caption }
        }
    };
    ToSend { chat: item.chat.clone(), say, mentions: content.mentions, quoted: None }
}
