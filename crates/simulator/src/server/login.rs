//! Who is on a link: a device of an account, or a client that wants to become one.

use anyhow::{Context as _, Result};
use whatsapp_rust::{
    wacore_binary::{Jid, Node},
    waproto::whatsapp as wa,
};

use super::{pairing, presence, queue::SocketLink};
use crate::{
    hub::Hub,
    state::DeviceKey,
    wire::{Build, now_seconds, stream_error},
};

/// A device this account does not have, or no longer has.
const REASON_LOGGED_OUT: u16 = 401;
/// A temporary ban, which carries a sub-reason and a duration.
const REASON_BANNED: u16 = 402;

/// What became of a login.
pub(super) enum LoginOutcome {
    Device(DeviceKey),
    Unpaired,
    /// The stanza to send before closing.
    Refused(Node),
}

/// Decides about a client by its Noise key and its first payload, and attaches the link to its device.
pub(super) fn admit(
    hub: &Hub,
    link: &SocketLink,
    client_key: [u8; 32],
    payload: wa::ClientPayload,
) -> Result<LoginOutcome> {
    let (Some(user), Some(device)) = (payload.username, payload.device) else {
        let registration = payload
            .device_pairing_data
            .into_option()
            .context("neither a login nor a registration")?;
        pairing::begin(hub, link, client_key, &registration)?;
        return Ok(LoginOutcome::Unpaired);
    };
    let who = DeviceKey::new(&user.to_string(), u16::try_from(device)?);
    let refused = |reason: u16| {
        hub.recorder.refused(format!("the login of {} with {reason}", who.pn()));
        Ok(LoginOutcome::Refused(failure(reason)))
    };
    if let Some(reason) = hub.faults.refusal_of_login(&who.phone) {
        return refused(reason);
    }
    let mut state = hub.state();
    let known = state.device_mut(&who).is_ok_and(|device| device.noise_key == client_key);
    if !known {
        return refused(REASON_LOGGED_OUT);
    }
    let lid = Jid::lid_device(state.account(&who.phone)?.lid.as_str(), who.device);
    let device = state.device_mut(&who)?;
    device.queue.silence();
    if let Some(older) = device.link.replace(link.clone()) {
        older.send(stream_error(None, Some("replaced")));
        older.close();
    }
    presence::begin(&mut state, &who);
    link.send(
        Build::new("success")
            .attr("t", now_seconds())
            .attr("lid", lid)
            .attr("props", "27")
            .attr("companion_enc_static", "")
            .attr("location", "sim")
            .build(),
    );
    Ok(LoginOutcome::Device(who))
}

fn failure(reason: u16) -> Node {
    let failure = Build::new("failure").attr("reason", reason.to_string()).attr("location", "sim");
    match reason {
        REASON_BANNED => failure.attr("code", "101").attr("expire", "3600").build(),
        _ => failure.build(),
    }
}

/// Detaches a link that has ended, unless a newer one has taken its place.
pub(super) fn leave(hub: &Hub, link: &SocketLink, who: Option<&DeviceKey>) {
    let mut state = hub.state();
    state.pairings.forget_link(link.id);
    hub.passkeys.forget_link(link.id);
    let Some(device) = who.and_then(|who| state.device_mut(who).ok()) else {
        return;
    };
    if device.link.as_ref().is_some_and(|current| current.id == link.id) {
        device.link = None;
        device.queue.silence();
    }
}
