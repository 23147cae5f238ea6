//! Groups over HTTP, on a scripted WhatsApp.

use domain::{
    ChatId, PhoneNumber,
    event::ChangeSource,
    group::{
        Group, GroupChange, GroupMember, GroupNews, GroupPerson, GroupRole, GroupSignal,
        JoinMethod, MemberAddRight, MembershipRequest,
    },
    port::{EngineError, EngineSignal, GroupActionError},
};
use serde_json::{Value, json};

use crate::{
    app::{App, next, refused},
    inbound::{GROUP, MIA, TIME, chat},
};

const ME: &str = "4915550001000@c.us";
const ANN: &str = "49170222@c.us";
/// A picture of one pixel.
const PIXEL: &str = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg==";

fn member(id: &str, role: GroupRole) -> GroupMember {
    GroupMember { person: GroupPerson::of(chat(id)), role }
}

fn both(phone: &str, lid: &str) -> GroupPerson {
    GroupPerson::known_by(PhoneNumber::parse(phone), Some(chat(lid))).unwrap()
}

fn team() -> Group {
    Group {
        id: chat(GROUP),
        name: "Bakery team".into(),
        description: Some("Who bakes when".into()),
        owner: Some(GroupPerson::of(chat(ME))),
        created_at: Some(TIME),
        announce: false,
        locked: true,
        approval: false,
        ephemeral_seconds: 86_400,
        add_right: Some(MemberAddRight::Admins),
        parent: None,
        size: Some(2),
        members: vec![
            member(ME, GroupRole::Owner),
            GroupMember { person: both("49170111", "111@lid"), role: GroupRole::Member },
        ],
    }
}

/// An account that is in a group, and the beginning of the group's paths.
async fn in_group() -> (App, String, String) {
    let app = App::start().await;
    let session = app.ready_session("bakery").await;
    app.whatsapp.keep_group(team(), "CODE");
    let base = format!("/api/sessions/{session}/groups");
    let path = format!("{base}/{GROUP}");
    (app, base, path)
}

async fn put(app: &App, path: &str, body: Value, status: u16) -> Value {
    app.ask("PUT", path).admin().json(&body).send().await.expect(status)
}

async fn delete(app: &App, path: &str, body: Value, status: u16) -> Value {
    app.ask("DELETE", path).admin().json(&body).send().await.expect(status)
}

fn kept(app: &App) -> Group {
    app.whatsapp.kept_group(&chat(GROUP)).unwrap()
}

#[tokio::test]
async fn groups_are_read() {
    let (app, base, path) = in_group().await;
    let listed = json!([{ "id": GROUP, "name": "Bakery team", "linkedParentJID": null }]);
    assert_eq!(app.get(&base).await, listed);
    assert_eq!(app.get(&format!("{base}?limit=1&offset=1")).await, json!([]));
    let group = json!({
        "id": GROUP, "name": "Bakery team", "description": "Who bakes when", "owner": ME, "createdAt": TIME,
        "isReadOnly": false, "isAnnounce": false, "announce": false, "locked": true, "ephemeralSeconds": 86_400,
        "memberAddMode": "admins", "membershipApproval": false, "linkedParentJID": null,
        "participants": [
            { "id": ME, "number": "4915550001000", "isAdmin": true, "isSuperAdmin": true },
            { "id": MIA, "number": "49170111", "isAdmin": false, "isSuperAdmin": false, "lid": "111@lid" },
        ],
    });
    assert_eq!(app.get(&path).await, group);
    assert_eq!(
        app.get(&format!("{path}/settings")).await,
        json!({ "announce": false, "locked": true, "ephemeralSeconds": 86_400, "memberAddMode": "admins" })
    );
    assert_eq!(
        app.get(&format!("{path}/invite-code")).await,
        json!({ "inviteCode": "CODE", "inviteLink": "https://chat.whatsapp.com/CODE" })
    );
    assert_eq!(app.get(&format!("{path}/picture")).await, json!({ "url": null }));
    let invited = app.get(&format!("{base}/join-info?code=CODE")).await;
    assert_eq!((&invited["id"], &invited["participantCount"]), (&json!(GROUP), &json!(2)));
    app.ask("GET", &format!("{base}/join-info?code=NONE")).admin().send().await.expect(404);
    app.ask("GET", &format!("{base}/join-info")).admin().send().await.expect(400);
    for id in ["120363099@g.us", MIA, "nonsense"] {
        let answer = app.ask("GET", &format!("{base}/{id}")).admin().send().await.expect(404);
        assert_eq!(answer, refused(404, "Not Found", &format!("Group {id} not found")));
    }
}

