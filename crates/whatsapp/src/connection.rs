//! The handle of one connection.

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use domain::{
    PhoneNumber,
    message::OutgoingMessage,
    port::{Connection, EngineError},
};
use tokio::{sync::oneshot, time::timeout};
use tokio_util::sync::CancellationToken;
use whatsapp_rust::{
    Client,
    pair_code::{PairCodeOptions, PairError},
    wacore::iq::devices::RemoveCompanionDeviceSpec,
};

use crate::{
    link::Link,
    outbound::{Letter, request_error},
    runtime::Tasks,
};

/// Limits of one connection's requests.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Limits {
    /// For a message to be encrypted and written.
    pub send: Duration,
    /// For the socket to be up when a pairing code is asked for, and again for the answer.
    pub pairing: Duration,
}

/// Dropping it closes the connection in the background.
pub(crate) struct Handle {
    pub client: Arc<Client>,
    pub link: Arc<Link>,
    pub tasks: Tasks,
    pub limits: Limits,
    pub done: CancellationToken,
}

impl Drop for Handle {
    fn drop(&mut self) {
        self.link.close();
    }
}

#[async_trait]
impl Connection for Handle {
    /// A send that was begun is finished even when nobody waits for it any more: breaking it off in
    /// the middle would leave open whether a key was used.
    async fn send(&self, message: OutgoingMessage) -> Result<(), EngineError> {
        let letter = Letter::new(message)?;
        if !self.link.is_ready() {
            return Err(EngineError::NotConnected);
        }
        let client = Arc::clone(&self.client);
        let (answer, answered) = oneshot::channel();
        self.tasks.start(async move {
            // Nobody waiting is fine, see above.
            let _ = answer.send(Box::pin(letter.send(&client)).await);
        });
        match timeout(self.limits.send, answered).await {
            Ok(Ok(result)) => result,
            // The task ended with the connection.
            Ok(Err(_)) => Err(EngineError::Unanswered(None)),
            Err(elapsed) => Err(EngineError::Unanswered(Some(Box::new(elapsed)))),
        }
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
                    Ok(result) => result.map_err(request_error),
                    Err(elapsed) => Err(EngineError::Unanswered(Some(Box::new(elapsed)))),
                }
            }
        };
        // WhatsApp may end the stream before its answer arrives.
        let gone = self.link.is_logged_out();
        self.close().await;
        if gone { Ok(()) } else { result }
    }

    async fn close(&self) {
        self.link.close();
        self.done.cancelled().await;
    }
}

fn pairing_error(error: PairError) -> EngineError {
    match error {
        PairError::RequestFailed(error) => request_error(error),
        other => EngineError::Refused(other.to_string()),
    }
}
