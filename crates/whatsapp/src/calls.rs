//! Calls: who rings, and how it ended.
//!
//! WhatsApp notifies a linked device of an offer, and later that it is over and why. Only a call that rang here has an
//! outcome; the word "terminate" also comes for calls that were never offered to this device.

use std::{
    collections::VecDeque,
    sync::{Mutex, MutexGuard, PoisonError},
};

use domain::{
    ChatId, Timestamp,
    chat::Identity,
    event::ChangeSource,
    port::{Call, CallMedia, CallOutcome, EngineError},
};
use whatsapp_rust::{
    Client, Jid, NodeBuilder, NodeFilter,
    lid_pn_cache::LearningSource,
    types::call::{CallAction, CallEndedElsewhere, ElsewhereOutcome, IncomingCall, MissedCall},
    wacore_binary::{JidExt as _, NodeRef, Server},
};

use crate::{failure, people};

/// Calls that ring at a time. When full the oldest is forgotten, and its end is not reported.
const RINGING_MAX: usize = 64;

/// The calls that ring.
#[derive(Default)]
pub(crate) struct RingingCalls {
    ringing: Mutex<VecDeque<RingingCall>>,
}

/// A call that rings, and where its refusal goes.
#[derive(Clone)]
struct RingingCall {
    call: Call,
    peer: Jid,
    creator: Jid,
}

impl RingingCalls {
    /// What a call stanza means for this account, if anything.
    pub async fn take(&self, client: &Client, call: &IncomingCall) -> Option<Call> {
        let timestamp = call.timestamp.timestamp();
        match &call.action {
            CallAction::Offer { call_id, caller_pn, is_video, group_jid, call_creator, .. } => {
                let group = group_jid.is_some() || call.group.is_some();
                let caller = group_jid.as_ref().unwrap_or(call_creator);
                let from = people::canonical(client, caller, caller_pn.as_ref()).await?;
                let rings = ringing(call_id, from, (*is_video, group), timestamp);
                self.rings(rings, &call.from, call_creator)
            }
            CallAction::OfferNotice { call_id, call_creator, is_video, is_group, .. } => {
                let from = people::canonical(client, &call.from, None).await?;
                let rings = ringing(call_id, from, (*is_video, *is_group), timestamp);
                self.rings(rings, &call.from, call_creator)
            }
            CallAction::Terminate { call_id, reason, .. } => {
                let outcome = match reason.as_deref() {
                    Some("accepted_elsewhere") => CallOutcome::Accepted,
                    Some("rejected_elsewhere") => CallOutcome::Rejected,
                    _ => CallOutcome::Missed,
                };
                self.ends(call_id, outcome, elsewhere(outcome, None), timestamp)
            }
            CallAction::Accept { call_id, .. } if people::is_own(client, &call.from) => {
                let source = elsewhere(CallOutcome::Accepted, Some(&call.from));
                self.ends(call_id, CallOutcome::Accepted, source, timestamp)
            }
            CallAction::Reject { call_id, reason, .. }
                if people::is_own(client, &call.from) && reason.as_deref() != Some("busy") =>
            {
                let source = elsewhere(CallOutcome::Rejected, Some(&call.from));
                self.ends(call_id, CallOutcome::Rejected, source, timestamp)
            }
            _ => None,
        }
    }

    /// A call that was over before this device heard of it.
    pub async fn missed(&self, client: &Client, call: &MissedCall) -> Option<Call> {
        let (id, at) = (call.call_id.as_str(), call.timestamp.timestamp());
        self.over(client, id, &call.from, CallOutcome::Missed, at).await
    }

    /// A call that another device of the account took or refused.
    pub async fn elsewhere(&self, client: &Client, call: &CallEndedElsewhere) -> Option<Call> {
        let outcome = match call.outcome {
            ElsewhereOutcome::Accepted => CallOutcome::Accepted,
            ElsewhereOutcome::Rejected => CallOutcome::Rejected,
            _ => return None,
        };
        self.over(client, &call.call_id, &call.from, outcome, call.timestamp.timestamp()).await
    }

