//! Which process a session belongs to.

use domain::port::Holder;

/// Who answers for a session.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Owner {
    /// This process runs it.
    Here,
    /// Nobody runs it: whoever is asked may begin.
    Nobody,
    /// Another process runs it.
    Elsewhere(Holder),
}
