//! Messages: from a device or a phone, to every device they are encrypted for.
//!
//! A linked device hears about its message in this order: the ack, then everything that follows from the delivery. The
//! sender's own stanza decides who receives it (`<participants>`), except in a group, where every member's device does.

use std::sync::Arc;

use anyhow::{Context as _, Result};
use whatsapp_rust::wacore_binary::{Jid, Node, NodeContent, NodeRef, Server};

use super::{link::LinkFlow, newsletters, queue::SocketLink};
use crate::{
    faults::StanzaFate,
    hub::Hub,
    limits,
    record::{AcceptedMessage, Nack},
    state::{DeviceKey, ServerState},
    wire::{
        Build, attr, children, is_common, jid_attr, need_attr, need_jid, now_millis, now_seconds,
    },
};

/// Code for a recipient that does not exist.
const NOBODY: u16 = 404;
/// Code for somebody who may not write to a group.
const NOT_ALLOWED: u16 = 403;
/// How far from the end of a ciphertext the spoilt byte is: inside the body, before the authentication code.
const SPOILT_FROM_END: usize = 12;

/// A copy of a message on its way to one device.
struct DeviceCopy {
    to: DeviceKey,
    stanza: Node,
}

/// Takes a message from a linked device and acknowledges it.
pub(super) fn from_device(
    hub: &Hub,
    link: &SocketLink,
    who: &DeviceKey,
    stanza: &NodeRef<'_>,
) -> Result<LinkFlow> {
    let fate = match is_peer(stanza) {
        true => StanzaFate::Accept,
        false => hub.faults.fate_of_message(&who.phone, who.device),
    };
    if fate == StanzaFate::DropBefore {
        hub.recorder.fault_struck();
        return Ok(LinkFlow::Drop);
    }
    let mut state = hub.state();
    let recipient = jid_attr(stanza, "to").and_then(|to| state.phone_of(&to));
    let refusal = match fate {
        StanzaFate::Nack(code) => Some(code),
        _ => recipient.filter(|_| !is_peer(stanza)).and_then(|to| {
            hub.faults.refusal_to(&to).or_else(|| limits::refusal(hub, &state, who, &to))
        }),
    };
    let to = need_jid(stanza, "to")?;
    let copies = match refusal {
        Some(code) => Err(code),
        None if to.server == Server::Newsletter => {
            match newsletters::publish(hub, &mut state, who, stanza)? {
                true => Ok(Vec::new()),
                false => Err(NOBODY),
            }
        }
        None => copies(&state, who, stanza)?,
    };
    match copies {
        Err(code) => {
            send_ack(hub, link, ack(stanza, Some(code))?);
            let id = need_attr(stanza, "id")?;
            hub.recorder.nack(Nack { id, code });
        }
        Ok(copies) => {
            if fate != StanzaFate::DropAfter {
                send_ack(hub, link, ack(stanza, None)?);
            }
            carry(hub, &mut state, who, stanza, copies)?;
        }
    }
    if fate == StanzaFate::DropAfter {
        hub.recorder.fault_struck();
        return Ok(LinkFlow::Drop);
    }
    Ok(LinkFlow::Continue)
}

/// At once, or as late as a fault wants it; what follows from the message does not wait then.
fn send_ack(hub: &Hub, link: &SocketLink, ack: Node) {
    let delay = hub.faults.ack_delay();
    if delay.is_zero() {
        return link.send(ack);
    }
    let (link, stop) = (link.clone(), hub.stop.clone());
    hub.tasks.spawn(async move {
        let late = async {
            tokio::time::sleep(delay).await;
            link.send(ack);
        };
        let _ = stop.run_until_cancelled(late).await;
    });
}

/// Takes a message from a phone.
///
/// # Errors
/// When nobody has the address it is sent to.
pub(crate) fn from_phone(hub: &Hub, who: &DeviceKey, stanza: &NodeRef<'_>) -> Result<()> {
    let mut state = hub.state();
    let copies = copies(&state, who, stanza)?;
    let copies = copies.map_err(|code| anyhow::anyhow!("the network refuses with {code}"))?;
    carry(hub, &mut state, who, stanza, copies)
}

/// Takes a message a phone encrypted again for one device.
pub(crate) fn resend_from_phone(
    hub: &Hub,
    who: &DeviceKey,
    to: &DeviceKey,
    stanza: &NodeRef<'_>,
) -> Result<()> {
    let mut state = hub.state();
    let copies = copies(&state, who, stanza)?;
    let copies = copies.map_err(|code| anyhow::anyhow!("the network refuses with {code}"))?;
    let copies = copies.into_iter().filter(|copy| copy.to == *to).collect();
    carry(hub, &mut state, who, stanza, copies)
}

