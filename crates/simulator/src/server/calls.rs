//! What a linked device does with a call: it rings somebody, refuses or ends one.

use std::sync::Arc;

use anyhow::{Context as _, Result};
use whatsapp_rust::wacore_binary::{NodeRef, Jid, Node};

use super::{queue::SocketLink, requests};
use crate::{hub::Hub, record::{SeenCall, RefusedCall}, state::DeviceKey, wire::{Build, attr, children, need_attr, need_jid, now_seconds}};

/// Acknowledges the stanza, and carries it to the linked devices of whom it is for.
//! Calls, as linked devices signal them: refusals, and links to calls.




/// Takes what a device says about a call. Each is acknowledged, a link with its token.
pub(super) fn take(
    hub: &Hub,
    link: &SocketLink,
    who: &DeviceKey,
    stanza: &NodeRef<'_>,
) -> Result<()> {
    let to = need_jid(stanza, "to")?;
    let action = children(stanza).first().context("a call without an action")?;
    let ack = Build::new("ack")
        .attr("class", "call")
        .attr("id", need_attr(stanza, "id")?)
        .attr("type", action.tag.as_ref())
        .attr("from", &to);
    link.send(ack.build());
    hub.recorder.call(SeenCall {
        id: attr(action, "call-id").unwrap_or_default(),
        from_phone: who.phone.clone(),
        from_device: who.device,
        to: to.to_string(),
        action: action.tag.to_string(),
    });
    let mut state = hub.state();
    let Some(phone) = state.phone_of(&to) else {
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
    let id = need_attr(stanza, "id")?;
    let action = children(stanza).first();
    match action.map_or("", |action| action.tag.as_ref()) {
        "reject" => {
            if let Some(action) = action {
                refuse(hub, who, stanza, action)?;
            }
            link.send(ack(&id, "reject", None));
        }
        "link_create" => {
            let media = action.and_then(|action| attr(action, "media")).unwrap_or_default();
            let created =
                Build::new("link_create").attr("token", hub.stanza_id()).attr("media", media);
            link.send(ack(&id, "link_create", Some(created.build())));
        }
        _ => hub.recorder.unknown(requests::name_of(stanza)),
    }
    Ok(())
}

/// The call is over: the account's other devices stop to ring.
fn refuse(hub: &Hub, who: &DeviceKey, stanza: &NodeRef<'_>, action: &NodeRef<'_>) -> Result<()> {
    let call = need_attr(action, "call-id")?;
    hub.recorder.refused_call(RefusedCall {
        id: call.clone(),
        phone: who.phone.clone(),
        device: who.device,
        to: attr(stanza, "to").unwrap_or_default(),
    });
    let end = Build::new("terminate")
        .attr("call-id", call)
        .attr("call-creator", need_attr(action, "call-creator")?)
        .attr("reason", "rejected_elsewhere");
    let end = Build::new("call")
        .attr("from", need_attr(stanza, "to")?)
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

fn ack(id: &str, kind: &'static str, content: Option<Node>) -> Node {
    let ack = Build::new("ack")
        .attr("from", Jid::new("", whatsapp_rust::wacore_binary::Server::Call))
        .attr("class", "call")
        .attr("id", id)
        .attr("type", kind);
    match content {
        Some(content) => ack.children([content]).build(),
        None => ack.build(),
    }
}
