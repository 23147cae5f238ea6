//! Name, description, picture and settings.

use anyhow::Result;
use whatsapp_rust::wacore_binary::{Jid, Node, NodeRef};

use super::{GroupRequest, ServerGroup, tell};
use crate::{
    hub::Hub,
    state::ServerState,
    wire::{Build, attr, now_seconds, result},
};

/// Changes one setting, or `None` when it is not known here.
pub(super) fn set(
    asked: &GroupRequest<'_, '_>,
    state: &mut ServerState,
    mut group: ServerGroup,
) -> Result<Option<Node>> {
    let tag = asked.action.tag.as_ref();
    let everybodys = matches!(tag, "subject" | "description" | "ephemeral" | "not_ephemeral");
    if !group.is_admin(asked.who) && (!everybodys || group.locked) {
        return Ok(Some(asked.refuse(403, "forbidden")));
    }
    if tag == "description"
        && attr(asked.action, "prev") != group.description.as_ref().map(|known| known.0.clone())
    {
        return Ok(Some(asked.refuse(409, "conflict")));
    }
    let Some(told) = apply(asked, state, &mut group)? else { return Ok(None) };
    let (jid, everybody) = (group.jid.clone(), group.phones());
    state.groups.insert(jid.to_string(), group);
    tell::announce(asked.hub, state, &jid, asked.who, told, &everybody)?;
    Ok(Some(result(asked.id).build()))
}

fn apply(
    asked: &GroupRequest<'_, '_>,
    state: &ServerState,
    group: &mut ServerGroup,
) -> Result<Option<Node>> {
    let action = asked.action;
    let flag = |tag: &'static str| Build::new(tag).build();
    Ok(Some(match action.tag.as_ref() {
        "subject" => {
            group.subject = action.content_as_string().unwrap_or_default().to_string();
            Build::new("subject")
                .attr("subject", group.subject.as_str())
                .attr("s_o", Jid::lid(state.account(asked.who)?.lid.as_str()))
                .attr("s_t", now_seconds())
                .build()
        }
        "description" => {
            group.description = description(action);
            let id = attr(action, "id").unwrap_or_default();
            let part = match &group.description {
                Some((_, text)) => Build::new("body").string_content(text.as_str()).build(),
                None => Build::new("delete").build(),
            };
            Build::new("description").attr("id", id).children([part]).build()
        }
        "locked" => {
            group.locked = true;
            flag("locked")
        }
        "unlocked" => {
            group.locked = false;
            flag("unlocked")
        }
        "announcement" => {
            group.announcement = true;
            flag("announcement")
        }
        "not_announcement" => {
            group.announcement = false;
            flag("not_announcement")
        }
        "ephemeral" => {
            let seconds = attr(action, "expiration").and_then(|text| text.parse().ok());
            group.rest.ephemeral = seconds.unwrap_or(0);
            let seconds = group.rest.ephemeral.to_string();
            Build::new("ephemeral").attr("expiration", seconds).build()
        }
        "not_ephemeral" => {
            group.rest.ephemeral = 0;
            flag("not_ephemeral")
        }
        "member_add_mode" => {
            let word = action.content_as_string().unwrap_or_default();
            group.rest.only_admins_add = word == "admin_add";
            tell::add_mode(group.rest.only_admins_add)
        }
        "membership_approval_mode" => {
            let join = action.get_optional_child("group_join");
            group.rest.approval =
                join.and_then(|join| attr(join, "state")).is_some_and(|state| state == "on");
            tell::approval(group.rest.approval)
        }
        _ => return Ok(None),
    }))
}

fn description(action: &NodeRef<'_>) -> Option<(String, String)> {
    let body = action.get_optional_child("body")?.content_as_string()?;
    Some((attr(action, "id").unwrap_or_default(), body.to_string()))
}

/// Sets or removes the picture of a group; its number, or the code of a refusal.
pub(crate) fn set_picture(
    hub: &Hub,
    state: &mut ServerState,
    who: &str,
    (jid, picture): (&Jid, Option<Vec<u8>>),
) -> Result<std::result::Result<u64, u16>> {
    let Some(mut group) = state.groups.get(&jid.to_string()).cloned() else { return Ok(Err(404)) };
    if !group.has(who) || (group.locked && !group.is_admin(who)) {
        return Ok(Err(403));
    }
    group.rest.picture_number += 1;
    group.rest.picture = picture.filter(|bytes| !bytes.is_empty());
    state.groups.insert(jid.to_string(), group.clone());
    tell::announce_picture(hub, state, &group, who)?;
    Ok(Ok(group.rest.picture_number))
}

/// The picture of a group, for its members.
pub(crate) fn picture_of(state: &ServerState, who: &str, jid: &Jid) -> Option<Vec<u8>> {
    let group = state.groups.get(&jid.to_string()).filter(|group| group.has(who))?;
    group.rest.picture.clone()
}