    async fn over(
        &self,
        client: &Client,
        id: &str,
        from: &Jid,
        outcome: CallOutcome,
        timestamp: i64,
    ) -> Option<Call> {
        let source = elsewhere(outcome, None);
        if let Some(call) = self.ends(id, outcome, source, timestamp) {
            return Some(call);
        }
        let chat = people::canonical(client, from, None).await?;
        let rang = ringing(id, chat, (false, from.is_group()), timestamp);
        Some(Call { outcome: Some(outcome), source, ..rang })
    }

    /// Refuses a call that rings. When that could not be said, it rings on.
    pub async fn reject(
        &self,
        client: &Client,
        id: &str,
        now: Timestamp,
    ) -> Result<Option<Call>, EngineError> {
        let Some(ringing) = self.take_out(id) else { return Ok(None) };
        let said = client.voip().reject_call(id, &ringing.peer, &ringing.creator).await;
        if let Err(error) = said {
            self.put_back(ringing);
            return Err(failure::of_call(error));
        }
        let (outcome, source) = (Some(CallOutcome::Rejected), Some(ChangeSource::Api));
        Ok(Some(Call { outcome, source, timestamp: now.seconds(), ..ringing.call }))
    }

    /// `None` for a call that rings already: WhatsApp repeats offers.
    fn rings(&self, call: Call, peer: &Jid, creator: &Jid) -> Option<Call> {
        if self.calls().iter().any(|known| known.call.id == call.id) {
            return None;
        }
        let (peer, creator) = (peer.clone(), creator.clone());
        self.put_back(RingingCall { call: call.clone(), peer, creator });
        Some(call)
    }

    fn ends(
        &self,
        id: &str,
        outcome: CallOutcome,
        source: Option<ChangeSource>,
        timestamp: i64,
    ) -> Option<Call> {
        let RingingCall { call, .. } = self.take_out(id)?;
        Some(Call { timestamp, outcome: Some(outcome), source, ..call })
    }

    fn put_back(&self, ringing: RingingCall) {
        let mut calls = self.calls();
        if calls.len() >= RINGING_MAX {
            calls.pop_front();
        }
        calls.push_back(ringing);
    }

    fn take_out(&self, id: &str) -> Option<RingingCall> {
        let mut calls = self.calls();
        let index = calls.iter().position(|known| known.call.id == id)?;
        calls.remove(index)
    }

