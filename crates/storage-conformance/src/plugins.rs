//! Plugins, what they remember, their providers and chats.

use std::time::Duration;

use domain::{
    Timestamp,
    hook::{HookPoint, OnFailure},
    plugin::{
        Handover, HookRegistration, IngressCall, Instance, MappingKey, Plugin,
        SESSION_STORAGE_BYTES_MAX, STORAGE_BYTES_MAX,
    },
    port::{StoreErrorKind, ValueStored},
    webhook::Secret,
};
use serde_json::{Map, Value, json};
use testkit::{START, build};

use super::{Store, ingress::store_call, new_session};

fn map(value: Value) -> Map<String, Value> {
    let Value::Object(map) = value else { panic!("no object: {value}") };
    map
}

pub(crate) fn after(seconds: u64) -> Timestamp {
    START.plus(Duration::from_secs(seconds))
}

/// Stores plugin 1; as it is stored.
async fn new_plugin<S: Store>(store: &S) -> Plugin {
    let plugin = build::plugin(1);
    let revision = store.insert_plugin(&plugin, b"a package").await.unwrap().unwrap();
    Plugin { revision, ..plugin }
}

/// Stores plugin 1 and its instance 1.
pub(crate) async fn new_instance<S: Store>(store: &S) -> (Plugin, Instance) {
    let plugin = new_plugin(store).await;
    assert!(store.insert_instance(&build::instance(1)).await.unwrap());
    (plugin, build::instance(1))
}

pub async fn a_plugin_reads_back_as_it_was<S: Store>(store: &S) {
    let session = new_session(store, 1).await;
    assert_eq!(store.plugin_revision().await.unwrap(), 0);
    let mut full = Plugin {
        config: map(json!({ "token": "hush", "deep": { "list": [1, null, "ß"] } })),
        session_configs: [(session, map(json!({ "token": "other" })))].into(),
        sessions: Some(vec![session]),
        hooks: vec![HookRegistration {
            point: HookPoint::MessageSending,
            priority: -7,
            on_failure: OnFailure::Closed,
        }],
        error: Some("it does not start".into()),
        updated_at: after(1),
        enabled_at: Some(after(2)),
        ..build::plugin(2)
    };
    full.revision = store.insert_plugin(&full, b"bytes\0of it").await.unwrap().unwrap();
    let plain = new_plugin(store).await;
    assert!(plain.revision > full.revision);
    assert_eq!(store.plugins().await.unwrap(), [plain.clone(), full.clone()]);
    assert_eq!(store.plugin(&full.id).await.unwrap(), Some(full.clone()));
    let package = store.plugin_package(&full.id).await.unwrap();
    assert_eq!(package.as_deref(), Some(&b"bytes\0of it"[..]));
    assert_eq!(store.insert_plugin(&full, b"again").await.unwrap(), None, "its id is taken");
    assert_eq!(store.plugin(&build::plugin(3).id).await.unwrap(), None);
    assert_eq!(store.plugin_package(&build::plugin(3).id).await.unwrap(), None);
    let stranger =
        Plugin { session_configs: [(build::session(9).id, Map::new())].into(), ..build::plugin(3) };
    let error = store.insert_plugin(&stranger, b"").await.unwrap_err();
    assert_eq!(error.kind, StoreErrorKind::Gone);
    assert_eq!(store.plugin_revision().await.unwrap(), plain.revision);
}

pub async fn a_change_needs_the_revision_it_is_based_on<S: Store>(store: &S) {
    let session = new_session(store, 1).await;
    let old = new_plugin(store).await;
    let mut new = Plugin {
        enabled: false,
        config: map(json!({ "a": 1 })),
        session_configs: [(session, map(json!({ "a": 2 })))].into(),
        error: Some("a\0b".into()),
        ..old.clone()
    };
    new.revision = store.update_plugin(&new, Some(b"another")).await.unwrap().unwrap();
    assert!(new.revision > old.revision);
    new.error = Some("a\u{fffd}b".into());
    assert_eq!(store.plugin(&old.id).await.unwrap(), Some(new.clone()));
    assert_eq!(store.update_plugin(&old, None).await.unwrap(), None, "somebody was faster");
    let tries = [new.clone(), new.clone()];
    let both = futures::future::join_all(tries.iter().map(|one| store.update_plugin(one, None)));
    let won = both.await.into_iter().filter(|done| done.as_ref().unwrap().is_some()).count();
    assert_eq!(won, 1);
    let kept = store.plugin_package(&old.id).await.unwrap();
    assert_eq!(kept.as_deref(), Some(&b"another"[..]));
    assert_eq!(store.update_plugin(&build::plugin(2), None).await.unwrap(), None, "unknown");
}

