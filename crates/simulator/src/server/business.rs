//! Business profiles: nobody here is a business, so an answer names none.

use whatsapp_rust::wacore_binary::Node;

use crate::wire::{Build, result};

/// The profiles of those who were asked about and are a business.
pub(super) fn profile(id: &str) -> Node {
    result(id).children([Build::new("business_profile").build()]).build()
}
