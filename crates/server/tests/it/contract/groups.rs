//! Groups: made, changed, joined, left; and who asks to be let in.

use serde_json::{Value, json};
use simulator::{Jid, PhoneGroupSetting};
use testkit::files;

use super::stage::{BEN, MIA, SHOP, Stage, chat};

pub const ROUTES: &[&str] = &[
    "GET ./groups",
    "POST ./groups",
    "GET ./groups/join-info",
    "POST ./groups/join",
    "GET ./groups/{groupId}",
    "GET ./groups/{groupId}/picture",
    "PUT ./groups/{groupId}/picture",
    "DELETE ./groups/{groupId}/picture",
    "GET ./groups/{groupId}/invite-code",
    "POST ./groups/{groupId}/invite-code/revoke",
    "POST ./groups/{groupId}/participants",
    "DELETE ./groups/{groupId}/participants",
    "POST ./groups/{groupId}/participants/promote",
    "POST ./groups/{groupId}/participants/demote",
    "PUT ./groups/{groupId}/subject",
    "PUT ./groups/{groupId}/description",
    "POST ./groups/{groupId}/leave",
    "GET ./groups/{groupId}/settings",
    "PUT ./groups/{groupId}/settings",
    "GET ./groups/{groupId}/membership-requests",
    "POST ./groups/{groupId}/membership-requests/approve",
    "POST ./groups/{groupId}/membership-requests/reject",
    "PUT ./groups/{groupId}/member-label",
];

#[tokio::test(flavor = "multi_thread")]
async fn a_group_is_led() {
    let mut stage = Stage::new().await;
    let new = json!({ "name": "Bakery team", "participants": [chat(MIA)] });
    let made = stage.walk.call("POST", "./groups", new, 201).await;
    let group: Jid = stage.walk.set("groupId", &made["id"]).parse().unwrap();
    let walk = &mut stage.walk;
    assert_eq!(walk.get("./groups?limit=10").await[0]["name"], "Bakery team");
    for (path, people) in [
        ("POST ./groups/{groupId}/participants", [chat(BEN)]),
        ("POST ./groups/{groupId}/participants/promote", [chat(BEN)]),
        ("POST ./groups/{groupId}/participants/demote", [chat(BEN)]),
        ("DELETE ./groups/{groupId}/participants", [chat(BEN)]),
    ] {
        let (method, path) = path.split_once(' ').unwrap();
        let done = walk.call(method, path, json!({ "participants": people }), 200).await;
        assert_eq!(done["results"][0]["success"], true, "{path}: {done}");
    }
    for (path, body) in [
        ("subject", json!({ "subject": "Crew" })),
        ("description", json!({ "description": "Who bakes when" })),
        (
            "settings",
            json!({ "announce": true, "locked": true, "ephemeralSeconds": 86_400, "memberAddMode": "admins" }),
        ),
        (
            "settings",
            json!({ "announce": false, "locked": false, "ephemeralSeconds": 0, "memberAddMode": "all" }),
        ),
        ("member-label", json!({ "label": "Front desk" })),
        ("picture", json!({ "base64": files::base64(files::PNG), "mimetype": "image/png" })),
    ] {
        walk.call("PUT", &format!("./groups/{{groupId}}/{path}"), body, 200).await;
    }
    assert_eq!(walk.get("./groups/{groupId}").await["name"], "Crew");
    assert_eq!(walk.get("./groups/{groupId}/settings").await["locked"], false);
    assert!(walk.get("./groups/{groupId}/picture").await["url"].is_string());
    walk.bare("DELETE", "./groups/{groupId}/picture", 200).await;
    assert_eq!(walk.get("./groups/{groupId}/picture").await, json!({ "url": null }));
    requests(&mut stage, &group).await;
    invitations(&mut stage).await;
    stage.end(ROUTES).await;
}

/// Mia leaves, and asks to be let in again, twice.
async fn requests(stage: &mut Stage, group: &Jid) {
    let shown = stage.walk.get("./groups/{groupId}/invite-code").await;
    let revoked = "./groups/{groupId}/invite-code/revoke";
    let revoked = stage.walk.bare("POST", revoked, 200).await;
    assert_ne!(shown["inviteCode"], revoked["inviteCode"]);
    let code = revoked["inviteCode"].as_str().unwrap();
    stage.shop.set_group(group, PhoneGroupSetting::Approval(true)).await.unwrap();
    stage.mia.leave_group(group).await.unwrap();
    let waiting = "./groups/{groupId}/membership-requests";
    let one = |waiting: &Value| waiting.as_array().unwrap().len() == 1;
    assert!(!stage.mia.join_group(code).await.unwrap(), "she has to be let in");
    stage.walk.until(waiting, one).await;
    let reject = json!({ "participants": [chat(MIA)] });
    stage.walk.call("POST", &format!("{waiting}/reject"), reject, 200).await;
    assert!(!stage.mia.join_group(code).await.unwrap());
    stage.walk.until(waiting, one).await;
    stage.walk.call("POST", &format!("{waiting}/approve"), json!({}), 200).await;
    let mut members = stage.mia.members_of(group);
    members.sort();
    assert_eq!(members, [SHOP, MIA]);
}

/// The shop follows an invitation of Ben, and leaves again.
async fn invitations(stage: &mut Stage) {
    let group = stage.ben.create_group("Market", &[MIA]).await.unwrap();
    let code = stage.ben.invite_code(&group).await.unwrap();
    let about = stage.walk.get(&format!("./groups/join-info?code={code}")).await;
    assert_eq!(about["id"], json!(group.to_string()));
    let body = json!({ "inviteCode": code });
    let joined = stage.walk.call("POST", "./groups/join", body, 200).await;
    assert_eq!(joined["pending"], false);
    stage.walk.set("groupId", &joined["groupId"]);
    stage.walk.bare("POST", "./groups/{groupId}/leave", 200).await;
    assert!(!stage.ben.members_of(&group).contains(&SHOP.to_owned()));
}
