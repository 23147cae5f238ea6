//! Sending: the row first, then the wire, then the truth.

use std::time::Duration;

use domain::{
    WaMessageId,
    event::EventType,
    message::{Direction, MessageStatus::*},
    port::{EngineError, EngineSignal, ReceiptKind, Write},
    session::{LossCause, SessionStatus},
};
use gateway::messages::{QuoteRef, SendError};
use testkit::{OnSend, START, build};

use crate::house::{House, to_send, within};

fn receipt(id: &WaMessageId, kind: ReceiptKind) -> EngineSignal {
    let timestamp = START.seconds() + 5;
    EngineSignal::Receipt {
        chat: build::chat(1),
        participant: None,
        ids: vec![id.clone()],
        kind,
        timestamp,
    }
}

#[tokio::test]
async fn the_row_is_stored_before_the_engine_is_asked_and_the_ack_makes_it_sent() {
    let house = House::start().await;
    let session = house.ready("bakery").await;
    let sent = house.send(session, "hello").await.unwrap();
    assert_eq!((sent.status, sent.timestamp), (Sent, START.seconds() + 1));

    let handed = &house.whatsapp.sent()[0];
    assert_eq!(handed.id, sent.id);
    let stored = house.written().into_iter().find_map(|written| match &written.writes[0] {
        Write::InsertMessage { message, events } => {
            Some((message.clone(), events.len(), written.sent_before))
        }
        _ => None,
    });
    let (row, events, sent_before) = stored.unwrap();
    assert_eq!((row.message.wa_id.clone(), row.message.status), (sent.id.clone(), Pending));
    assert_eq!((events, sent_before), (0, 0), "committed before the engine was asked");

    let row = house.message(session, &sent.id).await.unwrap();
    assert_eq!((row.status, row.direction), (Sent, Direction::Outgoing));
    assert_eq!(row.timestamp, Some(START.seconds() + 1));
    assert_eq!(row.from, "4915550001000@c.us");
    assert_eq!(house.message_events(session), ["message.sent", "message.ack sent"]);
    let told = &house.told(session, EventType::MessageSent)[0].draft;
    assert_eq!(told.data.value()["id"], sent.id.as_str());
    assert_eq!(told.data.value()["body"], "hello");
    assert_eq!(told.chat, Some(build::chat(1)));
}

#[tokio::test]
async fn a_refusal_is_a_typed_error_and_a_failed_row() {
    let house = House::start().await;
    let session = house.ready("bakery").await;
    for (place, code) in [404u16, 463, 429, 479].into_iter().enumerate() {
        house.whatsapp.on_send(OnSend::Refuse(code));
        let error = house.send(session, "hello").await.unwrap_err();
        match (code, &error) {
            (404, SendError::NotOnWhatsApp) => {}
            (_, SendError::Refused { code: told }) => assert_eq!(*told, code),
            _ => panic!("{code}: {error}"),
        }
        let id = house.handed_over(place).await;
        let row = house.message(session, &id).await.unwrap();
        assert_eq!(row.status, Failed);
        assert_eq!(row.metadata["failure"]["code"], code);
        assert!(!row.metadata["failure"]["reason"].as_str().unwrap().is_empty());
        let told = house.message_events(session);
        assert_eq!(told[place * 2..], ["message.ack failed", "message.failed failed"]);
        let data = house.told(session, EventType::MessageFailed)[place].draft.data.value();
        assert_eq!((&data["code"], &data["ack"]), (&code.into(), &(-1).into()));
        assert_eq!(data["id"], id.as_str());
    }
}

#[tokio::test]
async fn without_an_answer_it_stays_pending_and_a_late_ack_moves_it() {
    let house = House::start().await;
    let session = house.ready("bakery").await;
    house.whatsapp.on_send(OnSend::Silence);
    let (sent, ()) = tokio::join!(house.send(session, "hello"), house.stay_silent());
    let sent = sent.unwrap();
    assert_eq!((sent.status, sent.timestamp), (Pending, START.seconds()));
    assert_eq!(house.status(session, &sent.id).await, Pending);
    assert!(house.message_events(session).is_empty());

    house.whatsapp.connection(session).ack(&sent.id).await;
    assert_eq!(house.status(session, &sent.id).await, Sent);
    assert_eq!(house.message_events(session), ["message.sent", "message.ack sent"]);
}

