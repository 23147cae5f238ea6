//! How often a webhook may be called: a bucket that holds one second's worth of calls.

use std::{
    collections::HashMap,
    sync::{Mutex, PoisonError},
    time::Duration,
};

use domain::{Timestamp, WebhookId};

/// Webhooks that are remembered; when full those whose bucket is full again are forgotten.
const REMEMBERED_MAX: usize = 4096;

/// The buckets: when the last call of each would be due if all came evenly (GCRA).
#[derive(Default)]
pub(super) struct WebhookPace(Mutex<HashMap<WebhookId, Timestamp>>);

impl WebhookPace {
    /// Takes one call at `now`, or says when the next may leave.
    pub(super) fn take(
        &self,
        webhook: WebhookId,
        per_second: u32,
        now: Timestamp,
    ) -> Result<(), Timestamp> {
        let step = Duration::from_millis(u64::from(1000 / per_second.max(1)).max(1));
        // The first call of a second may bring the others of that second along.
        let burst = Duration::from_secs(1).saturating_sub(step);
        let mut due = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if due.len() >= REMEMBERED_MAX {
            due.retain(|_, last| *last > now);
        }
        let next = due.get(&webhook).copied().unwrap_or(now).max(now);
        if next.since(now) > burst {
            return Err(next.minus(burst));
        }
        due.insert(webhook, next.plus(step));
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_holds_as_many_calls_as_the_rate_says() {
        let (pace, webhook) = (WebhookPace::default(), WebhookId::from_uuid(uuid::Uuid::nil()));
        let at = Timestamp::from_millis;
        for rate in [1, 4, 100] {
            let webhook = WebhookId::from_uuid(uuid::Uuid::from_u128(rate.into()));
            let taken = (0..500).filter(|_| pace.take(webhook, rate, at(0)).is_ok()).count();
            assert_eq!(taken, usize::try_from(rate).unwrap());
        }
        let mut now = at(0);
        let mut calls = 0;
        while now < at(10_000) {
            match pace.take(webhook, 5, now) {
                Ok(()) => calls += 1,
                Err(next) => {
                    assert!(next > now);
                    now = next;
                }
            }
        }
        assert!((50..=55).contains(&calls), "{calls} in ten seconds");
    }
}
