//! What the first frame says.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// What the process is to run.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Program {
    pub(crate) id: String,
    pub(crate) main: String,
    pub(crate) files: BTreeMap<String, String>,
    #[serde(rename = "memoryBytes")]
    pub(crate) memory_bytes: u64,
}
