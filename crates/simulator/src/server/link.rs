//! One connection: handshake, login or registration, then stanzas in both directions until one side ends it.
//!
//! Reading and writing run side by side in one task, so a client that does not read cannot keep the server from
//! hearing its acknowledgements. What is to be written waits in a bounded channel (see `queue::LINK_MAX`).

use std::{sync::Arc, time::Duration};

use anyhow::{Context as _, Result};
use bytes::BytesMut;
use tokio::{net::TcpStream, sync::mpsc};
use tokio_util::sync::CancellationToken;
use whatsapp_rust::{
    wacore::{
        libsignal::protocol::KeyPair,
        xml::{DisplayableNode, DisplayableNodeRef},
    },
    wacore_binary::NodeRef,
};

use super::{
    calls, devices, login, pairing, presence,
    queue::{LINK_MAX, OutgoingStanza, SocketLink},
    receipts, relay, requests,
};
use crate::{
    frames::{FrameReader, FrameWriter, frames},
    hub::Hub,
    noise::{
        FrameOpener, Handshake, HandshakePattern, HandshakeResponder, HandshakeStep, StanzaSealer,
    },
    state::DeviceKey,
    wire::{attr, need_attr},
};

/// How long a client may leave waiting stanzas alone before they come without being asked for.
const UNASKED_AFTER: Duration = Duration::from_secs(2);
/// How long a client gets after an XX handshake before the first stanza. On a network without distance it would arrive
/// before slower clients have taken the new keys into use, and be lost.
const FIRST_FRAME_AFTER: Duration = Duration::from_millis(40);
/// How long a client may take from the first byte to the end of the handshake. The engine gives up after 20 s itself.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(20);

/// Whether a link lives on after a stanza.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum LinkFlow {
    Continue,
    /// Drop the connection at once, without goodbye.
    Drop,
}

/// Serves one connection to its end.
pub(super) async fn serve(hub: &Arc<Hub>, socket: TcpStream) -> Result<()> {
    let _ = socket.set_nodelay(true);
    let shaken = tokio::time::timeout(HANDSHAKE_TIMEOUT, shake_hands(hub, socket)).await;
    let shaken = shaken.context("the handshake took too long").and_then(|shaken| shaken);
    let (handshake, reader, mut writer) = match shaken {
        Ok(shaken) => shaken,
        Err(error) => {
            hub.recorder.refused(format!("a handshake: {error:#}"));
            return Err(error);
        }
    };
    let Handshake { mut sealer, opener, client_key, payload, pattern } = handshake;
    hub.recorder.handshake(pattern);
    let first_after = match pattern {
        HandshakePattern::Xx => FIRST_FRAME_AFTER,
        HandshakePattern::Ik => Duration::ZERO,
    };

    let (out, to_write) = mpsc::channel(LINK_MAX);
    let link = SocketLink { id: hub.next_link(), out, cut: CancellationToken::new() };
    let who = match login::admit(hub, &link, client_key, payload)? {
        login::LoginOutcome::Device(key) => Some(key),
        login::LoginOutcome::Unpaired => None,
        login::LoginOutcome::Refused(failure) => {
            tokio::time::sleep(first_after).await;
            writer.send(&sealer.seal(&failure)?).await?;
            writer.close().await;
            return Ok(());
        }
    };
    let ended = tokio::select! {
        () = link.cut.cancelled() => Ok(None),
        read = read(hub, &link, who.as_ref(), reader, opener) => read.map(|()| None),
        written = write(hub, who.as_ref(), first_after, to_write, writer, sealer) => written.map(Some),
    };
    login::leave(hub, &link, who.as_ref());
    if let Some(writer) = ended? {
        // Closing reads the socket until the client's goodbye and drops what else comes. So nobody may read frames
        // beside it: each dropped frame would be missing in the count that the next one is opened with.
        writer.close().await;
    }
    Ok(())
}

async fn shake_hands(
    hub: &Hub,
    socket: TcpStream,
) -> Result<(Handshake, FrameReader, FrameWriter)> {
    let (_request, socket) = tokio_websockets::ServerBuilder::new().accept(socket).await?;
    let (mut reader, mut writer) = frames(socket);
    let hello = reader.next().await?.context("closed before the hello")?;
    let ephemeral = KeyPair::generate(&mut rand::rng());
    let handshake = match HandshakeResponder::answer(&hub.identity, ephemeral, &hello)? {
        HandshakeStep::Done(reply, handshake) => {
            writer.send(&reply).await?;
            *handshake
        }
        HandshakeStep::More(reply, waiting) => {
            writer.send(&reply).await?;
            let finish = reader.next().await?.context("closed before the finish")?;
            waiting.finish(&finish)?
        }
    };
    Ok((handshake, reader, writer))
}

async fn read(
    hub: &Arc<Hub>,
    link: &SocketLink,
    who: Option<&DeviceKey>,
    mut reader: FrameReader,
    mut opener: FrameOpener,
) -> Result<()> {
    while let Some(frame) = next_frame(hub, who, &mut reader).await? {
        let node = opener.open(frame).inspect_err(|error| unreadable(hub, who, error))?;
        let stanza = node.get();
        tracing::trace!(target: "simulator::in", "{}", DisplayableNodeRef(stanza));
        if who.is_some_and(|who| hub.state().device_mut(who).is_err()) {
            // What a device that was taken off its account still had on its way.
            continue;
        }
        let flow = match who {
            Some(who) => take(hub, link, who, stanza),
            None => pairing::take(hub, link, stanza),
        };
        match flow {
            Ok(LinkFlow::Continue) => {}
            Ok(LinkFlow::Drop) => return Ok(()),
            Err(error) => {
                let name = requests::name_of(stanza);
                hub.recorder.unanswered(format!("{name}: {error:#}"));
            }
        }
    }
    Ok(())
}

