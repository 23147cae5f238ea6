//! Changes of messages on their way: like a send they take their turn in the chat and wait for the server's answer, but
//! they have no row of their own. What they change is committed when WhatsApp has taken them.

use std::time::Duration;

use domain::{
    ChatId, SessionId, Timestamp, WaMessageId,
    content::Content,
    event::Change,
    message::OutgoingMessage,
    port::{EngineError, Write},
    session::SessionStatus,
};

use super::{Messages, SendError, outbox::Place};
use crate::{Policy, acks::Answer, sessions::Inner};

/// How long an answer that was not in time is still listened for, so that the row learns of it.
const LATE_LIMIT: Duration = Duration::from_secs(60);

/// A change to carry to WhatsApp.
pub(super) struct Carried {
    pub(super) session: SessionId,
    pub(super) chat: ChatId,
    pub(super) content: Content,
    pub(super) mentions: Vec<ChatId>,
}

/// What is known when WhatsApp has taken a change.
pub(super) struct Took<'a> {
    pub(super) inner: &'a Inner,
    pub(super) session: SessionId,
    pub(super) chat: &'a ChatId,
    /// The account's own chat id.
    pub(super) me: &'a str,
    /// The id of the change's own stanza.
    pub(super) carrier: &'a WaMessageId,
    pub(super) at: Timestamp,
}

impl<'a> Took<'a> {
    /// For the builders of events.
    pub(super) fn change(&self, target: &'a WaMessageId) -> Change<'a> {
        Change {
            id: self.inner.commit.event_id(),
            session: self.session,
            chat: self.chat,
            sender: self.me.to_owned(),
            sender_phone: None,
            from_me: true,
            me: self.me,
            target,
            at: self.at,
            backfilled: false,
        }
    }
}

/// Makes the writes of a change that WhatsApp has taken.
pub(super) type Commits = Box<dyn FnOnce(Took<'_>) -> Vec<Write> + Send>;

impl Messages {
    /// Sends a change and commits what it means.
    pub(super) async fn carry(
        &self,
        mut place: Option<Place>,
        carried: Carried,
        commits: Commits,
    ) -> Result<(), SendError> {
        if let Some(place) = place.as_mut() {
            place.turn().await;
        }
        let Carried { session, chat, content, mentions } = carried;
        let (link, passing) = self.pass(session, &chat).await?;
        let ports = &self.shared.ports;
        let id = WaMessageId::new(&*ports.entropy);
        let ticket = self.shared.waiters.wait_for_change(session, id.clone());
        let Some(mut ticket) = ticket else { return Err(SendError::Busy) };
        let outgoing = OutgoingMessage {
            id: id.clone(),
            chat: chat.clone(),
            content,
            mentions,
            quoted: None,
            forwarding_score: 0,
        };
        match self.write_frame(&*link.connection, outgoing).await {
            Ok(()) | Err(EngineError::Unanswered(_)) => {}
            Err(EngineError::NotConnected) => {
                return Err(SendError::NotReady(SessionStatus::Initializing));
            }
            Err(error) => return Err(SendError::Engine(error)),
        }
        drop((passing, place));
        let (this, me, lease) = (self.clone(), link.from, link.lease);
        let commit = async move |answer: Answer| match answer.refused {
            Some(404) => Err(SendError::NotOnWhatsApp),
            Some(code) => Err(SendError::Refused { code }),
            None => {
                let at = Timestamp::from_seconds(answer.timestamp);
                let inner = this.inner();
                let took = Took { inner, session, chat: &chat, me: &me, carrier: &id, at };
                let writes = commits(took);
                inner.took(&lease, writes).await.map_err(SendError::Unstored)
            }
        };
        let limit = ports.clock.now().plus(self.shared.options.answer_limit);
        tokio::select! {
            answer = ticket.answer() => match answer {
                Some(answer) => return commit(answer).await,
                None => return Err(SendError::Unanswered),
            },
            () = ports.clock.sleep_until(limit) => {}
        }
        let clock = ports.clock.clone();
        self.shared.supervisor.spawn("messages/late-change", Policy::Once, async move {
            let limit = clock.now().plus(LATE_LIMIT);
            tokio::select! {
                answer = ticket.answer() => if let Some(answer) = answer {
                    let _ = commit(answer).await;
                },
                () = clock.sleep_until(limit) => {}
            }
        });
        Err(SendError::Unanswered)
    }
}
