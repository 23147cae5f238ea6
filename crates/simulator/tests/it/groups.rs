//! Groups of linked devices and phones.

use simulator::{MembersChange, PhoneGroupSetting};
use whatsapp_rust::{
    GroupCreateOptions, GroupParticipantOptions, prelude::*,
    wacore::stanza::groups::GroupNotificationAction,
};

use crate::support::*;

#[tokio::test]
async fn a_group_is_made_and_everybody_reads_everybody() {
    let network = network().await;
    let alice = Gateway::linked(&network, ALICE).await;
    let second = Gateway::linked(&network, ALICE).await;
    let bob = Gateway::linked(&network, BOB).await;
    let member = GroupParticipantOptions::builder().jid(bob.jid()).build();
    let options = GroupCreateOptions::builder().subject("Team").participants(vec![member]).build();
    let group = alice.client.groups().create_group(options).await.unwrap();
    let group = group.metadata.id.clone();

    alice.client.send_text(group.clone(), "first").await.unwrap();
    let info = bob.text("first").await;
    assert_eq!(info.source.chat, group);
    assert!(info.source.sender.is_lid());
    second.text("first").await;
    bob.client.send_text(group.clone(), "second").await.unwrap();
    alice.text("second").await;
    second.text("second").await;
    alice.client.send_text(group, "third").await.unwrap();
    bob.text("third").await;
    // The phones are members too.
    let phone = network.account(BOB).unwrap();
    let seen = phone.wait_for(LIMIT, |message| message.text == "third").await.unwrap();
    assert!(seen.group.is_some());
    assert_all_answered(&network);
}

#[tokio::test]
async fn a_phone_makes_a_group_and_writes_to_it() {
    let network = network().await;
    let alice = Gateway::linked(&network, ALICE).await;
    let bob = network.account(BOB).unwrap();
    let group = bob.create_group("Family", &[ALICE]).await.unwrap();
    for text in ["one", "two"] {
        bob.send(group.clone(), wa::Message::text(text)).await.unwrap();
        let info = alice.text(text).await;
        assert_eq!(info.source.chat, group);
        assert_eq!(info.push_name, "Bob");
    }
    alice.client.send_text(group, "three").await.unwrap();
    bob.wait_for(LIMIT, |message| message.text == "three").await.unwrap();
    assert_all_answered(&network);
}

#[tokio::test]
async fn members_and_settings_of_a_group_change() {
    let network = network().await;
    network.add_account(CAROL, "Carol").await;
    let alice = Gateway::linked(&network, ALICE).await;
    let member = GroupParticipantOptions::builder().jid(Jid::pn(BOB)).build();
    let options = GroupCreateOptions::builder().subject("Team").participants(vec![member]).build();
    let groups = alice.client.groups();
    let group = groups.create_group(options).await.unwrap().metadata.id;
    groups.add_participants(&group, &[Jid::pn(CAROL)]).await.unwrap();
    let link = groups.get_invite_link(&group, false).await.unwrap();
    assert!(link.starts_with("https://chat.whatsapp.com/"), "{link}");
    let metadata = groups.get_metadata(&group).await.unwrap();
    assert_eq!(metadata.participants.len(), 3);
    groups.remove_participants(&group, &[Jid::pn(BOB)]).await.unwrap();
    let metadata = groups.get_metadata(&group).await.unwrap();
    assert_eq!(metadata.participants.len(), 2);
    groups.leave(&group).await.unwrap();
    assert!(groups.get_participating().await.unwrap().is_empty());
    assert_all_answered(&network);
}

#[tokio::test]
async fn rules_hold_and_changes_are_announced() {
    let network = network().await;
    let carol = network.add_account(CAROL, "Carol").await;
    let alice = Gateway::linked(&network, ALICE).await;
    let bob = network.account(BOB).unwrap();
    let group = bob.create_group("Team", &[ALICE]).await.unwrap();
    let heard = async |fits: fn(&GroupNotificationAction) -> bool| {
        let event = alice.event(|event| match event {
            Event::GroupUpdate(update) => fits(&update.action),
            _ => false,
        });
        let event = event.await;
        let Event::GroupUpdate(update) = &*event else { unreachable!() };
        assert_eq!(update.group_jid, group);
        update.action.clone()
    };
    heard(|action| matches!(action, GroupNotificationAction::Create { .. })).await;
    bob.set_group(&group, PhoneGroupSetting::Subject("Crew")).await.unwrap();
    heard(|action| {
        matches!(action, GroupNotificationAction::Subject { subject, .. } if subject == "Crew")
    })
    .await;
    // Only admins do that.
    let admins = PhoneGroupSetting::OnlyAdminsAdd(true);
    network.account(ALICE).unwrap().set_group(&group, admins).await.unwrap_err();
    bob.set_group(&group, admins).await.unwrap();
    heard(|action| {
        matches!(action, GroupNotificationAction::MemberAddMode { mode } if mode == "admin_add")
    })
    .await;
    alice.client.groups().add_participants(&group, &[Jid::pn(CAROL)]).await.unwrap_err();
    bob.set_group(&group, PhoneGroupSetting::Approval(true)).await.unwrap();
    let code = bob.invite_code(&group).await.unwrap();
    assert!(!carol.join_group(&code).await.unwrap());
    bob.decide_request(&group, CAROL, true).await.unwrap();
    heard(|action| {
        matches!(action, GroupNotificationAction::Add { participants, .. } if participants.len() == 1)
    })
    .await;
    assert_eq!(network.account(BOB).unwrap().members_of(&group), [BOB, ALICE, CAROL]);
    bob.change_members(&group, MembersChange::Remove, &[CAROL]).await.unwrap();
    carol.send_text_to(&group, "still here?").await.unwrap_err();
    assert_all_answered(&network);
}
