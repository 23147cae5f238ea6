//! Groups: members by phone number, addressed by LID as WhatsApp does today. Every change is announced to the linked
//! devices of all members.

use std::sync::Arc;

use anyhow::{Context as _, Result};
use whatsapp_rust::wacore_binary::{Jid, Node, NodeContent, NodeRef};

use crate::{
    hub::Hub,
    state::{DeviceKey, ServerState},
    wire::{Build, attr, children, jid_attr, need_attr, need_jid, now_seconds, refusal, result},
};

/// Members of one group, as many as WhatsApp allows. Further ones are refused with 408.
const MEMBERS_MAX: usize = 1_024;
/// Groups in one network. When full a further one is refused with 429.
const GROUPS_MAX: usize = 10_000;

/// A group as the server knows it.
#[derive(Debug, Clone)]
pub(crate) struct Group {
    pub(crate) jid: Jid,
    pub(crate) subject: String,
    pub(crate) description: Option<(String, String)>,
    pub(crate) creator: String,
    pub(crate) created: u64,
    pub(crate) members: Vec<GroupMember>,
    pub(crate) invite: String,
    pub(crate) announcement: bool,
    pub(crate) locked: bool,
}

/// A member of a group.
#[derive(Debug, Clone)]
pub(crate) struct GroupMember {
    pub(crate) phone: String,
    pub(crate) admin: bool,
}

/// Makes a group in the name of an account.
pub(crate) fn create(
    hub: &Hub,
    state: &mut ServerState,
    creator: &str,
    subject: &str,
    others: &[String],
) -> Result<Jid> {
    let (number, code): (u32, u64) = hub.draw();
    let jid = Jid::group(format!("1203630{number:010}"));
    let mut members = vec![GroupMember { phone: creator.to_owned(), admin: true }];
    for phone in others {
        state.account(phone)?;
        if members.iter().all(|member| member.phone != *phone) {
            members.push(GroupMember { phone: phone.clone(), admin: false });
        }
    }
    let group = Group {
        jid: jid.clone(),
        subject: subject.to_owned(),
        description: None,
        creator: creator.to_owned(),
        created: now_seconds(),
        members,
        invite: format!("{code:016x}"),
        announcement: false,
        locked: false,
    };
    let created = Build::new("create").children([group_node(state, &group)?]);
    state.groups.insert(jid.to_string(), group);
    announce(hub, state, &jid, creator, created.build())?;
    Ok(jid)
}

/// Answers a request about groups, or `None` when it is not known here.
pub(super) fn answer(
    hub: &Hub,
    id: &str,
    who: &DeviceKey,
    kind: &str,
    request: &NodeRef<'_>,
) -> Result<Option<Node>> {
    let mut state = hub.state();
    let action = children(request).first().context("an empty request")?;
    let to = need_jid(request, "to")?;
    let answer = match (kind, action.tag.as_ref()) {
        ("set", "create") => create_for(hub, &mut state, id, who, action)?,
        ("get", "participating") => participating(&state, id, who)?,
        ("set", "leave") => leave(hub, &mut state, id, who, action)?,
        (_, "invite") if action.get_attr("code").is_some() => {
            by_invite(hub, &mut state, id, who, kind, action)?
        }
        _ => match state.groups.get(&to.to_string()).cloned() {
            None => refusal(id, 404, "item-not-found"),
            Some(group) => {
                return on_group(hub, &mut state, id, who, (kind, action), group);
            }
        },
    };
    Ok(Some(answer))
}

fn create_for(
    hub: &Hub,
    state: &mut ServerState,
    id: &str,
    who: &DeviceKey,
    action: &NodeRef<'_>,
) -> Result<Node> {
    if state.groups.len() >= GROUPS_MAX {
        return Ok(refusal(id, 429, "rate-overlimit"));
    }
    let others: Vec<String> =
        participants(state, action).into_iter().filter_map(|(_, phone)| phone).collect();
    if others.len() >= MEMBERS_MAX {
        return Ok(refusal(id, 408, "too-many-participants"));
    }
    let subject = attr(action, "subject").unwrap_or_default();
    let jid = create(hub, state, &who.phone, &subject, &others)?;
    let group = &state.groups[&jid.to_string()];
    Ok(result(id).children([group_node(state, group)?]).build())
}

