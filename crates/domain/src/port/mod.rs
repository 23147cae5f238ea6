//! The walls of the house: traits that the outer crates implement.
//!
//! `storage` implements [`Ledger`], the stores, [`DeliveryQueue`], [`LogStore`] and [`DeviceKeys`]; `whatsapp`
//! implements [`WhatsApp`] and [`Connection`]; `gateway` implements [`EngineSink`].

mod approvals;
mod automation;
mod batches;
mod brake;
mod catalogue;
mod channels;
mod contacts;
mod engine;
mod groups;
mod keys;
mod labels;
mod lanes;
mod lease;
mod ledger;
mod log;
mod logins;
mod media;
mod passkey;
mod people;
mod plugin_engine;
mod plugins;
mod search;
mod stats;
mod statuses;
mod store;
mod stores;
mod transfer;
mod trouble;
mod upkeep;

use std::sync::Arc;

pub use approvals::{ApprovalQuery, ApprovalStore};
pub use automation::AutomationStore;
pub use batches::{BatchStore, BulkFacts, Created, NewBatch, OpenItem, RecipientScope};
pub use brake::{BrakeStore, PauseListener};
pub use catalogue::CatalogueActions;
pub use channels::ChannelActions;
pub use contacts::{CallMedia, ContactActions, PeopleSignal, ProfileChange};
pub use engine::{
    Call, CallOutcome, Connection, EngineError, EngineSignal, EngineSink, OpenRequest, ReceiptKind,
    WhatsApp,
};
pub use groups::{
    GroupActionError, GroupActions, GroupJoined, GroupResult, GroupStore, GroupWrite, KnownGroup,
};
pub use keys::{DeviceKeys, KeyChange, KeyEntry};
pub use labels::{LabelActions, LabelStore};
pub use lanes::{
    DeliveryQueue, LaneLedger, Offer, OpenedListener, QueueServer, QueueStats, Settled, Settlement,
    Verdict, WaitingLane,
};
pub use lease::{Held, Lease, ProcessStore, WishListener};
pub use ledger::{
    KeyOfSend, Ledger, MessageChange, NewMessage, OpenChange, Quarantined, SessionPatch,
    UnresolvedSend, Write, WriteOutcome,
};
pub use log::{AuditLog, DeliveryLog, EventLog, LaneLog, LogStore, Telemetry};
pub use logins::LoginStore;
pub use media::{KeptMedia, MediaFiles, Scratch};
pub use passkey::{PasskeyActions, PasskeyAssertion, PasskeyPhase, PasskeySignal};
pub use people::{IdempotencyStore, MediaRecords, PacingStore, PeopleStore, TemplateStore};
pub use plugin_engine::{
    CallError, NewHandler, Package, PackageError, PluginBackstage, PluginCall, PluginConfigs,
    PluginEngine, PluginLogLine, PluginProcess, PluginProgram, StartedPlugin,
};
pub use plugins::{
    ClaimedIngress, EnabledPlugin, IngressStore, PluginStore, PluginValues, ValueStored,
};
pub use search::SearchStore;
pub use stats::StatsStore;
pub use statuses::StatusStore;
pub use store::Store;
pub use stores::{
    ApiKeyStore, Holder, MessagePage, MessageQuery, MessageStore, Page, SessionStore, WebhookStore,
};
pub use transfer::TransferStore;
pub use trouble::{Trouble, UnreadableRow};
pub use upkeep::{Erased, Upkeep};

/// What went wrong in a store.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StoreErrorKind {
    /// The database did not answer; the same call may work later.
    Unavailable,
    /// The writer's queue is full; the same call may work in a moment.
    Busy,
    /// A stored value makes no sense, or the key it was encrypted with is another one.
    Corrupt,
    /// What the record belongs to does not exist (any more), usually its session. Trying again is in vain.
    Gone,
    /// What was to be written breaks a rule or a limit of the database. Trying again is in vain.
    Refused,
    /// Another process runs the session, or it is run anew: what was decided under an earlier [`Lease`] is not written.
    NotOwner,
}

impl StoreErrorKind {
    /// Whether the record itself is to blame: it fails again whenever it is tried.
    pub const fn is_of_the_record(self) -> bool {
        matches!(self, Self::Corrupt | Self::Refused)
    }
}

/// A store failed.
#[derive(Debug, thiserror::Error)]
#[error("the ledger failed ({kind:?}) while {doing}")]
pub struct StoreError {
    /// What kind of failure it was.
    pub kind: StoreErrorKind,
    /// In which operation, for logs.
    pub doing: &'static str,
    /// What the database or the disk said.
    #[source]
    pub source: Option<Arc<dyn std::error::Error + Send + Sync>>,
}

/// The result of a store call.
pub type StoreResult<T> = Result<T, StoreError>;
