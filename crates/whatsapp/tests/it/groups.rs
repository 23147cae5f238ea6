//! Groups on the simulated network: what one asks, changes and hears.

use std::time::Duration;

use domain::{
    ChatId,
    content::Content,
    event::ChangeSource,
    group::{
        Group, GroupChange, GroupNews, GroupRole, GroupSetting, GroupSignal, JoinMethod,
        MemberAction, MemberAddRight,
    },
    port::{EngineSignal, GroupActionError, GroupJoined},
};
use simulator::{Account, Jid, MembersChange, PhoneGroupSetting as PhoneSetting};
use whatsapp::EngineOptions;

use crate::support::{
    ALICE, BOB, CAROL, Ear, Line, World, assert_all_answered, chat, engine, options, outgoing,
    until,
};

/// Longest that anything may take in a group of the largest size, on a shared machine.
const LARGE_LIMIT: Duration = Duration::from_secs(400);

fn id(group: &Jid) -> ChatId {
    group.to_string().parse().unwrap()
}

fn jid(group: &ChatId) -> Jid {
    group.as_str().parse().unwrap()
}

fn lid(account: &Account) -> ChatId {
    format!("{}@lid", account.lid()).parse().unwrap()
}

/// The next news of a sort.
async fn news(ear: &Ear, word: &str) -> GroupNews {
    ear.signal(|signal| match signal {
        EngineSignal::Group(GroupSignal::Changed(news)) if news.change.word() == word => {
            Some((**news).clone())
        }
        _ => None,
    })
    .await
}

async fn described(line: &Line, group: &ChatId) -> Group {
    line.connection.group(group).await.unwrap()
}

