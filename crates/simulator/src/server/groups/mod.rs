//! Groups: members by phone number, addressed by LID as WhatsApp does today.
//!
//! * `members`: who comes, goes and rules. `join`: invite codes and requests for membership. `settings`: the rest.
//! * `tell`: how a group is described, and what the linked devices of its members hear. Every change is announced to
//!   all of them, the device that made it too.

mod join;
mod members;
mod settings;
mod tell;

use anyhow::{Context as _, Result};
use whatsapp_rust::wacore_binary::{Jid, Node, NodeRef};

use crate::{
    hub::Hub,
    state::{DeviceKey, ServerState},
    wire::{Build, attr, children, jid_attr, need_jid, now_seconds, refusal, result},
};

pub(crate) use settings::{picture_of, set_picture};

/// Members of one group, as many as WhatsApp allows. Further ones are refused with 419.
const MEMBERS_MAX: usize = 1_024;
/// Groups in one network. When full a further one is refused with 429.
const GROUPS_MAX: usize = 10_000;
/// People who may wait to be let into one group. Further ones are refused with 429.
const WAITING_MAX: usize = 1_024;

/// A group as the server knows it.
#[derive(Debug, Clone)]
pub(crate) struct ServerGroup {
    pub(crate) jid: Jid,
    pub(crate) subject: String,
    pub(crate) description: Option<(String, String)>,
    pub(crate) creator: String,
    pub(crate) created: u64,
    pub(crate) members: Vec<ServerMember>,
    pub(crate) invite: String,
    pub(crate) announcement: bool,
    pub(crate) locked: bool,
    pub(crate) rest: GroupExtras,
}

/// What most groups leave as it is.
#[derive(Debug, Clone, Default, serde::Serialize, serde::Deserialize)]
#[serde(default)]
pub(crate) struct GroupExtras {
    /// After how many seconds messages disappear.
    pub(crate) ephemeral: u32,
    pub(crate) only_admins_add: bool,
    /// Admins have to let new members in.
    pub(crate) approval: bool,
    pub(crate) waiting: Vec<WaitingPerson>,
    /// Grows with every new picture.
    pub(crate) picture_number: u64,
    #[serde(skip)]
    pub(crate) picture: Option<Vec<u8>>,
}

/// Somebody who asks to be let in.
#[derive(Debug, Clone, serde::Serialize, serde::Deserialize)]
pub(crate) struct WaitingPerson {
    pub(crate) phone: String,
    pub(crate) since: u64,
}

/// A member of a group.
#[derive(Debug, Clone)]
pub(crate) struct ServerMember {
    pub(crate) phone: String,
    pub(crate) admin: bool,
}

impl ServerGroup {
    fn has(&self, phone: &str) -> bool {
        self.members.iter().any(|member| member.phone == phone)
    }

    fn is_admin(&self, phone: &str) -> bool {
        self.members.iter().any(|member| member.phone == phone && member.admin)
    }

    /// Whether somebody may write: a member, and where only admins write one of them.
    pub(crate) fn may_write(&self, phone: &str) -> bool {
        if self.announcement { self.is_admin(phone) } else { self.has(phone) }
    }

    fn phones(&self) -> Vec<String> {
        self.members.iter().map(|member| member.phone.clone()).collect()
    }
}

/// Makes a group in the name of an account. Who cannot be added is left out; their codes come with it.
pub(crate) fn create(
    hub: &Hub,
    state: &mut ServerState,
    creator: &str,
    subject: &str,
    others: &[String],
) -> Result<(Jid, Vec<(String, u16)>)> {
    let (number, code): (u32, u64) = hub.draw();
    let jid = Jid::group(format!("1203630{number:010}"));
    let mut group = ServerGroup {
        jid: jid.clone(),
        subject: subject.to_owned(),
        description: None,
        creator: creator.to_owned(),
        created: now_seconds(),
        members: vec![ServerMember { phone: creator.to_owned(), admin: true }],
        invite: format!("{code:016x}"),
        announcement: false,
        locked: false,
        rest: GroupExtras::default(),
    };
    let mut refused = Vec::new();
    for phone in others {
        state.account(phone)?;
        match members::refusal_to_add(hub, state, &group, phone) {
            None => group.members.push(ServerMember { phone: phone.clone(), admin: false }),
            Some(409) => {}
            Some(code) => refused.push((phone.clone(), code)),
        }
    }
    let everybody = group.phones();
    let told = tell::begun(state, &group, Some("new"), None)?;
    state.groups.insert(jid.to_string(), group);
    tell::announce(hub, state, &jid, creator, told, &everybody)?;
    Ok((jid, refused))
}

