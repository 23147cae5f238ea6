//! What a person does about groups on the phone. It asks the server as a linked device would.

use anyhow::{Result, bail};
use whatsapp_rust::wacore_binary::{Jid, Node, NodeRef, Server};

use super::Account;
use crate::{
    server::{groups, requests},
    wire::{Build, attr, child, need_attr},
};

/// What a person does with members of a group.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MembersChange {
    /// Puts them into the group.
    Add,
    /// Takes them out of it.
    Remove,
    /// Makes them admins of it.
    Promote,
    /// Makes them plain members.
    Demote,
}

impl MembersChange {
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
    /// Makes a group with this person as its admin.
    pub async fn create_group(&self, subject: &str, members: &[&str]) -> Result<Jid> {
        let members: Vec<String> = members.iter().map(|phone| (*phone).to_owned()).collect();
        let jid = {
            let mut state = self.hub.state();
            groups::create(&self.hub, &mut state, &self.number, subject, &members)?
        };
        self.hub.changed();
        Ok(jid)
    }

    /// The invite code of a group.
    ///
    /// # Errors
    /// When the server refuses, for instance because there is no such group.
    pub async fn invite_code(&self, group: &Jid) -> Result<String> {
        let answer = self.ask("get", group.clone(), Build::new("invite").build())?;
        need_attr(child(&answer.as_node_ref(), "invite")?, "code")
    }

    /// Joins a group by its invite code. Whether this person is a member now.
    ///
    /// # Errors
    /// When no group has this code.
    pub async fn join_group(&self, code: &str) -> Result<bool> {
        let action = Build::new("invite").attr("code", code).build();
        let answer = self.ask("set", Jid::new("", Server::Group), action)?;
        Ok(answer.as_node_ref().get_optional_child("group").is_some())
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
        change: MembersChange,
        people: &[&str],
    ) -> Result<()> {
        let members = people
            .iter()
            .map(|phone| Build::new("participant").attr("jid", Jid::pn(*phone)).build());
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
