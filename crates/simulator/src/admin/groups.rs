//! Groups on the control surface: what a person does with them on the phone.

use anyhow::{Context as _, Result, bail};
use axum::{
    Json,
    extract::{Path, State},
};
use serde::Deserialize;
use serde_json::json;
use whatsapp_rust::Jid;

use super::AdminAnswer;
use crate::{Account, MembersChange, Network, PhoneGroupSetting};

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
    #[serde(default)]
    text: String,
    #[serde(default = "yes")]
    on: bool,
    #[serde(default)]
    seconds: u32,
}

fn yes() -> bool {
    true
}

pub(super) async fn act(
    State(network): State<Network>,
    Path((phone, group)): Path<(String, String)>,
    Json(act): Json<GroupAct>,
) -> AdminAnswer {
    let account = network.account(&phone)?;
    let group: Jid = group.parse().context("not the address of a group")?;
    if act.action == "invite-code" {
        return Ok(Json(json!({ "code": account.invite_code(&group).await? })));
    }
    perform(&account, &group, &act).await?;
    Ok(Json(json!({})))
}

async fn perform(account: &Account, group: &Jid, act: &GroupAct) -> Result<()> {
    let people: Vec<&str> = act.people.iter().map(String::as_str).collect();
    let change = match act.action.as_str() {
        "add" => MembersChange::Add,
        "remove" => MembersChange::Remove,
        "promote" => MembersChange::Promote,
        "demote" => MembersChange::Demote,
        "leave" => return account.leave_group(group).await,
        "approve" | "reject" => {
            for who in people {
                account.decide_request(group, who, act.action == "approve").await?;
            }
            return Ok(());
        }
        setting => return account.set_group(group, setting_of(setting, act)?).await,
    };
    account.change_members(group, change, &people).await
}

fn setting_of<'a>(name: &str, act: &'a GroupAct) -> Result<PhoneGroupSetting<'a>> {
    Ok(match name {
        "rename" => PhoneGroupSetting::Subject(&act.text),
        "describe" => PhoneGroupSetting::Description(&act.text),
        "announce" => PhoneGroupSetting::Announce(act.on),
        "lock" => PhoneGroupSetting::Locked(act.on),
        "ephemeral" => PhoneGroupSetting::Ephemeral(act.seconds),
        "only-admins-add" => PhoneGroupSetting::OnlyAdminsAdd(act.on),
        "approval" => PhoneGroupSetting::Approval(act.on),
        other => bail!("nothing to do with a group is called {other}"),
    })
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
