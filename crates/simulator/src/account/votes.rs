//! Reading the votes a phone received.

use anyhow::{Context as _, Result};
use whatsapp_rust::{
    wacore::{poll, proto_helpers::MessageExt as _},
    wacore_binary::Jid,
};

use super::Account;
use crate::phone::ReceivedMessage;

impl Account {
    /// The options a received vote chooses, in the poll's order.
    ///
    /// # Errors
    /// When the message is no vote, the phone does not know the poll, or no address of the two opens it.
    pub fn vote_of(&self, received: &ReceivedMessage) -> Result<Vec<String>> {
        let base = received.message.get_base_message();
        let update = base.poll_update_message.as_option().context("this is no vote")?;
        let vote = update.vote.as_option().context("a vote without content")?;
        let payload = vote.enc_payload.as_deref().context("a vote without content")?;
        let iv = vote.enc_iv.as_deref().context("a vote without iv")?;
        let id = received.target().context("a vote on nothing")?;
        let known = self.phone.polls.get(&id).context("the phone knows no such poll")?;
        for creator in self.addresses(&known.creator)? {
            for voter in self.addresses(&received.from_phone)? {
                let ciphertext = poll::PollVoteCiphertext { enc_payload: payload, enc_iv: iv };
                let opened = poll::decrypt_poll_vote_with_secret(
                    ciphertext,
                    &known.secret,
                    &id,
                    &creator,
                    &voter,
                );
                if let Ok(hashes) = opened {
                    let chosen = |option: &&String| {
                        hashes.contains(&poll::compute_option_hash(option).to_vec())
                    };
                    return Ok(known.options.iter().filter(chosen).cloned().collect());
                }
            }
        }
        anyhow::bail!("the vote cannot be opened")
    }

    fn addresses(&self, phone: &str) -> Result<[String; 2]> {
        let lid = self.hub.state().account(phone)?.lid.clone();
        Ok([Jid::pn(phone).to_string(), Jid::lid(lid).to_string()])
    }
}
