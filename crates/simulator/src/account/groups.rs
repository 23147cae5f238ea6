//! What a person does with groups on the phone. The phone asks the server as any device does, so every rule holds.

use anyhow::{Context as _, Result, bail};
use whatsapp_rust::wacore_binary::{Jid, Node, Server};

use super::Account;
use crate::{
    server::groups,
    wire::{Build, attr, child},
};

/// A change of a group's members, by its admins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MembersChange {
    /// They come in.
    Add,
    /// They are put out.
    Remove,
    /// They become admins.
    Promote,
    /// They are admins no more.
    Demote,
}

/// A setting of a group.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PhoneGroupSetting<'s> {
    /// The name of the group.
    Subject(&'s str),
    /// The text under the name; an empty one removes it.
    Description(&'s str),
    /// Whether only admins write.
    Announce(bool),
    /// Whether only admins change name, description and picture.
    Locked(bool),
    /// After how many seconds messages disappear; 0 means never.
    Ephemeral(u32),
    /// Whether only admins add members.
    OnlyAdminsAdd(bool),
    /// Whether admins have to let new members in.
    Approval(bool),
}

impl Account {
    /// Makes a group with this person as its admin.
    pub async fn create_group(&self, subject: &str, members: &[&str]) -> Result<Jid> {
        let members: Vec<String> = members.iter().map(|phone| (*phone).to_owned()).collect();
        let jid = {
            let mut state = self.hub.state();
            groups::create(&self.hub, &mut state, &self.number, subject, &members)?.0
        };
        self.hub.changed();
        Ok(jid)
    }

    /// Changes who is in a group, or who rules it.
    ///
    /// # Errors
    /// When the server refuses all of it. Who of them was refused alone is not told.
    pub async fn change_members(
        &self,
        group: &Jid,
        change: MembersChange,
        people: &[&str],
    ) -> Result<()> {
        let people = people.iter();
        let people =
            people.map(|phone| Build::new("participant").attr("jid", Jid::pn(*phone)).build());
        let action = Build::new(match change {
            MembersChange::Add => "add",
            MembersChange::Remove => "remove",
            MembersChange::Promote => "promote",
            MembersChange::Demote => "demote",
        });
        self.ask("set", group, action.children(people).build()).map(drop)
    }

    /// Changes a setting of a group.
    pub async fn set_group(&self, group: &Jid, setting: PhoneGroupSetting<'_>) -> Result<()> {
        let flag = |on: bool, yes: &'static str, no: &'static str| {
            Build::new(if on { yes } else { no }).build()
        };
        let action = match setting {
            PhoneGroupSetting::Subject(text) => Build::new("subject").string_content(text).build(),
            PhoneGroupSetting::Description(text) => self.description(group, text),
            PhoneGroupSetting::Announce(on) => flag(on, "announcement", "not_announcement"),
            PhoneGroupSetting::Locked(on) => flag(on, "locked", "unlocked"),
            PhoneGroupSetting::Ephemeral(0) => Build::new("not_ephemeral").build(),
            PhoneGroupSetting::Ephemeral(seconds) => {
                Build::new("ephemeral").attr("expiration", seconds.to_string()).build()
            }
            PhoneGroupSetting::OnlyAdminsAdd(on) => {
                let word = if on { "admin_add" } else { "all_member_add" };
                Build::new("member_add_mode").string_content(word).build()
            }
            PhoneGroupSetting::Approval(on) => {
                let state = if on { "on" } else { "off" };
                let join = Build::new("group_join").attr("state", state).build();
                Build::new("membership_approval_mode").children([join]).build()
            }
        };
        self.ask("set", group, action).map(drop)
    }

    fn description(&self, group: &Jid, text: &str) -> Node {
        let state = self.hub.state();
        let known = state.groups.get(&group.to_string());
        let known = known.and_then(|group| group.description.as_ref());
        let mut node = Build::new("description").attr("id", self.hub.stanza_id());
        if let Some((id, _)) = known {
            node = node.attr("prev", id.as_str());
        }
        match text {
            "" => node.attr("delete", "true").build(),
            text => node.children([Build::new("body").string_content(text).build()]).build(),
        }
    }

    /// Gives a group a picture, or takes it away.
    pub async fn set_group_picture(&self, group: &Jid, picture: Option<Vec<u8>>) -> Result<()> {
        let mut state = self.hub.state();
        match groups::set_picture(&self.hub, &mut state, &self.number, (group, picture))? {
            Ok(_) => Ok(()),
            Err(code) => bail!("the network refuses with {code}"),
        }
    }

    /// Leaves a group.
    pub async fn leave_group(&self, group: &Jid) -> Result<()> {
        let named = Build::new("group").attr("id", group).build();
        let leave = Build::new("leave").children([named]).build();
        self.ask("set", &Jid::new("", Server::Group), leave).map(drop)
    }

    /// The invite code of a group.
    ///
    /// # Errors
    /// When this person is no admin of it.
    pub async fn invite_code(&self, group: &Jid) -> Result<String> {
        let answer = self.ask("get", group, Build::new("invite").build())?;
        let answer = answer.as_node_ref();
        attr(child(&answer, "invite")?, "code").context("an invite without code")
    }

    /// Joins a group by its code, or asks to be let in: whether this person is a member now.
    pub async fn join_group(&self, code: &str) -> Result<bool> {
        let invite = Build::new("invite").attr("code", code).build();
        let answer = self.ask("set", &Jid::new("", Server::Group), invite)?;
        Ok(answer.as_node_ref().get_optional_child("group").is_some())
    }

    /// Lets somebody in who asked, or turns them away.
    pub async fn decide_request(&self, group: &Jid, phone: &str, approve: bool) -> Result<()> {
        let who = Build::new("participant").attr("jid", Jid::pn(phone)).build();
        let decision = Build::new(if approve { "approve" } else { "reject" }).children([who]);
        let action = Build::new("membership_requests_action").children([decision.build()]).build();
        self.ask("set", group, action).map(drop)
    }

    /// Whether others may add this person to groups. At first they may.
    pub fn refuse_groups(&self, refused: bool) -> Result<()> {
        self.hub.state().account_mut(&self.number)?.refuses_groups = refused;
        Ok(())
    }

    /// The numbers of the members of a group.
    pub fn members_of(&self, group: &Jid) -> Vec<String> {
        let state = self.hub.state();
        let known = state.groups.get(&group.to_string());
        known.map_or_else(Vec::new, |group| {
            group.members.iter().map(|member| member.phone.clone()).collect()
        })
    }

    fn ask(&self, kind: &str, to: &Jid, action: Node) -> Result<Node> {
        let request = Build::new("iq")
            .attr("xmlns", "w:g2")
            .attr("type", kind)
            .attr("to", to)
            .attr("id", "phone")
            .children([action])
            .build();
        let request = request.as_node_ref();
        let answer = groups::answer(&self.hub, "phone", &self.key(), kind, &request)?;
        let answer = answer.context("the network does not know this request")?;
        if let Some(error) = answer.as_node_ref().get_optional_child("error") {
            bail!("the network refuses with {}", attr(error, "code").unwrap_or_default());
        }
        Ok(answer)
    }
}