/// Answers a request about groups, or `None` when it is not known here.
pub(crate) fn answer(
    hub: &Hub,
    id: &str,
    who: &DeviceKey,
    kind: &str,
    request: &NodeRef<'_>,
) -> Result<Option<Node>> {
    if kind == "set"
        && let Some(code) = hub.faults.refusal_of_group()
    {
        hub.recorder.fault_struck();
        return Ok(Some(refusal(id, code, "refused")));
    }
    let mut state = hub.state();
    let action = children(request).first().context("an empty request")?;
    let to = need_jid(request, "to")?;
    let asked = GroupRequest { hub, id, who: &who.phone, kind, action };
    let answer = match (kind, action.tag.as_ref()) {
        ("set", "create") => create_for(&asked, &mut state)?,
        ("get", "participating") => participating(&asked, &state)?,
        ("set", "leave") => members::leave(&asked, &mut state)?,
        (_, "invite") if action.get_attr("code").is_some() => join::by_invite(&asked, &mut state)?,
        _ => {
            let answer = match state.groups.get(&to.to_string()).cloned() {
                None => Some(refusal(id, 404, "item-not-found")),
                Some(group) if !group.has(&who.phone) => Some(refusal(id, 403, "forbidden")),
                Some(group) => on_group(&asked, &mut state, group)?,
            };
            if kind == "set" {
                hub.changed();
            }
            return Ok(answer);
        }
    };
    drop(state);
    if kind == "set" {
        hub.changed();
    }
    Ok(Some(answer))
}

/// A request about groups, and who makes it.
struct GroupRequest<'r, 'n> {
    hub: &'r Hub,
    id: &'r str,
    who: &'r str,
    kind: &'r str,
    action: &'r NodeRef<'n>,
}

impl GroupRequest<'_, '_> {
    fn refuse(&self, code: u16, text: &str) -> Node {
        refusal(self.id, code, text)
    }

    fn answer(&self, child: Node) -> Node {
        result(self.id).children([child]).build()
    }

    /// The participants a request names, with their account if they have one.
    fn participants(
        &self,
        state: &ServerState,
        parent: &NodeRef<'_>,
    ) -> Vec<(Jid, Option<String>)> {
        parent
            .get_children_by_tag("participant")
            .filter_map(|participant| jid_attr(participant, "jid"))
            .map(|jid| {
                let phone = state.phone_of(&jid);
                (jid, phone)
            })
            .collect()
    }
}

fn create_for(asked: &GroupRequest<'_, '_>, state: &mut ServerState) -> Result<Node> {
    if state.groups.len() >= GROUPS_MAX {
        return Ok(asked.refuse(429, "rate-overlimit"));
    }
    let named = asked.participants(state, asked.action);
    if named.len() >= MEMBERS_MAX {
        return Ok(asked.refuse(406, "not-acceptable"));
    }
    let others: Vec<String> = named.iter().filter_map(|(_, phone)| phone.clone()).collect();
    let subject = attr(asked.action, "subject").unwrap_or_default();
    let (jid, refused) = create(asked.hub, state, asked.who, &subject, &others)?;
    let group = &state.groups[&jid.to_string()];
    let mut node = tell::group_node(state, group)?;
    // Those who were refused are in the answer too, with their codes.
    let nobody = named
        .iter()
        .filter(|(_, phone)| phone.is_none())
        .map(|(jid, _)| Build::new("participant").attr("jid", jid).attr("error", "404").build());
    let mut also: Vec<Node> = nobody.collect();
    for (phone, code) in &refused {
        let lid = Jid::lid(state.account(phone)?.lid.as_str());
        also.push(
            Build::new("participant").attr("jid", lid).attr("error", code.to_string()).build(),
        );
    }
    if let Some(whatsapp_rust::wacore_binary::NodeContent::Nodes(parts)) = &mut node.content {
        parts.extend(also);
    }
    Ok(asked.answer(node))
}

fn participating(asked: &GroupRequest<'_, '_>, state: &ServerState) -> Result<Node> {
    let mut mine = Vec::new();
    for group in state.groups.values() {
        if group.has(asked.who) {
            mine.push(tell::group_node(state, group)?);
        }
    }
    Ok(asked.answer(Build::new("groups").children(mine).build()))
}

fn on_group(
    asked: &GroupRequest<'_, '_>,
    state: &mut ServerState,
    group: ServerGroup,
) -> Result<Option<Node>> {
    Ok(Some(match (asked.kind, asked.action.tag.as_ref()) {
        ("get", "query") => asked.answer(tell::group_node(state, &group)?),
        (_, "invite") => join::invite(asked, state, group)?,
        ("get", "membership_approval_requests") => join::waiting(asked, state, &group)?,
        ("set", "membership_requests_action") => join::decide(asked, state, group)?,
        ("set", "add" | "remove" | "promote" | "demote") => members::change(asked, state, group)?,
        ("set", _) => return settings::set(asked, state, group),
        _ => return Ok(None),
    }))
}
