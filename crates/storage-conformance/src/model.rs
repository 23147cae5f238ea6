//! A ledger and the reference model go through the same random steps and must say the same.

use std::{collections::BTreeMap, time::Duration};

use domain::{
    Timestamp,
    delivery::{Attempt, AttemptError, AttemptErrorKind, ClaimedLane, LaneId},
    event::{EventType, Subscription},
    port::{DeliveryQueue, Settled, Settlement, StoreResult, Verdict, WebhookStore},
    webhook::{LaneOrder, Webhook},
};
use proptest::prelude::*;

use super::{LaneStore, append};
use testkit::{ModelStore, START, build};

const LEASE: Duration = Duration::from_secs(60);
/// Lanes asked for: enough that the even shares are never reached.
const LANES: u32 = 6400;

/// What happens next. Numbers choose among what there is.
#[derive(Debug, Clone)]
pub enum Step {
    /// An event in a chat.
    Push(u8),
    /// Time passes, then a worker claims lanes with so many deliveries each.
    Claim {
        /// Seconds.
        after: u16,
        /// Deliveries.
        window: u8,
    },
    /// A worker records something about one of its claims.
    Settle {
        /// Which claim.
        claim: u8,
        /// Which of its deliveries: only the first that is not settled is right.
        skip: bool,
        /// What.
        verdict: u8,
    },
    /// A worker reads on in a lane.
    More(u8),
    /// A worker extends a claim.
    Renew(u8),
    /// A worker gives a lane back.
    Release(u8),
    /// A webhook's rate is used up for so many seconds.
    Hold(u8, u8),
    /// A webhook is paused, or resumed.
    Pause(u8, bool),
    /// A webhook is switched off, or on.
    Active(u8, bool),
    /// A webhook is deleted.
    Delete(u8),
    /// The process dies and starts again; workers of the old life go on as if nothing had happened.
    Crash,
}

/// Steps of a run, mostly those of every day.
pub fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        8 => (0u8..4).prop_map(Step::Push),
        6 => (0u16..40, 1u8..4).prop_map(|(after, window)| Step::Claim { after, window }),
        1 => (500u16..9000, 1u8..4).prop_map(|(after, window)| Step::Claim { after, window }),
        12 => (any::<u8>(), prop::bool::weighted(0.1), 0u8..10)
            .prop_map(|(claim, skip, verdict)| Step::Settle { claim, skip, verdict }),
        3 => any::<u8>().prop_map(Step::More),
        1 => any::<u8>().prop_map(Step::Renew),
        2 => any::<u8>().prop_map(Step::Release),
        1 => (any::<u8>(), 1u8..30).prop_map(|(hook, seconds)| Step::Hold(hook, seconds)),
        1 => (any::<u8>(), any::<bool>()).prop_map(|(hook, on)| Step::Pause(hook, on)),
        1 => (any::<u8>(), any::<bool>()).prop_map(|(hook, on)| Step::Active(hook, on)),
        1 => Just(Step::Delete(0)),
        1 => Just(Step::Crash),
    ];
    prop::collection::vec(step, 1..60)
}

/// A claim as both sides know it: they count epochs differently.
struct Claim {
    store: ClaimedLane,
    model: ClaimedLane,
    settled: usize,
}

struct Run<S> {
    store: S,
    model: ModelStore,
    hooks: Vec<Webhook>,
    claims: Vec<Claim>,
    now: Timestamp,
    events: u32,
}

/// What becomes of the claims of a process that died.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AfterCrash {
    /// One process has the ledger: none outlives it.
    Void,
    /// Several processes share it: they run out.
    RunOut,
}

