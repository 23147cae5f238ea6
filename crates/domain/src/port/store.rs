//! The whole ledger, as one port.

use super::{
    ApiKeyStore, ApprovalStore, AutomationStore, BatchStore, BrakeStore, DeviceKeys, GroupStore,
    IdempotencyStore, IngressStore, LabelStore, Ledger, LogStore, LoginStore, MediaRecords,
    MessageStore, PacingStore, PeopleStore, PluginStore, PluginValues, ProcessStore, SearchStore,
    SessionStore, StatsStore, StatusStore, TemplateStore, TransferStore, WebhookStore,
};

/// Everything that one database keeps. Whoever needs a part asks for that part's trait: `Arc<dyn Store>` becomes an
/// `Arc<dyn SessionStore>` by itself. The queue of deliveries is not in it, because processes may share one elsewhere.
pub trait Store:
    Ledger
    + SessionStore
    + MessageStore
    + WebhookStore
    + ApiKeyStore
    + ApprovalStore
    + LoginStore
    + LogStore
    + DeviceKeys
    + PeopleStore
    + GroupStore
    + TemplateStore
    + IdempotencyStore
    + PacingStore
    + BatchStore
    + MediaRecords
    + PluginStore
    + PluginValues
    + IngressStore
    + StatsStore
    + SearchStore
    + AutomationStore
    + TransferStore
    + StatusStore
    + LabelStore
    + BrakeStore
    + ProcessStore
{
}

impl<T> Store for T where
    T: Ledger
        + SessionStore
        + MessageStore
        + WebhookStore
        + ApiKeyStore
        + ApprovalStore
        + LoginStore
        + LogStore
        + DeviceKeys
        + PeopleStore
        + GroupStore
        + TemplateStore
        + IdempotencyStore
        + PacingStore
        + BatchStore
        + MediaRecords
        + PluginStore
        + PluginValues
        + IngressStore
        + StatsStore
        + SearchStore
        + AutomationStore
        + TransferStore
        + StatusStore
        + LabelStore
        + BrakeStore
        + ProcessStore
{
}