fn participating(state: &ServerState, id: &str, who: &DeviceKey) -> Result<Node> {
    let mut mine = Vec::new();
    for group in state.groups.values() {
        if group.has(&who.phone) {
            mine.push(group_node(state, group)?);
        }
    }
    let groups = Build::new("groups").children(mine).build();
    Ok(result(id).children([groups]).build())
}

fn leave(
    hub: &Hub,
    state: &mut ServerState,
    id: &str,
    who: &DeviceKey,
    action: &NodeRef<'_>,
) -> Result<Node> {
    let mut left = Vec::new();
    for group in action.get_children_by_tag("group") {
        let jid = need_jid(group, "id")?;
        let gone = Build::new("remove").children([participant(state, &who.phone, false)?]);
        announce(hub, state, &jid, &who.phone, gone.build())?;
        if let Some(known) = state.groups.get_mut(&jid.to_string()) {
            known.members.retain(|member| member.phone != who.phone);
        }
        left.push(Build::new("group").attr("id", &jid).build());
    }
    let left = Build::new("leave").children(left).build();
    Ok(result(id).children([left]).build())
}

fn by_invite(
    hub: &Hub,
    state: &mut ServerState,
    id: &str,
    who: &DeviceKey,
    kind: &str,
    action: &NodeRef<'_>,
) -> Result<Node> {
    let code = need_attr(action, "code")?;
    let known = state.groups.values().find(|group| group.invite == code);
    let Some(mut group) = known.cloned() else {
        return Ok(refusal(id, 406, "not-acceptable"));
    };
    if kind == "get" {
        return Ok(result(id).children([group_node(state, &group)?]).build());
    }
    group.add(&who.phone);
    let jid = group.jid.clone();
    state.groups.insert(jid.to_string(), group);
    let added = Build::new("add").children([participant(state, &who.phone, false)?]);
    announce(hub, state, &jid, &who.phone, added.build())?;
    let node = Build::new("group").attr("jid", &jid).build();
    Ok(result(id).children([node]).build())
}

