//! Groups on the control surface: what a person does with them on the phone.

use anyhow::Context as _;
use axum::{
    Json,
    extract::{Path, State},
};
use serde::Deserialize;
use serde_json::json;
use whatsapp_rust::Jid;

use super::AdminAnswer;
use crate::{account::MembersChange, network::Network};

#[derive(Deserialize)]
pub(super) struct NewGroup {
    subject: String,
    #[serde(default)]
    members: Vec<String>,
}

pub(super) async fn create(
    State(network): State<Network>,
    Path(phone): Path<String>,
    Json(new): Json<NewGroup>,
) -> AdminAnswer {
    let members: Vec<&str> = new.members.iter().map(String::as_str).collect();
    let group = network.account(&phone)?.create_group(&new.subject, &members).await?;
    Ok(Json(json!({ "group": group.to_string() })))
}

#[derive(Deserialize)]
pub(super) struct GroupAct {
    action: String,
    #[serde(default)]
    people: Vec<String>,
}

pub(super) async fn act(
    State(network): State<Network>,
    Path((phone, group)): Path<(String, String)>,
    Json(act): Json<GroupAct>,
) -> AdminAnswer {
    let account = network.account(&phone)?;
    let group: Jid = group.parse().context("not the address of a group")?;
    let people: Vec<&str> = act.people.iter().map(String::as_str).collect();
    let change = match act.action.as_str() {
        "invite-code" => {
            return Ok(Json(json!({ "code": account.invite_code(&group).await? })));
        }
        "leave" => {
            account.leave_group(&group).await?;
            return Ok(Json(json!({})));
        }
        "add" => MembersChange::Add,
        "remove" => MembersChange::Remove,
        "promote" => MembersChange::Promote,
        "demote" => MembersChange::Demote,
        other => return Err(unknown(other).into()),
    };
    account.change_members(&group, change, &people).await?;
    Ok(Json(json!({})))
}

fn unknown(action: &str) -> anyhow::Error {
    anyhow::anyhow!("nothing to do with a group is called {action}")
}

#[derive(Deserialize)]
pub(super) struct JoinByCode {
    code: String,
}

pub(super) async fn join(
    State(network): State<Network>,
    Path(phone): Path<String>,
    Json(join): Json<JoinByCode>,
) -> AdminAnswer {
    let member = network.account(&phone)?.join_group(&join.code).await?;
    Ok(Json(json!({ "member": member })))
}
