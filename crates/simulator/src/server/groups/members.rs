//! Who comes, goes and rules. Each person has an answer of their own: some may be refused.

use anyhow::Result;
use whatsapp_rust::wacore_binary::{Jid, Node};

use super::{GroupRequest, MEMBERS_MAX, ServerGroup, ServerMember, tell};
use crate::{
    hub::Hub,
    state::ServerState,
    wire::{Build, need_jid, now_seconds},
};

/// How long the token of a private invitation holds, seconds.
const ADD_REQUEST_LIFE: u64 = 3 * 24 * 3600;

/// Why somebody cannot be added: the code for them alone.
pub(super) fn refusal_to_add(
    hub: &Hub,
    state: &ServerState,
    group: &ServerGroup,
    phone: &str,
) -> Option<u16> {
    if group.has(phone) {
        return Some(409);
    }
    if group.members.len() >= MEMBERS_MAX {
        return Some(419);
    }
    let private = state.account(phone).is_ok_and(|account| account.refuses_groups);
    hub.faults.refusal_of_member(phone).or(private.then_some(403))
}

/// Adds, removes, promotes or demotes.
pub(super) fn change(
    asked: &GroupRequest<'_, '_>,
    state: &mut ServerState,
    mut group: ServerGroup,
) -> Result<Node> {
    let action = asked.action.tag.to_string();
    let admin = group.is_admin(asked.who);
    if !admin && (action != "add" || group.rest.only_admins_add) {
        return Ok(asked.refuse(403, "forbidden"));
    }
    let before = group.phones();
    let (mut answers, mut done) = (Vec::new(), Vec::new());
    for (jid, phone) in asked.participants(state, asked.action) {
        let code = match &phone {
            None => Some(404),
            Some(phone) => refused(asked.hub, state, &group, (&action, phone)),
        };
        if let (None, Some(phone)) = (code, phone.clone()) {
            apply(&mut group, &action, &phone);
            done.push(phone);
        }
        answers.push(result_of(state, &jid, phone.as_deref(), code)?);
    }
    let jid = group.jid.clone();
    state.groups.insert(jid.to_string(), group);
    announce(asked, state, &jid, (&action, &done), &before)?;
    Ok(asked.answer(Build::new_dynamic(action).children(answers).build()))
}

fn refused(
    hub: &Hub,
    state: &ServerState,
    group: &ServerGroup,
    (action, phone): (&str, &str),
) -> Option<u16> {
    match action {
        "add" => refusal_to_add(hub, state, group, phone),
        _ if !group.has(phone) => Some(404),
        // Who made the group stays in it, and rules it.
        "remove" | "demote" if phone == group.creator => Some(405),
        _ => hub.faults.refusal_of_member(phone),
    }
}

fn apply(group: &mut ServerGroup, action: &str, phone: &str) {
    match action {
        "add" => group.members.push(ServerMember { phone: phone.to_owned(), admin: false }),
        "remove" => group.members.retain(|member| member.phone != phone),
        _ => {
            for member in group.members.iter_mut().filter(|member| member.phone == phone) {
                member.admin = action == "promote";
            }
        }
    }
}

/// The answer about one person. Who does not let others add them can be invited: with a token.
fn result_of(
    state: &ServerState,
    jid: &Jid,
    phone: Option<&str>,
    code: Option<u16>,
) -> Result<Node> {
    let mut answer = match phone {
        Some(phone) => tell::person(state, "participant", phone)?,
        None => Build::new("participant").attr("jid", jid),
    };
    if let Some(code) = code {
        answer = answer.attr("error", code.to_string());
        if code == 403 {
            let until = (now_seconds() + ADD_REQUEST_LIFE).to_string();
            let token = Build::new("add_request").attr("code", "token").attr("expiration", until);
            answer = answer.children([token.build()]);
        }
    }
    Ok(answer.build())
}

/// Those who were in the group hear who came or went; who came hears of the group.
pub(super) fn announce(
    asked: &GroupRequest<'_, '_>,
    state: &mut ServerState,
    jid: &Jid,
    (action, done): (&str, &[String]),
    before: &[String],
) -> Result<()> {
    if done.is_empty() {
        return Ok(());
    }
    let mut people = Vec::with_capacity(done.len());
    for phone in done {
        people.push(tell::person(state, "participant", phone)?.build());
    }
    let change = Build::new_dynamic(action.to_owned()).children(people).build();
    tell::announce(asked.hub, state, jid, asked.who, change, before)?;
    if action == "add" {
        let group = &state.groups[&jid.to_string()];
        let told = tell::begun(state, group, None, None)?;
        tell::announce(asked.hub, state, jid, asked.who, told, done)?;
    }
    Ok(())
}

/// Leaves groups. One without members is gone.
pub(super) fn leave(asked: &GroupRequest<'_, '_>, state: &mut ServerState) -> Result<Node> {
    let mut left = Vec::new();
    for named in asked.action.get_children_by_tag("group") {
        let jid = need_jid(named, "id")?;
        let mut answer = Build::new("group").attr("id", &jid);
        let group = state.groups.get(&jid.to_string()).filter(|group| group.has(asked.who));
        match group.map(ServerGroup::phones) {
            None => answer = answer.attr("error", "404"),
            Some(before) => {
                if let Some(group) = state.groups.get_mut(&jid.to_string()) {
                    group.members.retain(|member| member.phone != asked.who);
                }
                announce(asked, state, &jid, ("remove", &[asked.who.to_owned()]), &before)?;
                if before.len() == 1 {
                    state.groups.remove(&jid.to_string());
                }
            }
        }
        left.push(answer.build());
    }
    Ok(asked.answer(Build::new("leave").children(left).build()))
}
