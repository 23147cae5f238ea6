//! Device lists: telling others about a new or removed device, and removing one.

use std::sync::Arc;

use anyhow::{Context as _, Result};
use whatsapp_rust::wacore_binary::Jid;

use crate::{
    hub::Hub,
    state::{DeviceKey, ServerState},
    wire::{Build, now_seconds, stream_error},
};

/// Who removes a device.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum RemovedBy {
    /// The person, on the phone.
    Phone,
    /// The device itself, by logging out.
    Itself,
}

/// A device came to an account: every other linked device learns its new device list.
pub(crate) fn announce_added(hub: &Hub, state: &mut ServerState, added: &DeviceKey) -> Result<()> {
    let account = state.account(&added.phone)?;
    let device = account.devices.get(&added.device).context("the device is gone")?;
    let change = Build::new("add").children([
        Build::new("device").attr("jid", added.pn()).attr("key-index", device.key_index).build(),
        account.key_index_node()?,
    ]);
    announce(hub, state, added, change)
}

fn announce_removed(
    hub: &Hub,
    state: &mut ServerState,
    removed: &DeviceKey,
    index: u32,
) -> Result<()> {
    let change = Build::new("remove").children([
        Build::new("device").attr("jid", removed.pn()).attr("key-index", index).build(),
        Build::new("key-index-list").attr("ts", now_seconds()).build(),
    ]);
    announce(hub, state, removed, change)
}

fn announce(hub: &Hub, state: &mut ServerState, about: &DeviceKey, change: Build) -> Result<()> {
    let notification = Build::new("notification")
        .attr("from", Jid::pn(about.phone.as_str()))
        .attr("type", "devices")
        .attr("id", hub.stanza_id())
        .attr("t", now_seconds())
        .attr("lid", Jid::lid(state.account(&about.phone)?.lid.as_str()))
        .children([change.build()])
        .build();
    let notification = Arc::new(notification);
    let others: Vec<DeviceKey> = state
        .accounts
        .values()
        .flat_map(|account| {
            let devices = account.devices.keys();
            devices.map(|device| DeviceKey::new(&account.phone, *device))
        })
        .filter(|device| device != about)
        .collect();
    for device in others {
        hub.deliver(state, &device, notification.clone());
    }
    Ok(())
}

/// Removes a device from its account, ends its link and notifies everybody. Its queue is lost with it.
///
/// # Errors
/// When there is no such device.
pub(crate) fn unlink(hub: &Hub, who: &DeviceKey, by: RemovedBy) -> Result<()> {
    let mut state = hub.state();
    let device = state
        .account_mut(&who.phone)?
        .devices
        .remove(&who.device)
        .with_context(|| format!("{} has no device {}", who.phone, who.device))?;
    if let Some(link) = &device.link {
        link.send(match by {
            RemovedBy::Phone => stream_error(Some("401"), Some("device_removed")),
            RemovedBy::Itself => stream_error(Some("516"), None),
        });
        link.close();
    }
    announce_removed(hub, &mut state, who, device.key_index)?;
    drop(state);
    hub.changed();
    Ok(())
}
