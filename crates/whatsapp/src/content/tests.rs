use domain::{WaMessageId, content::MediaKind};
use whatsapp_rust::{buffa::MessageField, proto_helpers::MessageBuilderExt};

use super::*;

fn content(parsed: Option<ParsedMessage>) -> Content {
    match parsed.map(|parsed| parsed.body) {
        Some(ParsedBody::Content(content)) => content,
        other => panic!("nothing to read: {other:?}"),
    }
}

fn text(parsed: Option<ParsedMessage>) -> String {
    match content(parsed) {
        Content::Text { body, .. } => body,
        other => panic!("not a text: {other:?}"),
    }
}

fn kind_of(parsed: Option<ParsedMessage>) -> String {
    match content(parsed) {
        Content::Unknown { protocol_kind } => protocol_kind,
        other => panic!("not unknown: {other:?}"),
    }
}

fn envelope(message: wa::Message) -> MessageField<wa::message::FutureProofMessage> {
    MessageField::some(wa::message::FutureProofMessage { message: MessageField::some(message) })
}

fn key(id: &str) -> wa::MessageKey {
    wa::MessageKey { id: Some(id.into()), from_me: Some(true), ..Default::default() }
}

fn protocol(protocol: wa::message::ProtocolMessage) -> wa::Message {
    wa::Message { protocol_message: MessageField::some(protocol), ..Default::default() }
}

#[test]
fn text_is_found_in_any_envelope() {
    assert_eq!(text(read(&wa::Message::text("plain"))), "plain");
    let once = wa::Message {
        view_once_message: envelope(wa::Message::text("once")),
        ..Default::default()
    };
    assert!(read(&once).unwrap().view_once && !read(&wa::Message::text("a")).unwrap().view_once);
    assert_eq!(text(read(&once)), "once");
    // Not the order in which the library unwraps.
    let nested = wa::Message { ephemeral_message: envelope(once), ..Default::default() };
    let odd = wa::Message { view_once_message_v2: envelope(nested), ..Default::default() };
    assert_eq!(text(read(&odd)), "once");
    let own = wa::Message {
        device_sent_message: MessageField::some(wa::message::DeviceSentMessage {
            message: MessageField::some(wa::Message::text("own")),
            ..Default::default()
        }),
        ..Default::default()
    };
    assert_eq!(text(read(&own)), "own");
}

#[test]
fn what_was_forwarded_says_how_often() {
    let forwarded = |is_forwarded, forwarding_score| {
        let mut message = wa::Message::text("news");
        let context = wa::ContextInfo { is_forwarded, forwarding_score, ..Default::default() };
        assert!(message.set_context_info(context));
        read(&message).unwrap().forwarding_score
    };
    assert_eq!(forwarded(Some(true), Some(4)), 4);
    assert_eq!(forwarded(Some(true), None), 1);
    assert_eq!(forwarded(None, Some(4)), 0);
    assert_eq!(read(&wa::Message::text("mine")).unwrap().forwarding_score, 0);
}

#[test]
fn an_answer_names_what_it_answers_and_whom_it_mentions() {
    let context = wa::ContextInfo {
        stanza_id: Some("Q1".into()),
        quoted_message: MessageField::some(wa::Message::text("before")),
        mentioned_jid: vec!["5511990000042@s.whatsapp.net".into()],
        ..Default::default()
    };
    let image = wa::Message {
        image_message: MessageField::some(wa::message::ImageMessage {
            context_info: MessageField::some(context.clone()),
            ..Default::default()
        }),
        ..Default::default()
    };
    for message in [wa::Message::text_with_context("after", context), image] {
        let parsed = read(&message).unwrap();
        assert_eq!(
            parsed.quoted,
            Some(Quoted { id: WaMessageId::from_wire("Q1"), body: "before".into() })
        );
        assert_eq!(parsed.mentions, ["5511990000042@s.whatsapp.net"]);
    }
}

