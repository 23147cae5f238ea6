//! Hooks around sends: who is asked, in which order, and what failing handlers do.

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use domain::Timer;
use gateway::{
    hooks::{Handler, HookContext, HookPoint, HookResult, LIMIT_DEFAULT, OnFailure},
    messages::SendError,
};
use testkit::{OnSend, build};

use crate::house::{House, to_send, until};

type Log = Arc<Mutex<Vec<String>>>;

/// A handler that fails open.
pub fn handler<F>(
    name: &str,
    point: HookPoint,
    priority: i32,
    run: impl Fn(HookContext) -> F + Send + Sync + 'static,
) -> Handler
where
    F: Future<Output = HookResult> + Send + 'static,
{
    Handler {
        name: name.into(),
        point,
        priority,
        limit: LIMIT_DEFAULT,
        on_failure: OnFailure::Open,
        run: Arc::new(move |context| Box::pin(run(context))),
    }
}

/// A handler that writes down that it was asked, and goes on.
fn logging(log: &Log, name: &'static str, point: HookPoint, priority: i32) -> Handler {
    let log = log.clone();
    handler(name, point, priority, move |_| {
        log.lock().unwrap().push(name.to_owned());
        std::future::ready(HookResult::Continue)
    })
}

fn texts(house: &House) -> Vec<String> {
    house.whatsapp.sent().iter().filter_map(|message| message.content.body()).collect()
}

#[tokio::test]
async fn the_order_is_the_contracts() {
    let house = House::start().await;
    let session = house.ready("bakery").await;
    let log = Log::default();
    let hooks = &house.gateway.hooks;
    hooks.register(logging(&log, "sent", HookPoint::MessageSent, 100));
    hooks.register(logging(&log, "failed", HookPoint::MessageFailed, 100));
    hooks.register(logging(&log, "sending late", HookPoint::MessageSending, 200));
    let (inner, store) = (log.clone(), house.whatsapp.clone());
    hooks.register(handler("first", HookPoint::MessageSending, 1, move |context| {
        assert!(store.sent().is_empty(), "before anything happens");
        assert_eq!(context.data["type"], "text");
        assert_eq!(context.data["input"]["text"], "hello");
        inner.lock().unwrap().push("sending first".into());
        std::future::ready(HookResult::Continue)
    }));
    house.send(session, "hello").await.unwrap();
    until("told", async || log.lock().unwrap().len() >= 3).await;
    assert_eq!(*log.lock().unwrap(), ["sending first", "sending late", "sent"]);
    log.lock().unwrap().clear();
}

#[tokio::test]
async fn a_failed_send_tells_its_handlers_and_keeps_its_error() {
    let house = House::start().await;
    let session = house.ready("bakery").await;
    let log = Log::default();
    house.gateway.hooks.register(logging(&log, "failed", HookPoint::MessageFailed, 1));
    house.gateway.hooks.register(handler("bad", HookPoint::MessageFailed, 2, |_| async {
        panic!("a bug, for the test")
    }));
    house.whatsapp.on_send(OnSend::Refuse(404));
    assert!(matches!(house.send(session, "hello").await, Err(SendError::NotOnWhatsApp)));
    until("told", async || !log.lock().unwrap().is_empty()).await;
    assert_eq!(*log.lock().unwrap(), ["failed"]);
}

#[tokio::test]
async fn handlers_change_the_input_one_after_another_or_block_it() {
    let house = House::start().await;
    let session = house.ready("bakery").await;
    let add = |word: &'static str, priority| {
        handler(word, HookPoint::MessageSending, priority, move |context| {
            let mut data = context.data;
            let text = data["input"]["text"].as_str().unwrap_or_default().to_owned();
            data["input"]["text"] = format!("{text} {word}").into();
            std::future::ready(HookResult::Replace(data))
        })
    };
    let hooks = &house.gateway.hooks;
    hooks.register(add("two", 2));
    let one = hooks.register(add("one", 1));
    house.send(session, "hello").await.unwrap();
    assert_eq!(texts(&house), ["hello one two"]);
    hooks.unregister(one);
    hooks.register(handler("guard", HookPoint::MessageSending, 0, |_| {
        std::future::ready(HookResult::Block("no".into()))
    }));
    let before = house.written().len();
    let blocked = house.send(session, "hello").await;
    assert!(matches!(blocked, Err(SendError::Blocked(why)) if why == "no"));
    assert_eq!(house.written().len(), before, "nothing is stored");
}