/// Goes through the steps with a fresh ledger and the model. `reopen` gives the ledger again after the process died;
/// the first call gives an empty one.
pub async fn agree<S: LaneStore>(
    steps: Vec<Step>,
    claims: AfterCrash,
    mut reopen: impl AsyncFnMut(Option<S>) -> S,
) {
    let store = reopen(None).await;
    let session = build::session(1);
    assert!(store.insert_session(&session).await.unwrap());
    let model = ModelStore::default();
    let orders = [LaneOrder::Chat, LaneOrder::Session, LaneOrder::None];
    let hooks: Vec<Webhook> = (1..)
        .zip(orders)
        .map(|(number, order)| Webhook {
            order,
            // Not what the ledger itself tells: its ids are random.
            events: vec![Subscription::One(EventType::MessageReceived)],
            ..build::webhook(number, session.id)
        })
        .collect();
    for hook in &hooks {
        assert!(store.insert_webhook(hook, 0).await.unwrap());
        assert!(model.insert_webhook(hook, 0).await.unwrap());
    }
    let mut run = Run { store, model, hooks, claims: vec![], now: START, events: 0 };
    for step in steps {
        if matches!(step, Step::Crash) {
            match claims {
                AfterCrash::Void => run.model.crash(),
                AfterCrash::RunOut => run.model.lose_claims(),
            }
            run.store = reopen(Some(run.store)).await;
        } else {
            run.step(step).await;
        }
        let (one, two) =
            (run.store.queue_stats().await.unwrap(), run.model.queue_stats().await.unwrap());
        assert_eq!(one, two);
    }
    run.drain().await;
}

/// Both sides say the same.
async fn both<T: PartialEq + std::fmt::Debug>(
    store: impl Future<Output = StoreResult<T>>,
    model: impl Future<Output = StoreResult<T>>,
) -> T {
    let (store, model) = (store.await.unwrap(), model.await.unwrap());
    assert_eq!(store, model, "the ledger, then the model");
    store
}

impl<S: LaneStore> Run<S> {
    fn hook(&self, number: u8) -> Webhook {
        self.hooks[usize::from(number) % self.hooks.len()].clone()
    }

    fn claim(&self, number: u8) -> Option<usize> {
        (!self.claims.is_empty()).then(|| usize::from(number) % self.claims.len())
    }

    async fn step(&mut self, step: Step) {
        let (store, model) = (self.store.clone(), self.model.clone());
        match step {
            Step::Push(chat) => {
                self.events += 1;
                let session = self.hooks[0].session;
                let draft = build::event(self.events, session, &build::chat(chat.into()));
                assert_eq!(append(&store, draft.clone()).await, model.push(draft));
            }
            Step::Claim { after, window } => self.claim_lanes(after, window).await,
            Step::Settle { claim, skip, verdict } => self.settle(claim, skip, verdict).await,
            Step::More(number) => self.more(number).await,
            Step::Renew(number) => {
                let Some(at) = self.claim(number) else { return };
                let (one, until) = (&self.claims[at], self.now.plus(LEASE));
                both(
                    store.renew_lane(&one.store.lane, one.store.epoch, until),
                    model.renew_lane(&one.model.lane, one.model.epoch, until),
                )
                .await;
            }
            Step::Release(number) => {
                let Some(at) = self.claim(number) else { return };
                let one = self.claims.remove(at);
                both(
                    store.release_lane(&one.store.lane, one.store.epoch),
                    model.release_lane(&one.model.lane, one.model.epoch),
                )
                .await;
            }
            other => self.manage(other).await,
        }
    }

    /// What users do.
    async fn manage(&mut self, step: Step) {
        let (store, model, now) = (self.store.clone(), self.model.clone(), self.now);
        match step {
            Step::Hold(number, seconds) => {
                let until = now.plus(Duration::from_secs(seconds.into()));
                let id = self.hook(number).id;
                both(store.hold_webhook(id, until), model.hold_webhook(id, until)).await;
            }
            Step::Pause(number, true) => {
                let id = self.hook(number).id;
                both(store.pause_webhook(id, now), model.pause_webhook(id, now)).await;
            }
            Step::Pause(number, false) => {
                let id = self.hook(number).id;
                both(store.resume_webhook(id, now), model.resume_webhook(id, now)).await;
            }
            Step::Active(number, active) => {
                let hook = Webhook { active, ..self.hook(number) };
                both(store.update_webhook(&hook), model.update_webhook(&hook)).await;
            }
            // One of them at most, so that something is left.
            Step::Delete(_) if self.hooks.len() == 3 => {
                let id = self.hooks.remove(1).id;
                both(store.delete_webhook(id), model.delete_webhook(id)).await;
            }
            _ => {}
        }
    }