fn code(error: GroupActionError) -> u16 {
    match error {
        GroupActionError::Refused { code, .. } => code,
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_group_is_made_described_and_told() {
    let world = World::new().await;
    let (session, _, line) = world.connected(ALICE).await;
    let (bob, carol) = (world.network.account(BOB).unwrap(), world.network.account(CAROL).unwrap());
    carol.refuse_groups(true).unwrap();
    let people = [chat(BOB), lid(&carol), chat("5511990000099")];
    let made = line.connection.create_group("Team", &[chat(BOB), chat(CAROL)]).await.unwrap();
    assert_eq!(made.name, "Team");
    let members: Vec<_> =
        made.members.iter().map(|one| (one.person.id.clone(), one.role)).collect();
    assert_eq!(members, [(chat(ALICE), GroupRole::Owner), (chat(BOB), GroupRole::Member)]);
    assert_eq!(made.members[1].person.lid, Some(lid(&bob)));
    assert_eq!(made.owner.as_ref().map(|owner| owner.id.clone()), Some(chat(ALICE)));
    assert_eq!(made.add_right, Some(MemberAddRight::All));
    assert_eq!(described(&line, &made.id).await, made);
    // This device hears of it too.
    let told = news(&line.ear, "create").await;
    assert_eq!((&told.group, told.source), (&made.id, Some(ChangeSource::Phone)));
    assert!(
        matches!(&told.change, GroupChange::Begun { new: true, group } if group.name == "Team")
    );
    let outcomes =
        line.connection.change_members(&made.id, MemberAction::Add, &people).await.unwrap();
    let codes: Vec<_> = outcomes.iter().map(|one| one.refused).collect();
    assert_eq!(codes, [Some(409), Some(403), Some(404)]);
    line.connection.close().await;
    // The next login learns all groups.
    let line = world.open(session).await;
    line.ear.connected().await;
    let known = line.ear.signal(|signal| match signal {
        EngineSignal::Group(GroupSignal::Known(group, _)) => Some((**group).clone()),
        _ => None,
    });
    assert_eq!(known.await.id, made.id);
    let listed = line.ear.signal(|signal| match signal {
        EngineSignal::Group(GroupSignal::Listed(ids, _)) => Some(ids.clone()),
        _ => None,
    });
    assert_eq!(listed.await, [made.id]);
    line.connection.close().await;
    assert_all_answered(&world.network);
}

#[tokio::test]
async fn members_and_settings_change() {
    let world = World::new().await;
    let (_, _, line) = world.connected(ALICE).await;
    let group = line.connection.create_group("Team", &[chat(BOB)]).await.unwrap().id;
    let change = async |action, who: &str| {
        let done = line.connection.change_members(&group, action, &[chat(who)]).await.unwrap();
        assert_eq!(done[0].refused, None, "{action:?}");
        assert_eq!(done[0].person.id, chat(who));
    };
    change(MemberAction::Add, CAROL).await;
    let told = news(&line.ear, "add").await;
    assert_eq!(told.change.people()[0].id, chat(CAROL));
    change(MemberAction::Promote, BOB).await;
    news(&line.ear, "promote").await;
    assert_eq!(described(&line, &group).await.member(&chat(BOB)).unwrap().role, GroupRole::Admin);
    change(MemberAction::Demote, BOB).await;
    news(&line.ear, "demote").await;
    change(MemberAction::Remove, CAROL).await;
    assert!(!news(&line.ear, "remove").await.left);
    let settings = [
        GroupSetting::Name("Crew".into()),
        GroupSetting::Description(Some("who bakes when".into())),
        GroupSetting::Announce(true),
        GroupSetting::Locked(true),
        GroupSetting::Ephemeral(86_400),
        GroupSetting::AddRight(MemberAddRight::Admins),
    ];
    let mut expected = described(&line, &group).await;
    for setting in settings {
        line.connection.set_group(&group, &setting).await.unwrap();
        expected.apply(&setting.change());
        let told = news(&line.ear, setting.change().word()).await;
        assert_eq!(told.change, setting.change());
        assert_eq!(told.source, Some(ChangeSource::Phone));
        assert_eq!(described(&line, &group).await, expected);
    }
    line.connection.set_group(&group, &GroupSetting::Description(None)).await.unwrap();
    assert_eq!(described(&line, &group).await.description, None);
    line.connection.set_member_label(&group, "Oven").await.unwrap();
    let bob = world.network.account(BOB).unwrap();
    let labelled = bob.wait_for(crate::support::LIMIT, |message| {
        let label = message.message.protocol_message.member_label.as_option();
        label.is_some_and(|label| label.label.as_deref() == Some("Oven"))
    });
    labelled.await.unwrap();
    line.connection.leave_group(&group).await.unwrap();
    let told = news(&line.ear, "remove").await;
    assert!(told.left);
    assert_eq!(code(line.connection.group(&group).await.unwrap_err()), 403);
    line.connection.close().await;
    assert_all_answered(&world.network);
}

#[tokio::test]
async fn what_others_do_is_told_with_both_ids() {
    let world = World::new().await;
    let (_, _, line) = world.connected(ALICE).await;
    let (bob, carol) = (world.network.account(BOB).unwrap(), world.network.account(CAROL).unwrap());
    let group = bob.create_group("Team", &[CAROL]).await.unwrap();
    bob.change_members(&group, MembersChange::Add, &[ALICE]).await.unwrap();
    let told = news(&line.ear, "create").await;
    assert!(
        matches!(&told.change, GroupChange::Begun { new: false, group } if group.members.len() == 3)
    );
    assert_eq!((told.source, &told.group), (None, &id(&group)));
    let actor = told.actor.unwrap();
    assert_eq!((actor.id, actor.lid), (chat(BOB), Some(lid(&bob))));

    bob.set_group(&group, PhoneSetting::Subject("Crew")).await.unwrap();
    assert_eq!(news(&line.ear, "subject").await.change, GroupChange::Name("Crew".into()));
    bob.set_group(&group, PhoneSetting::Description("who bakes")).await.unwrap();
    let text = Some("who bakes".to_owned());
    assert_eq!(news(&line.ear, "description").await.change, GroupChange::Description(text));
    bob.set_group(&group, PhoneSetting::OnlyAdminsAdd(true)).await.unwrap();
    let right = GroupChange::AddRight(MemberAddRight::Admins);
    assert_eq!(news(&line.ear, "member_add_mode").await.change, right);
    bob.set_group_picture(&group, Some(vec![1, 2, 3])).await.unwrap();
    let told = news(&line.ear, "picture").await;
    assert_eq!(told.change, GroupChange::Picture { removed: false });
    assert!(line.connection.group_picture(&id(&group)).await.unwrap().is_some());
    bob.set_group_picture(&group, None).await.unwrap();
    assert_eq!(news(&line.ear, "picture").await.change, GroupChange::Picture { removed: true });
    assert_eq!(line.connection.group_picture(&id(&group)).await.unwrap(), None);
    // A person who hides the number is named by the privacy id.
    carol.show_number(false).unwrap();
    carol.leave_group(&group).await.unwrap();
    let told = news(&line.ear, "remove").await;
    assert_eq!(told.change.people()[0].lid, Some(lid(&carol)));
    // One that is no admin changes nothing.
    let refused = line.connection.set_group(&id(&group), &GroupSetting::Locked(true)).await;
    assert_eq!(code(refused.unwrap_err()), 403);
    bob.change_members(&group, MembersChange::Remove, &[ALICE]).await.unwrap();
    assert!(news(&line.ear, "remove").await.left);
    line.connection.close().await;
    assert_all_answered(&world.network);
}

#[tokio::test]
async fn codes_and_requests_let_people_in() {
    let world = World::new().await;
    let (_, _, line) = world.connected(ALICE).await;
    let (bob, carol) = (world.network.account(BOB).unwrap(), world.network.account(CAROL).unwrap());
    let team = bob.create_group("Team", &[CAROL]).await.unwrap();
    let invite = bob.invite_code(&team).await.unwrap();
    assert_eq!(line.connection.group_by_code(&invite).await.unwrap().name, "Team");
    let unknown = line.connection.group_by_code("nothing").await.unwrap_err();
    assert_eq!(code(unknown), 406);
    let joined = line.connection.join_group(&invite).await.unwrap();
    assert_eq!(joined, GroupJoined::Member(id(&team)));
    let told = news(&line.ear, "create").await;
    assert_eq!((told.reason.as_deref(), told.source), (Some("invite"), Some(ChangeSource::Phone)));

    let own = line.connection.create_group("Choir", &[chat(BOB)]).await.unwrap().id;
    let before = line.connection.invite_code(&own, false).await.unwrap();
    let after = line.connection.invite_code(&own, true).await.unwrap();
    assert_ne!(before, after);
    news(&line.ear, "invite").await;
    carol.join_group(&before).await.unwrap_err();
    // Admins let people in.
    let (groups, choir) = (&line.connection, jid(&own));
    bob.set_group(&choir, PhoneSetting::Approval(true)).await.unwrap_err();
    groups.change_members(&own, MemberAction::Promote, &[chat(BOB)]).await.unwrap();
    bob.set_group(&choir, PhoneSetting::Approval(true)).await.unwrap();
    assert_eq!(news(&line.ear, "membership_approval").await.change, GroupChange::Approval(true));
    for (approve, word) in [(false, "request_gone"), (true, "add")] {
        assert!(!carol.join_group(&after).await.unwrap(), "she has to wait");
        let told = news(&line.ear, "request").await;
        let GroupChange::Requested { people, method } = &told.change else { unreachable!() };
        assert_eq!((&people[0].id, *method), (&chat(CAROL), JoinMethod::InviteLink));
        let waiting = groups.membership_requests(&own).await.unwrap();
        assert_eq!((&waiting[0].person.id, waiting.len()), (&chat(CAROL), 1));
        assert_eq!(waiting[0].method, Some(JoinMethod::InviteLink));
        let action = if approve { MemberAction::Approve } else { MemberAction::Reject };
        let done = groups.change_members(&own, action, &[chat(CAROL)]).await.unwrap();
        assert_eq!(done[0].refused, None);
        assert!(news(&line.ear, word).await.change.people()[0].has(&lid(&carol)));
    }
    assert!(described(&line, &own).await.member(&chat(CAROL)).is_some());
    line.connection.close().await;
    assert_all_answered(&world.network);
}

#[tokio::test]
async fn refusals_keep_their_codes() {
    let world = World::new().await;
    let (_, _, line) = world.connected(ALICE).await;
    let group = line.connection.create_group("Team", &[chat(BOB)]).await.unwrap().id;
    for refused in [429, 463] {
        world.network.faults().refuse_group(refused);
        let made = line.connection.create_group("Crew", &[chat(BOB)]).await;
        assert_eq!(code(made.unwrap_err()), refused);
        world.network.faults().refuse_member(CAROL, refused);
        let added = line.connection.change_members(&group, MemberAction::Add, &[chat(CAROL)]).await;
        assert_eq!(added.unwrap()[0].refused, Some(refused));
    }
    let nowhere: ChatId = "1203639999999999@g.us".parse().unwrap();
    assert_eq!(code(line.connection.group(&nowhere).await.unwrap_err()), 404);
    line.connection.close().await;
    assert_all_answered(&world.network);
}

#[tokio::test]
async fn a_broken_device_of_a_member_does_not_fail_a_send() {
    let world = World::new().await;
    let (_, _, line) = world.connected(ALICE).await;
    let group = line.connection.create_group("Team", &[chat(BOB), chat(CAROL)]).await.unwrap().id;
    world.network.faults().spoil_keys(BOB, 0);
    let carol = world.network.account(CAROL).unwrap();
    let message = outgoing(&group, Content::text("fresh bread"));
    let sent = message.id.clone();
    line.connection.send(message).await.unwrap();
    assert_eq!(line.ear.acked(&sent).await, None);
    carol.wait_for(crate::support::LIMIT, |seen| seen.text == "fresh bread").await.unwrap();
    line.connection.close().await;
}

#[tokio::test]
async fn a_group_of_the_largest_size_is_made_sent_to_and_received_from() {
    let whole = async {
        let mut world = World::new().await;
        // Its first message opens a thousand sessions, in a build that is not optimised.
        let slow = EngineOptions { send_limit: LARGE_LIMIT, ..options(&world.network) };
        world.engine = engine(slow, &world.keys);
        let mut people = vec![chat(BOB)];
        for number in 0..1022 {
            let phone = format!("5511991{number:06}");
            world.network.add_account(&phone, "Member").await;
            people.push(chat(&phone));
        }
        let (_, _, line) = world.connected(ALICE).await;
        let group = line.connection.create_group("Everybody", &people).await.unwrap();
        assert_eq!(group.members.len(), 1024);
        let message = outgoing(&group.id, Content::text("to everybody"));
        let sent = message.id.clone();
        line.connection.send(message).await.unwrap();
        assert_eq!(line.ear.acked(&sent).await, None);
        for phone in [BOB, "5511991000000", "5511991001021"] {
            let account = world.network.account(phone).unwrap();
            let got = account.wait_for(LARGE_LIMIT, |seen| seen.text == "to everybody");
            assert_eq!(got.await.unwrap().group, Some(group.id.to_string()));
        }
        let last = world.network.account("5511991001021").unwrap();
        last.send_text_to(&jid(&group.id), "from the last").await.unwrap();
        let got = line.ear.message("from the last").await;
        assert_eq!((got.chat, got.sender), (group.id.clone(), chat("5511991001021")));
        // It is full.
        world.network.add_account("5511992000000", "One more").await;
        let one = [chat("5511992000000")];
        let more = line.connection.change_members(&group.id, MemberAction::Add, &one).await;
        assert_eq!(more.unwrap()[0].refused, Some(419));
        line.connection.close().await;
        until("nothing lost", || world.network.record().overflowed == 0).await;
        assert_all_answered(&world.network);
    };
    tokio::time::timeout(LARGE_LIMIT, whole).await.unwrap();
}
