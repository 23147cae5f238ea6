//! Prekeys: what devices upload, and the bundles others fetch.

use std::sync::Arc;

use anyhow::Result;
use whatsapp_rust::{
    wacore::prekeys::compute_key_bundle_digest,
    wacore_binary::{Node, NodeRef},
};

use crate::{
    hub::Hub,
    keys::{KeyBundle, SignedKey, one_time_from_node},
    state::{Device, DeviceKey, ServerState},
    wire::{
        Build, child, child_bytes, key32, need_jid, now_seconds, refusal, result, server_jid,
        three_bytes,
    },
};

/// One-time keys kept per device. The engine uploads 812 at a time; when full the oldest are forgotten.
const ONE_TIME_KEYS_MAX: usize = 4_096;
/// When a device's one-time keys sink to this number it is asked for more, as WhatsApp does.
const ONE_TIME_KEYS_LOW: usize = 10;
/// Marks Curve25519 keys in a digest.
const KEY_TYPE: u8 = 5;

/// Takes a bundle for somebody, and asks the device for more keys when few are left.
pub(crate) fn take_bundle(hub: &Hub, state: &mut ServerState, of: &DeviceKey) -> Option<KeyBundle> {
    let mut bundle = state.take_bundle(of)?;
    if hub.faults.spoils_keys(&of.phone, of.device)
        && let Some(byte) = bundle.signed.signature.first_mut()
    {
        *byte ^= 0xff;
    }
    hub.changed();
    let left = match state.device_mut(of) {
        Ok(device) => device.one_time.len(),
        Err(_) => return Some(bundle),
    };
    if left == ONE_TIME_KEYS_LOW {
        let notification = Build::new("notification")
            .attr("from", server_jid())
            .attr("type", "encrypt")
            .attr("id", hub.stanza_id())
            .attr("t", now_seconds())
            .children([Build::new("count").attr("value", left).build()])
            .build();
        hub.deliver(state, of, Arc::new(notification));
    }
    Some(bundle)
}

/// How many one-time keys the network still has of a device.
pub(super) fn count(hub: &Hub, id: &str, who: &DeviceKey) -> Result<Node> {
    let left = hub.state().device_mut(who)?.one_time.len();
    Ok(result(id).children([Build::new("count").attr("value", left).build()]).build())
}

/// What the network holds of a device, for the device to compare.
pub(super) fn digest(hub: &Hub, id: &str, who: &DeviceKey) -> Result<Node> {
    let mut state = hub.state();
    let device = state.device_mut(who)?;
    if device.one_time.is_empty() {
        return Ok(refusal(id, 404, "item-not-found"));
    }
    Ok(result(id).children([digest_of(device)]).build())
}

fn digest_of(device: &Device) -> Node {
    let keys: Vec<&[u8]> = device.one_time.iter().map(|key| &key.1[..]).collect();
    let hash = compute_key_bundle_digest(
        &device.identity,
        &device.signed.public,
        &device.signed.signature,
        &keys,
    );
    let ids = device.one_time.iter().map(|key| Build::new("id").bytes(three_bytes(key.0)).build());
    Build::new("digest")
        .children([
            Build::new("registration").bytes(device.registration_id.to_be_bytes().to_vec()).build(),
            Build::new("type").bytes(vec![KEY_TYPE]).build(),
            Build::new("identity").bytes(device.identity.to_vec()).build(),
            device.signed.to_node(),
            Build::new("list").children(ids).build(),
            Build::new("hash").bytes(hash).build(),
        ])
        .build()
}

/// Bundles of the devices a client wants to open sessions with.
pub(super) fn fetch(hub: &Hub, id: &str, request: &NodeRef<'_>) -> Result<Node> {
    let mut state = hub.state();
    let mut users = Vec::new();
    for user in child(request, "key")?.get_children_by_tag("user") {
        let jid = need_jid(user, "jid")?;
        let key = state.phone_of(&jid).map(|phone| DeviceKey::new(&phone, jid.device));
        let bundle = key.and_then(|key| take_bundle(hub, &mut state, &key));
        users.push(match bundle {
            Some(bundle) => bundle.to_user_node(&jid),
            None => Build::new("user")
                .attr("jid", &jid)
                .children([Build::new("error").attr("code", "406").build()])
                .build(),
        });
    }
    let list = Build::new("list").children(users).build();
    Ok(result(id).children([list]).build())
}

/// A device uploads its identity, signed key and one-time keys.
pub(super) fn upload(hub: &Hub, id: &str, who: &DeviceKey, request: &NodeRef<'_>) -> Result<Node> {
    let mut state = hub.state();
    let device = state.device_mut(who)?;
    device.identity = key32(&child_bytes(request, "identity")?)?;
    device.signed = SignedKey::from_node(child(request, "skey")?)?;
    for key in child(request, "list")?.get_children_by_tag("key") {
        let (key_id, public) = one_time_from_node(key)?;
        device.one_time.retain(|known| known.0 != key_id);
        device.one_time.push_back((key_id, public));
    }
    while device.one_time.len() > ONE_TIME_KEYS_MAX {
        device.one_time.pop_front();
    }
    hub.changed();
    Ok(result(id).build())
}

/// A device replaces its signed key.
pub(super) fn rotate(hub: &Hub, id: &str, who: &DeviceKey, request: &NodeRef<'_>) -> Result<Node> {
    let signed = SignedKey::from_node(child(child(request, "rotate")?, "skey")?)?;
    hub.state().device_mut(who)?.signed = signed;
    hub.changed();
    Ok(result(id).build())
}
