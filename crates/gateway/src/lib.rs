//! What the product does: sessions, sends, events, webhooks.
//!
//! # The cast
//! - [`Supervisor`](supervisor::Supervisor) spawns every task, by name and policy.
//! - [`Sessions`] holds one task per session whose engine is loaded; the pure `domain::session::transition` decides,
//!   the
//!   task performs. Its sink commits what WhatsApp says before WhatsApp is acknowledged.
//! - [`Messages`] stores a row with its WhatsApp id before the first byte leaves, then waits for the server's answer.
//!   [`Batches`] sends to many, at a pace, whatever happens. [`Templates`] keeps texts for it; [`Hooks`] lets code of
//!   this process join in.
//! - [`Webhooks`] registers receivers; its dispatcher claims lanes and delivers them in order.
//! - [`Peers`] hands a request to the process that runs its session.
//! - [`ApiKeys`] opens and closes the API.
//!
//! # Guarantees
//! Every change of state and the events it causes are one commit. Every queue is bounded. Every loop ends on the
//! supervisor's soft token and is cut at the hard one.

#![deny(missing_docs)]

pub mod activity;
pub mod api_keys;
pub mod approvals;
pub mod audit;
pub mod automation;
pub mod batches;
pub mod brake;
pub mod catalogue;
pub mod channels;
mod downloads;
pub mod egress;
#[cfg(any(test, fuzzing))]
pub mod fuzz;
pub mod groups;
pub mod health;
pub mod hooks;
pub mod labels;
mod ledger;
pub mod live;
pub mod media;
pub mod messages;
pub mod metrics;
mod outbox;
mod pacing;
pub mod peers;
pub mod people;
mod pictures;
pub mod plugins;
pub mod presence;
mod preview;
pub mod processes;
pub mod retention;
pub mod search;
pub mod sessions;
mod spans;
mod spelling;
pub mod stats;
pub mod statuses;
pub mod supervisor;
pub mod templates;
pub mod transfer;
mod upkeep;
pub mod webhooks;

use std::{sync::Arc, time::Duration};

use domain::{
    Clock, Entropy,
    pacing::PacingRules,
    port::{DeliveryQueue, MediaFiles, PluginEngine, Store, StoreError, WhatsApp},
};

use ledger::LedgerWriter;

pub use activity::Activities;
pub use api_keys::ApiKeys;
pub use approvals::Approvals;
pub use audit::Audit;
pub use automation::Automation;
pub use batches::{Batches, BulkOptions};
pub use brake::Brake;
pub use catalogue::Catalogue;
pub use channels::Channels;
pub use groups::Groups;
pub use health::{Health, Readiness};
pub use hooks::Hooks;
pub use labels::Labels;
pub use live::{Live, LiveOptions};
pub use media::{Media, MediaOptions};
pub use messages::Messages;
pub use metrics::Metrics;
pub use peers::{PeerOptions, Peers};
pub use people::People;
pub use plugins::{PluginOptions, Plugins};
pub use processes::Processes;
pub use retention::RetentionOptions;
pub use search::{Search, SearchOptions};
pub use sessions::Sessions;
pub use spans::TraceHeaders;
pub use stats::Stats;
pub use statuses::Statuses;
pub use supervisor::{LoopBeat, Policy, Supervisor};
pub use templates::Templates;
pub use transfer::{Transfer, TransferOptions};
pub use webhooks::{DeliveryRates, WebhookOptions, Webhooks};

/// Everything the gateway needs from outside.
#[derive(Clone)]
#[expect(missing_docs, reason = "each field is the port of its name")]
pub struct Ports {
    pub clock: Arc<dyn Clock>,
    pub entropy: Arc<dyn Entropy>,
    pub store: Arc<dyn Store>,
    pub queue: Arc<dyn DeliveryQueue>,
    pub media_files: Arc<dyn MediaFiles>,
    pub whatsapp: Arc<dyn WhatsApp>,
    pub plugins: Arc<dyn PluginEngine>,
}

/// What a process does for the ledger.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// Everything that this process can do.
    All,
    /// Deliveries alone: what other processes stored goes out, no session runs, nothing is sent.
    Worker,
}

