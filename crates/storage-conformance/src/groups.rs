//! Groups: what WhatsApp described, and what happened since.

use domain::{
    ChatId, SessionId, Timestamp,
    event::{EventType, group_event},
    group::{Group, GroupChange, GroupMember, GroupNews, GroupPerson, GroupRole},
    port::{GroupWrite, KnownGroup, Page, Write, WriteOutcome},
};

use super::{ALL, Store, new_session};
use testkit::{START, build};

fn id(number: u32) -> ChatId {
    format!("1203630{number:05}@g.us").parse().unwrap()
}

fn member(number: u32) -> GroupMember {
    GroupMember { person: GroupPerson::of(build::chat(number)), role: GroupRole::Member }
}

fn group(number: u32, name: &str) -> Group {
    Group {
        id: id(number),
        name: name.into(),
        description: Some("who bakes when".into()),
        owner: Some(GroupPerson::of(build::chat(1))),
        created_at: Some(1_790_000_000),
        announce: false,
        locked: true,
        approval: false,
        ephemeral_seconds: 0,
        add_right: Some(domain::group::MemberAddRight::Admins),
        parent: Some(id(99)),
        size: None,
        members: vec![member(1), member(2)],
    }
}

fn later(seconds: u64) -> Timestamp {
    START.plus(std::time::Duration::from_secs(seconds))
}

fn write(session: SessionId, number: u32, change: GroupWrite) -> Write {
    Write::Group { session, group: id(number), change: Box::new(change), events: vec![] }
}

fn know(session: SessionId, group: &Group, as_of: Timestamp) -> Write {
    let change = Box::new(GroupWrite::Know(Box::new(group.clone()), as_of));
    Write::Group { session, group: group.id.clone(), change, events: vec![] }
}

async fn apply<S: Store>(store: &S, write: Write) -> bool {
    let outcome = store.write(vec![write]).await.unwrap().remove(0);
    matches!(outcome, WriteOutcome::Applied(_))
}

async fn known<S: Store>(store: &S, session: SessionId, number: u32) -> Option<KnownGroup> {
    store.known_group(session, &id(number)).await.unwrap()
}

pub async fn a_group_reads_back_as_it_was<S: Store>(store: &S) {
    let session = new_session(store, 1).await;
    let team = group(1, "Team");
    assert!(apply(store, know(session, &team, START)).await);
    assert!(!apply(store, know(session, &team, later(1))).await, "nothing is different");
    let read = known(store, session, 1).await.unwrap();
    assert_eq!(read, KnownGroup { group: team.clone(), as_of: START, stale: false });
    let other = new_session(store, 2).await;
    assert_eq!(known(store, other, 1).await, None);
    apply(store, know(session, &Group { parent: None, ..group(2, "Crew") }, START)).await;
    let listed = store.known_groups(session, ALL).await.unwrap();
    assert_eq!(listed, [(id(1), "Team".into(), Some(id(99))), (id(2), "Crew".into(), None)]);
    let second = store.known_groups(session, Page { limit: 1, offset: 1 }).await.unwrap();
    assert_eq!(second[0].0, id(2));
    // The chat of the group has its name.
    let chat = store.chat(session, &id(1)).await.unwrap().unwrap();
    assert_eq!(chat.name.as_deref(), Some("Team"));
}

