//! How a group is described, and what the linked devices of its members hear.

use std::sync::Arc;

use anyhow::Result;
use whatsapp_rust::wacore_binary::{Jid, Node, NodeContent};

use super::ServerGroup;
use crate::{
    hub::Hub,
    state::{DeviceKey, ServerState},
    wire::{Build, now_seconds},
};

/// Tells the linked devices of these people of a change.
pub(super) fn announce(
    hub: &Hub,
    state: &mut ServerState,
    group: &Jid,
    actor: &str,
    change: Node,
    to: &[String],
) -> Result<()> {
    let by = state.account(actor)?;
    let mut notification = Build::new("notification")
        .attr("from", group)
        .attr("type", "w:gp2")
        .attr("id", hub.stanza_id())
        .attr("t", now_seconds())
        .attr("participant", Jid::lid(by.lid.as_str()))
        .attr("addressing_mode", "lid");
    if !by.number_hidden {
        notification = notification.attr("participant_pn", Jid::pn(actor));
    }
    deliver(hub, state, &notification.children([change]).build(), to)
}

/// Tells them of a new or removed picture.
pub(super) fn announce_picture(
    hub: &Hub,
    state: &mut ServerState,
    group: &ServerGroup,
    actor: &str,
) -> Result<()> {
    let author = Jid::lid(state.account(actor)?.lid.as_str());
    let change = match group.rest.picture {
        Some(_) => Build::new("set").attr("id", group.rest.picture_number.to_string()),
        None => Build::new("delete"),
    };
    let notification = Build::new("notification")
        .attr("from", &group.jid)
        .attr("type", "picture")
        .attr("id", hub.stanza_id())
        .attr("t", now_seconds())
        .children([change.attr("jid", &group.jid).attr("author", author).build()])
        .build();
    deliver(hub, state, &notification, &group.phones())
}

fn deliver(hub: &Hub, state: &mut ServerState, node: &Node, to: &[String]) -> Result<()> {
    let node = Arc::new(node.clone());
    let mut devices = Vec::new();
    for phone in to {
        let linked = state.account(phone)?.devices.keys();
        devices.extend(linked.map(|device| DeviceKey::new(phone, *device)));
    }
    for device in devices {
        hub.deliver(state, &device, node.clone());
    }
    Ok(())
}

/// What somebody hears who is in a group from now on.
pub(super) fn begun(
    state: &ServerState,
    group: &ServerGroup,
    kind: Option<&str>,
    reason: Option<&str>,
) -> Result<Node> {
    let mut create = Build::new("create");
    if let Some(kind) = kind {
        create = create.attr("type", kind);
    }
    if let Some(reason) = reason {
        create = create.attr("reason", reason);
    }
    Ok(create.children([group_node(state, group)?]).build())
}

/// A person, by LID, and by number unless they hide it.
pub(super) fn person(state: &ServerState, tag: &'static str, phone: &str) -> Result<Build> {
    let account = state.account(phone)?;
    let node = Build::new(tag).attr("jid", Jid::lid(account.lid.as_str()));
    Ok(match account.number_hidden {
        true => node,
        false => node.attr("phone_number", Jid::pn(phone)),
    })
}

/// The `<group>` of answers and notifications.
pub(super) fn group_node(state: &ServerState, group: &ServerGroup) -> Result<Node> {
    let owner = Jid::lid(state.account(&group.creator)?.lid.as_str());
    let mut parts = Vec::with_capacity(group.members.len() + 8);
    for member in &group.members {
        let node = person(state, "participant", &member.phone)?;
        parts.push(match member.admin {
            true if member.phone == group.creator => node.attr("type", "superadmin").build(),
            true => node.attr("type", "admin").build(),
            false => node.build(),
        });
    }
    if let Some((number, text)) = &group.description {
        let body = Build::new("body").string_content(text.as_str()).build();
        let description = Build::new("description").attr("id", number.as_str());
        parts.push(description.children([body]).build());
    }
    let flags = [(group.announcement, "announcement"), (group.locked, "locked")];
    parts.extend(flags.iter().filter(|(on, _)| *on).map(|(_, tag)| Build::new(tag).build()));
    if group.rest.ephemeral > 0 {
        let expiration = group.rest.ephemeral.to_string();
        parts.push(Build::new("ephemeral").attr("expiration", expiration).build());
    }
    parts.push(add_mode(group.rest.only_admins_add));
    if group.rest.approval {
        parts.push(approval(true));
    }
    let node = Build::new("group")
        .attr("id", group.jid.user.as_str())
        .attr("subject", group.subject.as_str())
        .attr("s_t", group.created.to_string())
        .attr("s_o", &owner)
        .attr("creation", group.created.to_string())
        .attr("creator", &owner)
        .attr("creator_pn", Jid::pn(group.creator.as_str()))
        .attr("size", group.members.len().to_string())
        .attr("addressing_mode", "lid");
    Ok(node.apply_content(Some(NodeContent::Nodes(parts))).build())
}

/// Who may add members: bytes, as WhatsApp sends it.
pub(super) fn add_mode(only_admins: bool) -> Node {
    let word = if only_admins { "admin_add" } else { "all_member_add" };
    Build::new("member_add_mode").bytes(word.as_bytes().to_vec()).build()
}

/// Whether admins have to let new members in.
pub(super) fn approval(on: bool) -> Node {
    let state = if on { "on" } else { "off" };
    let join = Build::new("group_join").attr("state", state).build();
    Build::new("membership_approval_mode").children([join]).build()
}