/// How the gateway behaves. `Default` is for production.
#[derive(Debug, Clone)]
pub struct Options {
    /// What this process does for the ledger.
    pub role: Role,
    /// The owner's name written in leases; unique per process life.
    pub node: String,
    /// Sessions running at once; 0 means no cap.
    pub max_concurrent_sessions: u32,
    /// Sessions brought back at once after a start.
    pub restore_concurrency: usize,
    /// How long the right to connect a session lasts without a renewal; renewed three times in it.
    pub session_lease: Duration,
    /// Between two looks for sessions whose process died.
    pub takeover_interval: Duration,
    /// Other processes on the same ledger are asked, and ask this one; none: it is alone.
    pub peers: Option<PeerOptions>,
    /// How messages are sent.
    pub sends: SendOptions,
    /// How batches are sent.
    pub bulk: BulkOptions,
    /// Files, in both directions.
    pub media: MediaOptions,
    /// Mixed into the hashes of API keys.
    pub key_pepper: Option<domain::webhook::Secret>,
    /// How events are delivered to webhooks.
    pub webhooks: WebhookOptions,
    /// How live readers are served.
    pub live: LiveOptions,
    /// How plugins are run.
    pub plugins: PluginOptions,
    /// How long things are kept.
    pub retention: RetentionOptions,
    /// Automation rules of one session.
    pub automation_rules_max: u32,
    /// Where archives of files are taken in from.
    pub transfer: TransferOptions,
    /// What of the search is on.
    pub search: SearchOptions,
    /// How long numbers of all sessions are kept for the next who asks.
    pub stats_kept: Duration,
    /// A webhook that delivers nothing for so long while something waits is warned about.
    pub stall_limit: Duration,
    /// How long a shutdown drains before it cuts.
    pub shutdown_limit: Duration,
    /// What spans are called outside, where traces are kept.
    pub traces: TraceHeaders,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            role: Role::All,
            node: "waypost".into(),
            max_concurrent_sessions: 0,
            restore_concurrency: 3,
            session_lease: Duration::from_secs(60),
            takeover_interval: Duration::from_secs(10),
            peers: None,
            sends: SendOptions::default(),
            bulk: BulkOptions::default(),
            media: MediaOptions::default(),
            key_pepper: None,
            webhooks: WebhookOptions::default(),
            live: LiveOptions::default(),
            plugins: PluginOptions::default(),
            retention: RetentionOptions::default(),
            automation_rules_max: automation::rules_max_default(),
            transfer: TransferOptions::default(),
            search: SearchOptions::default(),
            stats_kept: Duration::from_secs(30),
            stall_limit: Duration::from_secs(900),
            shutdown_limit: Duration::from_secs(15),
            traces: TraceHeaders::default(),
        }
    }
}

/// How sends behave. `Default` is for production.
#[derive(Debug, Clone)]
pub struct SendOptions {
    /// How long a send waits for the answer of WhatsApp's server.
    pub answer_limit: Duration,
    /// Until when a send whose outcome is not known may go out again; older ones have failed (OpenWA's reaper: 1 h).
    pub resend_limit: Duration,
    /// How long receipts may prove such sends after the backlog has been handed over, before they go out again.
    pub reconcile_grace: Duration,
    /// Longest typing that is shown before a text; zero shows none.
    pub typing_max: Duration,
    /// How fast a number may send.
    pub pacing: PacingRules,
    /// Files and pages of URLs are fetched through the session's proxy, where it has one.
    pub fetch_through_proxy: bool,
}

impl Default for SendOptions {
    fn default() -> Self {
        Self {
            answer_limit: Duration::from_secs(10),
            resend_limit: Duration::from_secs(3600),
            reconcile_grace: Duration::from_secs(2),
            typing_max: Duration::ZERO,
            pacing: PacingRules::default(),
            fetch_through_proxy: true,
        }
    }
}

