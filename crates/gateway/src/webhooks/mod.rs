//! Webhooks: [`registration`] of receivers, and delivery by [`dispatcher`] and [`lane`].
//!
//! # The cast
//! - A webhook is a row; its deliveries exist from the commit of their event on.
//! - The *dispatcher* claims lanes that are due, as many as there is room for.
//! - A *lane run* sends the deliveries of one claimed lane, one after another, and records each result before the next.
//! - [`handlers`] asks and tells code of this process about deliveries, [`queued`] of those that were stored.
//! - [`slots`] are the places of calls under way, [`pace`] the rates of webhooks, [`outcome`] decides what follows a
//!   call.
//! - [`rates`] remembers for some hours how many left and waited.
//! - The [`valve`] lets nothing leave whose result could not be recorded; [`known`] keeps results whose lane was lost.
//! - The [`WebhookTransport`] is the way out.
//!
//! # Guarantees
//! A delivery leaves at least once, with the same ids and the same body on every try. Within a lane nothing leaves
//! before the one in front of it is settled. A lane run that dies loses its lease, and another goes on where it
//! stopped. Retries and receivers that fail or hang leave half of the places to the others.

mod check;
mod dispatcher;
mod handlers;
mod known;
mod lane;
mod log;
mod meter;
mod outcome;
mod pace;
mod ping;
mod queued;
mod rates;
mod registration;
mod replay;
mod request;
mod slots;
mod spans;
mod transport;
mod valve;

use std::{sync::Arc, time::Duration};

use domain::delivery::PolicyDefaults;
use tokio::sync::Notify;

pub use replay::{RedriveError, Redriven, Replayed};

use crate::{
    Audit, Hooks, Policy, Ports, Supervisor, TraceHeaders,
    egress::{Authorities, Egress, EgressBuildError, EgressPolicy},
    ledger::{Committed, LedgerWriter},
};

use known::KnownReceivers;
pub use meter::Meter;
use pace::WebhookPace;
pub use ping::{Ping, PingAnswer};
pub use rates::{DeliveryRates, RATES_BUCKET, RATES_KEPT, RatePoint};
pub use registration::{Changed, Moved, NewWebhook, WebhookError, WebhookPatch};
use slots::CallSlots;
pub use transport::WebhookTransport;
pub use valve::Flow;
use valve::LedgerValve;

/// How webhooks are delivered.
#[derive(Debug, Clone)]
pub struct WebhookOptions {
    /// The name of this process, with which the names of its workers in the leases of lanes begin.
    pub process: String,
    /// The limit of one attempt.
    pub timeout: Duration,
    /// The wait before the first retry of webhooks with a `retryCount`; doubles with each.
    pub retry_delay: Duration,
    /// Webhooks of one session; 0 means no cap.
    pub max_per_session: u32,
    /// Calls under way at once. Retries and doubtful receivers use at most half.
    pub concurrency: usize,
    /// How long a replaced secret goes on signing.
    pub secret_overlap: Duration,
    /// Largest body; what would be larger goes out in a thin form.
    pub max_payload_bytes: usize,
    /// Refuse private and special addresses.
    pub ssrf_protect: bool,
    /// Hosts exempt from that.
    pub allowed_hosts: Vec<String>,
    /// Authorities that certificates of receivers may be of, beside the usual ones.
    pub authorities: Option<Authorities>,
    /// How long a claim lasts without a renewal: a lane of a process that was killed stands still for so long. A call
    /// that takes longer renews it meanwhile.
    pub lease: Duration,
    /// Longest time between two looks for due lanes.
    pub sweep_interval: Duration,
    /// What the spans of calls are called outside, where traces are kept.
    pub traces: TraceHeaders,
}

impl Default for WebhookOptions {
    fn default() -> Self {
        Self {
            process: "waypost".into(),
            timeout: Duration::from_secs(10),
            retry_delay: Duration::from_secs(5),
            max_per_session: 16,
            concurrency: 16,
            secret_overlap: Duration::from_secs(86_400),
            max_payload_bytes: 1024 * 1024,
            ssrf_protect: true,
            allowed_hosts: vec![],
            authorities: None,
            lease: Duration::from_secs(30),
            sweep_interval: Duration::from_secs(5),
            traces: TraceHeaders::default(),
        }
    }
}

