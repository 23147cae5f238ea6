//! What people really paste: tables of spreadsheets, and texts that no phone would show.

use serde_json::{Value, json};

use crate::app::App;

fn path(session: &str, rest: &str) -> String {
    format!("/api/sessions/{session}/messages/{rest}")
}

async fn import(app: &App, session: &str, query: &str, body: &[u8], status: u16) -> Value {
    let ask = app.ask("POST", &path(session, &format!("send-bulk/import?{query}"))).admin();
    ask.header("content-type", "text/csv").raw(body.to_vec()).send().await.expect(status)
}

const HELLO: &str = "dryRun=true&text=Hello+%7B%7Bname%7D%7D";

#[tokio::test]
async fn tables_of_spreadsheets_are_read_whole() {
    let app = App::start().await;
    let session = app.ready_session("bakery").await;
    let greek: Vec<u8> = "phone\tname\r\n+4915550000100\tΕύα\r\n"
        .encode_utf16()
        .flat_map(u16::to_le_bytes)
        .collect();
    for (name, body, records, blank) in [
        ("a quote in a cell", include_bytes!("../data/bare-quote.csv").to_vec(), 3, 0),
        ("semicolons", include_bytes!("../data/semicolons-bom.csv").to_vec(), 2, 0),
        ("blank rows", include_bytes!("../data/blank-rows.csv").to_vec(), 2, 4),
        ("mixed ends", include_bytes!("../data/mixed-ends.csv").to_vec(), 3, 0),
        ("sep=", b"sep=;\r\nphone;name\r\n+4915550000100;Mia\r\n".to_vec(), 1, 0),
        ("UTF-16", greek, 1, 0),
        ("Windows-1252", b"phone;name\r\n+4915550000100;Zo\xeb\r\n".to_vec(), 1, 0),
        ("CR alone", b"Phone,name\r+4915550000100,Mia\r+4915550000101,Tom".to_vec(), 2, 0),
    ] {
        let foreseen = import(&app, &session, HELLO, &body, 200).await;
        assert_eq!(foreseen["invalid"], json!([]), "{name}");
        assert_eq!(foreseen["totalMessages"], records, "{name}");
        let seen = (&foreseen["import"]["records"], &foreseen["import"]["blankRows"]);
        assert_eq!(seen, (&json!(records), &json!(blank)), "{name}");
    }
}

#[tokio::test]
async fn a_quote_that_is_not_closed_refuses_the_whole_table() {
    let app = App::start().await;
    let session = app.ready_session("bakery").await;
    let open = include_bytes!("../data/open-quote.csv");
    for (body, says) in [
        (open.to_vec(), "line 2: a quote is opened and never closed"),
        (
            b"phone,name\n+4915550000100,\"Mia\n+4915550000101,\"Tom\"\n".to_vec(),
            "line 3: text follows a closing quote",
        ),
        (
            b"phone,name\n+4915550000100,\"Mia\n+4915550000101,Tom\"\n+4915550000102,Eva\n"
                .to_vec(),
            "line 3 in it reads like a recipient",
        ),
        (
            b"name,phone\n\"Mia,+4915550000100\nTom\",+4915550000101\n".to_vec(),
            "line 2 in it reads like a recipient",
        ),
        (format!("phone{}\n", ",x".repeat(250)).into_bytes(), "at most 200 columns"),
        (
            b"phone,name\n+4915550000100,Zo\xc3\xab\n+4915550000101,Zo\xeb\n".to_vec(),
            "line 3 is not UTF-8",
        ),
    ] {
        for query in ["text=Hello", "text=Hello&dryRun=true"] {
            let refused = import(&app, &session, query, &body, 400).await;
            assert!(refused["message"].to_string().contains(says), "{refused}");
        }
    }
    assert_eq!(app.get(&path(&session, "batches")).await, json!([]));
}

#[tokio::test]
async fn names_of_columns_are_placeholders_as_they_stand() {
    let app = App::start().await;
    let session = app.ready_session("bakery").await;
    let body = include_bytes!("../data/header-with-blank.csv");
    let text = "text=Hello+%7B%7BFirst+Name%7D%7D%2C+%7B%7B+Order+No.+%7D%7D";
    let foreseen = import(&app, &session, &format!("{text}&dryRun=true"), body, 200).await;
    assert_eq!((&foreseen["totalMessages"], &foreseen["invalid"]), (&json!(2), &json!([])));
    let foreseen =
        import(&app, &session, &format!("{text}+%7B%7B1%7D%7D&dryRun=true"), body, 200).await;
    assert_eq!(foreseen["invalid"][0]["problems"], json!(["variable 1 is missing"]));
    let bare = import(&app, &session, HELLO, b"phone\n+4915550000100\n", 200).await;
    assert_eq!(bare["invalid"][0]["problems"], json!(["variable name is missing"]));
    let message = |to: &str, variables: Value| {
        json!({
            "chatId": to, "type": "text", "content": { "text": "Hello {{1}}, {{2}}" }, "variables": variables,
        })
    };
    let both = [
        message("4915550000100@c.us", json!({ "1": "Mia", "2": "17" })),
        message("4915550000101@c.us", json!({ "1": "Tom" })),
    ];
    let foreseen =
        app.post(&path(&session, "send-bulk?dryRun=true"), json!({ "messages": both }), 200).await;
    assert_eq!(foreseen["totalMessages"], 1);
    assert_eq!(foreseen["invalid"][0]["problems"], json!(["variable 2 is missing"]));
}

#[tokio::test]
async fn phone_numbers_of_a_table_are_one_number_or_named() {
    let app = App::start().await;
    let session = app.ready_session("bakery").await;
    for (phone, says) in [
        ("4.91555E+12", "spreadsheet"),
        ("01555 0000100", "country code"),
        ("+4915550000100; +4915550000101", "one phone number"),
        ("+49 30 2000000 ext. 12", "extension"),
    ] {
        let body = format!("name;phone\nMia;\"{phone}\"\n");
        let foreseen = import(&app, &session, HELLO, body.as_bytes(), 200).await;
        assert!(
            foreseen["invalid"][0]["problems"][0].as_str().unwrap().contains(says),
            "{foreseen}"
        );
        let card =
            json!({ "chatId": "4915550000100@c.us", "contactName": "Mia", "contactNumber": phone });
        let refused = app.post(&path(&session, "send-contact"), card, 400).await;
        assert!(refused["message"].to_string().contains(says), "{refused}");
    }
    for phone in ["+49 (0)1555 0000100", "0049 1555 0000100", "+49\u{a0}1555\u{a0}0000100"] {
        let card =
            json!({ "chatId": "4915550000100@c.us", "contactName": "Mia", "contactNumber": phone });
        app.post(&path(&session, "send-contact"), card, 201).await;
        let sent = app.whatsapp.sent().last().unwrap().content.body().unwrap();
        assert!(sent.contains("waid=4915550000100:+4915550000100"), "{sent}");
    }
}