/// Why the gateway could not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The ledger failed before the house was built.
    #[error("the ledger failed while starting")]
    Store(#[source] StoreError),
    /// The outgoing HTTP client could not be built.
    #[error("the outgoing HTTP client could not be built")]
    Egress(#[source] egress::EgressBuildError),
}

/// The product. Every handle is cheap to clone.
#[derive(Clone)]
pub struct Gateway {
    /// Linked accounts and their connections.
    pub sessions: Sessions,
    /// Sends and what was said.
    pub messages: Messages,
    /// The other processes, unless this one is alone.
    pub peers: Option<Peers>,
    /// Many recipients at a pace.
    pub batches: Batches,
    /// Answers to what comes in.
    pub automation: Automation,
    /// Stored texts with placeholders.
    pub templates: Templates,
    /// Contacts and chats, and what is changed of them.
    pub people: People,
    /// Statuses of the last day.
    pub statuses: Statuses,
    /// Channels, as WhatsApp describes them.
    pub channels: Channels,
    /// Labels of business accounts.
    pub labels: Labels,
    /// Catalogues of business accounts.
    pub catalogue: Catalogue,
    /// Groups, and what is changed of them.
    pub groups: Groups,
    /// Files of messages, in both directions.
    pub media: Media,
    /// Where plugins, and code of this process, join in.
    pub hooks: Hooks,
    /// Code of the users.
    pub plugins: Plugins,
    /// Receivers, and the deliveries to them.
    pub webhooks: Webhooks,
    /// How many deliveries left and waited lately.
    pub rates: DeliveryRates,
    /// Keys of the API.
    pub api_keys: ApiKeys,
    /// The pause of all sends.
    pub brake: Brake,
    /// Sends that wait for a person.
    pub approvals: Approvals,
    /// The processes on the ledger.
    pub processes: Processes,
    /// Whether requests and deliveries can be served.
    pub health: Health,
    /// Events as they happen.
    pub live: Live,
    /// The audit: who did what, and what happened by itself.
    pub audit: Audit,
    /// When sessions were last heard of.
    pub activities: Activities,
    /// Data and files on their way to another installation.
    pub transfer: Transfer,
    /// The search for messages.
    pub search: Search,
    /// Numbers for dashboards.
    pub stats: Stats,
    /// Numbers in the text format of Prometheus.
    pub metrics: Metrics,
    supervisor: Supervisor,
    shutdown_limit: Duration,
}

impl Gateway {
    /// Builds all parts, starts the delivery workers, and brings wanted sessions back. Returns when the loops run;
    /// sessions come up behind. In the role of a worker the delivery workers are all that starts.
    ///
    /// # Errors
    /// [`StartError`].
    pub async fn start(options: Options, ports: Ports) -> Result<Self, StartError> {
        let supervisor = Supervisor::new();
        let audit = Audit::build(&ports, &supervisor);
        let brake = Brake::build(&ports, &supervisor).await.map_err(StartError::Store)?;
        let ledger = LedgerWriter::new(&ports);
        let activities = Activities::build(&ports, &supervisor, &audit, &ledger);
        let live = Live::build(options.live.clone(), &ports, &supervisor, &ledger);
        let webhooks = WebhookOptions {
            process: options.node.clone(),
            traces: options.traces,
            ..options.webhooks.clone()
        };
        let webhooks =
            Webhooks::build(webhooks, &ports, &audit, &supervisor).map_err(StartError::Egress)?;
        webhooks.follow(&ledger);
        let waiters = outbox::AckWaiters::default();
        let hooks = webhooks.hooks().clone();
        let media = Media::build(&options.media, &ports, webhooks.egress());
        let sessions = Sessions::build(sessions::Parts {
            options: &options,
            ports: &ports,
            supervisor: &supervisor,
            ledger: &ledger,
            activities: &activities,
            waiters: &waiters,
            media: &media,
            hooks: &hooks,
        });
        let peers = Peers::build(&options, &ports, &sessions).map_err(StartError::Egress)?;
        let statuses = Statuses::build(&ports, &sessions, &media, &ledger);
        let channels = Channels::build(&sessions);
        let labels = Labels::build(&ports, &sessions, &ledger);
        let catalogue = Catalogue::build(&ports, &sessions);
        let people = People::build(&options.sends, &ports, &sessions, &ledger, &media);
        let groups = Groups::build(groups::GroupParts {
            ports: &ports,
            sessions: &sessions,
            ledger: &ledger,
            media: &media,
            waiters: &waiters,
            pacing: &options.sends.pacing,
            fetch_through_proxy: options.sends.fetch_through_proxy,
        });
        let templates = Templates::build(&ports);
        let messages = Messages::build(messages::Parts {
            options: &options.sends,
            ports: &ports,
            sessions: &sessions,
            ledger: &ledger,
            waiters: &waiters,
            media: &media,
            hooks: &hooks,
            brake: &brake,
            supervisor: &supervisor,
            pages: webhooks.egress(),
        });
        let batches = Batches::build(batches::Parts {
            options: &options,
            ports: &ports,
            sessions: &sessions,
            messages: &messages,
            media: &media,
            ledger: &ledger,
            brake: &brake,
            supervisor: &supervisor,
        });
        let plugins = Plugins::build(plugins::Parts {
            options: &options.plugins,
            ports: &ports,
            hooks: &hooks,
            sessions: &sessions,
            messages: &messages,
            people: &people,
            media: &media,
            audit: &audit,
            ledger: &ledger,
            egress: webhooks.egress(),
            supervisor: &supervisor,
        });
        let api_keys = ApiKeys::build(&ports, &supervisor, options.key_pepper.clone());
        let approvals = Approvals::build(&ports, &sessions, &ledger, &brake, &supervisor);
        let processes = Processes::build(&options, &ports);
        let health = Health::build(&ports, &webhooks, &supervisor);
        let meter = webhooks.meter();
        let rates = DeliveryRates::build(&ports, meter);
        let limit = options.stall_limit;
        let metrics = Metrics::build(&ports, &sessions, &peers, &live, &audit, meter, limit);
        let automation = Automation::build(options.automation_rules_max, &ports);
        let transfer = Transfer::build(options.transfer.clone(), &ports, &sessions);
        let search = Search::build(options.search.clone(), &ports);
        let stats = Stats::build(&options, &ports, &sessions);
        let gateway = Self {
            sessions,
            messages,
            peers,
            batches,
            automation,
            templates,
            people,
            statuses,
            channels,
            labels,
            catalogue,
            groups,
            media,
            hooks,
            plugins,
            webhooks,
            rates,
            api_keys,
            brake,
            approvals,
            processes,
            health,
            live,
            audit,
            activities,
            transfer,
            search,
            stats,
            metrics,
            supervisor,
            shutdown_limit: options.shutdown_limit,
        };
        let with_ingress = options.role == Role::All;
        gateway.plugins.start(with_ingress).await.map_err(StartError::Store)?;
        if options.role == Role::All {
            gateway.run_sessions(options.retention, &ports, &ledger).await?;
        }
        Ok(gateway)
    }

    /// Everything that works by itself, but for delivery.
    async fn run_sessions(
        &self,
        keep: RetentionOptions,
        ports: &Ports,
        ledger: &LedgerWriter,
    ) -> Result<(), StartError> {
        let supervisor = &self.supervisor;
        if let Some(peers) = &self.peers {
            peers.announce(supervisor).await.map_err(StartError::Store)?;
        }
        sessions::held::spawn(&self.sessions, supervisor);
        downloads::spawn(ports, &self.media, &self.sessions, ledger, supervisor);
        self.rates.start(supervisor);
        self.batches.run();
        self.search.start(supervisor);
        self.automation.start(&self.messages, ledger, supervisor);
        self.approvals.run();
        upkeep::start(keep.sweep, ports, supervisor);
        retention::start(keep, ports, &self.audit, supervisor);
        self.sessions.restore().await.map_err(StartError::Store)
    }

    /// Stops taking work, drains within the limit, then cuts. Idempotent.
    pub async fn shutdown(&self) {
        self.supervisor.shutdown(self.shutdown_limit).await;
    }

    /// How far the loops that must not stand still have come, for a watchdog.
    pub fn beats(&self) -> Vec<LoopBeat> {
        self.supervisor.beats()
    }

    /// Completes when a task that must not end ended; the text names it.
    pub async fn failed(&self) -> String {
        self.supervisor.failed().await
    }
}
