//! The hooks of a send.

use domain::{
    EventId, Timestamp, event,
    message::{Message, MessageStatus},
};
use serde_json::{Value, json};
use tracing::Instrument as _;

use super::{Messages, SendError, Sent, ToSend, context::SendContext, input};
use crate::{
    hooks::{HookPoint, Hooks},
    spans,
};

/// What is said of a send when it has ended: its kind and, if somebody listens for failures, what was to be sent.
pub(super) struct AnnouncedSend {
    word: &'static str,
    input: Option<Value>,
}

impl AnnouncedSend {
    pub(super) fn of(hooks: &Hooks, to_send: &ToSend) -> Self {
        let input = hooks.listens(HookPoint::MessageFailed).then(|| input::shown(to_send));
        Self { word: to_send.say.word(), input }
    }
}

impl Messages {
    pub(super) fn persisted(&self, message: &Message) {
        let hooks = &self.shared.hooks;
        if hooks.listens(HookPoint::MessagePersisted) {
            let data = json!({ "sessionId": message.session, "message": shown(message) });
            hooks.notify(HookPoint::MessagePersisted, message.session, data);
        }
    }

    pub(super) async fn ask_before(
        &self,
        context: &SendContext,
        to_send: ToSend,
    ) -> Result<ToSend, SendError> {
        let hooks = &self.shared.hooks;
        if !hooks.listens(HookPoint::MessageSending) {
            return Ok(to_send);
        }
        let session = context.session;
        let mut data = json!({
            "sessionId": session,
            "type": to_send.say.word(),
            "input": input::of(&to_send),
        });
        name_source(&mut data, context.origin.source());
        let point = HookPoint::MessageSending;
        let asked = hooks.ask(point, session, data).instrument(spans::hooks(point.as_str()));
        let verdict = asked.await;
        match verdict.blocked {
            Some(why) => Err(SendError::Blocked(why)),
            None if !verdict.changed => Ok(to_send),
            None => input::read(&to_send, &verdict.data["input"]).map_err(SendError::Blocked),
        }
    }

    /// Handlers hear of the result; it does not wait for them.
    pub(super) async fn tell_after(
        &self,
        context: &SendContext,
        announced: AnnouncedSend,
        result: &Result<Sent, SendError>,
    ) {
        let (session, source) = (context.session, context.origin.source());
        let AnnouncedSend { word, input } = announced;
        let hooks = &self.shared.hooks;
        match (result, input) {
            (Ok(sent), _) if sent.status == MessageStatus::Pending => {}
            (Ok(sent), _) if hooks.listens(HookPoint::MessageSent) => {
                let found = self.shared.ports.store.message(session, &sent.id).await.ok().flatten();
                let mut data = found.map_or_else(|| json!({ "id": sent.id }), |row| shown(&row));
                name_source(&mut data, source);
                hooks.notify(HookPoint::MessageSent, session, data);
            }
            (Err(error), Some(input)) => {
                let mut data = json!({
                    "sessionId": session,
                    "type": word,
                    "input": input,
                    "error": error.to_string(),
                });
                name_source(&mut data, source);
                hooks.notify(HookPoint::MessageFailed, session, data);
            }
            _ => {}
        }
    }
}

/// Tells handlers where a send comes from, when it is not a single one.
fn name_source(data: &mut Value, source: Option<&'static str>) {
    if let Some(source) = source {
        data["source"] = json!(source);
    }
}

/// A message as hooks see it: as events show it, with its status.
fn shown(message: &Message) -> Value {
    let at = message.timestamp.map_or(message.created_at, Timestamp::from_seconds);
    let nobody = EventId::from_uuid(uuid::Uuid::nil());
    let mut data = event::message_sent(nobody, message, at).data.value();
    data["status"] = json!(message.status);
    data
}