/// Whether a message passes between the devices of one account and belongs to no chat. Faults spare these, because a
/// client sends them when it likes and a test could not count.
fn is_peer(stanza: &NodeRef<'_>) -> bool {
    attr(stanza, "category").as_deref() == Some("peer")
}

fn ack(stanza: &NodeRef<'_>, error: Option<u16>) -> Result<Node> {
    let ack = Build::new("ack")
        .attr("class", "message")
        .attr("id", need_attr(stanza, "id")?)
        .attr("from", need_jid(stanza, "to")?)
        .attr("t", now_seconds());
    Ok(match error {
        Some(code) => ack.attr("error", code.to_string()).build(),
        None => ack.build(),
    })
}

/// Every device of every member of a group.
pub(crate) fn group_devices(state: &ServerState, group: &Jid) -> Result<Vec<DeviceKey>> {
    let known = state.groups.get(&group.to_string());
    let known = known.with_context(|| format!("there is no group {group}"))?;
    let mut devices = Vec::new();
    for member in &known.members {
        let account = state.account(&member.phone)?;
        devices.push(DeviceKey::new(&account.phone, 0));
        let linked = account.devices.keys();
        devices.extend(linked.map(|device| DeviceKey::new(&account.phone, *device)));
    }
    Ok(devices)
}

/// Every device of everybody whom the sender of a status names, and the sender's own others.
fn status_devices(
    state: &ServerState,
    from: &DeviceKey,
    stanza: &NodeRef<'_>,
) -> Result<Vec<DeviceKey>> {
    let named = stanza.get_optional_child("participants").map(children).unwrap_or_default();
    let mut phones = vec![from.phone.clone()];
    for part in named {
        let phone = state.phone_of(&need_jid(part, "jid")?);
        phones.extend(phone.filter(|phone| !phones.contains(phone)));
    }
    let mut devices = Vec::new();
    for phone in phones {
        devices.push(DeviceKey::new(&phone, 0));
        let linked = state.account(&phone)?.devices.keys();
        devices.extend(linked.map(|device| DeviceKey::new(&phone, *device)));
    }
    Ok(devices)
}

/// The copies of a message, or the code it is refused with.
fn copies(
    state: &ServerState,
    from: &DeviceKey,
    stanza: &NodeRef<'_>,
) -> Result<Result<Vec<DeviceCopy>, u16>> {
    let to = need_jid(stanza, "to")?;
    let mut addressed = addressed_parts(state, stanza)?;
    let for_all: Vec<Node> = stanza.get_children_by_tag("enc").map(NodeRef::to_owned).collect();
    if is_common(&to) {
        let devices = match to.server {
            Server::Broadcast => Ok(status_devices(state, from, stanza)?),
            _ => group_devices(state, &to),
        };
        let Ok(devices) = devices else {
            return Ok(Err(NOBODY));
        };
        let may_write =
            || state.groups.get(&to.to_string()).is_some_and(|group| group.may_write(&from.phone));
        if to.server == Server::Group && !may_write() {
            return Ok(Err(NOT_ALLOWED));
        }
        if for_all.is_empty() {
            // Encrypted again for one member's device: nobody else gets a copy.
            addressed.retain(|(device, ..)| devices.contains(device));
        } else {
            addressed = for_group(devices, from, addressed, &for_all);
        }
    } else {
        let Some(recipient) = state.phone_of(&to) else {
            return Ok(Err(NOBODY));
        };
        if addressed.is_empty() && !for_all.is_empty() {
            let device = DeviceKey::new(&recipient, to.device);
            addressed.push((device, to.server, for_all));
        }
    }
    let mut copies = Vec::with_capacity(addressed.len());
    for (device, form, enc) in addressed {
        let stanza = copy_for(state, from, &device, form, stanza, enc)?;
        copies.push(DeviceCopy { to: device, stanza });
    }
    Ok(Ok(copies))
}

type AddressedNodes = (DeviceKey, Server, Vec<Node>);

fn addressed_parts(state: &ServerState, stanza: &NodeRef<'_>) -> Result<Vec<AddressedNodes>> {
    let Some(participants) = stanza.get_optional_child("participants") else {
        return Ok(Vec::new());
    };
    let mut parts = Vec::new();
    for part in participants.get_children_by_tag("to") {
        let jid = need_jid(part, "jid")?;
        let enc: Vec<Node> = children(part).iter().map(NodeRef::to_owned).collect();
        // Of a status, somebody may be named who has the key already.
        if let Some(phone) = state.phone_of(&jid).filter(|_| !enc.is_empty()) {
            parts.push((DeviceKey::new(&phone, jid.device), jid.server, enc));
        }
    }
    Ok(parts)
}