#[tokio::test]
async fn a_group_is_made_with_whom_whatsapp_takes() {
    let (app, base, _) = in_group().await;
    app.whatsapp.refuse_member(chat(ANN), 403);
    let made = app
        .post(&base, json!({ "name": "Crew", "participants": [MIA, ANN, "49170333"] }), 201)
        .await;
    assert_eq!(made["name"], "Crew");
    assert_eq!((&made["participantsCount"], &made["isAdmin"]), (&json!(3), &json!(true)));
    let id = made["id"].as_str().unwrap();
    // It is known at once.
    assert_eq!(app.get(&format!("{base}/{id}")).await["participants"].as_array().unwrap().len(), 3);
    for wrong in [
        json!({ "name": "Crew", "participants": [] }),
        json!({ "name": "", "participants": [MIA] }),
        json!({ "name": "x".repeat(101), "participants": [MIA] }),
        json!({ "name": "Crew", "participants": [GROUP] }),
        json!({ "name": "Crew", "participants": [MIA], "more": 1 }),
        json!({ "name": "Crew" }),
    ] {
        app.post(&base, wrong, 400).await;
    }
}

#[tokio::test]
async fn each_participant_has_a_result() {
    let (app, _, path) = in_group().await;
    app.whatsapp.refuse_member(chat(ANN), 403);
    let people = |people: &[&str]| json!({ "participants": people });
    let participants = format!("{path}/participants");
    let added = app.post(&participants, people(&[ANN, "49170333@c.us", MIA]), 200).await;
    assert_eq!(
        added,
        json!({ "success": true, "message": "Participants added", "results": [
            { "id": ANN, "success": false, "status": 403, "message": "Their privacy settings do not allow it" },
            { "id": "49170333@c.us", "success": true },
            { "id": MIA, "success": false, "status": 409, "message": "They are in the group already" },
        ] })
    );
    let promoted = app.post(&format!("{participants}/promote"), people(&[MIA]), 200).await;
    assert_eq!(promoted["message"], "Participants promoted to admin");
    assert_eq!(kept(&app).member(&chat(MIA)).unwrap().role, GroupRole::Admin);
    let shown = app.get(&path).await;
    assert_eq!(shown["participants"][1]["isAdmin"], true);
    let demoted = app.post(&format!("{participants}/demote"), people(&[MIA]), 200).await;
    assert_eq!(demoted["message"], "Participants demoted from admin");
    let removed = delete(&app, &participants, people(&["49170333"]), 200).await;
    assert_eq!(removed["results"], json!([{ "id": "49170333@c.us", "success": true }]));
    // Nobody was taken.
    let answer = app.post(&participants, people(&[ANN]), 403).await;
    assert_eq!(answer["message"], "WhatsApp refused it for every participant (403)");
    for (code, status, word) in
        [(429, 429, "WHATSAPP_RATE_LIMITED"), (463, 403, "RECIPIENT_COLD_RESTRICTED")]
    {
        app.whatsapp.refuse_member(chat(ANN), code);
        let answer = app.post(&participants, people(&[ANN]), status).await;
        assert_eq!(answer["code"], word);
        app.whatsapp.fail_group(GroupActionError::Refused { code, text: "refused".into() });
        let answer = app.post(&participants, people(&["49170444"]), status).await;
        assert_eq!(answer["code"], word);
    }
    app.post(&participants, json!({}), 400).await;
    delete(&app, &participants, people(&[]), 400).await;
}

#[tokio::test]
async fn settings_are_changed_and_known_at_once() {
    let (app, _, path) = in_group().await;
    let ack = |message: &str| json!({ "success": true, "message": message });
    let subject = put(&app, &format!("{path}/subject"), json!({ "subject": "Crew" }), 200).await;
    assert_eq!(subject, ack("Group subject updated"));
    let none = put(&app, &format!("{path}/description"), json!({ "description": "" }), 200).await;
    assert_eq!(none, ack("Group description updated"));
    let settings = format!("{path}/settings");
    let all = json!({
        "announce": true, "locked": false, "ephemeralSeconds": 0, "memberAddMode": "all"
    });
    assert_eq!(put(&app, &settings, all.clone(), 200).await, ack("Group settings updated"));
    assert_eq!(app.get(&settings).await, all);
    let shown = app.get(&path).await;
    assert_eq!((&shown["name"], &shown["description"]), (&json!("Crew"), &json!(null)));
    assert_eq!(shown["isReadOnly"], false, "an admin writes");
    for wrong in [
        json!({}),
        json!({ "announce": "perhaps" }),
        json!({ "ephemeralSeconds": -1 }),
        json!({ "memberAddMode": "nobody" }),
        json!({ "approval": true }),
    ] {
        put(&app, &settings, wrong, 400).await;
    }
    put(&app, &format!("{path}/subject"), json!({ "subject": "" }), 400).await;
    let long = json!({ "description": "x".repeat(1025) });
    put(&app, &format!("{path}/description"), long, 400).await;
    let label = put(&app, &format!("{path}/member-label"), json!({ "label": "Oven" }), 200).await;
    assert_eq!(label, ack("Member label updated"));
    assert_eq!(app.whatsapp.member_labels(), [(chat(GROUP), "Oven".to_owned())]);
    app.whatsapp.fail_group(GroupActionError::Refused { code: 403, text: "forbidden".into() });
    let answer = put(&app, &settings, json!({ "locked": true }), 403).await;
    assert_eq!(answer, refused(403, "Forbidden", "WhatsApp refused: forbidden"));
}

