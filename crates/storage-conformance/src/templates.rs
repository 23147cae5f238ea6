//! Templates.

use std::time::Duration;

use domain::{port::StoreErrorKind, template::Template};

use super::{Store, new_session};
use testkit::{START, build};

pub async fn a_template_reads_back_as_it_was<S: Store>(store: &S) {
    let session = new_session(store, 1).await;
    let full = Template {
        header: Some("Grüße".into()),
        footer: Some("\u{1f382} {{a}}".into()),
        ..build::template(1, session)
    };
    for template in [full, build::template(2, session)] {
        assert!(store.insert_template(&template).await.unwrap());
        let found = store.template(session, template.id).await.unwrap();
        assert_eq!(found.as_ref(), Some(&template));
        assert_eq!(store.template_by_name(session, &template.name).await.unwrap(), Some(template));
    }
    assert_eq!(store.template_by_name(session, "template-9").await.unwrap(), None);
}

pub async fn names_are_unique_in_a_session<S: Store>(store: &S) {
    let (one, two) = (new_session(store, 1).await, new_session(store, 2).await);
    assert!(store.insert_template(&build::template(1, one)).await.unwrap());
    let same = Template { name: build::template(1, one).name, ..build::template(2, one) };
    assert!(!store.insert_template(&same).await.unwrap());
    let theirs = Template { session: two, ..same };
    assert!(store.insert_template(&theirs).await.unwrap());
    let nobody = build::template(3, build::session(9).id);
    let refused = store.insert_template(&nobody).await.unwrap_err();
    assert_eq!(refused.kind, StoreErrorKind::Gone);
}

pub async fn templates_are_listed_newest_first<S: Store>(store: &S) {
    let (one, two) = (new_session(store, 1).await, new_session(store, 2).await);
    for number in [2, 1, 3] {
        assert!(store.insert_template(&build::template(number, one)).await.unwrap());
    }
    assert!(store.insert_template(&build::template(4, two)).await.unwrap());
    let names: Vec<String> =
        store.templates(one).await.unwrap().into_iter().map(|template| template.name).collect();
    assert_eq!(names, ["template-3", "template-1", "template-2"]);
}

pub async fn templates_are_replaced_and_deleted<S: Store>(store: &S) {
    let (one, two) = (new_session(store, 1).await, new_session(store, 2).await);
    for number in [1, 2] {
        assert!(store.insert_template(&build::template(number, one)).await.unwrap());
    }
    let new = Template {
        name: "renamed".into(),
        body: "other".into(),
        header: Some("h".into()),
        updated_at: START.plus(Duration::from_secs(5)),
        ..build::template(1, one)
    };
    assert_eq!(store.update_template(&new).await.unwrap(), Some(true));
    assert_eq!(store.update_template(&new).await.unwrap(), Some(true), "its own name");
    assert_eq!(store.template(one, new.id).await.unwrap(), Some(new.clone()));
    let taken = Template { name: "template-2".into(), ..new.clone() };
    assert_eq!(store.update_template(&taken).await.unwrap(), Some(false));
    let theirs = Template { session: two, ..new.clone() };
    assert_eq!(store.update_template(&theirs).await.unwrap(), None);
    assert_eq!(store.template(two, new.id).await.unwrap(), None);
    assert!(!store.delete_template(two, new.id).await.unwrap());
    assert!(store.delete_template(one, new.id).await.unwrap());
    assert!(!store.delete_template(one, new.id).await.unwrap());
    assert_eq!(store.update_template(&new).await.unwrap(), None);
}