    async fn claim_lanes(&mut self, after: u16, window: u8) {
        self.now = self.now.plus(Duration::from_secs(after.into()));
        let (now, until) = (self.now, self.now.plus(LEASE));
        let store =
            self.store.claim_lanes("worker", LANES, window.into(), now, until).await.unwrap();
        let model =
            self.model.claim_lanes("worker", LANES, window.into(), now, until).await.unwrap();
        let by_lane = |lanes: Vec<ClaimedLane>| -> BTreeMap<LaneId, ClaimedLane> {
            lanes.into_iter().map(|lane| (lane.lane.clone(), lane)).collect()
        };
        let (store, mut model) = (by_lane(store), by_lane(model));
        assert_eq!(
            store.keys().collect::<Vec<_>>(),
            model.keys().collect::<Vec<_>>(),
            "the ledger's claim, then the model's"
        );
        for (lane, store) in store {
            let model = model.remove(&lane).unwrap();
            assert_eq!(told(&store), told(&model), "{lane}");
            self.claims.push(Claim { store, model, settled: 0 });
        }
    }

    async fn settle(&mut self, number: u8, skip: bool, verdict: u8) {
        let Some(at) = self.claim(number) else { return };
        let place = self.claims[at].settled + usize::from(skip);
        if place >= self.claims[at].store.deliveries.len() {
            self.claims.remove(at);
            return;
        }
        let settled = self.record(at, place, verdict).await;
        match settled {
            Settled::More => self.claims[at].settled += 1,
            // Somebody else's, or over; the worker may go on asking about the first kind.
            Settled::Done => {
                self.claims.remove(at);
            }
            Settled::Lost => {}
        }
    }

    async fn record(&self, at: usize, place: usize, verdict: u8) -> Settled {
        let verdict = match verdict {
            0..=5 => Verdict::Delivered,
            6 | 7 => Verdict::RetryAt(self.now.plus(Duration::from_secs(30))),
            8 => Verdict::Exhausted,
            _ => Verdict::Dropped,
        };
        let failed = !matches!(verdict, Verdict::Delivered);
        let error = AttemptError { kind: AttemptErrorKind::Status, text: "500".into() };
        let attempt = Attempt {
            at: self.now,
            duration: Duration::from_millis(5),
            status: Some(if failed { 500 } else { 200 }),
            error: failed.then_some(error),
            excerpt: None,
        };
        let attempt = Some(attempt).filter(|_| verdict != Verdict::Dropped);
        let of = |claim: &ClaimedLane| Settlement {
            lane: claim.lane.clone(),
            epoch: claim.epoch,
            delivery: claim.deliveries[place].id,
            verdict: verdict.clone(),
            attempt: attempt.clone(),
        };
        let one = &self.claims[at];
        let stored = self.store.record_attempts(of(&one.store));
        both(stored, self.model.record_attempts(of(&one.model))).await
    }

    async fn more(&mut self, number: u8) {
        let Some(at) = self.claim(number) else { return };
        let one = &mut self.claims[at];
        let store = self.store.more_of_lane(&one.store.lane, one.store.epoch, 3).await.unwrap();
        let model = self.model.more_of_lane(&one.model.lane, one.model.epoch, 3).await.unwrap();
        (one.store.deliveries, one.model.deliveries, one.settled) = (store, model, 0);
        assert_eq!(told(&one.store), told(&one.model));
        if one.store.deliveries.is_empty() {
            self.claims.remove(at);
        }
    }

    /// In the end everything can be delivered: nothing got stuck.
    async fn drain(&mut self) {
        for hook in self.hooks.clone() {
            let hook = Webhook { active: true, ..hook };
            let (store, model, now) = (self.store.clone(), self.model.clone(), self.now);
            both(store.update_webhook(&hook), model.update_webhook(&hook)).await;
            both(store.resume_webhook(hook.id, now), model.resume_webhook(hook.id, now)).await;
        }
        for _ in 0..2000 {
            if self.store.queue_stats().await.unwrap().pending == 0 {
                return;
            }
            self.claims.clear();
            self.claim_lanes(61, 50).await;
            while !self.claims.is_empty() {
                self.settle(0, false, 0).await;
            }
        }
        panic!("something is stuck: {:?}", self.store.queue_stats().await);
    }
}

/// Everything about a claim that both sides must say.
fn told(claim: &ClaimedLane) -> Vec<(String, u64, u32, bool)> {
    let told = |one: &domain::delivery::Delivery| {
        (one.id.to_string(), one.event.sequence, one.attempts, one.first_tried_at.is_some())
    };
    claim.deliveries.iter().map(told).collect()
}
