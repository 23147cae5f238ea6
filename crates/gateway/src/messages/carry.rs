//! Changes of messages on their way: like a send they take their turn in the chat and wait for the server's answer,
//! but they have no row of their own. What they change is committed when WhatsApp has taken them; until then they are
//! kept as open changes, so that one that a crash or a lost link cut off goes out again, under its id, on the next
//! connection.

use std::{sync::Arc, time::Duration};

use domain::{
    ChatId, SessionId, Timer, Timestamp, WaMessageId,
    content::Content,
    event::{Change, ChangeSource},
    message::OutgoingMessage,
    port::{EngineError, Lease, Write},
    session::SessionStatus,
    status::StatusPost,
};

use super::{Messages, SendError, SharedMessages, meaning::BeforeChange};
use crate::{
    Policy,
    ledger::LedgerWriter,
    outbox::{AckAnswer, AckTicket, LinePlace},
};

/// How long an answer that was not in time is still listened for, so that the row learns of it.
const LATE_LIMIT: Duration = Duration::from_secs(60);

/// A change to carry to WhatsApp.
pub(super) struct CarriedChange {
    pub(super) session: SessionId,
    pub(super) chat: ChatId,
    pub(super) content: Content,
    pub(super) mentions: Vec<ChatId>,
    /// What it has in addition as the end of a status.
    pub(super) status: Option<Box<StatusPost>>,
}

/// What is known when WhatsApp has taken a change.
pub(super) struct TakenChange<'a> {
    pub(super) ledger: &'a LedgerWriter,
    pub(super) session: SessionId,
    pub(super) chat: &'a ChatId,
    /// The account's own chat id.
    pub(super) me: &'a str,
    /// The id of the change's own stanza.
    pub(super) carrier: &'a WaMessageId,
    pub(super) at: Timestamp,
}

impl<'a> TakenChange<'a> {
    /// For the builders of events.
    pub(super) fn change(&self, target: &'a WaMessageId) -> Change<'a> {
        Change {
            id: self.ledger.event_id(),
            session: self.session,
            chat: self.chat,
            sender: self.me.to_owned(),
            sender_phone: None,
            from_me: true,
            me: self.me,
            target,
            at: self.at,
            backfilled: false,
            source: Some(ChangeSource::Api),
        }
    }
}

/// A change that is on its way, and what it changes.
pub(super) struct UnderWay {
    pub(super) session: SessionId,
    pub(super) outgoing: OutgoingMessage,
    pub(super) before: BeforeChange,
    /// The account's own chat id, or `me`.
    pub(super) me: String,
    pub(super) lease: Lease,
}

impl UnderWay {
    fn closed(&self) -> Write {
        Write::CloseChange { session: self.session, id: self.outgoing.id.clone() }
    }

    /// Stores what WhatsApp's answer means.
    pub(super) async fn answered(
        self,
        shared: &Arc<SharedMessages>,
        answer: AckAnswer,
    ) -> Result<(), SendError> {
        let error = match answer.refused {
            None => None,
            Some(404) => Some(SendError::NotOnWhatsApp),
            Some(code) => Some(SendError::Refused { code }),
        };
        if let Some(error) = error {
            return self.ends(shared, error).await;
        }
        let closed = self.closed();
        let Self { session, outgoing, before, me, lease } = self;
        let at = Timestamp::from_seconds(answer.timestamp);
        let (chat, carrier) = (&outgoing.chat, &outgoing.id);
        let took = TakenChange { ledger: &shared.ledger, session, chat, me: &me, carrier, at };
        let mut writes = before.writes(&took, &outgoing);
        writes.push(closed);
        shared.sessions.took(&lease, writes).await.map_err(SendError::Unstored)
    }

    /// It will not happen: nothing of it is kept.
    pub(super) async fn ends(
        self,
        shared: &Arc<SharedMessages>,
        error: SendError,
    ) -> Result<(), SendError> {
        // One that stays goes out once more, and gets the same answer.
        if let Err(unstored) = shared.ledger.write(Some(&self.lease), vec![self.closed()]).await {
            tracing::warn!(session.id = %self.session, error = &unstored as &dyn std::error::Error,
                "a change that ended is kept as open");
        }
        Err(error)
    }
}

impl Messages {
    /// Sends a change and commits what it means.
    pub(super) async fn carry(
        &self,
        mut place: Option<LinePlace>,
        carried: CarriedChange,
        before: BeforeChange,
    ) -> Result<(), SendError> {
        if let Some(place) = place.as_mut() {
            place.turn().await;
        }
        let CarriedChange { session, chat, content, mentions, status } = carried;
        let (link, passing) = self.pass(session, &chat).await?;
        let ports = &self.shared.ports;
        let id = WaMessageId::new(&*ports.entropy);
        let ticket = self.shared.waiters.wait_for_change(session, id.clone());
        let Some(mut ticket) = ticket else { return Err(SendError::Busy) };
        let outgoing = OutgoingMessage {
            id,
            chat,
            content,
            mentions,
            quoted: None,
            forwarding_score: 0,
            status,
        };
        let (me, lease) = (link.from, link.lease);
        let at = ports.clock.now();
        let open = Write::OpenChange { session, outgoing: Box::new(outgoing.clone()), at };
        let stored = self.shared.ledger.write(Some(&lease), vec![open]).await;
        stored.map_err(super::hand_over::unstored)?;
        let change = UnderWay { session, outgoing, before, me, lease };
        let shared = &self.shared;
        match self.write_frame(&*link.connection, change.outgoing.clone()).await {
            Ok(()) | Err(EngineError::Unanswered(_)) => {}
            Err(EngineError::NotConnected) => {
                let error = SendError::NotReady(SessionStatus::Initializing);
                return change.ends(shared, error).await;
            }
            Err(error) => return change.ends(shared, SendError::Engine(error)).await,
        }
        drop((passing, place));
        let limit = ports.clock.now().plus(self.shared.options.answer_limit);
        tokio::select! {
            answer = ticket.answer() => match answer {
                Some(answer) => return change.answered(shared, answer).await,
                None => return Err(SendError::Unanswered),
            },
            () = ports.clock.sleep_until(Timer::ChangeAnswer, limit) => {}
        }
        late(shared.clone(), ticket, change);
        Err(SendError::Unanswered)
    }
}

/// Goes on listening for the answer to a change that nobody waits for any longer.
pub(super) fn late(shared: Arc<SharedMessages>, mut ticket: AckTicket, change: UnderWay) {
    let clock = shared.ports.clock.clone();
    let supervisor = shared.supervisor.clone();
    supervisor.spawn("messages/late-change", Policy::Once, async move {
        let limit = clock.now().plus(LATE_LIMIT);
        tokio::select! {
            answer = ticket.answer() => if let Some(answer) = answer {
                let _ = change.answered(&shared, answer).await;
            },
            () = clock.sleep_until(Timer::LateChange, limit) => {}
        }
    });
}
