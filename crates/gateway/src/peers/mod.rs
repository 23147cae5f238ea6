//! Other processes on the same ledger, and requests that one hands to another.
//!
//! # The cast
//! - [`Peers`] is the handle. It exists where a process says where it is asked ([`PeerOptions::url`]).
//! - The *announcer* stores that address, for as long as the process runs. Which process a session's lease belongs
//!   to, and so
//!   where a request about it has to go, is read from the ledger.
//! - [`call`] hands a request over; [`used`] remembers what was taken already.
//!
//! # Guarantees
//! A request is handed over once: what was handed over is not handed on, and a call whose first byte may have left is
//! never made again. The receiving process believes only what a process with the same master key has sealed for it,
//! once.

mod call;
mod client;
mod tally;
mod used;

use std::{
    net::IpAddr,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use domain::{
    Clock, Entropy, SessionId, Timer, Timestamp,
    hop::{Hop, HopKey, HopRefused, Nonce, Request},
    port::{SessionStore, StoreResult},
};
use url::Url;

use crate::{Options, Policy, Ports, Sessions, Supervisor, TraceHeaders, egress::EgressBuildError};
use used::UsedNonces;

pub use crate::sessions::Owner;

pub use call::{Answer, Body, HOP, HandOverError};

/// A process that said nothing for so long, and holds nothing, is forgotten.
const FORGET_AFTER: Duration = Duration::from_secs(3600);
/// Announcements in the time that a session's lease lasts.
const ANNOUNCEMENTS: u32 = 3;

/// How a process is asked by the others, and asks them.
#[derive(Debug, Clone)]
pub struct PeerOptions {
    /// Where the others ask this one.
    pub url: Url,
    /// The same in all processes.
    pub key: HopKey,
    /// How long another one may take until its answer begins.
    pub answer_limit: Duration,
}

/// Why a request that says it was handed over is not taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NotTaken {
    /// It was not sealed by one of ours, or at another time.
    #[error(transparent)]
    Seal(HopRefused),
    /// It was taken before.
    #[error("a forwarded request came a second time")]
    Again,
    /// Too many come at once to tell them apart.
    #[error("too many forwarded requests come at once")]
    TooMany,
    /// It is for another process, or for an earlier life of this one.
    #[error("a forwarded request is meant for another process")]
    NotForUs,
}

/// A handle to the other processes. Cheap to clone.
#[derive(Clone)]
pub struct Peers {
    inner: Arc<SharedPeers>,
}

struct SharedPeers {
    node: String,
    options: PeerOptions,
    announce_every: Duration,
    clock: Arc<dyn Clock>,
    entropy: Arc<dyn Entropy>,
    store: Arc<dyn SessionStore>,
    sessions: Sessions,
    client: client::PeerClient,
    used: Mutex<UsedNonces>,
    tally: tally::HandOverTally,
    traces: TraceHeaders,
}

impl Peers {
    /// None without [`PeerOptions`].
    pub(crate) fn build(
        options: &Options,
        ports: &Ports,
        sessions: &Sessions,
    ) -> Result<Option<Self>, EgressBuildError> {
        let Some(peers) = options.peers.clone() else { return Ok(None) };
        let inner = SharedPeers {
            node: options.node.clone(),
            announce_every: options.session_lease / ANNOUNCEMENTS,
            clock: ports.clock.clone(),
            entropy: ports.entropy.clone(),
            store: ports.store.clone(),
            sessions: sessions.clone(),
            client: client::PeerClient::new(peers.answer_limit)?,
            used: Mutex::default(),
            tally: tally::HandOverTally::default(),
            traces: options.traces,
            options: peers,
        };
        Ok(Some(Self { inner: Arc::new(inner) }))
    }

    /// Says where this process is asked, now and from now on; sessions are taken only after the first time.
    pub(crate) async fn announce(&self, supervisor: &Supervisor) -> StoreResult<()> {
        self.inner.announce().await?;
        let (inner, stopping) = (self.inner.clone(), supervisor.stopping());
        supervisor.spawn("peers/announce", Policy::Essential, async move {
            loop {
                let next = inner.clock.now().plus(inner.announce_every);
                tokio::select! {
                    () = inner.clock.sleep_until(Timer::PeerAnnouncement, next) => {}
                    () = stopping.cancelled() => return,
                }
                if let Err(error) = inner.announce().await {
                    tracing::warn!(
                        error = &error as &dyn std::error::Error,
                        "where this process is asked was not stored"
                    );
                }
            }
        });
        Ok(())
    }

    /// Who answers for a session now.
    ///
    /// # Errors
    /// The ledger failed.
    pub async fn owner(&self, session: SessionId) -> StoreResult<Owner> {
        self.inner.sessions.owner(session).await
    }

    /// How the requests that were handed over ended, since the start: outcome and count.
    pub fn outcomes(&self) -> impl Iterator<Item = (&'static str, u64)> {
        self.inner.tally.read().into_iter()
    }

    /// How long another process may take until its answer begins.
    pub fn answer_limit(&self) -> Duration {
        self.inner.options.answer_limit
    }

    /// Takes a request that was handed over to this process: the address of the caller, as the first process saw it.
    ///
    /// # Errors
    /// [`NotTaken`]; nothing may be done then.
    pub fn take(&self, request: &Request<'_>, seal: &str) -> Result<Option<IpAddr>, NotTaken> {
        let now = self.inner.clock.now();
        let hop = self.inner.options.key.open(request, seal, now).map_err(NotTaken::Seal)?;
        if hop.to != self.inner.node {
            return Err(NotTaken::NotForUs);
        }
        self.inner.used().take(hop.nonce, hop.at, now)?;
        Ok(hop.client)
    }
}

impl SharedPeers {
    async fn announce(&self) -> StoreResult<()> {
        let now = self.clock.now();
        let url = self.options.url.as_str();
        self.store.announce_process(&self.node, url, now, now.minus(FORGET_AFTER)).await
    }

    fn used(&self) -> std::sync::MutexGuard<'_, UsedNonces> {
        self.used.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The seal of a request that goes to another process.
    fn seal(&self, to: &str, request: &Request<'_>, client: Option<IpAddr>) -> String {
        let mut nonce = Nonce::default();
        self.entropy.fill(&mut nonce);
        let at: Timestamp = self.clock.now();
        self.options.key.seal(request, &Hop { to: to.to_owned(), client, at, nonce })
    }
}
