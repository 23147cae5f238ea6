//! The handle of one connection.

use std::{fs::File, sync::Arc, time::Duration};

use async_trait::async_trait;
use domain::{
    ChatId, PhoneNumber, WaMessageId,
    chat::{ChatMark, LastMessage, Registration, Typing},
    content::{MediaKind, RemoteMedia, Target},
    message::OutgoingMessage,
    port::{Connection, EngineError, PasskeyActions, PasskeyAssertion},
    time::BoxFuture,
};
use tokio::{sync::oneshot, time::timeout};
use tokio_util::sync::CancellationToken;
use whatsapp_rust::{
    Client,
    pair_code::{PairCodeOptions, PairError},
    wacore::iq::devices::RemoveCompanionDeviceSpec,
};

use crate::{
    calls::RingingCalls, chats, failure, link::LinkState, outbound::MessageWriter,
    passkey::PasskeyLinking, presence::OwnPresence, runtime::ConnectionTasks, transfer,
};

/// Limits of one connection's requests.
#[derive(Debug, Clone, Copy)]
pub(crate) struct RequestLimits {
    /// For a message to be encrypted and written.
    pub send: Duration,
    /// For the socket to be up when a pairing code is asked for, and again for the answer.
    pub pairing: Duration,
}

/// Dropping it closes the connection in the background.
pub(crate) struct ConnectionHandle {
    pub writer: MessageWriter,
    pub client: Arc<Client>,
    pub link: Arc<LinkState>,
    pub tasks: ConnectionTasks,
    pub passkey: PasskeyLinking,
    pub limits: RequestLimits,
    pub calls: Arc<RingingCalls>,
    pub own_presence: Arc<OwnPresence>,
    pub done: CancellationToken,
}

impl Drop for ConnectionHandle {
    fn drop(&mut self) {
        self.link.close();
    }
}

impl ConnectionHandle {
    /// Does something that ends with the connection, and is finished even when nobody waits for it any more.
    async fn in_task<T: Send + 'static>(
        &self,
        doing: BoxFuture<Result<T, EngineError>>,
    ) -> Result<T, EngineError> {
        if !self.link.is_ready() {
            return Err(EngineError::NotConnected);
        }
        let (answer, answered) = oneshot::channel();
        self.tasks.start(async move {
            // Nobody waiting is fine, see above.
            let _ = answer.send(doing.await);
        });
        // Otherwise the task ended with the connection.
        answered.await.unwrap_or(Err(EngineError::Unanswered(None)))
    }

    /// The same, at most as long as a message may take.
    pub(crate) async fn request<T: Send + 'static>(
        &self,
        doing: BoxFuture<Result<T, EngineError>>,
    ) -> Result<T, EngineError> {
        match timeout(self.limits.send, self.in_task(doing)).await {
            Ok(result) => result,
            Err(elapsed) => Err(EngineError::Unanswered(Some(Box::new(elapsed)))),
        }
    }
}

#[async_trait]
impl PasskeyActions for ConnectionHandle {
    async fn answer_passkey(&self, assertion: PasskeyAssertion) -> Result<(), EngineError> {
        self.while_linking(self.passkey.answer(assertion)).await
    }

    async fn confirm_passkey(&self) -> Result<(), EngineError> {
        self.while_linking(self.passkey.confirm()).await
    }
}

impl ConnectionHandle {
    /// Does something of linking, at most as long as a pairing code may take.
    async fn while_linking(
        &self,
        doing: impl Future<Output = Result<(), EngineError>> + Send,
    ) -> Result<(), EngineError> {
        tokio::select! {
            biased;
            result = timeout(self.limits.pairing, Box::pin(doing)) => {
                result.unwrap_or_else(|elapsed| Err(EngineError::Unanswered(Some(Box::new(elapsed)))))
            }
            () = self.link.over() => Err(EngineError::NotConnected),
        }
    }
}

#[async_trait]
impl Connection for ConnectionHandle {
    /// A send that was begun is finished even when nobody waits for it any more: breaking it off in
    /// the middle would leave open whether a key was used.
    async fn send(&self, message: OutgoingMessage) -> Result<(), EngineError> {
        let writer = self.writer.clone();
        self.request(Box::pin(async move { writer.send(message).await })).await
    }

    /// Without a limit of its own: the media host's are in the HTTP client.
    async fn upload(&self, kind: MediaKind, file: File) -> Result<RemoteMedia, EngineError> {
        let (client, tasks) = (self.client.clone(), self.tasks.clone());
        self.in_task(Box::pin(async move { transfer::upload(&client, &tasks, kind, file).await }))
            .await
    }

