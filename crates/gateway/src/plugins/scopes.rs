//! In which hooks the calls into a plugin were made, so that what it asks for is done inside them.

use std::collections::{BTreeMap, btree_map::Entry};

use crate::hooks::HookScope;

/// Calls that are remembered. What a plugin does later in the name of an older one counts as nobody's.
const REMEMBERED_MAX: usize = 4096;

/// The scopes of the calls, by number.
#[derive(Default)]
pub(super) struct CallScopes {
    scopes: BTreeMap<u32, HookScope>,
}

impl CallScopes {
    pub(super) fn begin(&mut self, call: u32, scope: HookScope) {
        if self.scopes.len() >= REMEMBERED_MAX {
            self.scopes.pop_first();
        }
        self.scopes.insert(call, scope);
    }

    /// The call is over: what it causes from now on does not run inside of it.
    pub(super) fn end(&mut self, call: u32) {
        if let Entry::Occupied(mut scope) = self.scopes.entry(call) {
            let afterwards = scope.get().afterwards();
            scope.insert(afterwards);
        }
    }

    pub(super) fn of(&self, call: u32) -> HookScope {
        self.scopes.get(&call).cloned().unwrap_or_default()
    }
}
