//! What a transaction works with.

use std::{
    collections::{HashMap, HashSet},
    fs::File,
    sync::Arc,
};

use domain::{
    SessionId, WebhookId,
    delivery::{Health, LaneId},
    event::Event,
    port::Lease,
};

use crate::{
    crypt::Cipher,
    db::Conn,
    delivery::{leases::Leases, lines::Pushed, settle::Step},
    receivers::OfSessions,
    tenures::Tenures,
    unreadable::Unreadable,
};

/// What a job works with.
pub(crate) struct Unit {
    pub(crate) conn: Conn,
    pub(crate) cipher: Arc<Cipher>,
    /// Webhooks by session, as of this transaction. Emptied whenever a webhook changes or a job is rolled back.
    pub(crate) webhooks: OfSessions,
    /// The health of every webhook that is not sound, as of this transaction. Emptied likewise.
    pub(crate) doubtful: Option<HashMap<WebhookId, Health>>,
    /// Whether changes wait for their message, as far as known. Emptied when a job is rolled back.
    pub(crate) holding: Option<bool>,
    pub(crate) leases: Arc<Leases>,
    /// The leases of sessions, where this process alone has the database.
    pub(crate) tenures: Arc<Tenures>,
    /// Leases of sessions that were looked at and whose rows are locked, as of this transaction. Emptied when a job is
    /// rolled back.
    pub(super) checked: HashSet<Lease>,
    /// What others learn once it is committed.
    pub(crate) committing: Committing,
    /// Rows that cannot be read.
    pub(crate) unreadable: Arc<Unreadable>,
    /// The last ticket of a lane.
    pub(super) last_ticket: i64,
    /// Who this process is among those that share the database.
    pub(super) name: String,
    /// The newest version of the tables that this program knows, where others may bring them along.
    pub(super) schema: Option<i64>,
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
}

/// How far a transaction was.
#[derive(Clone, Copy)]
pub(super) struct Mark {
    events: usize,
    opened: usize,
    pushed: usize,
    wished: usize,
}

impl Committing {
    /// Where it is now.
    pub(super) fn mark(&self) -> Mark {
        Mark {
            events: self.events.len(),
            opened: self.opened.len(),
            pushed: self.pushed.len(),
            wished: self.wished.len(),
        }
    }

    /// What came after a mark did not happen.
    pub(super) fn back_to(&mut self, mark: Mark) {
        self.events.truncate(mark.events);
        self.opened.truncate(mark.opened);
        self.pushed.truncate(mark.pushed);
        self.wished.truncate(mark.wished);
    }
}

impl Unit {
    pub(crate) fn new(
        conn: Conn,
        cipher: Arc<Cipher>,
        lock: Option<Arc<File>>,
        leases: Arc<Leases>,
        last_ticket: i64,
    ) -> Self {
        Self {
            conn,
            cipher,
            webhooks: OfSessions::default(),
            doubtful: None,
            holding: None,
            leases,
            tenures: Arc::default(),
            checked: HashSet::new(),
            committing: Committing::default(),
            unreadable: Arc::default(),
            last_ticket,
            name: String::new(),
            schema: None,
            versions: HashMap::new(),
            lock,
        }
    }

    /// With the leases of sessions in memory.
    pub(crate) fn with_tenures(self, tenures: Arc<Tenures>) -> Self {
        Self { tenures, ..self }
    }

    /// With a name among the processes that share the database.
    pub(crate) fn named(self, name: String) -> Self {
        Self { name, ..self }
    }

    /// Writes as long as the tables are of no newer version.
    pub(crate) fn of_version(self, version: i64) -> Self {
        Self { schema: Some(version), ..self }
    }

    /// Notes rows that cannot be read where others see it.
    pub(crate) fn noting(self, unreadable: Arc<Unreadable>) -> Self {
        Self { unreadable, ..self }
    }

    /// The next ticket on SQLite: lanes that wait are served in the order of their tickets.
    pub(crate) fn ticket(&mut self) -> i64 {
        self.last_ticket += 1;
        self.last_ticket
    }

    /// What was done since is not so.
    pub(super) fn forget(&mut self) {
        self.webhooks.clear();
        self.doubtful = None;
        self.holding = None;
        self.checked.clear();
    }
}
