//! Invite codes, and requests for membership.

use anyhow::Result;
use whatsapp_rust::wacore_binary::Node;

use super::{
    GroupRequest, MEMBERS_MAX, ServerGroup, ServerMember, WAITING_MAX, WaitingPerson, members, tell,
};
use crate::{
    state::ServerState,
    wire::{Build, children, need_attr, now_seconds},
};

/// Shows the code of a group, or makes a new one.
pub(super) fn invite(
    asked: &GroupRequest<'_, '_>,
    state: &mut ServerState,
    mut group: ServerGroup,
) -> Result<Node> {
    if !group.is_admin(asked.who) {
        return Ok(asked.refuse(403, "forbidden"));
    }
    let code =
        |group: &ServerGroup| Build::new("invite").attr("code", group.invite.as_str()).build();
    if asked.kind == "set" {
        let (number, _): (u64, u8) = asked.hub.draw();
        group.invite = format!("{number:016x}");
        let (jid, told, everybody) = (group.jid.clone(), code(&group), group.phones());
        state.groups.insert(jid.to_string(), group.clone());
        tell::announce(asked.hub, state, &jid, asked.who, told, &everybody)?;
    }
    Ok(asked.answer(code(&group)))
}

/// Looks at the group of a code, or joins it.
pub(super) fn by_invite(asked: &GroupRequest<'_, '_>, state: &mut ServerState) -> Result<Node> {
    let code = need_attr(asked.action, "code")?;
    let known = state.groups.values().find(|group| group.invite == code);
    let Some(mut group) = known.cloned() else {
        return Ok(asked.refuse(406, "not-acceptable"));
    };
    if asked.kind == "get" {
        return Ok(asked.answer(tell::group_node(state, &group)?));
    }
    if group.has(asked.who) {
        return Ok(asked.refuse(304, "not-modified"));
    }
    if group.members.len() >= MEMBERS_MAX {
        return Ok(asked.refuse(419, "resource-limit"));
    }
    if group.rest.approval {
        return request(asked, state, group);
    }
    let (jid, before) = (group.jid.clone(), group.phones());
    group.members.push(ServerMember { phone: asked.who.to_owned(), admin: false });
    let told = tell::begun(state, &group, None, Some("invite"))?;
    state.groups.insert(jid.to_string(), group);
    let who = tell::person(state, "participant", asked.who)?.build();
    let added = Build::new("add").attr("reason", "invite").children([who]).build();
    tell::announce(asked.hub, state, &jid, asked.who, added, &before)?;
    tell::announce(asked.hub, state, &jid, asked.who, told, &[asked.who.to_owned()])?;
    Ok(asked.answer(Build::new("group").attr("jid", &jid).build()))
}

fn request(
    asked: &GroupRequest<'_, '_>,
    state: &mut ServerState,
    mut group: ServerGroup,
) -> Result<Node> {
    if group.rest.waiting.len() >= WAITING_MAX {
        return Ok(asked.refuse(429, "rate-overlimit"));
    }
    let (jid, admins) = (group.jid.clone(), admins(&group));
    if group.rest.waiting.iter().all(|waiting| waiting.phone != asked.who) {
        let phone = asked.who.to_owned();
        group.rest.waiting.push(WaitingPerson { phone, since: now_seconds() });
        state.groups.insert(jid.to_string(), group);
        let who = tell::person(state, "requested_user", asked.who)?.build();
        let told = Build::new("created_membership_requests")
            .attr("request_method", "invite_link")
            .children([who])
            .build();
        tell::announce(asked.hub, state, &jid, asked.who, told, &admins)?;
    }
    Ok(asked.answer(Build::new("membership_approval_request").attr("jid", &jid).build()))
}

fn admins(group: &ServerGroup) -> Vec<String> {
    let admins = group.members.iter().filter(|member| member.admin);
    admins.map(|member| member.phone.clone()).collect()
}

/// Lists who waits.
pub(super) fn waiting(
    asked: &GroupRequest<'_, '_>,
    state: &ServerState,
    group: &ServerGroup,
) -> Result<Node> {
    if !group.is_admin(asked.who) {
        return Ok(asked.refuse(403, "forbidden"));
    }
    let mut list = Vec::with_capacity(group.rest.waiting.len());
    for waiting in &group.rest.waiting {
        let node = tell::person(state, "membership_approval_request", &waiting.phone)?;
        list.push(
            node.attr("request_time", waiting.since.to_string())
                .attr("request_method", "invite_link")
                .build(),
        );
    }
    Ok(asked.answer(Build::new("membership_approval_requests").children(list).build()))
}

/// Lets people in, or turns them away.
pub(super) fn decide(
    asked: &GroupRequest<'_, '_>,
    state: &mut ServerState,
    mut group: ServerGroup,
) -> Result<Node> {
    if !group.is_admin(asked.who) {
        return Ok(asked.refuse(403, "forbidden"));
    }
    let mut decided = Vec::new();
    for decision in children(asked.action) {
        let (approve, before) = (decision.tag == "approve", group.phones());
        let (mut answers, mut done) = (Vec::new(), Vec::new());
        for (jid, phone) in asked.participants(state, decision) {
            let waits = |phone: &String| group.rest.waiting.iter().any(|one| one.phone == *phone);
            let found = phone.filter(waits);
            let mut answer = match &found {
                Some(phone) => tell::person(state, "participant", phone)?,
                None => Build::new("participant").attr("jid", &jid).attr("error", "404"),
            };
            if let Some(phone) = found {
                group.rest.waiting.retain(|one| one.phone != phone);
                if approve && group.members.len() >= MEMBERS_MAX {
                    answer = answer.attr("error", "419");
                } else {
                    if approve {
                        group.members.push(ServerMember { phone: phone.clone(), admin: false });
                    }
                    done.push(phone);
                }
            }
            answers.push(answer.build());
        }
        decided.push(Build::new_dynamic(decision.tag.to_string()).children(answers).build());
        let jid = group.jid.clone();
        state.groups.insert(jid.to_string(), group.clone());
        match approve {
            true => members::announce(asked, state, &jid, ("add", &done), &before)?,
            false => turned_away(asked, state, &group, &done)?,
        }
    }
    Ok(asked.answer(Build::new("membership_requests_action").children(decided).build()))
}

fn turned_away(
    asked: &GroupRequest<'_, '_>,
    state: &mut ServerState,
    group: &ServerGroup,
    done: &[String],
) -> Result<()> {
    if done.is_empty() {
        return Ok(());
    }
    let mut people = Vec::with_capacity(done.len());
    for phone in done {
        people.push(tell::person(state, "participant", phone)?.build());
    }
    let told = Build::new("revoked_membership_requests").children(people).build();
    tell::announce(asked.hub, state, &group.jid, asked.who, told, &admins(group))
}
