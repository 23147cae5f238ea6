//! How WhatsApp describes groups, in the domain's words.

use domain::{
    PhoneNumber,
    group::{
        Group, GroupMember, GroupPerson, GroupRole, JoinMethod, MemberAddRight, MembershipRequest,
    },
    port::GroupResult,
};
use whatsapp_rust::{
    Client, GroupMetadata, Jid, ParticipantType, Server, anyhow,
    wacore::{
        iq::{groups::GroupInfoResponse, spec::IqSpec},
        protocol::ProtocolNode as _,
        request::InfoQuery,
    },
    wacore_binary::{NodeContent, NodeRef},
};

use super::of_request;
use crate::people::{self, Person};

const NAMESPACE: &str = "w:g2";
/// How groups are called in answers.
pub(super) const TAGS: [&str; 2] = ["group", "community"];

/// A group as an answer describes it.
#[derive(Debug)]
pub(super) struct DescribedGroup {
    known: GroupMetadata,
    add_right: Option<MemberAddRight>,
}

impl DescribedGroup {
    pub(super) fn read(node: &NodeRef<'_>) -> anyhow::Result<Self> {
        let right = node.get_optional_child("member_add_mode");
        let right = right.and_then(NodeRef::content_as_string);
        let known = GroupMetadata::from(GroupInfoResponse::try_from_node_ref(node)?);
        Ok(Self { known, add_right: right.and_then(|word| add_right(&word)) })
    }

    /// In the domain's words. Ids that the description leaves out are looked up only with `look_up`.
    pub(super) async fn group(self, client: &Client, look_up: bool) -> Option<Group> {
        let Self { known, add_right } = self;
        let id = people::chat_id(&known.id)?;
        let mut members = Vec::with_capacity(known.participants.len());
        for member in known.participants {
            let other = member.phone_number.as_ref().or(member.lid.as_ref());
            let Some(person) = person(client, &member.jid, other, look_up).await else { continue };
            let role = match member.participant_type {
                ParticipantType::SuperAdmin => GroupRole::Owner,
                ParticipantType::Admin => GroupRole::Admin,
                ParticipantType::Member => GroupRole::Member,
            };
            members.push(GroupMember { person, role });
        }
        let owner = match &known.creator {
            Some(creator) => person(client, creator, known.creator_pn.as_ref(), look_up).await,
            None => None,
        };
        Some(Group {
            id,
            name: known.subject,
            description: known.description.filter(|text| !text.is_empty()),
            owner,
            created_at: known.creation_time.and_then(|time| i64::try_from(time).ok()),
            announce: known.is_announcement,
            locked: known.is_locked,
            approval: known.membership_approval,
            ephemeral_seconds: known.ephemeral.and_then(|set| set.expiration).unwrap_or(0),
            add_right,
            parent: known.parent_group_jid.as_ref().and_then(people::chat_id),
            size: known.size,
            members,
        })
    }
}

/// WhatsApp's word for who may add members.
pub(super) fn add_right(word: &str) -> Option<MemberAddRight> {
    match word {
        "all_member_add" => Some(MemberAddRight::All),
        "admin_add" => Some(MemberAddRight::Admins),
        _ => None,
    }
}

/// WhatsApp's word for how somebody came to ask.
pub(super) fn join_method(word: &str) -> Option<JoinMethod> {
    match word {
        "invite_link" => Some(JoinMethod::InviteLink),
        "non_admin_add" => Some(JoinMethod::MemberAdd),
        "linked_group_join" => Some(JoinMethod::Community),
        _ => None,
    }
}

/// A person by the addresses that a stanza has of them.
pub(super) async fn person(
    client: &Client,
    jid: &Jid,
    other: Option<&Jid>,
    look_up: bool,
) -> Option<GroupPerson> {
    let found = match look_up {
        true => people::person(client, jid, other).await,
        false => {
            let mut found = Person::default();
            found.learn(jid);
            if let Some(other) = other {
                found.learn(other);
            }
            found
        }
    };
    let Person { phone, lid } = found;
    GroupPerson::known_by(phone, lid)
}

/// Somebody of whom a number is known at least.
pub(super) fn by_phone(phone: &PhoneNumber) -> GroupPerson {
    GroupPerson::of(phone.chat())
}

fn get(to: &Jid, child: whatsapp_rust::wacore_binary::Node) -> InfoQuery<'static> {
    InfoQuery::get_ref(NAMESPACE, to, Some(NodeContent::Nodes(vec![child])))
}

/// The group inside an answer.
fn inside(response: &NodeRef<'_>) -> anyhow::Result<DescribedGroup> {
    let node = TAGS.iter().find_map(|tag| response.get_optional_child(tag));
    DescribedGroup::read(node.ok_or_else(|| anyhow::anyhow!("an answer without a group"))?)
}

/// Asks for one group.
pub(super) struct GroupQuestion(pub(super) Jid);

impl IqSpec for GroupQuestion {
    type Response = DescribedGroup;

    fn build_iq(&self) -> InfoQuery<'static> {
        let query = whatsapp_rust::NodeBuilder::new("query").attr("request", "interactive");
        get(&self.0, query.build())
    }

    fn parse_response(&self, response: &NodeRef<'_>) -> anyhow::Result<DescribedGroup> {
        inside(response)
    }
}

/// Asks which group an invite code is of.
pub(super) struct InviteQuestion(pub(super) String);

impl IqSpec for InviteQuestion {
    type Response = DescribedGroup;

