//! Where a change of this account's own things was made.

use serde::Serialize;

/// Which of an account's devices, or whether this API, changed something. The changes of other people have no source.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum ChangeSource {
    /// A call of this API.
    Api,
    /// The account's phone.
    Phone,
    /// Another linked device of the account.
    OtherDevice,
}

impl ChangeSource {
    /// Which of the account's own devices it is, by WhatsApp's number of it: the phone is 0.
    pub const fn of_device(number: u16) -> Self {
        if number == 0 { Self::Phone } else { Self::OtherDevice }
    }

    /// The wire word, under `source` in the data of an event.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Api => "api",
            Self::Phone => "phone",
            Self::OtherDevice => "other_device",
        }
    }
}
