//! Receipts: delivered, read, played, and "encrypt it again".
//!
//! A receipt about a message also settles it in the queue of the device that sent the receipt. Where it goes: to the
//! one device it is addressed to; a receipt addressed to the phone or to the account goes to the phone and to every
//! linked device, which all show the ticks, unless its type concerns only one device.

use std::sync::Arc;

use anyhow::{Context as _, Result};
use whatsapp_rust::wacore_binary::{Jid, NodeRef, Server};

use super::queue::SocketLink;
use crate::{
    hub::Hub,
    record::SeenReceipt,
    state::{DeviceKey, ServerState},
    wire::{Build, attr, children, jid_attr, need_attr, need_jid, now_seconds},
};

/// Types that only the addressed device can do something with.
const FOR_ONE_DEVICE: [&str; 3] = ["retry", "peer_msg", "sender"];

/// Acknowledges a receipt to the device that sent it.
pub(super) fn acknowledge(link: &SocketLink, receipt: &NodeRef<'_>) -> Result<()> {
    let mut ack = Build::new("ack")
        .attr("class", "receipt")
        .attr("id", need_attr(receipt, "id")?)
        .attr("from", need_jid(receipt, "to")?)
        .attr("t", now_seconds());
    if let Some(kind) = attr(receipt, "type") {
        ack = ack.attr("type", kind);
    }
    if let Some(participant) = jid_attr(receipt, "participant") {
        ack = ack.attr("participant", &participant);
    }
    link.send(ack.build());
    Ok(())
}

/// Settles the messages a receipt names and carries it to the sender.
pub(crate) fn relay(hub: &Hub, from: &DeviceKey, receipt: &NodeRef<'_>) -> Result<()> {
    let to = need_jid(receipt, "to")?;
    let kind = attr(receipt, "type");
    let ids = ids(receipt)?;
    let mut state = hub.state();
    if kind.as_deref() != Some("retry")
        && let Ok(device) = state.device_mut(from)
    {
        device.queue.acknowledge_messages(&ids);
    }
    hub.recorder.receipt(SeenReceipt {
        ids,
        from_phone: from.phone.clone(),
        from_device: from.device,
        to: to.to_string(),
        kind: kind.clone().unwrap_or_else(|| "delivery".to_owned()),
    });
    // That a device rings is nobody's business here.
    if receipt.get_optional_child("offer").is_some() {
        return Ok(());
    }
    let author = match to.server {
        Server::Group | Server::Broadcast => {
            jid_attr(receipt, "participant").context("a group receipt for nobody")?
        }
        _ => to.clone(),
    };
    let Some(phone) = state.phone_of(&author) else {
        return Ok(());
    };
    let stanza = Arc::new(copy_of(&state, from, &to, &author, receipt)?);
    for device in addressees(&state, &phone, author.device, kind.as_deref()) {
        if device != *from {
            hub.deliver(&mut state, &device, stanza.clone());
        }
    }
    Ok(())
}

fn ids(receipt: &NodeRef<'_>) -> Result<Vec<String>> {
    let mut ids = vec![need_attr(receipt, "id")?];
    if let Some(list) = receipt.get_optional_child("list") {
        let items = list.get_children_by_tag("item");
        ids.extend(items.filter_map(|item| attr(item, "id")));
    }
    Ok(ids)
}

fn addressees(state: &ServerState, phone: &str, device: u16, kind: Option<&str>) -> Vec<DeviceKey> {
    let for_one = device != 0 || kind.is_some_and(|kind| FOR_ONE_DEVICE.contains(&kind));
    let mut devices = vec![DeviceKey::new(phone, device)];
    if !for_one && let Ok(account) = state.account(phone) {
        let linked = account.devices.keys();
        devices.extend(linked.map(|device| DeviceKey::new(phone, *device)));
    }
    devices
}

fn copy_of(
    state: &ServerState,
    from: &DeviceKey,
    to: &Jid,
    author: &Jid,
    receipt: &NodeRef<'_>,
) -> Result<whatsapp_rust::wacore_binary::Node> {
    let sender = state.address_like(from, author.server);
    let mut copy =
        Build::new("receipt").attr("id", need_attr(receipt, "id")?).attr("t", now_seconds());
    copy = match to.server {
        Server::Group | Server::Broadcast => copy.attr("from", to).attr("participant", &sender),
        _ => copy.attr("from", &sender),
    };
    for key in ["type", "recipient", "category"] {
        if let Some(value) = attr(receipt, key) {
            copy = copy.attr(key, value);
        }
    }
    let content: Vec<_> = children(receipt).iter().map(NodeRef::to_owned).collect();
    if !content.is_empty() {
        copy = copy.children(content);
    }
    Ok(copy.build())
}
