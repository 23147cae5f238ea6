//! What a linked device does with a call: it rings somebody, refuses or ends one, or asks for a link to one.

use std::sync::Arc;

use anyhow::{Context as _, Result};
use whatsapp_rust::wacore_binary::{Jid, Node, NodeRef, Server};

use super::queue::SocketLink;
use crate::{
    hub::Hub,
    record::RefusedCall,
    state::DeviceKey,
    wire::{Build, attr, children, need_attr, need_jid, now_seconds},
};

/// Takes what a device says about a call. Each is acknowledged, a link with its token; the rest is carried to the
/// linked devices of whom it is for.
pub(super) fn take(
    hub: &Hub,
    link: &SocketLink,
    who: &DeviceKey,
    stanza: &NodeRef<'_>,
) -> Result<()> {
    let id = need_attr(stanza, "id")?;
    let action = children(stanza).first().context("a call without an action")?;
    if action.tag.as_ref() == "link_create" {
        let media = attr(action, "media").unwrap_or_default();
        let created = Build::new("link_create").attr("token", hub.stanza_id()).attr("media", media);
        let from = Jid::new("", Server::Call);
        link.send(ack(&id, &from, "link_create", Some(created.build())));
        return Ok(());
    }
    let to = need_jid(stanza, "to")?;
    if action.tag.as_ref() == "reject" {
        refuse(hub, who, &to, action)?;
    }
    link.send(ack(&id, &to, action.tag.as_ref(), None));
    carry(hub, who, &to, stanza)
}

/// Tells the devices of whom it is for.
fn carry(hub: &Hub, who: &DeviceKey, to: &Jid, stanza: &NodeRef<'_>) -> Result<()> {
    let mut state = hub.state();
    let Some(phone) = state.phone_of(to) else {
        return Ok(());
    };
    let copy = Build::new("call")
        .attr("from", state.address_like(who, to.server))
        .attr("id", hub.stanza_id())
        .attr("t", now_seconds())
        .children(children(stanza).iter().map(NodeRef::to_owned))
        .build();
    let copy = Arc::new(copy);
    let devices: Vec<u16> = state.account(&phone)?.devices.keys().copied().collect();
    for device in devices {
        let device = DeviceKey::new(&phone, device);
        if device != *who {
            hub.deliver(&mut state, &device, copy.clone());
        }
    }
    Ok(())
}

/// The call is over: the account's other devices stop to ring.
fn refuse(hub: &Hub, who: &DeviceKey, to: &Jid, action: &NodeRef<'_>) -> Result<()> {
    let call = need_attr(action, "call-id")?;
    hub.recorder.refused_call(RefusedCall {
        id: call.clone(),
        phone: who.phone.clone(),
        device: who.device,
        to: to.to_string(),
    });
    let end = Build::new("terminate")
        .attr("call-id", call)
        .attr("call-creator", need_attr(action, "call-creator")?)
        .attr("reason", "rejected_elsewhere");
    let end = Build::new("call")
        .attr("from", to)
        .attr("id", hub.stanza_id())
        .attr("t", now_seconds())
        .children([end.build()])
        .build();
    let end = Arc::new(end);
    let mut state = hub.state();
    let devices: Vec<u16> = state.account(&who.phone)?.devices.keys().copied().collect();
    for device in devices.into_iter().filter(|device| *device != who.device) {
        hub.deliver(&mut state, &DeviceKey::new(&who.phone, device), end.clone());
    }
    Ok(())
}

fn ack(id: &str, from: &Jid, kind: &str, content: Option<Node>) -> Node {
    let ack = Build::new("ack")
        .attr("from", from)
        .attr("class", "call")
        .attr("id", id)
        .attr("type", kind);
    match content {
        Some(content) => ack.children([content]).build(),
        None => ack.build(),
    }
}