pub async fn what_plugins_remember_is_limited<S: Store>(store: &S) {
    let (one, two) = (new_session(store, 1).await, new_session(store, 2).await);
    let id = &new_plugin(store).await.id;
    let set = async |session, key: &str, bytes: u64| {
        let value = "v".repeat(usize::try_from(bytes).unwrap() - key.len());
        store.set_plugin_value(id, session, key, &value).await.unwrap()
    };
    use ValueStored::{OverQuota, Stored};
    let most = SESSION_STORAGE_BYTES_MAX;
    assert_eq!(set(Some(one), "a", most + 1).await, OverQuota);
    assert_eq!(set(Some(one), "a", most).await, Stored);
    assert_eq!(set(Some(one), "b", 1).await, OverQuota, "a key counts");
    assert_eq!(set(Some(one), "a", most - 1).await, Stored, "in the place of what was there");
    assert_eq!(set(Some(one), "b", 1).await, Stored);
    assert_eq!(set(Some(one), "a", most).await, OverQuota);
    let kept = store.plugin_value(id, Some(one), "a").await.unwrap().unwrap();
    assert_eq!(kept.len() as u64, most - 2, "nothing was changed");
    store.delete_plugin_value(id, Some(one), "a").await.unwrap();
    store.delete_plugin_value(id, Some(one), "a").await.unwrap();
    assert_eq!(store.plugin_value(id, Some(one), "a").await.unwrap(), None);
    assert_eq!(set(Some(one), "a", most - 1).await, Stored, "room was given back");
    assert_eq!(set(Some(two), "a", most).await, Stored);
    assert_eq!(store.plugin_value(id, None, "a").await.unwrap(), None);
    assert_eq!(set(None, "a", STORAGE_BYTES_MAX - 2 * most).await, Stored);
    assert_eq!(set(None, "b", 1).await, OverQuota, "of the whole plugin");
    assert!(store.delete_session(two).await.unwrap());
    assert_eq!(set(None, "b", most).await, Stored);
    let other = store.set_plugin_value(&build::plugin(2).id, None, "a", "1").await;
    assert_eq!(other.unwrap_err().kind, StoreErrorKind::Gone);
    store.delete_plugin_value(id, None, "a").await.unwrap();
    let nobody = store.set_plugin_value(id, Some(build::session(9).id), "a", "1").await;
    assert_eq!(nobody.unwrap_err().kind, StoreErrorKind::Gone);
}

pub async fn keys_are_found_by_their_beginning<S: Store>(store: &S) {
    let session = new_session(store, 1).await;
    let id = &new_plugin(store).await.id;
    for key in ["a_b", "aXb", "a%", "a%b", "a%\u{10ffff}", "a&", "A%", "ä"] {
        store.set_plugin_value(id, None, key, "1").await.unwrap();
    }
    store.set_plugin_value(id, Some(session), "a%z", "\"theirs\"").await.unwrap();
    let keys = async |session, prefix: &str, limit| {
        store.plugin_keys(id, session, prefix, limit).await.unwrap()
    };
    assert_eq!(keys(None, "a%", 9).await, ["a%", "a%b", "a%\u{10ffff}"]);
    assert_eq!(keys(None, "a_", 9).await, ["a_b"]);
    assert_eq!(keys(None, "", 3).await, ["A%", "a%", "a%b"]);
    assert_eq!(keys(Some(session), "a", 9).await, ["a%z"]);
    let value = store.plugin_value(id, Some(session), "a%z").await.unwrap();
    assert_eq!(value.as_deref(), Some("\"theirs\""));
}

pub async fn an_instance_reads_back_as_it_was<S: Store>(store: &S) {
    let session = new_session(store, 1).await;
    let plugin = new_plugin(store).await;
    let full = Instance {
        session: Some(session),
        verify_token: Some(Secret::new("a token")),
        config: Some(map(json!({ "inbox": 7 }))),
        enabled: false,
        updated_at: after(9),
        ..build::instance(2)
    };
    let mut revision = plugin.revision;
    for one in [&full, &build::instance(1)] {
        assert!(store.insert_instance(one).await.unwrap());
        assert!(!store.insert_instance(one).await.unwrap());
        let next = store.plugin_revision().await.unwrap();
        assert!(next > std::mem::replace(&mut revision, next));
        assert_eq!(store.instance(&one.plugin, &one.id).await.unwrap().as_ref(), Some(one));
    }
    assert_eq!(store.instances(&plugin.id).await.unwrap(), [build::instance(1), full.clone()]);
    let new = Instance { secret: Secret::new("new"), config: None, enabled: true, ..full };
    assert!(store.update_instance(&new).await.unwrap());
    assert_eq!(store.instance(&plugin.id, &new.id).await.unwrap(), Some(new.clone()));
    assert!(store.delete_instance(&plugin.id, &new.id).await.unwrap());
    assert!(!store.delete_instance(&plugin.id, &new.id).await.unwrap());
    assert!(!store.update_instance(&new).await.unwrap());
    assert!(store.plugin_revision().await.unwrap() > revision);
    let stranger = Instance { plugin: build::plugin(2).id, ..new };
    let error = store.insert_instance(&stranger).await.unwrap_err();
    assert_eq!(error.kind, StoreErrorKind::Gone);
}

