//! What runs plugins: one process per plugin, the same binary, with QuickJS inside.
//!
//! # The cast
//! - [`Engine`] starts processes; it is the product's [`domain::port::PluginEngine`].
//! - [`child::run`] is all that such a process does: it locks itself up, runs the plugin's code, and speaks frames.
//! - A *frame* ([`wire`]) is one message between the two, over the child's standard input and output.
//! - A package (`package`) is a zip with a `manifest.json`, scripts and pages; types of TypeScript are stripped here.
//!
//! # Guarantees
//! The child has no files, no network, no environment and no new processes: what a plugin may do, it asks for by a
//! frame, and the gateway decides. The parent trusts no frame: one that makes no sense, or too many of them, end the
//! process. A child whose code runs longer than its budget is killed from outside, whatever it is doing.

#![deny(missing_docs)]

pub mod child;
mod clock;
mod host;
mod package;

pub mod wire;

pub use host::Engine;
pub use package::{pack_files, pack_folder};
