//! Places for calls that are under way.
//!
//! Calls of retries and of doubtful receivers use at most half of the places, so that first tries to receivers that
//! work always find one. A call that takes long leaves its place for one among the slow ones, and as long as it does,
//! its receiver counts as doubtful: receivers that hang cost the others a moment, not the length of their time-outs.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use domain::WebhookId;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// From here on a call is slow. Receivers that always take longer lose nothing by it: there are as many places for slow
/// calls as there are others.
pub(super) const SLOW: Duration = Duration::from_millis(100);

/// All places. Cheap to clone.
#[derive(Clone)]
pub(super) struct CallSlots {
    all: Arc<Semaphore>,
    doubtful: Arc<Semaphore>,
    slow: Arc<Semaphore>,
    hanging: Arc<Mutex<HashMap<WebhookId, usize>>>,
}

/// The place of one call.
pub(super) struct CallSlot {
    _place: OwnedSemaphorePermit,
    _doubtful: Option<OwnedSemaphorePermit>,
}

impl CallSlots {
    pub(super) fn new(places: usize) -> Self {
        let places = places.max(1);
        Self {
            all: Arc::new(Semaphore::new(places)),
            doubtful: Arc::new(Semaphore::new((places / 2).max(1))),
            slow: Arc::new(Semaphore::new(places)),
            hanging: Arc::default(),
        }
    }

    fn hanging(&self) -> MutexGuard<'_, HashMap<WebhookId, usize>> {
        self.hanging.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn hangs(&self, webhook: WebhookId) -> bool {
        self.hanging().contains_key(&webhook)
    }

    /// Waits for a place.
    async fn place(&self, webhook: WebhookId, doubtful: bool) -> Option<CallSlot> {
        loop {
            let doubtful = doubtful || self.hangs(webhook);
            let held = match doubtful {
                true => Some(self.doubtful.clone().acquire_owned().await.ok()?),
                false => None,
            };
            let place = self.all.clone().acquire_owned().await.ok()?;
            // Whoever began to hang during the wait stands in the other line.
            if doubtful || !self.hangs(webhook) {
                return Some(CallSlot { _place: place, _doubtful: held });
            }
        }
    }

    /// Makes a call as soon as there is a place for it.
    pub(super) async fn run<T>(
        &self,
        webhook: WebhookId,
        doubtful: bool,
        call: impl Future<Output = T>,
    ) -> Option<T> {
        let slot = self.place(webhook, doubtful).await?;
        let mut call = std::pin::pin!(call);
        if let Ok(done) = tokio::time::timeout(SLOW, &mut call).await {
            return Some(done);
        }
        let _hanging = HangingCall::new(self, webhook);
        // Without a place among the slow ones it keeps its own.
        let _kept = match self.slow.clone().try_acquire_owned() {
            Ok(place) => {
                drop(slot);
                (None, Some(place))
            }
            Err(_) => (Some(slot), None),
        };
        Some(call.await)
    }
}

/// Counts a slow call as long as it takes.
struct HangingCall<'a> {
    slots: &'a CallSlots,
    webhook: WebhookId,
}

impl<'a> HangingCall<'a> {
    fn new(slots: &'a CallSlots, webhook: WebhookId) -> Self {
        *slots.hanging().entry(webhook).or_default() += 1;
        Self { slots, webhook }
    }
}

impl Drop for HangingCall<'_> {
    fn drop(&mut self) {
        let mut hanging = self.slots.hanging();
        if let Some(count) = hanging.get_mut(&self.webhook) {
            *count -= 1;
            if *count == 0 {
                hanging.remove(&self.webhook);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use futures::future::{join_all, pending};
    use tokio::time::{Instant, timeout};

    use super::*;

    fn webhook(number: u128) -> WebhookId {
        WebhookId::from_uuid(uuid::Uuid::from_u128(number))
    }

    #[tokio::test(start_paused = true)]
    async fn receivers_that_hang_leave_their_places_to_others() {
        let slots = CallSlots::new(4);
        let hang = |number| slots.run(webhook(number), false, pending::<()>());
        let hanging = join_all((0..20).map(|number| hang(number % 4)));
        let healthy = async {
            let began = Instant::now();
            assert_eq!(slots.run(webhook(9), false, async { 7 }).await, Some(7));
            assert!(began.elapsed() < SLOW * 3, "{:?}", began.elapsed());
            for _ in 0..100 {
                let began = Instant::now();
                slots.run(webhook(9), false, async {}).await;
                assert!(began.elapsed() < Duration::from_millis(1));
            }
        };
        let mut hanging = std::pin::pin!(hanging);
        tokio::select! {
            biased;
            _ = &mut hanging => panic!("they hang"),
            () = healthy => {}
        }
    }

    #[tokio::test(start_paused = true)]
    async fn the_doubtful_have_half_of_the_places() {
        let slots = CallSlots::new(4);
        let doubtful = join_all((0..4).map(|number| {
            let call = async { tokio::time::sleep(SLOW / 2).await };
            slots.run(webhook(number), true, call)
        }));
        let mut doubtful = std::pin::pin!(doubtful);
        assert!(timeout(Duration::from_millis(1), &mut doubtful).await.is_err());
        assert_eq!(slots.all.available_permits(), 2);
        let began = Instant::now();
        doubtful.await;
        assert!(began.elapsed() > SLOW * 9 / 10, "two after two");
        assert_eq!((slots.all.available_permits(), slots.doubtful.available_permits()), (4, 2));
    }
}
