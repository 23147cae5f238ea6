//! Items that were handed over and have no outcome yet: after a crash, a lost link, or silence.

use std::{sync::Arc, time::Duration};

use domain::{
    Timestamp, WaMessageId,
    batch::{BatchChange, ItemOutcome},
    port::{OpenItem, StoreError},
};

use super::{
    outcome::{self, ItemSendResult},
    runner::BatchRunner,
};

/// A send of a runner that panicked may still be under way for this long.
const ORPHAN: Duration = Duration::from_secs(300);
/// How much longer than a send may be sent again, its item waits for an answer on a connection that stays.
const SILENCE: Duration = Duration::from_secs(600);

/// How long the next item waits for the outcome of the one before. Usually the answer comes at once, or the link is
/// found dead within this time; what is open then goes out again, and two at once would break the pace.
const OUTCOME_WAIT: Duration = Duration::from_secs(120);
#[derive(Default)]
pub(super) struct OpenBatchItem {
    pub(super) count: usize,
    /// The longest delay among them.
    pub(super) delay: Option<Duration>,
    /// Nothing new is begun before this time.
    pub(super) wait: Option<Timestamp>,
}

impl BatchRunner {
    /// Looks at the rows of all open items.
    pub(super) async fn settle_open(&mut self) -> Result<OpenBatchItem, StoreError> {
        let mut open = OpenBatchItem::default();
        for item in self.shared.ports.store.open_batch_items(self.session).await? {
            let (delay, begun) = (item.options.delay, item.item.at);
            if self.settle_one(item).await? {
                continue;
            }
            open.count += 1;
            open.delay = open.delay.max(Some(delay));
            open.wait = open.wait.max(begun.map(|begun| begun.plus(OUTCOME_WAIT)));
        }
        Ok(open)
    }

    /// Whether it is no longer open.
    async fn settle_one(&mut self, open: OpenItem) -> Result<bool, StoreError> {
        let ports = self.shared.ports.clone();
        let (index, now) = (open.item.index, ports.clock.now());
        let row = ports.store.message(self.session, &open.item.wa_id).await?;
        let begun = open.item.at.unwrap_or(now);
        let Some(row) = row else {
            let here = open.epoch == self.lease.epoch;
            if here && self.after_panic && now.since(begun) < ORPHAN {
                return Ok(false);
            }
            // It never left, and under an earlier lease it cannot any more: its id was not used.
            let change = BatchChange::PutBack { index, wa_id: None, pace: None };
            self.write(&open.batch, change).await?;
            return Ok(true);
        };
        // It may have left a moment ago, on a new connection.
        let pace = self.pace.max(now.plus(open.options.gap(ports.entropy.fraction())));
        match outcome::of_row(&row) {
            ItemSendResult::Unresolved => {
                if now.since(begun) < self.shared.resend_limit + SILENCE || !self.is_connected() {
                    return Ok(false);
                }
                self.settle(&open, outcome::unconfirmed(), pace).await
            }
            ItemSendResult::Finished(outcome) => self.settle(&open, outcome, pace).await,
            ItemSendResult::RecipientCold if !self.went_out_once(&open.item.wa_id).await => {
                // The first one may have arrived before the second was refused.
                self.cold_refused(None).await;
                self.settle(&open, outcome::unconfirmed(), pace).await
            }
            ItemSendResult::RecipientCold => {
                self.cold_refused(None).await;
                let wa_id = Some(WaMessageId::new(&*ports.entropy));
                self.put_back(&open, wa_id, pace).await
            }
            _ => {
                let wa_id = Some(WaMessageId::new(&*ports.entropy));
                self.put_back(&open, wa_id, pace).await
            }
        }
    }

    /// Whether an item is still on the connection on which it was handed over: on another one it went out again.
    pub(super) async fn went_out_once(&self, id: &WaMessageId) -> bool {
        let Some(handed) = self.handed.get(id) else { return false };
        let link = self.shared.sessions.link(self.session).await;
        link.is_ok_and(|link| std::ptr::addr_eq(handed.as_ptr(), Arc::as_ptr(&link.connection)))
    }

    async fn settle(
        &mut self,
        open: &OpenItem,
        came: ItemOutcome,
        pace: Timestamp,
    ) -> Result<bool, StoreError> {
        self.pace = pace;
        self.handed.remove(&open.item.wa_id);
        let unconfirmed = came == outcome::unconfirmed();
        let index = open.item.index;
        let change = BatchChange::Finish { index, outcome: came, pace: Some(pace) };
        self.write(&open.batch, change).await?;
        if unconfirmed {
            self.look_again(open).await?;
        }
        Ok(true)
    }

    /// A receipt that came between the look at the row and the write found an open item, and will not come again.
    async fn look_again(&self, open: &OpenItem) -> Result<(), StoreError> {
        let row = self.shared.ports.store.message(self.session, &open.item.wa_id).await?;
        let Some(ItemSendResult::Finished(ItemOutcome::Sent(sent_at))) =
            row.as_ref().map(outcome::of_row)
        else {
            return Ok(());
        };
        let ledger = &self.shared.ledger;
        let write = ledger.confirm(self.session, &open.item.wa_id, sent_at);
        ledger.write_with_retry(Some(&self.lease), vec![write]).await.map(|_| ())
    }

    async fn put_back(
        &mut self,
        open: &OpenItem,
        wa_id: Option<WaMessageId>,
        pace: Timestamp,
    ) -> Result<bool, StoreError> {
        self.pace = pace;
        self.handed.remove(&open.item.wa_id);
        let change = BatchChange::PutBack { index: open.item.index, wa_id, pace: Some(pace) };
        self.write(&open.batch, change).await?;
        Ok(true)
    }
}