#[tokio::test]
async fn a_receipt_that_overtakes_the_ack_tells_message_sent_first() {
    let house = House::start().await;
    let session = house.ready("bakery").await;
    house.whatsapp.on_send(OnSend::Silence);
    let overtake = async {
        let id = house.handed_over(0).await;
        house.whatsapp.connection(session).signal(receipt(&id, ReceiptKind::Delivered)).await;
    };
    let (sent, ()) = tokio::join!(house.send(session, "hello"), overtake);
    let sent = sent.unwrap();
    assert_eq!(sent.status, Sent);
    let expected = ["message.sent", "message.ack sent", "message.ack delivered"];
    assert_eq!(house.message_events(session), expected);
    house.whatsapp.connection(session).ack(&sent.id).await;
    assert_eq!(house.status(session, &sent.id).await, Delivered);
    assert_eq!(house.message_events(session), expected);
}

#[tokio::test]
async fn acks_move_forward_only() {
    let house = House::start().await;
    let session = house.ready("bakery").await;
    let id = house.send(session, "hello").await.unwrap().id;
    let link = house.whatsapp.connection(session);
    link.signal(receipt(&id, ReceiptKind::Read)).await;
    assert_eq!(house.status(session, &id).await, Read);
    link.signal(receipt(&id, ReceiptKind::Delivered)).await;
    link.ack(&id).await;
    let refusal = EngineSignal::ServerAck { id: id.clone(), refused: Some(404), timestamp: 7 };
    link.signal(refusal).await;
    link.signal(receipt(&id, ReceiptKind::Read)).await;
    assert_eq!(house.status(session, &id).await, Read);
    let expected = ["message.sent", "message.ack sent", "message.ack read"];
    assert_eq!(house.message_events(session), expected);
}

#[tokio::test]
async fn a_receipt_proves_a_refusal_wrong() {
    let house = House::start().await;
    let session = house.ready("bakery").await;
    house.whatsapp.on_send(OnSend::Refuse(479));
    house.send(session, "hello").await.unwrap_err();
    let id = house.handed_over(0).await;
    house.whatsapp.connection(session).signal(receipt(&id, ReceiptKind::Delivered)).await;
    assert_eq!(house.status(session, &id).await, Delivered);
    let told = house.message_events(session);
    assert_eq!(told[2..], ["message.sent", "message.ack sent", "message.ack delivered"]);
}

#[tokio::test]
async fn receipts_of_messages_that_are_not_ours_change_nothing() {
    let house = House::start().await;
    let session = house.ready("bakery").await;
    house.hear(session, &build::chat(1)).await;
    let before = house.events(session).len();
    let link = house.whatsapp.connection(session);
    for id in [build::wa_id(1), build::wa_id(77)] {
        link.ack(&id).await;
        link.signal(receipt(&id, ReceiptKind::Read)).await;
    }
    assert_eq!(house.status(session, &build::wa_id(1)).await, Delivered);
    assert_eq!(house.events(session).len(), before);
}

#[tokio::test]
async fn a_quoted_message_must_be_known() {
    let house = House::start().await;
    let session = house.ready("bakery").await;
    let mut text = to_send("answer");
    let quote = |id| Some(QuoteRef { id, in_chat: false });
    text.quoted = quote(WaMessageId::from_wire("3EB0UNKNOWN"));
    let error = house.gateway.messages.send(session, text.clone(), None).await.unwrap_err();
    assert!(matches!(error, SendError::QuotedNotFound(_)));
    let is_message = |write: &Write| matches!(write, Write::InsertMessage { .. });
    assert!(!house.written().iter().flat_map(|written| &written.writes).any(is_message));
    assert!(house.whatsapp.sent().is_empty());

    house.hear(session, &build::chat(1)).await;
    text.quoted = quote(build::wa_id(1));
    let sent = house.gateway.messages.send(session, text, None).await.unwrap().sent;
    let (quoted, author) = house.whatsapp.sent()[0].quoted.clone().unwrap();
    assert_eq!((quoted.id, quoted.body.as_str()), (build::wa_id(1), "text 1"));
    assert_eq!(author, build::chat(1));
    let row = house.message(session, &sent.id).await.unwrap();
    assert_eq!(row.metadata["quotedMessage"]["id"], build::wa_id(1).as_str());
}

