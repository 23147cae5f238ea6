//! Calls: only their signalling, there is nothing to hear.

use std::sync::Arc;

use anyhow::{Context as _, Result};
use whatsapp_rust::wacore_binary::Jid;

use super::Account;
use crate::{
    state::DeviceKey,
    wire::{Build, now_seconds},
};

/// How a call ends for the devices that still ring.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CallEnd {
    /// The caller gave up, or nobody came.
    Unanswered,
    /// It was taken on another device.
    AcceptedElsewhere,
    /// It was refused on another device.
    RejectedElsewhere,
}

impl Account {
    /// Rings every linked device of another account. Returns the call's id.
    pub async fn call(&self, to_phone: &str, video: bool) -> Result<String> {
        let id = self.hub.message_id();
        let me = Jid::lid(self.lid.as_str());
        let mut offer = Build::new("offer")
            .attr("call-id", id.as_str())
            .attr("call-creator", &me)
            .attr("caller_pn", Jid::pn(self.number.as_str()));
        let mut content =
            vec![Build::new("audio").attr("enc", "opus").attr("rate", "16000").build()];
        if video {
            content.push(Build::new("video").attr("enc", "vp8").build());
        }
        offer = offer.children(content);
        self.signal_call(to_phone, offer)?;
        Ok(id)
    }

    /// Ends a call that rings.
    pub async fn end_call(&self, to_phone: &str, id: &str, end: CallEnd) -> Result<()> {
        let mut terminate = Build::new("terminate")
            .attr("call-id", id)
            .attr("call-creator", Jid::lid(self.lid.as_str()));
        terminate = match end {
            CallEnd::Unanswered => terminate,
            CallEnd::AcceptedElsewhere => terminate.attr("reason", "accepted_elsewhere"),
            CallEnd::RejectedElsewhere => terminate.attr("reason", "rejected_elsewhere"),
        };
        self.signal_call(to_phone, terminate)
    }

    fn signal_call(&self, to_phone: &str, action: Build) -> Result<()> {
        let stanza = Build::new("call")
            .attr("from", Jid::lid(self.lid.as_str()))
            .attr("id", self.hub.stanza_id())
            .attr("t", now_seconds())
            .attr("notify", self.name.as_str())
            .children([action.build()])
            .build();
        let stanza = Arc::new(stanza);
        let mut state = self.hub.state();
        let account = state.account(to_phone).context("nobody to call")?;
        let devices: Vec<u16> = account.devices.keys().copied().collect();
        for device in devices {
            let device = DeviceKey::new(to_phone, device);
            self.hub.deliver(&mut state, &device, stanza.clone());
        }
        Ok(())
    }
}
