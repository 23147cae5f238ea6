//! What a person does about groups on the phone. It asks the server as a linked device would.

use anyhow::{Context as _, Result, bail};
use whatsapp_rust::wacore_binary::{Jid, Node, NodeRef, Server};

use super::Account;
use crate::{
    server::requests,
    wire::{Build, attr, child, jid_attr, need_attr},
};

/// What a person does with members of a group.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MemberChange {
    /// Puts them into the group.
    Add,
    /// Takes them out of it.
    Remove,
    /// Makes them admins.
    Promote,
    /// Makes them plain members.
    Demote,
}

impl MemberChange {
    /// Reads the word of the control surface.
    pub fn parse(word: &str) -> Option<Self> {
        Some(match word {
            "add" => Self::Add,
            "remove" => Self::Remove,
            "promote" => Self::Promote,
            "demote" => Self::Demote,
            _ => return None,
        })
    }

    const fn tag(self) -> &'static str {
        match self {
            Self::Add => "add",
            Self::Remove => "remove",
            Self::Promote => "promote",
            Self::Demote => "demote",
        }
    }
}

impl Account {
    /// The invite code of a group.
    ///
    /// # Errors
    /// When the server refuses, for instance because there is no such group.
    pub async fn invite_code(&self, group: &Jid) -> Result<String> {
        let answer = self.ask("get", group.clone(), Build::new("invite").build())?;
        need_attr(child(&answer.as_node_ref(), "invite")?, "code")
    }

    /// Joins a group by its invite code, or by the link that ends in it.
    ///
    /// # Errors
    /// When no group has this code.
    pub async fn join_group(&self, invite: &str) -> Result<Jid> {
        let code = invite.rsplit('/').next().unwrap_or(invite);
        let action = Build::new("invite").attr("code", code).build();
        let answer = self.ask("set", Jid::new("", Server::Group), action)?;
        let answer = answer.as_node_ref();
        jid_attr(child(&answer, "group")?, "jid").context("a group without an address")
    }

    /// Leaves a group.
    ///
    /// # Errors
    /// When the server refuses.
    pub async fn leave_group(&self, group: &Jid) -> Result<()> {
        let which = Build::new("group").attr("id", group).build();
        let action = Build::new("leave").children([which]).build();
        self.ask("set", Jid::new("", Server::Group), action).map(|_| ())
    }

    /// Changes who is in a group, and who leads it.
    ///
    /// # Errors
    /// When the server refuses.
    pub async fn change_members(
        &self,
        group: &Jid,
        change: MemberChange,
        phones: &[String],
    ) -> Result<()> {
        let members = phones
            .iter()
            .map(|phone| Build::new("participant").attr("jid", Jid::pn(phone.as_str())).build());
        let action = Build::new(change.tag()).children(members.collect::<Vec<_>>()).build();
        self.ask("set", group.clone(), action).map(|_| ())
    }

    fn ask(&self, kind: &str, to: Jid, action: Node) -> Result<Node> {
        let request = Build::new("iq")
            .attr("id", self.hub.stanza_id())
            .attr("xmlns", "w:g2")
            .attr("type", kind)
            .attr("to", to)
            .children([action])
            .build();
        let answer = requests::answer(&self.hub, &self.key(), &request.as_node_ref());
        let node = answer.as_node_ref();
        if attr(&node, "type").as_deref() == Some("error") {
            let error = child(&node, "error").ok().map(describe).unwrap_or_default();
            bail!("the server refuses: {error}");
        }
        Ok(answer)
    }
}

fn describe(error: &NodeRef<'_>) -> String {
    let word = |name: &str| attr(error, name).unwrap_or_default();
    format!("{} {}", word("code"), word("text"))
}