/// A handle to the webhooks.
#[derive(Clone)]
pub struct Webhooks {
    ports: Ports,
    options: Arc<WebhookOptions>,
    egress: Egress,
    transport: Arc<dyn WebhookTransport>,
    slots: CallSlots,
    valve: LedgerValve,
    known: Arc<KnownReceivers>,
    pace: Arc<WebhookPace>,
    prepared: Arc<request::PreparedCache>,
    wake: Arc<Notify>,
    /// Deliveries were stored, for those who want to know of it.
    stored: Arc<Notify>,
    hooks: Hooks,
    turns: replay::RedriveTurns,
    meter: Meter,
    audit: Audit,
}

impl Webhooks {
    /// Builds the outgoing client and starts the dispatcher.
    ///
    /// # Errors
    /// [`EgressBuildError`].
    pub fn build(
        options: WebhookOptions,
        ports: &Ports,
        audit: &Audit,
        supervisor: &Supervisor,
    ) -> Result<Self, EgressBuildError> {
        let egress = egress(&options)?;
        let transport = Arc::new(egress.clone());
        Ok(Self::assemble(options, ports, audit, supervisor, (egress, transport)))
    }

    /// Like [`build`](Self::build), with another way out than the HTTP client: for simulations.
    ///
    /// # Errors
    /// [`EgressBuildError`].
    pub fn build_with(
        options: WebhookOptions,
        ports: &Ports,
        audit: &Audit,
        supervisor: &Supervisor,
        transport: Arc<dyn WebhookTransport>,
    ) -> Result<Self, EgressBuildError> {
        let egress = egress(&options)?;
        Ok(Self::assemble(options, ports, audit, supervisor, (egress, transport)))
    }

    /// Deliveries of what is committed from now on leave at once; without this they wait for the sweep.
    pub(crate) fn follow(&self, ledger: &LedgerWriter) {
        let webhooks = self.clone();
        ledger.subscribe(move |committed| {
            if !matches!(committed, Committed::Quarantined { .. }) {
                webhooks.wake();
            }
        });
    }

    fn assemble(
        options: WebhookOptions,
        ports: &Ports,
        audit: &Audit,
        supervisor: &Supervisor,
        (egress, transport): (Egress, Arc<dyn WebhookTransport>),
    ) -> Self {
        let webhooks = Self {
            ports: ports.clone(),
            slots: CallSlots::new(options.concurrency),
            valve: LedgerValve::new(ports),
            known: Arc::default(),
            options: Arc::new(options),
            egress,
            transport,
            pace: Arc::default(),
            prepared: Arc::default(),
            wake: Arc::default(),
            stored: Arc::default(),
            hooks: Hooks::build(ports.clock.clone(), supervisor),
            turns: replay::RedriveTurns::new(supervisor),
            meter: Meter::default(),
            audit: audit.clone(),
        };
        dispatcher::start(&webhooks, supervisor);
        let (egress, stopping) = (webhooks.egress.clone(), supervisor.stopping());
        supervisor.spawn("webhooks/connections", Policy::Essential, async move {
            stopping.run_until_cancelled(egress.close_old_connections()).await;
        });
        queued::start(&webhooks, supervisor);
        webhooks
    }

    /// Counts what the workers do.
    pub fn meter(&self) -> &Meter {
        &self.meter
    }

    /// Whether deliveries leave, and why not.
    pub fn flow(&self) -> Flow {
        self.valve.flow()
    }

    /// Results that are known and wait to be recorded.
    pub fn results_waiting(&self) -> usize {
        self.valve.waiting()
    }

    /// The one outgoing client.
    pub(crate) fn egress(&self) -> Egress {
        self.egress.clone()
    }

    /// The one registry of hooks, for every part.
    pub fn hooks(&self) -> &Hooks {
        &self.hooks
    }

    /// Deliveries were stored: the dispatcher looks now. A lost wake-up costs at most one sweep.
    pub fn wake(&self) {
        self.wake.notify_one();
        self.stored.notify_one();
    }

    /// What holds where a webhook says nothing.
    pub fn policy_defaults(&self) -> PolicyDefaults {
        PolicyDefaults { timeout: self.options.timeout, retry_delay: self.options.retry_delay }
    }
}

fn egress(options: &WebhookOptions) -> Result<Egress, EgressBuildError> {
    let policy = EgressPolicy {
        protect: options.ssrf_protect,
        allowed_hosts: options.allowed_hosts.clone(),
    };
    Egress::trusting(policy, options.authorities.as_ref())
}
