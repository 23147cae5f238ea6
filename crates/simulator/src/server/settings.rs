//! Settings a client synchronises: experiment properties, privacy, the account's shared app state; and where media go.

use std::sync::Arc;

use anyhow::Result;
use whatsapp_rust::{
    buffa::{Message as _, MessageField},
    wacore_binary::{Jid, Node, NodeRef},
    waproto::whatsapp as wa,
};

use crate::{
    app_state,
    hub::Hub,
    record::AppStateChange,
    state::{AppKey, DeviceKey, PATCHES_MAX, ServerState},
    wire::{Build, attr, child, child_bytes, need_attr, now_seconds, result},
};

/// Privacy settings every account here has: everything visible to everybody.
const PRIVACY: [&str; 7] =
    ["last", "online", "profile", "status", "groupadd", "readreceipts", "calladd"];

/// The settings of experiments: there are none.
pub(super) fn props(id: &str) -> Node {
    let props = Build::new("props")
        .attr("protocol", "1")
        .attr("ab_key", "sim")
        .attr("hash", "simhash")
        .attr("refresh", "86400")
        .attr("refresh_id", "1");
    result(id).children([props.build()]).build()
}

/// Privacy settings, or the acceptance of a change or of a contact token: neither is kept.
pub(super) fn privacy(id: &str, kind: &str) -> Node {
    if kind != "get" {
        return result(id).build();
    }
    let categories =
        PRIVACY.map(|name| Build::new("category").attr("name", name).attr("value", "all").build());
    let privacy = Build::new("privacy").children(categories).build();
    result(id).children([privacy]).build()
}

/// The one media host, or those that a test names.
pub(super) fn media_hosts(hub: &Hub, id: &str) -> Node {
    let names = hub.faults.media_hosts().unwrap_or_else(|| vec![hub.media.host().to_owned()]);
    let hosts = names.iter().map(|name| {
        Build::new("host")
            .attr("hostname", name.as_str())
            .attr("type", "primary")
            .children([Build::new("upload").build(), Build::new("download").build()])
            .build()
    });
    let hosts = Build::new("media_conn")
        .attr("auth", "simauth")
        .attr("ttl", "3600")
        .attr("auth_ttl", "21600")
        .attr("max_buckets", "12")
        .children(hosts.collect::<Vec<_>>());
    result(id).children([hosts.build()]).build()
}

/// Takes or gives patches of the shared app state. The network cannot read them: it numbers them, hands them on, and
/// notifies the account's other devices that there is something new.
pub(super) fn app_state(
    hub: &Hub,
    id: &str,
    who: &DeviceKey,
    request: &NodeRef<'_>,
) -> Result<Node> {
    let mut state = hub.state();
    let account = state.account_mut(&who.phone)?;
    let key = account.app_key;
    let store = &mut account.app_state;
    let mut answers = Vec::new();
    let mut changed = Vec::new();
    for collection in child(request, "sync")?.get_children_by_tag("collection") {
        let name = need_attr(collection, "name")?;
        let known = attr(collection, "version").and_then(|version| version.parse().ok());
        let known: usize = known.unwrap_or_default();
        let patches = store.entry(name.clone()).or_default();
        let answer = Build::new("collection").attr("name", name.as_str());
        let Ok(patch) = child_bytes(collection, "patch") else {
            answers.push(newer(answer, patches, known, None));
            continue;
        };
        if known != patches.len() || patches.len() >= PATCHES_MAX {
            // The client knows an older state: it takes the newer patches and tries again.
            let conflict = Build::new("error").attr("code", "409").build();
            let answer = answer.attr("type", "error");
            answers.push(newer(answer, patches, known, Some(conflict)));
            continue;
        }
        let mut patch = wa::SyncdPatch::decode_from_slice(&patch)?;
        let version = patches.len() as u64 + 1;
        patch.version = MessageField::some(wa::SyncdVersion { version: Some(version) });
        note_marks(hub, who, &key, &name, patches, &patch);
        patches.push(patch.encode_to_vec());
        let answer = answer.attr("version", version.to_string()).build();
        changed.push(answer.clone());
        answers.push(answer);
    }
    if !changed.is_empty() {
        announce(hub, &mut state, who, changed)?;
    }
    let sync = Build::new("sync").children(answers).build();
    Ok(result(id).children([sync]).build())
}

/// The phone, which has the key, reads what a device changed. A change that it cannot read is a fault of the device.
fn note_marks(
    hub: &Hub,
    who: &DeviceKey,
    key: &AppKey,
    collection: &str,
    known: &[Vec<u8>],
    patch: &wa::SyncdPatch,
) {
    match app_state::read(key, collection, known, patch) {
        Ok(marks) => {
            for (index, value) in marks {
                hub.recorder.mark(AppStateChange {
                    phone: who.phone.clone(),
                    device: who.device,
                    collection: collection.to_owned(),
                    index,
                    value,
                });
            }
        }
        Err(error) => hub.recorder.unanswered(format!("a patch of {collection}: {error:#}")),
    }
}

/// A change that a person makes on the phone.
pub(crate) fn mark_from_phone(
    hub: &Hub,
    state: &mut ServerState,
    who: &DeviceKey,
    collection: &str,
    write: impl FnOnce(&AppKey, &[Vec<u8>]) -> Result<wa::SyncdPatch>,
) -> Result<()> {
    let account = state.account_mut(&who.phone)?;
    let key = account.app_key;
    let patches = account.app_state.entry(collection.to_owned()).or_default();
    let patch = write(&key, patches)?;
    patches.push(patch.encode_to_vec());
    let changed = Build::new("collection")
        .attr("name", collection)
        .attr("version", patches.len().to_string())
        .build();
    announce(hub, state, who, vec![changed])
}

fn announce(hub: &Hub, state: &mut ServerState, who: &DeviceKey, changed: Vec<Node>) -> Result<()> {
    let notification = Build::new("notification")
        .attr("from", Jid::pn(who.phone.as_str()))
        .attr("type", "server_sync")
        .attr("id", hub.stanza_id())
        .attr("t", now_seconds())
        .children(changed)
        .build();
    let notification = Arc::new(notification);
    let devices: Vec<u16> = state.account(&who.phone)?.devices.keys().copied().collect();
    for device in devices.into_iter().filter(|device| *device != who.device) {
        hub.deliver(state, &DeviceKey::new(&who.phone, device), notification.clone());
    }
    hub.changed();
    Ok(())
}

/// A collection with the patches a client does not know, after an error if there is one.
fn newer(answer: Build, patches: &[Vec<u8>], known: usize, error: Option<Node>) -> Node {
    let mut parts: Vec<Node> = error.into_iter().collect();
    let newer: Vec<Node> = patches
        .iter()
        .skip(known)
        .map(|patch| Build::new("patch").bytes(patch.clone()).build())
        .collect();
    if !newer.is_empty() {
        parts.push(Build::new("patches").children(newer).build());
    }
    let answer = answer.attr("version", patches.len().to_string());
    match parts.is_empty() {
        true => answer.build(),
        false => answer.children(parts).build(),
    }
}