pub async fn chats_are_tied_to_conversations<S: Store>(store: &S) {
    let session = new_session(store, 1).await;
    let (plugin, instance) = new_instance(store).await;
    let key = |chat: &str| MappingKey {
        plugin: plugin.id.clone(),
        instance: instance.id.clone(),
        session,
        chat: chat.into(),
    };
    let (one, two) = (key("one"), key("two"));
    assert_eq!(store.mapping(&one).await.unwrap(), None);
    assert!(!store.set_handover(&one, Handover::Human, START).await.unwrap());
    store.set_mapping(&one, "7", after(1)).await.unwrap();
    assert_eq!(store.mapping(&one).await.unwrap().unwrap().handover, Handover::Bot);
    assert!(store.set_handover(&one, Handover::Human, after(5)).await.unwrap());
    store.set_mapping(&two, "7", after(2)).await.unwrap();
    let of = async |conversation: &str| {
        let found = store.mapping_of_conversation(&plugin.id, &instance.id, conversation).await;
        found.unwrap().map(|mapping| mapping.key)
    };
    assert_eq!(of("7").await.as_ref(), Some(&two), "the newest");
    store.set_mapping(&one, "8", after(3)).await.unwrap();
    let mapping = store.mapping(&one).await.unwrap().unwrap();
    assert_eq!((mapping.handover, mapping.conversation.as_str()), (Handover::Human, "8"));
    assert_eq!(of("8").await, Some(one.clone()));
    let nobody = MappingKey { instance: "nobody".into(), ..one.clone() };
    let error = store.set_mapping(&nobody, "7", START).await.unwrap_err();
    assert_eq!(error.kind, StoreErrorKind::Gone);
    let error = store.set_mapping(&one, &"7".repeat(513), START).await.unwrap_err();
    assert_eq!(error.kind, StoreErrorKind::Refused);
    assert!(store.delete_instance(&plugin.id, &instance.id).await.unwrap());
    assert_eq!(store.mapping(&one).await.unwrap(), None);
}

pub async fn a_plugin_takes_everything_along<S: Store>(store: &S) {
    let session = new_session(store, 1).await;
    let (plugin, instance) = new_instance(store).await;
    let key = MappingKey {
        plugin: plugin.id.clone(),
        instance: instance.id.clone(),
        session,
        chat: "one".into(),
    };
    store.set_mapping(&key, "7", START).await.unwrap();
    for owner in [None, Some(session)] {
        store.set_plugin_value(&plugin.id, owner, "a", "1").await.unwrap();
    }
    store_call(store, &build::ingress(1, "a")).await;
    let revision = store.plugin_revision().await.unwrap();
    assert!(store.delete_plugin(&plugin.id).await.unwrap());
    assert!(!store.delete_plugin(&plugin.id).await.unwrap());
    assert!(store.plugin_revision().await.unwrap() > revision);
    new_instance(store).await;
    assert_eq!(store.mapping(&key).await.unwrap(), None);
    for owner in [None, Some(session)] {
        assert_eq!(store.plugin_value(&plugin.id, owner, "a").await.unwrap(), None);
    }
    assert_eq!(store.next_ingress().await.unwrap(), None);
}

pub async fn a_session_takes_along_what_plugins_have_of_it<S: Store>(store: &S) {
    let (gone, stays) = (new_session(store, 1).await, new_session(store, 2).await);
    let (plugin, instance) = new_instance(store).await;
    let own = map(json!({ "a": 1 }));
    let mut plugin =
        Plugin { session_configs: [(gone, own.clone()), (stays, own)].into(), ..plugin };
    store.update_plugin(&plugin, None).await.unwrap().unwrap();
    let theirs = Instance { session: Some(gone), ..build::instance(2) };
    assert!(store.insert_instance(&theirs).await.unwrap());
    let call = IngressCall { instance: theirs.id.clone(), ..build::ingress(1, "a") };
    store_call(store, &call).await;
    let key = |session| MappingKey {
        plugin: plugin.id.clone(),
        instance: instance.id.clone(),
        session,
        chat: "one".into(),
    };
    let keys = [key(gone), key(stays)];
    for key in &keys {
        store.set_mapping(key, "7", START).await.unwrap();
        store.set_plugin_value(&plugin.id, Some(key.session), "a", "1").await.unwrap();
    }
    let revision = store.plugin_revision().await.unwrap();
    assert!(store.delete_session(gone).await.unwrap());
    assert!(store.plugin_revision().await.unwrap() > revision, "others have to see it");
    for (key, there) in keys.iter().zip([false, true]) {
        assert_eq!(store.mapping(key).await.unwrap().is_some(), there);
        let value = store.plugin_value(&plugin.id, Some(key.session), "a").await.unwrap();
        assert_eq!(value.is_some(), there);
    }
    assert_eq!(store.instances(&plugin.id).await.unwrap(), [instance]);
    assert_eq!(store.next_ingress().await.unwrap(), None);
    plugin.session_configs.remove(&gone);
    let found = store.plugin(&plugin.id).await.unwrap().unwrap();
    assert_eq!(found.session_configs, plugin.session_configs);
}
