//! The processes that share the ledger, as far as its rows tell.

use std::{sync::Arc, time::Duration};

use domain::{
    Clock,
    port::{ProcessStore, StoreResult},
    process::ProcessRecord,
};

use crate::{Options, Ports, Role};

/// A process, and what it does for the ledger.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProcessView {
    /// What the ledger has of it.
    pub record: ProcessRecord,
    /// What it does. Of another process this is read from its rows: one that neither says where it is asked nor runs a
    /// session counts as a worker.
    pub role: Role,
    /// Whether it is this one.
    pub own: bool,
}

/// A handle to the list of processes. Cheap to clone.
#[derive(Clone)]
pub struct Processes {
    store: Arc<dyn ProcessStore>,
    clock: Arc<dyn Clock>,
    node: Arc<str>,
    role: Role,
    url: Option<Arc<str>>,
    /// A process that holds nothing and said nothing for so long is not there: all of them speak three times in it.
    silent: Duration,
}

impl Processes {
    pub(crate) fn build(options: &Options, ports: &Ports) -> Self {
        Self {
            store: ports.store.clone(),
            clock: ports.clock.clone(),
            node: options.node.as_str().into(),
            role: options.role,
            url: options.peers.as_ref().map(|peers| peers.url.as_str().into()),
            silent: options.session_lease,
        }
    }

    /// This process first, then the others by their names.
    ///
    /// # Errors
    /// The ledger failed.
    pub async fn list(&self) -> StoreResult<Vec<ProcessView>> {
        let now = self.clock.now();
        let mut found = self.store.processes(now).await?;
        let own = found.iter().position(|record| *record.id == *self.node);
        let mut own = own.map_or_else(|| ProcessRecord::named(&self.node), |at| found.remove(at));
        own.url = own.url.or_else(|| self.url.as_deref().map(str::to_owned));
        found.retain(|record| {
            let spoke = record.seen_at.is_some_and(|at| at.plus(self.silent) > now);
            record.sessions > 0 || record.lanes > 0 || spoke
        });
        let others = found.into_iter().map(|record| {
            let is_gateway = record.url.is_some() || record.sessions > 0;
            let role = if is_gateway { Role::All } else { Role::Worker };
            ProcessView { record, role, own: false }
        });
        let own = ProcessView { record: own, role: self.role, own: true };
        Ok(std::iter::once(own).chain(others).collect())
    }
}