#[tokio::test]
async fn a_picture_is_a_square_jpeg() {
    let (app, _, path) = in_group().await;
    let picture = format!("{path}/picture");
    let ack = |message: &str| json!({ "success": true, "message": message });
    let set = put(&app, &picture, json!({ "base64": PIXEL, "mimetype": "image/png" }), 200).await;
    assert_eq!(set, ack("Group picture updated"));
    let bytes = app.whatsapp.picture_of(&chat(GROUP)).unwrap();
    assert_eq!(bytes[..3], [0xff, 0xd8, 0xff], "a JPEG");
    let url = app.get(&picture).await;
    assert_eq!(url, json!({ "url": format!("https://pps.example/{GROUP}") }));
    let gone = app.ask("DELETE", &picture).admin().send().await.expect(200);
    assert_eq!(gone, ack("Group picture removed"));
    assert_eq!(app.whatsapp.picture_of(&chat(GROUP)), None);
    for wrong in [
        json!({}),
        json!({ "base64": PIXEL }),
        json!({ "base64": PIXEL, "mimetype": "video/mp4" }),
        json!({ "base64": "bm8gcGljdHVyZQ==", "mimetype": "image/png" }),
        json!({ "url": "ftp://shop.example/logo.png" }),
    ] {
        put(&app, &picture, wrong, 400).await;
    }
}

#[tokio::test]
async fn codes_let_people_in_and_requests_are_decided() {
    let (app, base, path) = in_group().await;
    let revoked = app.post(&format!("{path}/invite-code/revoke"), json!({}), 200).await;
    assert_eq!(revoked["inviteCode"], "RESET1");
    assert_eq!(revoked["message"], "Invite code revoked and new one generated");
    let join = format!("{base}/join");
    app.post(&join, json!({ "inviteCode": "CODE" }), 404).await;
    let other: ChatId = chat("120363055@g.us");
    app.whatsapp.keep_group(Group { id: other.clone(), members: vec![], ..team() }, "OTHER");
    let link = json!({ "inviteCode": "https://chat.whatsapp.com/OTHER" });
    let joined = app.post(&join, link, 200).await;
    assert_eq!(joined, json!({ "success": true, "groupId": other, "pending": false }));
    assert_eq!(app.get(&format!("{base}/{other}")).await["participants"][0]["id"], ME);
    let closed = Group { id: chat("120363066@g.us"), approval: true, ..team() };
    app.whatsapp.keep_group(closed, "CLOSED");
    assert_eq!(app.post(&join, json!({ "inviteCode": "CLOSED" }), 200).await["pending"], true);

    let asks = |person: GroupPerson| MembershipRequest {
        person,
        added_by: Some(GroupPerson::of(chat(MIA))),
        method: Some(JoinMethod::MemberAdd),
        at: Some(TIME),
    };
    app.whatsapp.wait_for_group(&chat(GROUP), asks(both("49170222", "222@lid")));
    app.whatsapp.wait_for_group(&chat(GROUP), asks(GroupPerson::of(chat("333@lid"))));
    let requests = format!("{path}/membership-requests");
    let waiting = app.get(&requests).await;
    assert_eq!(
        waiting[0],
        json!({
            "participantId": ANN, "addedById": MIA, "method": "non_admin_add", "requestedAt": TIME,
            "phone": "49170222", "lid": "222@lid"
        })
    );
    let one = json!({ "participants": ["333@lid"] });
    let rejected = app.post(&format!("{requests}/reject"), one, 200).await;
    assert_eq!(rejected["message"], "Membership requests rejected");
    let approved = app.post(&format!("{requests}/approve"), json!({}), 200).await;
    assert_eq!(approved["results"], json!([{ "id": ANN, "success": true }]));
    assert_eq!(app.get(&requests).await, json!([]));
    let nobody = app.post(&format!("{requests}/approve"), json!({}), 200).await;
    assert_eq!(nobody["results"], json!([]));
    let left = app.post(&format!("{path}/leave"), json!({}), 200).await;
    assert_eq!(left, json!({ "success": true, "message": "Left the group" }));
    app.ask("GET", &path).admin().send().await.expect(404);
}