    fn calls(&self) -> MutexGuard<'_, VecDeque<RingingCall>> {
        self.ringing.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn ringing(id: &str, from: ChatId, (video, group): (bool, bool), timestamp: i64) -> Call {
    Call { id: id.to_owned(), from, video, group, timestamp, outcome: None, source: None }
}

/// On which device of the account a call was taken or refused. Where WhatsApp does not name it: the phone, on which
/// nearly all calls are taken.
fn elsewhere(outcome: CallOutcome, device: Option<&Jid>) -> Option<ChangeSource> {
    match (outcome, device) {
        (CallOutcome::Missed, _) => None,
        (_, Some(device)) if device.device != 0 => Some(ChangeSource::OtherDevice),
        _ => Some(ChangeSource::Phone),
    }
}

/// Asks WhatsApp for a link to a call.
pub(crate) async fn link(
    client: &Client,
    media: CallMedia,
    start: Timestamp,
) -> Result<String, EngineError> {
    let (word, path) = match media {
        CallMedia::Audio => ("audio", "voice"),
        CallMedia::Video => ("video", "video"),
    };
    let id = client.generate_message_id();
    let event = NodeBuilder::new("event").attr("start_time", start.seconds().to_string()).build();
    let create = NodeBuilder::new("link_create").attr("media", word).children([event]).build();
    let request = NodeBuilder::new("call")
        .attr("to", Jid::new("", Server::Call))
        .attr("id", id.as_str())
        .children([create])
        .build();
    let filter = NodeFilter::tag("ack").attr("class", "call").attr("id", id);
    let answer = client.wait_for_node(filter);
    client.send_node(request).await.map_err(failure::of_client)?;
    let answer = answer.await.map_err(|_| EngineError::Unanswered(None))?;
    let token = token(answer.get())?;
    Ok(format!("https://call.whatsapp.com/{path}/{token}"))
}

fn token(answer: &NodeRef<'_>) -> Result<String, EngineError> {
    let refused = |why: &str| EngineError::Refused(why.to_owned());
    if let Some(code) = answer.attrs().optional_string("error") {
        return Err(refused(&format!("no link was made (code {code})")));
    }
    let created = answer.get_optional_child("link_create");
    let token = created.and_then(|created| {
        let token = created.attrs().optional_string("token")?;
        (!token.is_empty()).then(|| token.to_string())
    });
    token.ok_or_else(|| refused("no link was made"))
}

/// An offer names its caller by both ids. The library does not keep the pair by itself.
pub(crate) async fn caller(client: &Client, call: &IncomingCall) -> Option<Identity> {
    let CallAction::Offer { call_creator, caller_pn: Some(number), .. } = &call.action else {
        return None;
    };
    let lid = people::chat_id(call_creator).filter(ChatId::is_lid)?;
    let phone = people::chat_id(number)?.phone()?;
    let kept =
        client.add_lid_pn_mapping(lid.user(), phone.digits(), LearningSource::PeerLidMessage);
    if let Err(error) = kept.await {
        tracing::debug!(%error, "the number of a caller was not kept");
    }
    Some(Identity { lid, phone })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn call(id: &str) -> Call {
        Call {
            id: id.into(),
            from: "5511990000042@c.us".parse().unwrap(),
            video: true,
            group: false,
            timestamp: 1,
            outcome: None,
            source: None,
        }
    }

    fn caller() -> Jid {
        Jid::pn("5511990000042")
    }

    fn rings(calls: &RingingCalls, id: &str) -> Option<Call> {
        calls.rings(call(id), &caller(), &caller())
    }

    #[test]
    fn a_call_rings_once_and_ends_once() {
        let calls = RingingCalls::default();
        assert!(rings(&calls, "A").is_some());
        assert!(rings(&calls, "A").is_none());
        let ended = calls.ends("A", CallOutcome::Missed, None, 2).unwrap();
        assert_eq!(ended, Call { timestamp: 2, outcome: Some(CallOutcome::Missed), ..call("A") });
        assert!(calls.ends("A", CallOutcome::Missed, None, 3).is_none());
    }

    #[test]
    fn the_oldest_of_too_many_is_forgotten() {
        let calls = RingingCalls::default();
        for number in 0..=RINGING_MAX {
            rings(&calls, &number.to_string());
        }
        assert!(calls.ends("0", CallOutcome::Missed, None, 2).is_none());
        assert!(calls.ends("1", CallOutcome::Missed, None, 2).is_some());
    }

    #[test]
    fn who_took_a_call_is_told_where_it_is_known() {
        let linked = Jid::pn_device("5511990000042", 7);
        let taken = CallOutcome::Accepted;
        assert_eq!(elsewhere(taken, Some(&linked)), Some(ChangeSource::OtherDevice));
        assert_eq!(elsewhere(taken, Some(&caller())), Some(ChangeSource::Phone));
        assert_eq!(elsewhere(taken, None), Some(ChangeSource::Phone));
        assert_eq!(elsewhere(CallOutcome::Missed, None), None);
    }

    #[test]
    fn a_link_needs_its_token() {
        let answer = |token: Option<&str>, error: Option<&str>| {
            let mut created = NodeBuilder::new("link_create").attr("media", "video");
            if let Some(token) = token {
                created = created.attr("token", token);
            }
            let mut ack = NodeBuilder::new("ack").attr("class", "call");
            if let Some(error) = error {
                ack = ack.attr("error", error);
            }
            ack.children([created.build()]).build()
        };
        assert_eq!(token(&answer(Some("AbC"), None).as_node_ref()).unwrap(), "AbC");
        for (given, error) in [(None, None), (Some(""), None), (Some("AbC"), Some("403"))] {
            assert!(token(&answer(given, error).as_node_ref()).is_err());
        }
    }
}
