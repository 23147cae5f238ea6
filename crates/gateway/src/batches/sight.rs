//! What the runner sees of each batch before it chooses: when it could send, to whom, and what holds it.

use domain::{
    Timestamp,
    batch::{Batch, BatchChange, BatchItem, Hold, HoldReason, ItemContent, Lane},
    port::{RecipientScope, StoreError},
};

use super::runner::BatchRunner;

/// A batch and what it could do.
pub(super) struct BatchSurvey {
    pub(super) batch: Batch,
    pub(super) lane: Lane,
    /// What it would send.
    pub(super) next: Option<(BatchItem, ItemContent)>,
    /// Why it does not, when it does not.
    hold: Option<Hold>,
}

impl BatchSurvey {
    fn nothing(batch: Batch) -> Self {
        Self { batch, lane: Lane { ready_at: None }, next: None, hold: None }
    }

    fn held(batch: Batch, reason: HoldReason, until: Option<Timestamp>) -> Self {
        let hold = Some(Hold { reason, until });
        Self { batch, lane: Lane { ready_at: until }, next: None, hold }
    }
}

impl BatchRunner {
    /// Looks at one batch.
    pub(super) async fn look(&self, batch: Batch, ready: bool) -> Result<BatchSurvey, StoreError> {
        let now = self.shared.ports.clock.now();
        if batch.is_paused() {
            return Ok(BatchSurvey::nothing(batch));
        }
        if let Some(from) = batch.options.scheduled_at.filter(|from| *from > now) {
            return Ok(BatchSurvey {
                lane: Lane { ready_at: Some(from) },
                ..BatchSurvey::nothing(batch)
            });
        }
        if self.shared.brake.is_on() {
            return Ok(BatchSurvey::held(batch, HoldReason::SendsPaused, None));
        }
        if !ready {
            return Ok(BatchSurvey::held(batch, HoldReason::SessionNotReady, None));
        }
        if let Some((reason, until)) = self.capped.filter(|(_, until)| *until > now) {
            return Ok(BatchSurvey::held(batch, reason, Some(until)));
        }
        let (awake, asleep_until) = self.zones(&batch, now).await?;
        let cold = self.cold.filter(|cold| cold.until > now);
        let whom = cold.map_or(RecipientScope::Anyone, |cold| cold.whom);
        let store = &self.shared.ports.store;
        if !awake.is_empty() {
            let next = store.next_batch_item(self.session, &batch.id, &awake, whom).await?;
            if next.is_some() {
                let lane = Lane { ready_at: Some(now) };
                return Ok(BatchSurvey { batch, lane, next, hold: None });
            }
        }
        // Nobody may be written to now. Who could be, but for the hour or for being a stranger?
        if let Some(cold) = cold
            && !awake.is_empty()
            && store
                .next_batch_item(self.session, &batch.id, &awake, RecipientScope::Anyone)
                .await?
                .is_some()
        {
            let until = asleep_until.map_or(cold.until, |asleep| asleep.min(cold.until));
            return Ok(BatchSurvey::held(batch, cold.reason, Some(until)));
        }
        match asleep_until {
            Some(until) => Ok(BatchSurvey::held(batch, HoldReason::QuietHours, Some(until))),
            // All that is left is under way.
            None => Ok(BatchSurvey::nothing(batch)),
        }
    }

    /// The zones of the batch's recipients in which one may send now, and when the first of the others may.
    async fn zones(
        &self,
        batch: &Batch,
        now: Timestamp,
    ) -> Result<(Vec<Option<String>>, Option<Timestamp>), StoreError> {
        let Some(quiet) = &batch.options.quiet_hours else { return Ok((vec![None], None)) };
        let (mut awake, mut asleep_until) = (Vec::new(), None::<Timestamp>);
        for zone in self.shared.ports.store.batch_time_zones(self.session, &batch.id).await? {
            match quiet.until(zone.as_deref(), now) {
                None => awake.push(zone),
                Some(until) => {
                    asleep_until = Some(asleep_until.map_or(until, |first| first.min(until)));
                }
            }
        }
        Ok((awake, asleep_until))
    }

    /// Writes down what holds a batch, where that changed.
    pub(super) async fn note(&self, sight: &BatchSurvey) -> Result<(), StoreError> {
        if sight.batch.is_paused() || sight.batch.hold == sight.hold {
            return Ok(());
        }
        let change = match sight.hold {
            Some(hold) => BatchChange::Hold(hold),
            None => BatchChange::Release { paused: false },
        };
        self.write(&sight.batch.id, change).await.map(|_| ())
    }
}