#[tokio::test]
async fn a_handler_may_send_it_elsewhere_but_not_leave_nonsense() {
    let house = House::start().await;
    let session = house.ready("bakery").await;
    let hooks = &house.gateway.hooks;
    let id = hooks.register(handler("mover", HookPoint::MessageSending, 1, |context| {
        let mut data = context.data;
        data["input"]["chatId"] = build::chat(7).as_str().into();
        std::future::ready(HookResult::Replace(data))
    }));
    house.send(session, "hello").await.unwrap();
    assert_eq!(house.whatsapp.sent()[0].chat, build::chat(7));
    hooks.unregister(id);
    hooks.register(handler("nonsense", HookPoint::MessageSending, 1, |_| {
        std::future::ready(HookResult::Replace(serde_json::json!("?")))
    }));
    assert!(matches!(house.send(session, "hello").await, Err(SendError::Blocked(_))));
}

#[tokio::test]
async fn slow_and_broken_handlers_fail_open_or_closed_as_they_say() {
    let house = House::start().await;
    let session = house.ready("bakery").await;
    let hooks = &house.gateway.hooks;
    for (on_failure, blocks) in [(OnFailure::Open, false), (OnFailure::Closed, true)] {
        let mut panics = handler("panics", HookPoint::MessageSending, 1, |_| async {
            panic!("a bug, for the test")
        });
        panics.on_failure = on_failure;
        let id = hooks.register(panics);
        assert_eq!(house.send(session, "hello").await.is_err(), blocks);
        hooks.unregister(id);

        let mut hangs = handler("hangs", HookPoint::MessageSending, 1, |_| std::future::pending());
        (hangs.on_failure, hangs.limit) = (on_failure, Duration::from_secs(17));
        let id = hooks.register(hangs);
        let time = house.pass(Timer::HookAnswer, Duration::from_secs(17));
        let (sent, _) = tokio::join!(house.send(session, "hello"), time);
        assert_eq!(sent.is_err(), blocks);
        hooks.unregister(id);
    }
}

#[tokio::test]
async fn a_handler_that_sends_is_not_asked_about_that_send_but_all_others_are() {
    let house = House::start().await;
    let session = house.ready("bakery").await;
    let log = Log::default();
    let hooks = &house.gateway.hooks;
    hooks.register(logging(&log, "watcher", HookPoint::MessageSending, 200));
    let messages = house.gateway.messages.clone();
    hooks.register(handler("announcer", HookPoint::MessageSending, 1, move |_| {
        let messages = messages.clone();
        async move {
            // To the very same chat, which is not free yet.
            messages.send(session, to_send("announced"), None).await.unwrap();
            HookResult::Continue
        }
    }));
    house.send(session, "hello").await.unwrap();
    assert_eq!(texts(&house), ["announced", "hello"]);
    assert_eq!(*log.lock().unwrap(), ["watcher", "watcher"]);
}

#[tokio::test]
async fn what_comes_in_and_what_is_stored_is_told_without_waiting() {
    let house = House::start().await;
    let session = house.ready("bakery").await;
    let log = Log::default();
    let hooks = &house.gateway.hooks;
    hooks.register(logging(&log, "received", HookPoint::MessageReceived, 1));
    hooks.register(logging(&log, "persisted", HookPoint::MessagePersisted, 1));
    hooks.register(logging(&log, "ack", HookPoint::MessageAck, 1));
    house.hear(session, &build::chat(1)).await;
    house.send(session, "hello").await.unwrap();
    until("told", async || log.lock().unwrap().len() >= 4).await;
    let mut told = log.lock().unwrap().clone();
    told.sort();
    assert_eq!(told, ["ack", "persisted", "persisted", "received"]);
}
