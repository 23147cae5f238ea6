//! Virtual time, and receivers that misbehave.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex},
    time::Duration,
};

use async_trait::async_trait;
use bytes::Bytes;
use domain::{Clock, Timer, Timestamp, delivery::AttemptErrorKind, time::BoxFuture};
use gateway::{
    egress::{Answer, Authorities, EgressError},
    webhooks::WebhookTransport,
};
use http::HeaderMap;
use serde_json::Value;
use testkit::START;
use tokio::time::{Instant, sleep};
use url::Url;

/// Tokio's clock, which stands still while anybody has something to do.
pub(super) struct VirtualClock(pub(super) Instant);

impl Clock for VirtualClock {
    fn now(&self) -> Timestamp {
        START.plus(self.0.elapsed())
    }

    fn sleep_until(&self, _: Timer, at: Timestamp) -> BoxFuture<()> {
        // To the full millisecond: the runtime's timers have no finer ones.
        Box::pin(sleep(at.since(self.now())))
    }
}

/// How a receiver takes a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Manner {
    Well,
    Status(u16),
    RetryAfter(u64),
    /// Answers 200 after so many milliseconds.
    Slow(u64),
    /// Reads it and never answers.
    Hang,
    Refuse,
    /// Takes it, then the connection is cut.
    Cut,
    /// Announces more than it sends: the status arrived, and counts.
    ShortBody,
    /// Never gets it: the connection is cut on the way.
    Lost,
}

/// One call as a receiver saw it.
pub(super) struct Seen {
    pub(super) body: Value,
    pub(super) key: String,
    pub(super) delivery: String,
    pub(super) accepted: bool,
}

/// The receivers of a seed: what they do until when, and what they saw.
pub(super) struct World {
    pub(super) began: Instant,
    pub(super) plans: BTreeMap<String, Vec<(Duration, Manner)>>,
    pub(super) seen: Mutex<BTreeMap<String, Vec<Seen>>>,
}

impl World {
    pub(super) fn manner(&self, host: &str) -> Manner {
        let now = self.began.elapsed();
        let plan = &self.plans[host];
        plan.iter().find(|(until, _)| now < *until).map_or(Manner::Well, |(_, manner)| *manner)
    }

    pub(super) fn note(&self, host: &str, headers: &HeaderMap, body: &Bytes, accepted: bool) {
        let header = |name: &str| headers[name].to_str().unwrap().to_owned();
        let seen = Seen {
            body: serde_json::from_slice(body).unwrap(),
            key: header("x-openwa-idempotency-key"),
            delivery: header("x-openwa-delivery-id"),
            accepted,
        };
        self.seen.lock().unwrap().entry(host.to_owned()).or_default().push(seen);
    }
}

/// The way out of the simulation.
pub(super) struct Wire(pub(super) Arc<World>);

pub(super) fn failed(kind: AttemptErrorKind) -> EgressError {
    EgressError { kind, text: "simulated".into() }
}

#[async_trait]
impl WebhookTransport for Wire {
    async fn post(
        &self,
        url: &Url,
        headers: HeaderMap,
        body: Bytes,
        limit: Duration,
        _own: Option<&Authorities>,
    ) -> Result<Answer, EgressError> {
        let (world, host) = (&self.0, url.host_str().unwrap());
        let answer = |status, retry_after: Option<String>| Answer {
            status,
            body: vec![],
            retry_after,
            redirect: None,
            headers: HeaderMap::new(),
        };
        // The way there.
        sleep(Duration::from_millis(1)).await;
        match world.manner(host) {
            Manner::Refuse => Err(failed(AttemptErrorKind::Connect)),
            Manner::Lost => Err(failed(AttemptErrorKind::Protocol)),
            Manner::Cut => {
                world.note(host, &headers, &body, false);
                Err(failed(AttemptErrorKind::Protocol))
            }
            Manner::Hang => {
                world.note(host, &headers, &body, false);
                sleep(limit).await;
                Err(failed(AttemptErrorKind::Timeout))
            }
            Manner::Status(status) => {
                world.note(host, &headers, &body, false);
                Ok(answer(status, None))
            }
            Manner::RetryAfter(seconds) => {
                world.note(host, &headers, &body, false);
                Ok(answer(429, Some(seconds.to_string())))
            }
            Manner::Slow(millis) => {
                let wait = Duration::from_millis(millis);
                world.note(host, &headers, &body, wait < limit);
                sleep(wait.min(limit)).await;
                if wait < limit {
                    Ok(answer(200, None))
                } else {
                    Err(failed(AttemptErrorKind::Timeout))
                }
            }
            Manner::Well | Manner::ShortBody => {
                world.note(host, &headers, &body, true);
                Ok(answer(200, None))
            }
        }
    }
}