#[test]
fn what_is_not_for_people_is_not_delivered() {
    let of_type =
        |kind| protocol(wa::message::ProtocolMessage { r#type: Some(kind), ..Default::default() });
    assert_eq!(read(&of_type(Type::APP_STATE_SYNC_KEY_SHARE)), None);
    assert_eq!(read(&of_type(Type::HISTORY_SYNC_NOTIFICATION)), None);
    assert_eq!(kind_of(read(&of_type(Type::REVOKE))), "protocol_message.revoke");
    assert_eq!(read(&wa::Message::default()), None);
    let keys = wa::Message {
        sender_key_distribution_message: MessageField::some(Default::default()),
        message_context_info: MessageField::some(Default::default()),
        ..Default::default()
    };
    assert_eq!(read(&keys), None);
}

#[test]
fn every_other_kind_is_delivered_as_unknown() {
    let list =
        wa::Message { list_message: MessageField::some(Default::default()), ..Default::default() };
    assert_eq!(kind_of(read(&list)), "list_message");
    let new = wa::Message {
        split_payment_message: MessageField::some(Default::default()),
        ..Default::default()
    };
    assert_eq!(kind_of(read(&new)), "message");
}

#[test]
fn a_captioned_document_is_read_through_its_envelope() {
    let document = wa::Message {
        document_message: MessageField::some(wa::message::DocumentMessage {
            file_name: Some("bill.pdf".into()),
            mimetype: Some("application/pdf".into()),
            caption: Some("please pay".into()),
            file_length: Some(9),
            ..Default::default()
        }),
        ..Default::default()
    };
    let wrapped =
        wa::Message { document_with_caption_message: envelope(document), ..Default::default() };
    let Content::Media(media) = content(read(&wrapped)) else { panic!("no file") };
    assert_eq!(media.kind, MediaKind::Document);
    assert_eq!(media.filename.as_deref(), Some("bill.pdf"));
    assert_eq!(media.caption.as_deref(), Some("please pay"));
    assert_eq!((media.size_bytes, media.remote), (9, None));
}

#[test]
fn an_edit_is_read_in_both_forms() {
    let edit = protocol(wa::message::ProtocolMessage {
        r#type: Some(Type::MESSAGE_EDIT),
        key: MessageField::some(key("E1")),
        edited_message: MessageField::some(wa::Message::text("better")),
        ..Default::default()
    });
    let wrapped = wa::Message { edited_message: envelope(edit.clone()), ..Default::default() };
    for message in [edit, wrapped] {
        let parsed = read(&message).unwrap();
        assert_eq!(parsed.body, ParsedBody::Edit { key: key("E1"), body: "better".into() });
    }
}

#[test]
fn an_unpin_is_no_pin() {
    let pin = |kind| wa::Message {
        pin_in_chat_message: MessageField::some(wa::message::PinInChatMessage {
            key: MessageField::some(key("P1")),
            r#type: Some(kind),
            ..Default::default()
        }),
        ..Default::default()
    };
    let body = |message| read(&message).unwrap().body;
    let (on, off) =
        (pin_in_chat_message::Type::PIN_FOR_ALL, pin_in_chat_message::Type::UNPIN_FOR_ALL);
    assert_eq!(body(pin(on)), ParsedBody::Pin { key: key("P1"), seconds: Some(PIN_SECONDS) });
    assert_eq!(body(pin(off)), ParsedBody::Pin { key: key("P1"), seconds: None });
}

#[test]
fn a_poll_for_one_choice_says_so() {
    let poll = |count| wa::Message {
        poll_creation_message_v3: MessageField::some(wa::message::PollCreationMessage {
            name: Some("when?".into()),
            selectable_options_count: Some(count),
            ..Default::default()
        }),
        ..Default::default()
    };
    let multiple = |count| match content(read(&poll(count))) {
        Content::Poll(poll) => poll.allow_multiple_answers,
        other => panic!("{other:?}"),
    };
    assert!(!multiple(1));
    assert!(multiple(0) && multiple(3));
}

/// Ids are chosen by the sender, and nobody on the way can see them.
#[test]
fn a_change_of_something_that_is_no_message_is_dropped() {
    for bad in ["", "a\nb", "a b", "\u{e4}", &"x".repeat(20_000)] {
        let key = || MessageField::some(key(bad));
        let reaction = wa::Message {
            reaction_message: MessageField::some(wa::message::ReactionMessage {
                key: key(),
                text: Some("👍".into()),
                ..Default::default()
            }),
            ..Default::default()
        };
        let pin = wa::Message {
            pin_in_chat_message: MessageField::some(wa::message::PinInChatMessage {
                key: key(),
                ..Default::default()
            }),
            ..Default::default()
        };
        let vote = wa::Message {
            poll_update_message: MessageField::some(wa::message::PollUpdateMessage {
                poll_creation_message_key: key(),
                vote: MessageField::some(wa::message::PollEncValue {
                    enc_payload: Some(vec![1]),
                    enc_iv: Some(vec![2]),
                }),
                ..Default::default()
            }),
            ..Default::default()
        };
        let revoke = protocol(wa::message::ProtocolMessage {
            key: key(),
            r#type: Some(Type::REVOKE),
            ..Default::default()
        });
        let edit = protocol(wa::message::ProtocolMessage {
            key: key(),
            r#type: Some(Type::MESSAGE_EDIT),
            edited_message: MessageField::some(wa::Message::text("new")),
            ..Default::default()
        });
        for message in [reaction, pin, vote, revoke, edit] {
            assert_eq!(read(&message), None, "{bad:?}");
        }
        let quoting = wa::Message {
            extended_text_message: MessageField::some(wa::message::ExtendedTextMessage {
                text: Some("answer".into()),
                context_info: MessageField::some(wa::ContextInfo {
                    stanza_id: Some(bad.into()),
                    mentioned_jid: vec!["4917012345678@s.whatsapp.net".into(); 5_000],
                    ..Default::default()
                }),
                ..Default::default()
            }),
            ..Default::default()
        };
        let parsed = read(&quoting).unwrap();
        assert_eq!(parsed.quoted, None);
        assert_eq!(parsed.mentions.len(), MENTIONS_MAX);
        assert_eq!(text(Some(parsed)), "answer");
    }
    let long = wa::Message {
        reaction_message: MessageField::some(wa::message::ReactionMessage {
            key: MessageField::some(key("3A")),
            text: Some("x".repeat(20_000)),
            ..Default::default()
        }),
        ..Default::default()
    };
    assert_eq!(read(&long), None);
}

/// What a sender writes where a path, a key or a hash belongs, and is none.
#[test]
fn a_file_that_is_nowhere_is_no_file_to_fetch() {
    let image = |path: &str, key: usize, hash: usize| {
        let image = wa::message::ImageMessage {
            direct_path: Some(path.into()),
            media_key: Some(vec![1; key]),
            file_sha256: Some(vec![2; hash]),
            file_enc_sha256: Some(vec![3; hash]),
            mimetype: Some("text/html\r\nx: y".into()),
            ..Default::default()
        };
        let message =
            wa::Message { image_message: MessageField::some(image), ..Default::default() };
        match content(read(&message)) {
            Content::Media(media) => *media,
            other => panic!("no file: {other:?}"),
        }
    };
    let good = image("/v/t62.7118-24/a.enc?ccb=1", 32, 32);
    assert!(good.remote.is_some());
    assert_eq!(good.mimetype, "image/jpeg");
    for path in [
        "@evil.example/x",
        ".evil.example/x",
        ":x@evil.example/x",
        "//evil.example/x",
        "\\evil.example/x",
        "x",
    ] {
        assert!(image(path, 32, 32).remote.is_none(), "{path}");
    }
    assert!(image("/x", 16, 32).remote.is_none());
    assert!(image("/x", 32, 20_000).remote.is_none());
}
