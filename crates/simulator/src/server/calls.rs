//! What a linked device does with a call: it rings somebody, refuses or ends one.

use std::sync::Arc;

use anyhow::{Context as _, Result};
use whatsapp_rust::wacore_binary::NodeRef;

use super::queue::SocketLink;
use crate::{
    hub::Hub,
    record::RefusedCall,
    state::DeviceKey,
    wire::{Build, attr, children, need_attr, need_jid, now_seconds},
};

/// Acknowledges the stanza, and carries it to the linked devices of whom it is for.
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
    if action.tag == "reject" {
        hub.recorder.refused_call(RefusedCall {
            id: attr(action, "call-id").unwrap_or_default(),
            phone: who.phone.clone(),
            device: who.device,
            to: to.to_string(),
        });
    }
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
