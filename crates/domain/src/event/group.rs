//! Builders of events about groups: `group.join`, `group.leave`, `group.update` and `group.join_request`.
//!
//! OpenWA has `groupId`, `actorId`, `participantIds`, `changes` and `timestamp`. Added are `action`, one word for what
//! happened, `actor` and `participants` with both ids where they are known, `reason`, `method` and `source`.

use serde_json::{Map, Value, json};

use super::{ChangeSource, EventDraft, EventType};
use crate::{
    address::ChatId,
    group::{GroupChange, GroupNews, GroupPerson},
    ids::{EventId, SessionId},
    time::Timestamp,
};

/// The event of something that happened to a group. Told twice, it has the same id and key. `me` is this account;
/// `source` says by which of its devices, when the account itself did it.
pub fn group_event(
    session: SessionId,
    me: Option<&ChatId>,
    news: &GroupNews,
    source: Option<ChangeSource>,
) -> EventDraft {
    let at = Timestamp::from_seconds(news.timestamp);
    let key = format!("grp_{}_{session}_{}", news.group, news.occurrence);
    EventDraft {
        id: EventId::derived_at(at, &[session.uuid().as_bytes(), key.as_bytes()]),
        session,
        kind: kind(&news.change),
        occurred_at: at,
        chat: Some(news.group.clone()),
        idempotency_key: key,
        data: data(me, news, source).into(),
    }
}

fn kind(change: &GroupChange) -> EventType {
    match change {
        GroupChange::Begun { .. } | GroupChange::Added(_) => EventType::GroupJoin,
        GroupChange::Removed(_) | GroupChange::Deleted => EventType::GroupLeave,
        GroupChange::Requested { .. } => EventType::GroupJoinRequest,
        _ => EventType::GroupUpdate,
    }
}

fn data(me: Option<&ChatId>, news: &GroupNews, source: Option<ChangeSource>) -> Value {
    let people = people(me, &news.change);
    let mut data = Map::new();
    data.insert("groupId".into(), json!(news.group));
    if let Some(actor) = &news.actor {
        data.insert("actorId".into(), json!(actor.id));
        data.insert("actor".into(), json!(actor));
    }
    data.insert("participantIds".into(), people.iter().map(|person| json!(person.id)).collect());
    if !people.is_empty() {
        data.insert("participants".into(), json!(people));
    }
    let changes = changes(&news.change);
    if !changes.is_empty() {
        data.insert("changes".into(), Value::Object(changes));
    }
    data.insert("action".into(), json!(news.change.word()));
    if let GroupChange::Requested { method, .. } = &news.change {
        data.insert("method".into(), json!(method.as_str()));
    }
    if let Some(reason) = &news.reason {
        data.insert("reason".into(), json!(reason));
    }
    if let Some(source) = source {
        data.insert("source".into(), json!(source.as_str()));
    }
    data.insert("timestamp".into(), json!(news.timestamp));
    Value::Object(data)
}

/// Who came, left or changed. Of a group that others made before, that is this account.
fn people<'a>(me: Option<&ChatId>, change: &'a GroupChange) -> Vec<&'a GroupPerson> {
    let mut people = change.people();
    if let (GroupChange::Begun { new: false, .. }, Some(me)) = (change, me) {
        people.retain(|person| person.has(me));
    }
    people
}