    fn build_iq(&self) -> InfoQuery<'static> {
        let invite = whatsapp_rust::NodeBuilder::new("invite").attr("code", self.0.as_str());
        get(&Jid::new("", Server::Group), invite.build())
    }

    fn parse_response(&self, response: &NodeRef<'_>) -> anyhow::Result<DescribedGroup> {
        inside(response)
    }
}

/// Asks for every group of the account.
struct ListQuestion;

impl IqSpec for ListQuestion {
    type Response = Vec<DescribedGroup>;

    fn build_iq(&self) -> InfoQuery<'static> {
        let parts = ["participants", "description"];
        let parts = parts.map(|part| whatsapp_rust::NodeBuilder::new(part).build());
        let question = whatsapp_rust::NodeBuilder::new("participating").children(parts);
        get(&Jid::new("", Server::Group), question.build())
    }

    fn parse_response(&self, response: &NodeRef<'_>) -> anyhow::Result<Vec<DescribedGroup>> {
        let lists = ["groups", "communities"];
        let list = lists.iter().find_map(|tag| response.get_optional_child(tag));
        let list = list.ok_or_else(|| anyhow::anyhow!("an answer without groups"))?;
        let groups = list.children().unwrap_or_default().iter();
        // One group that makes no sense does not hide the others.
        Ok(groups.filter_map(|node| DescribedGroup::read(node).ok()).collect())
    }
}

/// Every group of the account. Ids of members are those that WhatsApp names.
pub(crate) async fn all(client: &Client) -> GroupResult<Vec<Group>> {
    let described = client.execute(ListQuestion).await.map_err(of_request)?;
    let mut groups = Vec::with_capacity(described.len());
    for group in described {
        groups.extend(group.group(client, false).await);
    }
    Ok(groups)
}

/// Somebody who waits, before their ids are looked up.
#[derive(Debug)]
pub(super) struct WaitingRequest {
    jid: Jid,
    phone: Option<Jid>,
    added_by: Option<(Jid, Option<Jid>)>,
    method: Option<JoinMethod>,
    at: Option<i64>,
}

impl WaitingRequest {
    fn read(node: &NodeRef<'_>) -> Option<Self> {
        let mut attrs = node.attrs();
        Some(Self {
            jid: attrs.optional_jid("jid")?,
            phone: attrs.optional_jid("phone_number"),
            added_by: attrs
                .optional_jid("requestor")
                .map(|by| (by, node.attrs().optional_jid("requestor_pn"))),
            method: node
                .attrs()
                .optional_string("request_method")
                .and_then(|word| join_method(&word)),
            at: node.attrs().optional_u64("request_time").and_then(|at| i64::try_from(at).ok()),
        })
    }

    pub(super) async fn known(self, client: &Client) -> Option<MembershipRequest> {
        let added_by = match &self.added_by {
            Some((by, phone)) => person(client, by, phone.as_ref(), true).await,
            None => None,
        };
        Some(MembershipRequest {
            person: person(client, &self.jid, self.phone.as_ref(), true).await?,
            added_by,
            method: self.method,
            at: self.at,
        })
    }
}

/// Asks who waits to be let in.
pub(super) struct RequestsQuestion(pub(super) Jid);

impl IqSpec for RequestsQuestion {
    type Response = Vec<WaitingRequest>;

    fn build_iq(&self) -> InfoQuery<'static> {
        get(&self.0, whatsapp_rust::NodeBuilder::new("membership_approval_requests").build())
    }

    fn parse_response(&self, response: &NodeRef<'_>) -> anyhow::Result<Vec<WaitingRequest>> {
        let list = response.get_optional_child("membership_approval_requests");
        let list = list.ok_or_else(|| anyhow::anyhow!("an answer without requests"))?;
        let waiting = list.get_children_by_tag("membership_approval_request");
        Ok(waiting.filter_map(WaitingRequest::read).collect())
    }
}

#[cfg(test)]
mod tests {
    use whatsapp_rust::NodeBuilder;

    use super::*;

    #[test]
    fn who_may_add_members_is_read_as_text_and_as_bytes() {
        let group = |mode: NodeBuilder| {
            NodeBuilder::new("group")
                .attr("id", "120363041")
                .attr("subject", "Team")
                .children([mode.build()])
                .build()
        };
        let mode = || NodeBuilder::new("member_add_mode");
        for (node, expected) in [
            (group(mode().string_content("admin_add")), Some(MemberAddRight::Admins)),
            (group(mode().bytes(b"admin_add".to_vec())), Some(MemberAddRight::Admins)),
            (group(mode().bytes(b"all_member_add".to_vec())), Some(MemberAddRight::All)),
            (group(mode().bytes(b"whoever".to_vec())), None),
            (group(NodeBuilder::new("locked")), None),
        ] {
            let read = DescribedGroup::read(&node.as_node_ref()).unwrap();
            assert_eq!(read.add_right, expected, "{node:?}");
        }
    }

    #[test]
    fn requests_name_who_brought_them() {
        let waiting = NodeBuilder::new("membership_approval_request")
            .attr("jid", "111@lid")
            .attr("request_method", "non_admin_add")
            .attr("request_time", "1790842000")
            .attr("requestor", "222@lid")
            .build();
        let list = NodeBuilder::new("membership_approval_requests").children([waiting]).build();
        let answer = NodeBuilder::new("iq").children([list]).build();
        let question = RequestsQuestion(Jid::group("120363041"));
        let read = question.parse_response(&answer.as_node_ref()).unwrap();
        assert_eq!(read[0].method, Some(JoinMethod::MemberAdd));
        assert_eq!(read[0].at, Some(1_790_842_000));
        assert_eq!(read[0].added_by.as_ref().unwrap().0.to_string(), "222@lid");
    }
}
