//! Groups: a burst of changes, and who made them.

use std::{collections::HashMap, time::Duration};

use domain::{
    ChatId, SessionId,
    event::{ChangeSource, EventType},
    group::{
        Group, GroupChange, GroupMember, GroupNews, GroupPerson, GroupRole, GroupSetting,
        GroupSignal, MemberAction,
    },
    pacing::PacingRules,
    port::{EngineSignal, GroupStore as _},
};
use gateway::groups::GroupError;
use testkit::{Receiver, build};

use crate::house::{House, until};

const BURST: u32 = 10_000;
const GROUPS: u32 = 20;
/// Longest wait for all deliveries of the burst: test machines are shared.
const BURST_LIMIT: Duration = Duration::from_secs(300);
/// Entries that may wait in the line of a session.
const LINE_MAX: u32 = 1024;

fn group(number: u32) -> ChatId {
    format!("1203630{number:05}@g.us").parse().unwrap()
}

fn member(number: u32) -> GroupMember {
    GroupMember { person: GroupPerson::of(build::chat(number)), role: GroupRole::Member }
}

fn team(number: u32) -> Group {
    Group {
        members: vec![member(1), member(2)],
        ..serde_json::from_value(serde_json::json!({ "id": group(number), "name": "Team" }))
            .unwrap()
    }
}

fn news(number: u32, occurrence: &str, change: GroupChange) -> GroupNews {
    GroupNews {
        group: group(number),
        occurrence: occurrence.into(),
        actor: Some(member(1).person),
        source: None,
        left: false,
        reason: None,
        timestamp: testkit::START.seconds(),
        change,
    }
}

async fn tell(house: &House, session: SessionId, news: GroupNews) {
    let signal = EngineSignal::Group(GroupSignal::Changed(Box::new(news)));
    house.whatsapp.connection(session).signal(signal).await;
}

