use super::*;

fn id(text: &str) -> ChatId {
    text.parse().unwrap()
}

fn both(phone: &str, lid: &str) -> GroupPerson {
    GroupPerson::known_by(PhoneNumber::parse(phone), Some(id(lid))).unwrap()
}

fn member(person: GroupPerson) -> GroupMember {
    GroupMember { person, role: GroupRole::Member }
}

fn team() -> Group {
    let owner = GroupMember { person: both("49170111", "111@lid"), role: GroupRole::Owner };
    Group {
        id: id("120363041@g.us"),
        name: "Team".into(),
        description: None,
        owner: Some(owner.person.clone()),
        created_at: Some(1),
        announce: false,
        locked: false,
        approval: false,
        ephemeral_seconds: 0,
        add_right: None,
        parent: None,
        size: None,
        members: vec![owner, member(both("49170222", "222@lid"))],
    }
}

#[test]
fn a_person_is_the_same_under_either_address() {
    let mia = both("49170111", "111@lid");
    assert_eq!(mia.id, id("49170111@c.us"));
    for other in ["49170111@c.us", "111@lid"] {
        assert!(mia.has(&id(other)), "{other}");
    }
    assert!(!mia.has(&id("222@lid")));
    assert!(!GroupPerson::of(id("111@lid")).is(&GroupPerson::of(id("49170111@c.us"))));
    assert_eq!(GroupPerson::known_by(None, None), None);
}

#[test]
fn members_come_and_go_by_either_address() {
    let mut group = team();
    let ann = both("49170333", "333@lid");
    assert!(group.apply(&GroupChange::Added(vec![member(ann.clone())])));
    assert!(!group.apply(&GroupChange::Added(vec![member(ann)])), "she is in it already");
    let by_lid = GroupPerson::of(id("222@lid"));
    assert!(group.apply(&GroupChange::Removed(vec![by_lid])));
    let left: Vec<&str> = group.members.iter().map(|one| one.person.id.as_str()).collect();
    assert_eq!(left, ["49170111@c.us", "49170333@c.us"]);
    let admins =
        |admin| GroupChange::Admins { people: vec![GroupPerson::of(id("333@lid"))], admin };
    assert!(group.apply(&admins(true)));
    assert_eq!(group.members[1].role, GroupRole::Admin);
    assert!(group.apply(&admins(false)));
    assert_eq!(group.members[1].role, GroupRole::Member);
}

#[test]
fn a_full_group_does_not_grow() {
    let mut group = team();
    let more = (0..2_000_u32).map(|number| member(GroupPerson::of(id(&format!("9{number}@lid")))));
    group.apply(&GroupChange::Added(more.collect()));
    assert_eq!(group.members.len(), MEMBERS_MAX);
}

#[test]
fn settings_follow_and_what_is_the_same_changes_nothing() {
    let mut group = team();
    let settings = [
        GroupSetting::Name("Crew".into()),
        GroupSetting::Description(Some("who bakes".into())),
        GroupSetting::Announce(true),
        GroupSetting::Locked(true),
        GroupSetting::Ephemeral(86_400),
        GroupSetting::AddRight(MemberAddRight::Admins),
    ];
    for setting in &settings {
        assert!(group.apply(&setting.change()), "{setting:?}");
        assert!(!group.apply(&setting.change()), "{setting:?}");
    }
    assert!(group.apply(&GroupChange::Description(Some(String::new()))));
    assert_eq!(group.description, None);
    assert!(!group.apply(&GroupChange::InviteReset));
}

#[test]
fn it_survives_the_ledger() {
    let text = serde_json::to_string(&team()).unwrap();
    assert_eq!(serde_json::from_str::<Group>(&text).unwrap(), team());
    let least = r#"{"id":"1@g.us","name":"x"}"#;
    assert!(serde_json::from_str::<Group>(least).unwrap().members.is_empty());
}
