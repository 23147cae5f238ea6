//! Rows on their way to another installation.

use domain::{
    message::{Message, MessageStatus},
    port::ReceiptKind,
    transfer::{TABLES, TransferRefused, TransferRow, TransferTables},
    webhook::{Secret, Webhook},
};
use serde_json::{Value, json};

use super::{
    Store,
    house::{receipt, rule, store_all},
    new_session, new_webhook,
    search::{said, words},
};
use testkit::build;

/// Every table, read in pages of two rows.
async fn exported<S: Store>(store: &S) -> TransferTables {
    let mut tables = TransferTables::new();
    for table in TABLES {
        let (mut rows, mut after) = (Vec::new(), None);
        loop {
            let page = store.export_rows(table, after, 2).await.unwrap();
            assert!(page.rows.len() <= 2);
            rows.extend(page.rows);
            after = page.next;
            if after.is_none() {
                break;
            }
        }
        tables.insert(table.to_owned(), rows);
    }
    tables
}

pub async fn what_is_exported_is_imported<S: Store>(store: &S) {
    let (session, other) = (new_session(store, 1).await, new_session(store, 2).await);
    let heard = (1..=5).map(|number| said(number, session, &format!("said {number}")));
    store_all(store, heard.collect()).await;
    let sent = Message { chat: build::chat(2), ..build::message(6, session) };
    store_all(
        store,
        vec![sent, Message { id: build::message(7, other).id, ..build::message(7, other) }],
    )
    .await;
    let read = receipt(session, build::wa_id(6), &build::chat(2), (ReceiptKind::Read, 30));
    store.write(vec![read]).await.unwrap();
    assert!(store.insert_template(&build::template(1, session)).await.unwrap());
    assert!(store.insert_rule(&rule(1, session), 32).await.unwrap());
    let webhook =
        Webhook { secret: Some(Secret::new("0123456789abcdef")), ..build::webhook(1, session) };
    new_webhook(store, webhook.clone()).await;
    let tables = exported(store).await;
    let text = serde_json::to_string(&tables).unwrap();
    assert!(!text.contains("0123456789abcdef"), "no secret leaves");
    let counts: Vec<usize> = TABLES.iter().map(|table| tables[*table].len()).collect();
    assert_eq!(counts, [2, 7, 1, 1, 1, 1, 0, 0, 0, 3], "{text}");

    // What came later in a session of the export is replaced; what is imported twice is there once.
    store_all(store, vec![said(8, session, "later")]).await;
    for _ in 0..2 {
        let done = store.import_rows(tables.clone()).await.unwrap().unwrap();
        assert_eq!(
            done.iter().map(|(_, rows)| *rows).collect::<Vec<_>>(),
            [2, 7, 1, 1, 1, 1, 0, 0, 0, 3]
        );
        let back = exported(store).await;
        let webhooks = |tables: &TransferTables| tables["webhook"].clone();
        assert_eq!(webhooks(&back), webhooks(&tables));
        for table in TABLES.into_iter().filter(|table| *table != "message") {
            assert_eq!(back[table], tables[table], "{table}");
        }
        assert_eq!(back["message"].len(), 7);
    }
    assert_eq!(words(store, "said").await.len(), 5);
    let row = store.message(session, &build::wa_id(7)).await.unwrap();
    assert_eq!(row, None, "it is of the other session");
    let open = store.message(other, &build::wa_id(7)).await.unwrap().unwrap();
    assert_eq!(open.status, MessageStatus::Failed, "it does not go out again");
    let kept = store.webhook(webhook.id).await.unwrap().unwrap();
    assert!(!kept.active && kept.secret.is_none(), "its secret has to be set anew");
}

pub async fn an_import_is_all_or_nothing<S: Store>(store: &S) {
    let session = new_session(store, 1).await;
    store_all(store, vec![said(1, session, "said 1")]).await;
    let tables = exported(store).await;
    let changed = |table: &str, change: &dyn Fn(&mut TransferRow)| {
        let mut tables = tables.clone();
        change(&mut tables.get_mut(table).unwrap()[0]);
        tables
    };
    let set = |name: &'static str, value: Value| {
        move |row: &mut TransferRow| drop(row.insert(name.into(), value.clone()))
    };
    let stranger = "00000000-0000-4000-8000-00000000abcd";
    for wrong in [
        changed("message", &set("direction", json!("sideways"))),
        changed("message", &set("session_id", json!(stranger))),
        changed("message", &set("id", Value::Null)),
        changed("message", &set("created_at", json!("soon"))),
        changed("message", &set("outgoing", json!("x"))),
        changed("chat", &set("unread_count", json!(1.5))),
    ] {
        let refused = store.import_rows(wrong).await.unwrap().unwrap_err();
        assert!(!matches!(refused, TransferRefused::Table(_)), "{refused}");
        assert_eq!(exported(store).await, tables, "nothing is changed: {refused}");
    }
    let unknown = TransferTables::from([("device_key".to_owned(), vec![])]);
    let refused = store.import_rows(unknown).await.unwrap().unwrap_err();
    assert_eq!(refused, TransferRefused::Table("device_key".into()));
}
