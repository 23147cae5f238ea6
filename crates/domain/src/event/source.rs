//! Where a change of this account's own things was made.

/// Which of an account's devices, or whether this API, changed something. The changes of other people have no source.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ChangeSource {
    /// A call of this API.
    Api,
    /// The account's phone.
    Phone,
    /// Another linked device of the account.
    OtherDevice,
}

impl ChangeSource {
    /// The wire word, under `source` in the data of an event.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Api => "api",
            Self::Phone => "phone",
            Self::OtherDevice => "other_device",
        }
    }
}