fn changes(change: &GroupChange) -> Map<String, Value> {
    let (name, value) = match change {
        GroupChange::Name(name) => ("subject", json!(name)),
        GroupChange::Description(text) => ("description", json!(text.as_deref().unwrap_or(""))),
        GroupChange::Announce(on) => ("announce", json!(on)),
        GroupChange::Locked(on) => ("locked", json!(on)),
        GroupChange::Ephemeral(seconds) => ("ephemeralSeconds", json!(seconds)),
        GroupChange::AddRight(right) => ("memberAddMode", json!(right.as_str())),
        GroupChange::Approval(on) => ("membershipApproval", json!(on)),
        GroupChange::Picture { removed } => {
            ("picture", json!(if *removed { "removed" } else { "changed" }))
        }
        _ => return Map::new(),
    };
    Map::from_iter([(name.to_owned(), value)])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        address::PhoneNumber,
        group::{Group, GroupMember, GroupRole, JoinMethod},
    };

    fn id(text: &str) -> ChatId {
        text.parse().unwrap()
    }

    fn ann() -> GroupPerson {
        GroupPerson::known_by(PhoneNumber::parse("49170222"), Some(id("222@lid"))).unwrap()
    }

    fn news(change: GroupChange) -> GroupNews {
        GroupNews {
            group: id("120363041@g.us"),
            occurrence: "A1_0".into(),
            actor: Some(GroupPerson::of(id("49170111@c.us"))),
            source: None,
            left: false,
            reason: None,
            timestamp: 1_790_842_000,
            change,
        }
    }

    fn event(news: &GroupNews) -> EventDraft {
        let session = "3b0c6f52-0c1e-4a77-9d0e-5a1f2b3c4d5e".parse().unwrap();
        group_event(session, Some(&id("49155500@c.us")), news, news.source)
    }

    #[test]
    fn a_join_has_the_contracts_fields_and_both_ids() {
        let member = GroupMember { person: ann(), role: GroupRole::Member };
        let draft = event(&news(GroupChange::Added(vec![member])));
        assert_eq!(draft.kind, EventType::GroupJoin);
        assert_eq!(
            draft.idempotency_key,
            "grp_120363041@g.us_3b0c6f52-0c1e-4a77-9d0e-5a1f2b3c4d5e_A1_0"
        );
        assert_eq!(
            draft.data.value(),
            json!({
                "groupId": "120363041@g.us", "actorId": "49170111@c.us", "participantIds": ["49170222@c.us"],
                "timestamp": 1_790_842_000, "action": "add",
                "actor": { "id": "49170111@c.us", "phone": "49170111" },
                "participants": [{ "id": "49170222@c.us", "phone": "49170222", "lid": "222@lid" }],
            })
        );
    }

    #[test]
    fn every_change_has_its_event() {
        let people = || vec![ann()];
        let requested = GroupChange::Requested { people: people(), method: JoinMethod::InviteLink };
        let cases = [
            (GroupChange::Removed(people()), EventType::GroupLeave, json!(null)),
            (GroupChange::Deleted, EventType::GroupLeave, json!(null)),
            (requested, EventType::GroupJoinRequest, json!(null)),
            (
                GroupChange::Admins { people: people(), admin: true },
                EventType::GroupUpdate,
                json!(null),
            ),
            (
                GroupChange::Name("Bakery team".into()),
                EventType::GroupUpdate,
                json!({ "subject": "Bakery team" }),
            ),
            (GroupChange::Description(None), EventType::GroupUpdate, json!({ "description": "" })),
            (
                GroupChange::Picture { removed: true },
                EventType::GroupUpdate,
                json!({ "picture": "removed" }),
            ),
        ];
        for (change, kind, changes) in cases {
            let word = change.word();
            let draft = event(&news(change));
            let data = draft.data.value();
            assert_eq!((draft.kind, &data["changes"]), (kind, &changes), "{word}");
            assert_eq!(data["action"], word);
        }
    }

    #[test]
    fn told_again_it_is_the_same_event() {
        let told = news(GroupChange::Locked(true));
        let again = GroupNews { source: Some(ChangeSource::Phone), ..told.clone() };
        let other = GroupNews { occurrence: "A1_1".into(), ..told.clone() };
        assert_eq!(event(&told).id, event(&again).id);
        assert_ne!(event(&told).id, event(&other).id);
        assert_eq!(event(&again).data.value()["source"], "phone");
    }

    #[test]
    fn who_is_taken_into_a_group_is_this_account() {
        let member = |person| GroupMember { person, role: GroupRole::Member };
        let group = Group {
            members: vec![member(ann()), member(GroupPerson::of(id("49155500@c.us")))],
            ..serde_json::from_str(r#"{"id":"120363041@g.us","name":"Team"}"#).unwrap()
        };
        for (new, expected) in
            [(false, json!(["49155500@c.us"])), (true, json!(["49170222@c.us", "49155500@c.us"]))]
        {
            let change = GroupChange::Begun { group: Box::new(group.clone()), new };
            assert_eq!(event(&news(change)).data.value()["participantIds"], expected);
        }
    }
}
