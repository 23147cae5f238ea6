//! Calls: who rings, and how it ended.
//!
//! WhatsApp notifies a linked device of an offer, and later that it is over and why. Only a call that rang here has an
//! outcome; the word "terminate" also comes for calls that were never offered to this device.

use std::{
    collections::VecDeque,
    sync::{Mutex, PoisonError},
};

use domain::{
    ChatId,
    chat::Identity,
    port::{Call, CallOutcome},
};
use whatsapp_rust::{
    Client, Jid,
    lid_pn_cache::LearningSource,
    types::call::{CallAction, CallEndedElsewhere, ElsewhereOutcome, IncomingCall, MissedCall},
    wacore_binary::JidExt as _,
};

use crate::people;

/// Calls that ring at a time. When full the oldest is forgotten, and its end is not reported.
const RINGING_MAX: usize = 64;

/// The calls that ring.
#[derive(Default)]
pub(crate) struct RingingCalls {
    ringing: Mutex<VecDeque<Call>>,
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
                let id = call_id.clone();
                self.rings(Call { id, from, video: *is_video, group, timestamp, outcome: None })
            }
            CallAction::OfferNotice { call_id, is_video, is_group, .. } => {
                let from = people::canonical(client, &call.from, None).await?;
                self.rings(Call {
                    id: call_id.clone(),
                    from,
                    video: *is_video,
                    group: *is_group,
                    timestamp,
                    outcome: None,
                })
            }
            CallAction::Terminate { call_id, reason, .. } => {
                let outcome = match reason.as_deref() {
                    Some("accepted_elsewhere") => CallOutcome::Accepted,
                    Some("rejected_elsewhere") => CallOutcome::Rejected,
                    _ => CallOutcome::Missed,
                };
                self.ends(call_id, outcome, timestamp)
            }
            CallAction::Accept { call_id, .. } if people::is_own(client, &call.from) => {
                self.ends(call_id, CallOutcome::Accepted, timestamp)
            }
            CallAction::Reject { call_id, reason, .. }
                if people::is_own(client, &call.from) && reason.as_deref() != Some("busy") =>
            {
                self.ends(call_id, CallOutcome::Rejected, timestamp)
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
        if let Some(call) = self.ends(id, outcome, timestamp) {
            return Some(call);
        }
        let chat = people::canonical(client, from, None).await?;
        let (group, id) = (from.is_group(), id.to_owned());
        Some(Call { id, from: chat, video: false, group, timestamp, outcome: Some(outcome) })
    }

    /// `None` for a call that rings already: WhatsApp repeats offers.
    fn rings(&self, call: Call) -> Option<Call> {
        let mut ringing = self.ringing.lock().unwrap_or_else(PoisonError::into_inner);
        if ringing.iter().any(|known| known.id == call.id) {
            return None;
        }
        if ringing.len() >= RINGING_MAX {
            ringing.pop_front();
        }
        ringing.push_back(call.clone());
        Some(call)
    }

    fn ends(&self, id: &str, outcome: CallOutcome, timestamp: i64) -> Option<Call> {
        let mut ringing = self.ringing.lock().unwrap_or_else(PoisonError::into_inner);
        let index = ringing.iter().position(|call| call.id == id)?;
        let call = ringing.remove(index)?;
        Some(Call { timestamp, outcome: Some(outcome), ..call })
    }
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
        }
    }

    #[test]
    fn a_call_rings_once_and_ends_once() {
        let calls = RingingCalls::default();
        assert!(calls.rings(call("A")).is_some());
        assert!(calls.rings(call("A")).is_none());
        let ended = calls.ends("A", CallOutcome::Missed, 2).unwrap();
        assert_eq!(ended, Call { timestamp: 2, outcome: Some(CallOutcome::Missed), ..call("A") });
        assert!(calls.ends("A", CallOutcome::Missed, 3).is_none());
    }

    #[test]
    fn the_oldest_of_too_many_is_forgotten() {
        let calls = RingingCalls::default();
        for number in 0..=RINGING_MAX {
            calls.rings(call(&number.to_string()));
        }
        assert!(calls.ends("0", CallOutcome::Missed, 2).is_none());
        assert!(calls.ends("1", CallOutcome::Missed, 2).is_some());
    }
}
