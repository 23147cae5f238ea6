//! Why something could not be done with a plugin.

use domain::port::StoreError;

/// Why a plugin was not changed.
#[derive(Debug, thiserror::Error)]
pub enum PluginError {
    /// There is none of this id.
    #[error("Plugin with id '{0}' not found")]
    NotFound(String),
    /// One of this id is installed already.
    #[error("Plugin '{0}' is installed already: update it, or delete it first")]
    Exists(String),
    /// The package, the configuration or another part of the request cannot be taken: what to change.
    #[error("{}", .0.join("; "))]
    Refused(Vec<String>),
    /// It was changed by somebody else at the same time.
    #[error("Plugin '{0}' was changed by somebody else at the same time: try again")]
    Raced(String),
    /// It could not be started: what it said.
    #[error("Plugin '{0}' could not be enabled: {1}")]
    NotStarted(String, String),
    /// The package could not be fetched.
    #[error("{0}")]
    NotFetched(String),
    /// The ledger failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl PluginError {
    pub(super) fn refused(why: impl ToString) -> Self {
        Self::Refused(vec![why.to_string()])
    }
}

/// Why an instance was not changed.
#[derive(Debug, thiserror::Error)]
pub enum InstanceError {
    /// There is no such plugin or instance.
    #[error("{0} not found")]
    NotFound(String),
    /// The plugin has one of this id.
    #[error("Instance '{0}' exists already")]
    Exists(String),
    /// The request cannot be taken: what to change.
    #[error("{0}")]
    Refused(String),
    /// Not as things are: it is disabled.
    #[error("{0}")]
    Conflict(String),
    /// The ledger failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}