/// In a group every device receives the common ciphertext, after the sender key if one is addressed to it.
fn for_group(
    devices: Vec<DeviceKey>,
    from: &DeviceKey,
    mut addressed: Vec<AddressedNodes>,
    for_all: &[Node],
) -> Vec<AddressedNodes> {
    let others = devices.into_iter().filter(|device| device != from);
    others
        .map(|device| {
            let own = addressed.iter().position(|(to, ..)| *to == device);
            let mut enc = own.map_or_else(Vec::new, |own| addressed.swap_remove(own).2);
            enc.extend_from_slice(for_all);
            (device, Server::Lid, enc)
        })
        .collect()
}

/// The stanza as one device receives it, in the address form it was addressed with.
fn copy_for(
    state: &ServerState,
    from: &DeviceKey,
    to: &DeviceKey,
    form: Server,
    original: &NodeRef<'_>,
    enc: Vec<Node>,
) -> Result<Node> {
    let sender = state.account(&from.phone)?;
    let destination = need_jid(original, "to")?;
    let mut copy = Build::new("message")
        .attr("id", need_attr(original, "id")?)
        .attr("type", attr(original, "type").unwrap_or("text".to_owned()))
        .attr("t", now_seconds())
        .attr("notify", sender.name.as_str());
    if is_common(&destination) {
        copy = copy
            .attr("from", &destination)
            .attr("participant", state.address_like(from, Server::Lid))
            .attr("addressing_mode", "lid");
        if !sender.number_hidden {
            copy = copy.attr("participant_pn", from.pn());
        }
    } else {
        copy = copy.attr("from", state.address_like(from, form));
        copy = match form {
            Server::Lid if sender.number_hidden => copy.attr("addressing_mode", "lid"),
            Server::Lid => {
                copy.attr("sender_pn", Jid::pn(from.phone.as_str())).attr("addressing_mode", "lid")
            }
            _ => copy.attr("sender_lid", Jid::lid(sender.lid.as_str())),
        };
        if to.phone == from.phone {
            copy = copy.attr("recipient", destination.to_non_ad());
            if let (Server::Lid, Some(phone)) = (destination.server, state.phone_of(&destination)) {
                copy = copy.attr("peer_recipient_pn", Jid::pn(phone));
            }
        }
    }
    for key in ["category", "edit", "push_priority"] {
        if let Some(value) = attr(original, key) {
            copy = copy.attr(key, value);
        }
    }
    let opens_session =
        enc.iter().any(|enc| enc.attrs.get("type").is_some_and(|kind| kind == "pkmsg"));
    let mut content = enc;
    for extra in children(original) {
        let needed = match extra.tag.as_ref() {
            "participants" | "enc" => false,
            "device-identity" => opens_session,
            _ => true,
        };
        if needed {
            content.push(extra.to_owned());
        }
    }
    Ok(copy.children(content).build())
}

/// Hands the copies over and records the message.
fn carry(
    hub: &Hub,
    state: &mut ServerState,
    from: &DeviceKey,
    original: &NodeRef<'_>,
    copies: Vec<DeviceCopy>,
) -> Result<()> {
    let is_peer = is_peer(original);
    if !is_peer {
        hub.recorder.message(AcceptedMessage {
            id: need_attr(original, "id")?,
            from_phone: from.phone.clone(),
            from_device: from.device,
            to: need_jid(original, "to")?.to_string(),
            at_millis: now_millis(),
        });
    }
    for DeviceCopy { to, mut stanza } in copies {
        if to.device != 0 && !is_peer && hub.faults.spoils(&to.phone, to.device) {
            spoil(&mut stanza);
        }
        hub.deliver(state, &to, Arc::new(stanza));
    }
    Ok(())
}

fn spoil(stanza: &mut Node) {
    let Some(NodeContent::Nodes(parts)) = &mut stanza.content else {
        return;
    };
    for part in parts.iter_mut().filter(|part| part.tag == "enc") {
        if let Some(NodeContent::Bytes(bytes)) = &mut part.content
            && let Some(index) = bytes.len().checked_sub(SPOILT_FROM_END)
        {
            bytes[index] ^= 0xff;
        }
    }
}