#[tokio::test]
async fn sends_of_a_session_leave_in_the_order_they_were_accepted() {
    let house = House::start().await;
    let session = house.ready("bakery").await;
    let texts: Vec<String> = (0..30).map(|number| format!("text {number}")).collect();
    futures::future::join_all(texts.iter().map(async |text| {
        house.send(session, text).await.unwrap();
    }))
    .await;
    let mut rows = vec![];
    for written in house.written() {
        if let Write::InsertMessage { message, .. } = &written.writes[0] {
            assert_eq!(written.sent_before, rows.len(), "a row was stored out of turn");
            rows.push(message.message.wa_id.clone());
        }
    }
    let sent: Vec<_> = house.whatsapp.sent().into_iter().map(|message| message.id).collect();
    assert_eq!(sent.len(), 30);
    assert_eq!(rows, sent);
}

#[tokio::test]
async fn an_engine_that_cannot_send_fails_the_row() {
    let house = House::start().await;
    let session = house.ready("bakery").await;
    for (error, place) in
        [(EngineError::NotConnected, 0), (EngineError::WrongState("no such device"), 1)]
    {
        house.whatsapp.on_send(OnSend::Fail(error));
        let told = house.send(session, "hello").await.unwrap_err();
        match place {
            0 => assert!(matches!(told, SendError::NotReady(SessionStatus::Initializing))),
            _ => assert!(matches!(told, SendError::Engine(_))),
        }
    }
    let expected = ["message.ack failed", "message.failed failed"].repeat(2);
    assert_eq!(house.message_events(session), expected);
    let failed = house.told(session, EventType::MessageFailed)[0].draft.data.value();
    let id = WaMessageId::from_wire(failed["id"].as_str().unwrap());
    let row = house.message(session, &id).await.unwrap();
    assert_eq!(row.status, Failed);
    assert_eq!(row.metadata["failure"]["reason"], "the session was not connected");
}

#[tokio::test]
async fn a_link_that_breaks_while_sending_leaves_the_row_pending() {
    let house = House::start().await;
    let session = house.ready("bakery").await;
    house.whatsapp.on_send(OnSend::Fail(EngineError::Unanswered(None)));
    let (sent, ()) = tokio::join!(house.send(session, "hello"), house.stay_silent());
    let sent = sent.unwrap();
    assert_eq!((sent.status, house.status(session, &sent.id).await), (Pending, Pending));
    house.whatsapp.connection(session).ack(&sent.id).await;
    assert_eq!(house.status(session, &sent.id).await, Sent);
}

#[tokio::test]
async fn without_the_ledger_nothing_leaves() {
    let house = House::start().await;
    let session = house.ready("bakery").await;
    house.switch_ledger(false);
    let error = house.send(session, "hello").await.unwrap_err();
    assert!(matches!(error, SendError::Store(_) | SendError::Unstored(_)));
    assert!(house.whatsapp.sent().is_empty());
    house.switch_ledger(true);
    assert_eq!(house.send(session, "hello").await.unwrap().status, Sent);
}

#[tokio::test]
async fn only_a_ready_session_sends() {
    let house = House::start().await;
    let error = house.send(build::session(9).id, "hello").await.unwrap_err();
    assert!(matches!(error, SendError::SessionNotFound(_)));
    let stopped = house.session("stopped").await;
    let error = house.send(stopped, "hello").await.unwrap_err();
    assert!(matches!(error, SendError::NotStarted));
    let unlinked = house.showing_qr("unlinked").await;
    let error = house.send(unlinked, "hello").await.unwrap_err();
    assert!(matches!(error, SendError::NotReady(SessionStatus::QrReady)));
    let lost = house.ready("lost").await;
    house.whatsapp.connection(lost).lose(LossCause::Link("reset".into())).await;
    house.wait_for(lost, SessionStatus::Initializing).await;
    let error = house.send(lost, "hello").await.unwrap_err();
    assert!(matches!(error, SendError::NotReady(SessionStatus::Initializing)));
    assert!(house.written().iter().all(|written| {
        written.writes.iter().all(|write| !matches!(write, Write::InsertMessage { .. }))
    }));
}

#[tokio::test]
async fn a_caller_that_goes_away_leaves_a_row_that_acks_still_move() {
    let house = House::start().await;
    let session = house.ready("bakery").await;
    house.whatsapp.on_send(OnSend::Silence);
    {
        let mut send = Box::pin(house.send(session, "hello"));
        let id = tokio::select! {
            _ = &mut send => panic!("nobody answered"),
            id = house.handed_over(0) => id,
        };
        assert_eq!(house.status(session, &id).await, Pending);
    }
    let id = house.handed_over(0).await;
    house.whatsapp.connection(session).ack(&id).await;
    assert_eq!(house.status(session, &id).await, Sent);
    // The next one is not held up.
    within("the next send", house.send(session, "next")).await.unwrap();
    house.clock.advance(Duration::from_secs(1));
}
