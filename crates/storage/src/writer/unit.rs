//! What a transaction works with.

use std::{
    collections::{HashMap, HashSet},
    fs::File,
    sync::Arc,
};

use domain::{
    Entropy, SessionId, WebhookId,
    delivery::{Health, LaneId},
    event::Event,
    port::Lease,
};

use super::Turn;
use crate::{
    crypt::Cipher,
    db::Conn,
    delivery::claims::{LaneClaims, Pushed, Step},
    lease::SessionLeases,
    receivers::OfSessions,
    unreadable::UnreadableRows,
};

/// What differs between a database that one process has to itself and one that several share. Chosen once, where it is
/// opened; nobody else asks which of the two it is.
#[derive(Clone)]
pub(crate) struct Seams {
    /// Who holds which lane.
    pub(crate) claims: Arc<dyn LaneClaims>,
    /// Who runs which session.
    pub(crate) leases: Arc<dyn SessionLeases>,
    /// How a writer's transactions keep out of the way of others.
    pub(crate) turn: Arc<dyn Turn>,
}

/// What a job works with.
pub(crate) struct Unit {
    pub(crate) conn: Conn,
    pub(crate) cipher: Arc<Cipher>,
    /// For the ids of events that the ledger itself emits.
    pub(crate) entropy: Arc<dyn Entropy>,
    /// Webhooks by session, as of this transaction. Emptied whenever a webhook changes or a job is rolled back.
    pub(crate) webhooks: OfSessions,
    /// The health of every webhook that is not healthy, as of this transaction. Emptied likewise.
    pub(crate) degraded: Option<HashMap<WebhookId, Health>>,
    /// Whether changes wait for their message, as far as known. Emptied when a job is rolled back.
    pub(crate) holding: Option<bool>,
    pub(crate) seams: Seams,
    /// Leases of sessions that were looked at and whose rows are locked, as of this transaction. Emptied when a job is
    /// rolled back.
    pub(crate) checked: HashSet<Lease>,
    /// What others learn once it is committed.
    pub(crate) committing: Committing,
    /// Rows that cannot be read.
    pub(crate) unreadable: Arc<UnreadableRows>,
    /// The versions of the webhooks of sessions, as of this transaction, where others change them too.
    pub(crate) versions: HashMap<SessionId, i64>,
    /// The file stays ours until the last job is done, also when the store was dropped before.
    pub(super) lock: Option<Arc<File>>,
}

/// What others learn once a transaction is committed.
#[derive(Default)]
pub(crate) struct Committing {
    /// Events, in their order.
    pub(crate) events: Vec<Arc<Event>>,
    /// Deliveries, in their order.
    pub(crate) pushed: Vec<Pushed>,
    pub(super) steps: Vec<Step>,
    /// Lanes in which nothing waited before.
    pub(crate) opened: Vec<LaneId>,
    /// Sessions of which something is wanted.
    pub(crate) wished: Vec<SessionId>,
    /// Whether a pause of all sends began or ended.
    pub(crate) braked: bool,
    /// Whether an API key changed.
    pub(crate) keys: bool,
}

/// How far a transaction was.
#[derive(Clone, Copy)]
pub(super) struct Mark {
    events: usize,
    opened: usize,
    pushed: usize,
    wished: usize,
    braked: bool,
    keys: bool,
}

impl Committing {
    /// Where it is now.
    pub(super) fn mark(&self) -> Mark {
        Mark {
            events: self.events.len(),
            opened: self.opened.len(),
            pushed: self.pushed.len(),
            wished: self.wished.len(),
            braked: self.braked,
            keys: self.keys,
        }
    }

    /// What came after a mark did not happen.
    pub(super) fn back_to(&mut self, mark: Mark) {
        self.events.truncate(mark.events);
        self.opened.truncate(mark.opened);
        self.pushed.truncate(mark.pushed);
        self.wished.truncate(mark.wished);
        self.braked = mark.braked;
        self.keys = mark.keys;
    }
}

impl Unit {
    pub(crate) fn new(
        conn: Conn,
        cipher: Arc<Cipher>,
        entropy: Arc<dyn Entropy>,
        seams: Seams,
    ) -> Self {
        Self {
            conn,
            cipher,
            entropy,
            seams,
            webhooks: OfSessions::default(),
            degraded: None,
            holding: None,
            checked: HashSet::new(),
            committing: Committing::default(),
            unreadable: Arc::default(),
            versions: HashMap::new(),
            lock: None,
        }
    }

    /// Keeps a file locked until its last job is done.
    pub(crate) fn locking(self, lock: Arc<File>) -> Self {
        Self { lock: Some(lock), ..self }
    }

    /// Notes rows that cannot be read where others see it.
    pub(crate) fn noting(self, unreadable: Arc<UnreadableRows>) -> Self {
        Self { unreadable, ..self }
    }

    /// What was done since is not so.
    pub(super) fn forget(&mut self) {
        self.webhooks.clear();
        self.degraded = None;
        self.holding = None;
        self.checked.clear();
    }
}