pub async fn what_happened_since_counts_more<S: Store>(store: &S) {
    let session = new_session(store, 1).await;
    let team = group(1, "Team");
    apply(store, know(session, &team, START)).await;
    let joined = GroupChange::Added(vec![member(3)]);
    assert!(apply(store, write(session, 1, GroupWrite::Change(joined.clone(), later(10)))).await);
    assert!(!apply(store, write(session, 1, GroupWrite::Change(joined, later(11)))).await);
    let renamed = GroupChange::Name("Crew".into());
    apply(store, write(session, 1, GroupWrite::Change(renamed, later(12)))).await;
    // What WhatsApp said before that is not believed any more, and it is known that it should be asked.
    assert!(!apply(store, know(session, &team, later(5))).await);
    let read = known(store, session, 1).await.unwrap();
    assert!(read.stale);
    assert_eq!((read.group.name.as_str(), read.group.members.len()), ("Crew", 3));
    assert_eq!(store.known_groups(session, ALL).await.unwrap()[0].1, "Crew");
    assert_eq!(store.chat(session, &id(1)).await.unwrap().unwrap().name.as_deref(), Some("Crew"));
    assert!(apply(store, know(session, &team, later(20))).await);
    let read = known(store, session, 1).await.unwrap();
    assert_eq!((read.group, read.stale), (team, false));
    let moved = GroupChange::MembersMoved(vec![member(1).person]);
    apply(store, write(session, 1, GroupWrite::Change(moved, later(30)))).await;
    assert!(known(store, session, 1).await.unwrap().stale);
}

pub async fn groups_begin_and_end<S: Store>(store: &S) {
    let session = new_session(store, 1).await;
    let unknown = GroupChange::Locked(false);
    assert!(!apply(store, write(session, 1, GroupWrite::Change(unknown, START))).await);
    assert_eq!(known(store, session, 1).await, None);
    let begun = GroupChange::Begun { group: Box::new(group(1, "Team")), new: true };
    assert!(apply(store, write(session, 1, GroupWrite::Change(begun, later(10)))).await);
    apply(store, know(session, &group(2, "Crew"), START)).await;
    apply(store, know(session, &group(3, "Choir"), START)).await;
    // Those that are not in WhatsApp's list any more go, but for one that began after it was made.
    apply(store, write(session, 0, GroupWrite::Keep(vec![id(3)], later(5)))).await;
    let left = store.known_groups(session, ALL).await.unwrap();
    assert_eq!(left.iter().map(|one| one.0.clone()).collect::<Vec<_>>(), [id(1), id(3)]);
    assert!(apply(store, write(session, 1, GroupWrite::Forget)).await);
    assert!(!apply(store, write(session, 1, GroupWrite::Forget)).await);
    assert_eq!(known(store, session, 1).await, None);
}

pub async fn what_is_told_twice_is_one_event<S: Store>(store: &S) {
    let session = new_session(store, 1).await;
    let news = |occurrence: &str, change: GroupChange| {
        let news = GroupNews {
            group: id(1),
            occurrence: occurrence.into(),
            actor: None,
            source: None,
            left: false,
            reason: None,
            timestamp: START.seconds(),
            change: change.clone(),
        };
        let event = group_event(session, None, &news, None);
        let change = Box::new(GroupWrite::Change(change, START));
        Write::Group { session, group: id(1), change, events: vec![event] }
    };
    let sequences = |outcome: &WriteOutcome| match outcome {
        WriteOutcome::Applied(events) => {
            events.iter().map(|event| event.sequence).collect::<Vec<_>>()
        }
        WriteOutcome::Unchanged => panic!("nothing was recorded"),
    };
    // Of a group that is not known: told all the same.
    let locked = || news("A_0", GroupChange::Locked(true));
    let again = store.write(vec![locked(), locked()]).await.unwrap();
    assert_eq!(again.iter().map(sequences).collect::<Vec<_>>(), [vec![1], vec![]]);
    let more = store.write(vec![locked(), news("A_1", GroupChange::Announce(true))]).await;
    assert_eq!(more.unwrap().iter().map(sequences).collect::<Vec<_>>(), [vec![], vec![2]]);
    let log = store.read_events(0, Some(session), 10).await.unwrap();
    assert_eq!(log.len(), 2);
    assert!(log.iter().all(|one| one.event.draft.kind == EventType::GroupUpdate));
    // An old one that comes again changes nothing.
    apply(store, know(session, &group(1, "Team"), later(5))).await;
    apply(store, news("B_0", GroupChange::Locked(false))).await;
    apply(store, locked()).await;
    assert!(!known(store, session, 1).await.unwrap().group.locked);
}