    async fn download(
        &self,
        kind: MediaKind,
        remote: &RemoteMedia,
        into: File,
        bytes_max: u64,
    ) -> Result<(), EngineError> {
        let (client, remote) = (self.client.clone(), remote.clone());
        self.in_task(Box::pin(async move {
            transfer::download(&client, kind, &remote, into, bytes_max).await
        }))
        .await
    }

    async fn typing(&self, chat: &ChatId, state: Typing) -> Result<(), EngineError> {
        let (client, chat) = (self.client.clone(), chat.clone());
        self.request(Box::pin(async move { chats::typing(&client, &chat, state).await })).await
    }

    async fn mark_read(
        &self,
        chat: &ChatId,
        messages: &[(WaMessageId, Option<ChatId>)],
    ) -> Result<(), EngineError> {
        let (client, chat, messages) = (self.client.clone(), chat.clone(), messages.to_vec());
        self.request(Box::pin(async move { chats::mark_read(&client, &chat, &messages).await }))
            .await
    }

    async fn mark_chat(
        &self,
        chat: &ChatId,
        mark: ChatMark,
        last: Option<&LastMessage>,
    ) -> Result<(), EngineError> {
        let (client, chat, last) = (self.client.clone(), chat.clone(), last.cloned());
        self.request(Box::pin(async move {
            chats::mark_chat(&client, &chat, mark, last.as_ref()).await
        }))
        .await
    }

    async fn star(&self, chat: &ChatId, target: &Target, star: bool) -> Result<(), EngineError> {
        let (client, chat, target) = (self.client.clone(), chat.clone(), target.clone());
        self.request(Box::pin(async move { chats::star(&client, &chat, &target, star).await }))
            .await
    }

    async fn delete_for_me(
        &self,
        chat: &ChatId,
        target: &Target,
        timestamp: i64,
    ) -> Result<(), EngineError> {
        let (client, chat, target) = (self.client.clone(), chat.clone(), target.clone());
        self.request(Box::pin(async move {
            chats::delete_for_me(&client, &chat, &target, timestamp).await
        }))
        .await
    }

    async fn lookup(&self, ids: &[ChatId]) -> Result<Vec<Registration>, EngineError> {
        let (client, ids) = (self.client.clone(), ids.to_vec());
        self.request(Box::pin(async move { chats::lookup(&client, &ids).await })).await
    }

    async fn pairing_code(&self, phone: &PhoneNumber) -> Result<String, EngineError> {
        if self.client.pn().is_some() {
            return Err(EngineError::WrongState("this session is linked to a phone already"));
        }
        if self.link.is_over() {
            return Err(EngineError::NotConnected);
        }
        let asked = async {
            self.client
                .wait_for_socket(self.limits.pairing)
                .await
                .map_err(|_| EngineError::NotConnected)?;
            // Only the newest code may be typed; the phone would refuse an older one.
            self.client.cancel_pair_code().await;
            let options =
                PairCodeOptions { phone_number: phone.digits().to_owned(), ..Default::default() };
            timeout(self.limits.pairing, self.client.pair_with_code(options))
                .await
                .map_err(|elapsed| EngineError::Unanswered(Some(Box::new(elapsed))))?
                .map_err(pairing_error)
        };
        tokio::select! {
            biased;
            () = self.link.over() => Err(EngineError::NotConnected),
            result = Box::pin(asked) => result,
        }
    }

    /// Ends the connection whatever WhatsApp answers, so that the caller may delete the keys.
    async fn unlink(&self, limit: Duration) -> Result<(), EngineError> {
        self.link.begin_unlink();
        let result = match self.client.pn() {
            None => Ok(()),
            Some(_) if self.link.is_over() => Err(EngineError::NotConnected),
            Some(own) => {
                let request = self.client.execute(RemoveCompanionDeviceSpec::new(&own));
                match timeout(limit, Box::pin(request)).await {
                    Ok(result) => result.map_err(failure::of_request),
                    Err(elapsed) => Err(EngineError::Unanswered(Some(Box::new(elapsed)))),
                }
            }
        };
        // WhatsApp may end the stream before its answer arrives.
        let gone = self.link.is_logged_out();
        self.close().await;
        if gone { Ok(()) } else { result }
    }

    fn seal(&self) {
        self.writer.backend.seal();
    }

    async fn close(&self) {
        self.link.close();
        self.done.cancelled().await;
    }
}

fn pairing_error(error: PairError) -> EngineError {
    match error {
        PairError::RequestFailed(error) => failure::of_request(error),
        other => EngineError::Refused(other.to_string()),
    }
}
