//! The whole ledger, as one port.

use super::{
    ApiKeyStore, BatchStore, DeviceKeys, IdempotencyStore, IngressStore, Ledger, LogStore,
    LoginStore, MediaRecords, MessageStore, PacingStore, PeopleStore, PluginStore, PluginValues,
    SessionStore, TemplateStore, WebhookStore,
};

/// Everything that one database keeps. Whoever needs a part asks for that part's trait: `Arc<dyn Store>` becomes an
/// `Arc<dyn SessionStore>` by itself. The queue of deliveries is not in it, because processes may share one elsewhere.
pub trait Store:
    Ledger
    + SessionStore
    + MessageStore
    + WebhookStore
    + ApiKeyStore
    + LoginStore
    + LogStore
    + DeviceKeys
    + PeopleStore
    + TemplateStore
    + IdempotencyStore
    + PacingStore
    + BatchStore
    + MediaRecords
    + PluginStore
    + PluginValues
    + IngressStore
{
}

impl<T> Store for T where
    T: Ledger
        + SessionStore
        + MessageStore
        + WebhookStore
        + ApiKeyStore
        + LoginStore
        + LogStore
        + DeviceKeys
        + PeopleStore
        + TemplateStore
        + IdempotencyStore
        + PacingStore
        + BatchStore
        + MediaRecords
        + PluginStore
        + PluginValues
        + IngressStore
{
}