fn on_group(
    hub: &Hub,
    state: &mut ServerState,
    id: &str,
    who: &DeviceKey,
    (kind, action): (&str, &NodeRef<'_>),
    mut group: Group,
) -> Result<Option<Node>> {
    let jid = group.jid.clone();
    let told = action.to_owned();
    match (kind, action.tag.as_ref()) {
        ("get", "query") => {
            return Ok(Some(result(id).children([group_node(state, &group)?]).build()));
        }
        ("get", "invite") => return Ok(Some(invite_answer(id, &group))),
        ("set", "invite") => {
            let (code, _): (u64, u8) = hub.draw();
            group.invite = format!("{code:016x}");
            let answer = invite_answer(id, &group);
            state.groups.insert(jid.to_string(), group);
            return Ok(Some(answer));
        }
        ("set", "add" | "remove" | "promote" | "demote") => {
            return change_members(hub, state, id, who, action, group).map(Some);
        }
        ("set", "subject") => {
            group.subject = action.content_as_string().unwrap_or_default().to_string();
        }
        ("set", "description") => group.description = description(action),
        ("set", "locked") => group.locked = true,
        ("set", "unlocked") => group.locked = false,
        ("set", "announcement") => group.announcement = true,
        ("set", "not_announcement") => group.announcement = false,
        _ => return Ok(None),
    }
    state.groups.insert(jid.to_string(), group);
    announce(hub, state, &jid, &who.phone, told)?;
    Ok(Some(result(id).build()))
}

fn description(action: &NodeRef<'_>) -> Option<(String, String)> {
    let body = action.get_optional_child("body")?.content_as_string()?;
    Some((attr(action, "id").unwrap_or_default(), body.to_string()))
}

fn invite_answer(id: &str, group: &Group) -> Node {
    let invite = Build::new("invite").attr("code", group.invite.as_str());
    result(id).children([invite.build()]).build()
}

fn change_members(
    hub: &Hub,
    state: &mut ServerState,
    id: &str,
    who: &DeviceKey,
    action: &NodeRef<'_>,
    mut group: Group,
) -> Result<Node> {
    let before = group.clone();
    let mut answers = Vec::new();
    for (jid, phone) in participants(state, action) {
        let mut answer = Build::new("participant").attr("jid", &jid);
        match phone {
            None => answer = answer.attr("error", "404"),
            Some(phone) => group.change(action.tag.as_ref(), &phone),
        }
        answers.push(answer.build());
    }
    let jid = group.jid.clone();
    let removing = action.tag == "remove";
    state.groups.insert(jid.to_string(), group);
    let change = Build::new_dynamic(action.tag.to_string()).children(answers.clone());
    if removing {
        // Those who are removed are notified as well, so this is announced to the members from before.
        let after = state.groups.insert(jid.to_string(), before);
        announce(hub, state, &jid, &who.phone, change.build())?;
        if let Some(after) = after {
            state.groups.insert(jid.to_string(), after);
        }
    } else {
        announce(hub, state, &jid, &who.phone, change.build())?;
    }
    let answer = Build::new_dynamic(action.tag.to_string()).children(answers);
    Ok(result(id).children([answer.build()]).build())
}

/// The participants a request names, with their account if they have one.
fn participants(state: &ServerState, action: &NodeRef<'_>) -> Vec<(Jid, Option<String>)> {
    action
        .get_children_by_tag("participant")
        .filter_map(|participant| jid_attr(participant, "jid"))
        .map(|jid| {
            let phone = state.phone_of(&jid);
            (jid, phone)
        })
        .collect()
}

fn announce(
    hub: &Hub,
    state: &mut ServerState,
    group: &Jid,
    actor: &str,
    change: Node,
) -> Result<()> {
    let Some(known) = state.groups.get(&group.to_string()) else {
        return Ok(());
    };
    let notification = Build::new("notification")
        .attr("from", group)
        .attr("type", "w:gp2")
        .attr("id", hub.stanza_id())
        .attr("t", now_seconds())
        .attr("participant", Jid::lid(state.account(actor)?.lid.as_str()))
        .attr("participant_pn", Jid::pn(actor))
        .attr("addressing_mode", "lid")
        .children([change])
        .build();
    let notification = Arc::new(notification);
    let mut devices = Vec::new();
    for member in &known.members {
        let linked = state.account(&member.phone)?.devices.keys();
        devices.extend(linked.map(|device| DeviceKey::new(&member.phone, *device)));
    }
    for device in devices {
        hub.deliver(state, &device, notification.clone());
    }
    Ok(())
}

fn participant(state: &ServerState, phone: &str, admin: bool) -> Result<Node> {
    let node = Build::new("participant")
        .attr("jid", Jid::lid(state.account(phone)?.lid.as_str()))
        .attr("phone_number", Jid::pn(phone));
    Ok(match admin {
        true => node.attr("type", "superadmin").build(),
        false => node.build(),
    })
}

fn group_node(state: &ServerState, group: &Group) -> Result<Node> {
    let owner = Jid::lid(state.account(&group.creator)?.lid.as_str());
    let mut parts = Vec::new();
    for member in &group.members {
        parts.push(participant(state, &member.phone, member.admin)?);
    }
    if let Some((number, text)) = &group.description {
        let body = Build::new("body").string_content(text.as_str()).build();
        let description = Build::new("description").attr("id", number.as_str());
        parts.push(description.children([body]).build());
    }
    if group.announcement {
        parts.push(Build::new("announcement").build());
    }
    if group.locked {
        parts.push(Build::new("locked").build());
    }
    let node = Build::new("group")
        .attr("id", group.jid.user.as_str())
        .attr("subject", group.subject.as_str())
        .attr("s_t", group.created.to_string())
        .attr("s_o", &owner)
        .attr("creation", group.created.to_string())
        .attr("creator", &owner)
        .attr("addressing_mode", "lid");
    Ok(node.apply_content(Some(NodeContent::Nodes(parts))).build())
}

impl Group {
    fn has(&self, phone: &str) -> bool {
        self.members.iter().any(|member| member.phone == phone)
    }

    fn add(&mut self, phone: &str) {
        if !self.has(phone) && self.members.len() < MEMBERS_MAX {
            self.members.push(GroupMember { phone: phone.to_owned(), admin: false });
        }
    }

    fn change(&mut self, action: &str, phone: &str) {
        match action {
            "add" => self.add(phone),
            "remove" => self.members.retain(|member| member.phone != phone),
            _ => {
                for member in &mut self.members {
                    if member.phone == phone {
                        member.admin = action == "promote";
                    }
                }
            }
        }
    }
}