/// The next frame; one that breaks the framing is recorded, a broken connection is not.
async fn next_frame(
    hub: &Hub,
    who: Option<&DeviceKey>,
    reader: &mut FrameReader,
) -> Result<Option<BytesMut>> {
    reader.next().await.inspect_err(|error| {
        if !error.is::<tokio_websockets::Error>() {
            unreadable(hub, who, error);
        }
    })
}

fn unreadable(hub: &Hub, who: Option<&DeviceKey>, error: &anyhow::Error) {
    let who = who.map_or_else(|| "an unpaired client".to_owned(), |who| who.pn().to_string());
    hub.recorder.unreadable(format!("{who}: {error:#}"));
}

/// Writes until the link is to be closed, and gives the writer back for the goodbye.
async fn write(
    hub: &Hub,
    who: Option<&DeviceKey>,
    mut first_after: Duration,
    mut to_write: mpsc::Receiver<OutgoingStanza>,
    mut writer: FrameWriter,
    mut sealer: StanzaSealer,
) -> Result<FrameWriter> {
    while let Some(OutgoingStanza { since, node }) = to_write.recv().await {
        let delay = match who {
            Some(who) => hub.faults.delay_of(&who.phone, who.device),
            None => hub.faults.delay_of_everybody(),
        };
        let delay = (delay + hub.latency).max(std::mem::take(&mut first_after));
        if !delay.is_zero() {
            // Counted from when it was handed over: a delay slows every stanza down, not one after the other.
            tokio::time::sleep_until(since + delay).await;
        }
        let Some(node) = node else {
            break;
        };
        tracing::trace!(target: "simulator::out", "{}", DisplayableNode(&node));
        writer.send(&sealer.seal(&node)?).await?;
    }
    Ok(writer)
}

/// Takes one stanza from a device that is logged in.
fn take(
    hub: &Arc<Hub>,
    link: &SocketLink,
    who: &DeviceKey,
    stanza: &NodeRef<'_>,
) -> Result<LinkFlow> {
    match stanza.tag.as_ref() {
        "iq" => request(hub, link, who, stanza)?,
        "message" => return relay::from_device(hub, link, who, stanza),
        "receipt" => {
            receipts::acknowledge(link, stanza)?;
            receipts::relay(hub, who, stanza)?;
        }
        "ack" => {
            let mut state = hub.state();
            if let Ok(device) = state.device_mut(who) {
                device.queue.acknowledge(stanza);
            }
        }
        "call" => calls::take(hub, link, who, stanza)?,
        "presence" => presence::take(hub, who, stanza)?,
        "chatstate" => presence::typing(hub, who, stanza)?,
        "ib" => ib(hub, link, who, stanza),
        other => hub.recorder.unknown(format!("<{other}>")),
    }
    Ok(LinkFlow::Continue)
}

fn request(hub: &Arc<Hub>, link: &SocketLink, who: &DeviceKey, stanza: &NodeRef<'_>) -> Result<()> {
    let kind = need_attr(stanza, "type")?;
    if kind == "result" || kind == "error" {
        return Ok(());
    }
    link.send(requests::answer(hub, who, stanza));
    if stanza.get_optional_child("active").is_some() {
        let mut state = hub.state();
        state.device_mut(who)?.queue.activate(link);
        drop(state);
        deliver_unasked(hub, link, who);
    }
    if stanza.get_optional_child("remove-companion-device").is_some() {
        devices::unlink(hub, who, devices::RemovedBy::Itself)?;
    }
    Ok(())
}

/// Not every client asks for what waits.
fn deliver_unasked(hub: &Arc<Hub>, link: &SocketLink, who: &DeviceKey) {
    let (hub, link, who) = (hub.clone(), link.clone(), who.clone());
    let (stop, tasks) = (hub.stop.clone(), hub.tasks.clone());
    tasks.spawn(async move {
        let patience = tokio::time::sleep(UNASKED_AFTER);
        if stop.run_until_cancelled(patience).await.is_none() {
            return;
        }
        let mut state = hub.state();
        let Ok(device) = state.device_mut(&who) else {
            return;
        };
        if device.link.as_ref().is_some_and(|current| current.id == link.id) {
            hub.recorder.redelivered(device.queue.deliver_unasked(&link));
        }
    });
}

fn ib(hub: &Hub, link: &SocketLink, who: &DeviceKey, stanza: &NodeRef<'_>) {
    if let Some(batch) = stanza.get_optional_child("offline_batch") {
        let count = attr(batch, "count").and_then(|count| count.parse().ok());
        let redelivered = match hub.state().device_mut(who) {
            Ok(device) => device.queue.next_batch(count.unwrap_or(1), link),
            Err(_) => 0,
        };
        hub.recorder.redelivered(redelivered);
        return;
    }
    let known = ["unified_session"];
    for child in crate::wire::children(stanza) {
        if !known.contains(&child.tag.as_ref()) {
            hub.recorder.unknown(format!("<ib><{}>", child.tag));
        }
    }
}