#[tokio::test]
async fn ten_thousand_changes_of_groups_come_through_in_order() {
    let house = House::start().await;
    let session = house.ready("bakery").await;
    let receiver = Receiver::start().await;
    house
        .webhook_with(session, &receiver, |webhook| {
            webhook.events = vec![domain::event::Subscription::One(EventType::GroupUpdate)];
        })
        .await;
    for number in 0..BURST {
        let change = GroupChange::Name(format!("name {number}"));
        tell(&house, session, news(number % GROUPS, &format!("N{number}"), change)).await;
        if number % 500 == 0 {
            // The connection is held back: no more waits in memory than the line takes.
            let stored = house.told(session, EventType::GroupUpdate).len();
            assert!(
                number + 1 - u32::try_from(stored).unwrap() <= LINE_MAX,
                "{stored} of {number}"
            );
        }
    }
    until("stored", async || house.told(session, EventType::GroupUpdate).len() == BURST as usize)
        .await;
    let delivered = async {
        while house.pending().await > 0 {
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    };
    tokio::time::timeout(BURST_LIMIT, delivered).await.unwrap();
    house.drained().await;

    let mut by_group: HashMap<String, Vec<u32>> = HashMap::new();
    for call in receiver.received() {
        let data = call.json()["data"].clone();
        let name = data["changes"]["subject"].as_str().unwrap();
        let number = name.strip_prefix("name ").unwrap().parse().unwrap();
        by_group.entry(data["groupId"].as_str().unwrap().to_owned()).or_default().push(number);
    }
    assert_eq!(by_group.len(), GROUPS as usize);
    for lane in 0..GROUPS {
        let expected: Vec<u32> = (0..BURST / GROUPS).map(|turn| turn * GROUPS + lane).collect();
        assert_eq!(by_group[group(lane).as_str()], expected);
    }
}

#[tokio::test]
async fn a_group_is_kept_true_by_what_is_told() {
    let house = House::start().await;
    let session = house.ready("bakery").await;
    house.whatsapp.keep_group(team(1), "CODE");
    let groups = &house.gateway.groups;
    let asked = house.whatsapp.asked_of_groups();
    assert_eq!(groups.get(session, &group(1)).await.unwrap().group, team(1));
    tell(&house, session, news(1, "A", GroupChange::Added(vec![member(3)]))).await;
    tell(&house, session, news(1, "B", GroupChange::Name("Crew".into()))).await;
    until("followed", async || {
        let known = house.store.known_group(session, &group(1)).await.unwrap().unwrap();
        known.group.name == "Crew" && known.group.members.len() == 3
    })
    .await;
    groups.get(session, &group(1)).await.unwrap();
    assert_eq!(house.whatsapp.asked_of_groups(), asked + 1, "WhatsApp was asked once");
    // A number that moved cannot be followed: WhatsApp is asked again.
    tell(&house, session, news(1, "C", GroupChange::MembersMoved(vec![member(1).person]))).await;
    until("stale", async || {
        house.store.known_group(session, &group(1)).await.unwrap().unwrap().stale
    })
    .await;
    house.clock.advance(Duration::from_secs(1));
    assert_eq!(groups.get(session, &group(1)).await.unwrap().group, team(1));
    let left = GroupNews { left: true, ..news(1, "D", GroupChange::Removed(vec![])) };
    tell(&house, session, left).await;
    until("forgotten", async || {
        house.store.known_group(session, &group(1)).await.unwrap().is_none()
    })
    .await;
    assert_eq!(house.told(session, EventType::GroupLeave).len(), 1);
}

#[tokio::test]
async fn it_is_known_which_changes_this_api_made() {
    let house = House::start().await;
    let session = house.ready("bakery").await;
    house.whatsapp.keep_group(team(1), "CODE");
    let groups = &house.gateway.groups;
    let rename = [GroupSetting::Name("Crew".into())];
    groups.set(session, &group(1), &rename).await.unwrap();
    assert!(house.told(session, EventType::GroupUpdate).is_empty(), "WhatsApp tells it");
    let own = |occurrence: &str, change| GroupNews {
        source: Some(ChangeSource::Phone),
        ..news(1, occurrence, change)
    };
    tell(&house, session, own("A", GroupChange::Name("Crew".into()))).await;
    tell(&house, session, own("B", GroupChange::Name("Choir".into()))).await;
    tell(&house, session, news(1, "C", GroupChange::Name("Band".into()))).await;
    // One that was refused does not make the next one this API's.
    house.whatsapp.refuse_member(build::chat(9), 403);
    let add = (MemberAction::Add, &[build::chat(9)][..]);
    let refused = groups.change_members(session, &group(1), add).await.unwrap_err();
    assert!(matches!(refused, GroupError::RefusedForAll(403)), "{refused:?}");
    tell(&house, session, own("D", GroupChange::Added(vec![member(9)]))).await;
    until("told", async || house.told(session, EventType::GroupJoin).len() == 1).await;
    let sources: Vec<_> = house
        .told(session, EventType::GroupUpdate)
        .iter()
        .map(|event| event.draft.data.value()["source"].as_str().map(str::to_owned))
        .collect();
    let words = |word: &str| Some(word.to_owned());
    assert_eq!(sources, [words("api"), words("phone"), None]);
    let join = house.told(session, EventType::GroupJoin);
    assert_eq!(join[0].draft.data.value()["source"], "phone");
}

#[tokio::test]
async fn adding_strangers_counts_as_writing_to_them() {
    let house = House::with(|options| {
        options.sends.pacing =
            PacingRules { enabled: true, cold: vec![3], ..PacingRules::default() };
    })
    .await;
    let session = house.ready("bakery").await;
    house.whatsapp.keep_group(team(1), "CODE");
    let groups = &house.gateway.groups;
    let add = async |numbers: &[u32]| {
        let people: Vec<ChatId> = numbers.iter().map(|one| build::chat(*one)).collect();
        groups.change_members(session, &group(1), (MemberAction::Add, &people)).await
    };
    let many = add(&[11, 12, 13, 14]).await.unwrap_err();
    assert!(matches!(many, GroupError::TooManyStrangers { most: 3 }), "{many:?}");
    // Who was refused did not hear of this account.
    house.whatsapp.refuse_member(build::chat(12), 403);
    let changed = add(&[11, 12]).await.unwrap();
    let codes: Vec<_> = changed.outcomes.iter().map(|one| one.refused).collect();
    assert_eq!(codes, [None, Some(403)]);
    add(&[13, 14]).await.unwrap();
    let later = add(&[15]).await.unwrap_err();
    assert!(matches!(later, GroupError::Paced { .. }), "{later:?}");
    let made = groups.create(session, "Crew", &[build::chat(15)]).await.unwrap_err();
    assert!(matches!(made, GroupError::Paced { .. }), "{made:?}");
    // Whom the account knows it may add.
    add(&[11]).await.unwrap_err();
    house.hear(session, &build::chat(16)).await;
    add(&[16]).await.unwrap();
}
