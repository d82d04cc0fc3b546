//! What the modules' JavaScript calls. Each file's ops belong to the modules named in its header.

pub(crate) mod buffer;
pub(crate) mod crypto;
pub(crate) mod domain;