#[tokio::test]
async fn what_happens_to_groups_is_told() {
    let (app, _, path) = in_group().await;
    let session = path.split('/').nth(3).unwrap();
    let mut calls = app.hook(session).await;
    let tell = async |occurrence: &str, source: Option<ChangeSource>, change: GroupChange| {
        let news = GroupNews {
            group: chat(GROUP),
            occurrence: occurrence.into(),
            actor: Some(GroupPerson::of(chat(MIA))),
            source,
            left: false,
            reason: None,
            timestamp: TIME,
            change,
        };
        let signal = EngineSignal::Group(GroupSignal::Changed(Box::new(news)));
        app.signal(session, signal).await;
    };
    let joined = GroupMember { person: both("49170222", "222@lid"), role: GroupRole::Member };
    tell("A_0", None, GroupChange::Added(vec![joined])).await;
    // WhatsApp tells it again.
    tell("A_0", None, GroupChange::Added(vec![])).await;
    let call = next(&mut calls).await;
    assert_eq!(call["event"], "group.join");
    assert_eq!(
        call["data"],
        json!({
            "groupId": GROUP, "actorId": MIA, "participantIds": [ANN], "timestamp": TIME, "action": "add",
            "actor": { "id": MIA, "phone": "49170111" },
            "participants": [{ "id": ANN, "phone": "49170222", "lid": "222@lid" }],
        })
    );
    assert_eq!(call["idempotencyKey"], format!("grp_{GROUP}_{session}_A_0"));
    tell("B_0", Some(ChangeSource::Phone), GroupChange::Locked(false)).await;
    let call = next(&mut calls).await;
    assert_eq!(
        (&call["event"], &call["data"]["changes"]),
        (&json!("group.update"), &json!({ "locked": false }))
    );
    assert_eq!(call["data"]["source"], "phone");
    let person = GroupPerson::of(chat("333@lid"));
    let asks =
        GroupChange::Requested { people: vec![person.clone()], method: JoinMethod::InviteLink };
    tell("C_0", None, asks).await;
    let call = next(&mut calls).await;
    assert_eq!(call["event"], "group.join_request");
    assert_eq!(call["data"]["participantIds"], json!(["333@lid"]));
    tell("D_0", None, GroupChange::Removed(vec![person])).await;
    assert_eq!(next(&mut calls).await["event"], "group.leave");
}

#[tokio::test]
async fn keys_and_states_are_checked() {
    let (app, base, path) = in_group().await;
    app.get(&base).await;
    let scoped = |chats: Value| json!({ "name": "one", "role": "operator", "allowedChats": chats });
    let key = app.new_key(scoped(json!([GROUP]))).await;
    let other = app.new_key(scoped(json!([MIA]))).await;
    let viewer = app.new_key(json!({ "name": "looks", "role": "viewer" })).await;
    app.ask("GET", &path).key(&key.text).send().await.expect(200);
    app.ask("GET", &path).key(&other.text).send().await.expect(403);
    let listed = app.ask("GET", &base).key(&other.text).send().await.expect(200);
    assert_eq!(listed, json!([]));
    let new = json!({ "name": "Crew", "participants": [MIA] });
    app.ask("POST", &base).key(&key.text).json(&new).send().await.expect(403);
    app.ask("GET", &format!("{path}/invite-code")).key(&viewer.text).send().await.expect(403);
    app.ask("POST", &format!("{path}/leave")).key(&viewer.text).send().await.expect(403);

    app.whatsapp.fail_group(EngineError::Unanswered(None).into());
    app.ask("GET", &format!("{path}/picture")).admin().send().await.expect(503);
    let idle = app.new_session("idle").await;
    for rest in ["", "/join-info?code=CODE", &format!("/{GROUP}"), &format!("/{GROUP}/settings")] {
        let path = format!("/api/sessions/{idle}/groups{rest}");
        let answer = app.ask("GET", &path).admin().send().await.expect(400);
        assert_eq!(answer["message"], "Session is not started", "{path}");
    }
    let waiting = app.qr_session("waiting").await;
    let leave = format!("/api/sessions/{waiting}/groups/{GROUP}/leave");
    app.ask("POST", &leave).admin().send().await.expect(409);
    // What is known needs no connection.
    let session = path.split('/').nth(3).unwrap();
    app.get(&path).await;
    app.post(&format!("/api/sessions/{session}/stop"), json!({}), 200).await;
    assert_eq!(app.get(&path).await["name"], "Bakery team");
}
