//! Who is online and who is typing. Nothing here is queued: a device that is not connected misses it.

use anyhow::Result;
use whatsapp_rust::wacore_binary::{Jid, NodeRef};

use crate::{
    hub::Hub,
    record::{SeenPresence, SeenTyping},
    state::{DeviceKey, ServerState},
    wire::{Build, attr, children, jid_attr, need_jid, now_seconds},
};

/// Devices that may watch one account. When full a further watcher is ignored.
const WATCHERS_MAX: usize = 10_000;

/// Online, offline, or a wish to be notified about somebody.
pub(crate) fn take(hub: &Hub, who: &DeviceKey, stanza: &NodeRef<'_>) -> Result<()> {
    let mut state = hub.state();
    // Without a type it means online.
    match attr(stanza, "type").as_deref().or(Some("available")) {
        Some("subscribe") => {
            let watched = jid_attr(stanza, "to").and_then(|jid| state.phone_of(&jid));
            if let Some(watched) = watched {
                let watchers = &mut state.account_mut(&watched)?.watchers;
                if watchers.len() < WATCHERS_MAX {
                    watchers.insert(who.clone());
                }
            }
        }
        Some("unsubscribe") => {
            let watched = jid_attr(stanza, "to").and_then(|jid| state.phone_of(&jid));
            if let Some(watched) = watched {
                state.account_mut(&watched)?.watchers.remove(who);
            }
        }
        Some(kind @ ("available" | "unavailable")) => {
            if let Some(name) = attr(stanza, "name") {
                state.account_mut(&who.phone)?.name = name;
            }
            let mut presence = Build::new("presence").attr("from", Jid::pn(who.phone.as_str()));
            if kind == "unavailable" {
                presence =
                    presence.attr("type", "unavailable").attr("last", now_seconds().to_string());
            }
            let presence = presence.build();
            for watcher in &state.account(&who.phone)?.watchers {
                if let Some(link) = state.link_of(watcher) {
                    link.send(presence.clone());
                }
            }
            hub.recorder.presence(SeenPresence {
                phone: who.phone.clone(),
                device: who.device,
                state: kind.to_owned(),
            });
        }
        // Only the name: it says nothing of being online.
        None if attr(stanza, "name").is_some() => {
            let name = attr(stanza, "name").unwrap_or_default();
            state.account_mut(&who.phone)?.name = name;
            hub.changed();
        }
        other => hub.recorder.unknown(format!("<presence> {other:?}")),
    }
    Ok(())
}

/// Typing, recording, or neither.
pub(crate) fn typing(hub: &Hub, who: &DeviceKey, stanza: &NodeRef<'_>) -> Result<()> {
    let to = need_jid(stanza, "to")?;
    let state = hub.state();
    let Some(phone) = state.phone_of(&to) else {
        return Ok(());
    };
    let from = state.address_like(&DeviceKey::new(&who.phone, 0), to.server);
    let shown = children(stanza).first();
    let state_shown = shown.map(|child| match attr(child, "media").as_deref() {
        Some("audio") => "recording".to_owned(),
        _ => child.tag.to_string(),
    });
    hub.recorder.typing(SeenTyping {
        from_phone: who.phone.clone(),
        from_device: who.device,
        to: to.to_string(),
        state: state_shown.unwrap_or_default(),
    });
    let copy = Build::new("chatstate")
        .attr("from", from)
        .children(children(stanza).iter().map(NodeRef::to_owned))
        .build();
    for link in state.links_of(&phone) {
        link.send(copy.clone());
    }
    Ok(())
}

/// A device logs in: what it watched before is over.
pub(super) fn begin(state: &mut ServerState, who: &DeviceKey) {
    for account in state.accounts.values_mut() {
        account.watchers.remove(who);
    }
}
