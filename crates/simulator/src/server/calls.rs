//! Calls, as linked devices signal them: refusals, and links to calls.

use std::sync::Arc;

use anyhow::Result;
use whatsapp_rust::wacore_binary::{Jid, Node, NodeRef};

use super::{queue::SocketLink, requests};
use crate::{
    hub::Hub,
    record::RefusedCall,
    state::DeviceKey,
    wire::{Build, attr, children, need_attr, now_seconds},
};

/// Takes what a device says about a call. Each is acknowledged, a link with its token.
pub(super) fn take(
    hub: &Hub,
    link: &SocketLink,
    who: &DeviceKey,
    stanza: &NodeRef<'_>,
) -> Result<()> {
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
