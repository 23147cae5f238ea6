//! How a phone takes a session in: a picture to scan, or a code to type.

use domain::{PhoneNumber, SessionId, port::EngineError, session::SessionStatus};

use super::{PairingError, PairingView, QrError, QrView, Sessions, qr};

impl Sessions {
    /// The QR code to scan, as a picture.
    ///
    /// # Errors
    /// [`QrError`].
    pub async fn qr(&self, id: SessionId) -> Result<QrView, QrError> {
        let view = self.view_of(id).await.map_err(QrError::Store)?.ok_or(QrError::NotFound(id))?;
        let handle = self.inner.handle(id).ok_or(QrError::NotStarted)?;
        let status = view.session.status;
        match handle.qr() {
            Some(shown) => Ok(QrView {
                png_data_url: qr::data_url(&shown.code).ok_or(QrError::NotReadyYet)?,
                code: shown.code,
                status,
                expires_at: shown.expires_at,
            }),
            None if matches!(status, SessionStatus::Ready | SessionStatus::Authenticating) => {
                Err(QrError::AlreadyLinked)
            }
            None => Err(QrError::NotReadyYet),
        }
    }

    /// A code to type into the phone instead of scanning.
    ///
    /// # Errors
    /// [`PairingError`].
    pub async fn pairing_code(
        &self,
        id: SessionId,
        phone: &PhoneNumber,
    ) -> Result<PairingView, PairingError> {
        let view = self
            .view_of(id)
            .await
            .map_err(PairingError::Store)?
            .ok_or(PairingError::NotFound(id))?;
        let handle = self.inner.handle(id).ok_or(PairingError::NotStarted)?;
        let status = view.session.status;
        if matches!(status, SessionStatus::Ready | SessionStatus::Authenticating) {
            return Err(PairingError::AlreadyLinked);
        }
        let connection = handle.connection().filter(|_| status == SessionStatus::QrReady);
        let connection = connection.ok_or(PairingError::NotQrReady)?;
        match connection.pairing_code(phone).await {
            Ok(code) => Ok(PairingView { code, status }),
            Err(EngineError::Refused(reason)) => Err(PairingError::Refused(reason)),
            Err(EngineError::WrongState(_)) => Err(PairingError::AlreadyLinked),
            Err(EngineError::Store(error)) => Err(PairingError::Store(error)),
            Err(error) => {
                tracing::warn!(session.id = %id, %error, "no pairing code");
                Err(PairingError::Unanswered)
            }
        }
    }
}
