//! Templates.

use std::time::Duration;

use domain::{
    port::{StoreErrorKind, TemplateStore},
    template::Template,
};

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
        assert!(TemplateStore::insert(store, &template).await.unwrap());
        let found = TemplateStore::get(store, session, template.id).await.unwrap();
        assert_eq!(found.as_ref(), Some(&template));
        assert_eq!(store.by_name(session, &template.name).await.unwrap(), Some(template));
    }
    assert_eq!(store.by_name(session, "template-9").await.unwrap(), None);
}

pub async fn names_are_unique_in_a_session<S: Store>(store: &S) {
    let (one, two) = (new_session(store, 1).await, new_session(store, 2).await);
    assert!(TemplateStore::insert(store, &build::template(1, one)).await.unwrap());
    let same = Template { name: build::template(1, one).name, ..build::template(2, one) };
    assert!(!TemplateStore::insert(store, &same).await.unwrap());
    let theirs = Template { session: two, ..same };
    assert!(TemplateStore::insert(store, &theirs).await.unwrap());
    let nobody = build::template(3, build::session(9).id);
    let refused = TemplateStore::insert(store, &nobody).await.unwrap_err();
    assert_eq!(refused.kind, StoreErrorKind::Gone);
}

pub async fn templates_are_listed_newest_first<S: Store>(store: &S) {
    let (one, two) = (new_session(store, 1).await, new_session(store, 2).await);
    for number in [2, 1, 3] {
        assert!(TemplateStore::insert(store, &build::template(number, one)).await.unwrap());
    }
    assert!(TemplateStore::insert(store, &build::template(4, two)).await.unwrap());
    let names: Vec<String> = TemplateStore::list(store, one)
        .await
        .unwrap()
        .into_iter()
        .map(|template| template.name)
        .collect();
    assert_eq!(names, ["template-3", "template-1", "template-2"]);
}

pub async fn templates_are_replaced_and_deleted<S: Store>(store: &S) {
    let (one, two) = (new_session(store, 1).await, new_session(store, 2).await);
    for number in [1, 2] {
        assert!(TemplateStore::insert(store, &build::template(number, one)).await.unwrap());
    }
    let new = Template {
        name: "renamed".into(),
        body: "other".into(),
        header: Some("h".into()),
        updated_at: START.plus(Duration::from_secs(5)),
        ..build::template(1, one)
    };
    assert_eq!(TemplateStore::update(store, &new).await.unwrap(), Some(true));
    assert_eq!(TemplateStore::update(store, &new).await.unwrap(), Some(true), "its own name");
    assert_eq!(TemplateStore::get(store, one, new.id).await.unwrap(), Some(new.clone()));
    let taken = Template { name: "template-2".into(), ..new.clone() };
    assert_eq!(TemplateStore::update(store, &taken).await.unwrap(), Some(false));
    let theirs = Template { session: two, ..new.clone() };
    assert_eq!(TemplateStore::update(store, &theirs).await.unwrap(), None);
    assert_eq!(TemplateStore::get(store, two, new.id).await.unwrap(), None);
    assert!(!TemplateStore::delete(store, two, new.id).await.unwrap());
    assert!(TemplateStore::delete(store, one, new.id).await.unwrap());
    assert!(!TemplateStore::delete(store, one, new.id).await.unwrap());
    assert_eq!(TemplateStore::update(store, &new).await.unwrap(), None);
}
