//! Storing a device that is linked already, so that a session starts without pairing.

use std::sync::Arc;

use domain::port::{DeviceKeys, Lease, StoreError, StoreErrorKind, StoreResult};
use whatsapp_rust::{traits::AppStateSyncKey, wacore::store::Device};

use super::{appsync::LATEST, device::DEVICE, hexed, namespace as ns, number, put};

/// A linked device in serialised form, so that a caller need not name the protocol library.
pub struct LinkedDevice {
    /// The library's device as JSON.
    pub device: Vec<u8>,
    /// One-time prekeys WhatsApp already has: id and record.
    pub prekeys: Vec<(u32, Vec<u8>)>,
    /// Id of the account's app-state key, and the key as the library's JSON.
    pub app_state_key: Option<(Vec<u8>, Vec<u8>)>,
}

/// Stores a linked device as the session's keys, for the owner of the session. The next open logs in with it.
///
/// # Errors
/// [`StoreErrorKind::Corrupt`] when a serialised form is not what it should be; then nothing is stored.
pub async fn import_device(
    keys: &dyn DeviceKeys,
    lease: &Lease,
    linked: LinkedDevice,
) -> StoreResult<()> {
    serde_json::from_slice::<Device>(&linked.device).map_err(unreadable)?;
    let mut changes = vec![put(ns::DEVICE, DEVICE, linked.device)];
    let prekeys = linked.prekeys.into_iter();
    changes.extend(prekeys.map(|(id, record)| put(ns::PREKEY, number(id), record)));
    if let Some((id, key)) = linked.app_state_key {
        serde_json::from_slice::<AppStateSyncKey>(&key).map_err(unreadable)?;
        changes.push(put(ns::APPSTATE_KEY, hexed(&id), key));
        changes.push(put(ns::APPSTATE_LATEST, LATEST, id));
    }
    keys.apply_key_changes(lease, changes).await
}

fn unreadable(error: serde_json::Error) -> StoreError {
    StoreError {
        kind: StoreErrorKind::Corrupt,
        doing: "importing a device",
        source: Some(Arc::new(error)),
    }
}
