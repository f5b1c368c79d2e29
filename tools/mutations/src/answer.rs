//! What `hunt` tells the runner.
//!
//! Owns: [`Answer`]. Calls nothing. One line of JSON on standard output.

use serde::{Deserialize, Serialize};

/// How a hunt ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Answer {
    /// What was tried until the end: states or cases.
    pub cases: u64,
    /// What was found; `None`: the bound was reached.
    pub found: Option<Find>,
}

/// A broken promise.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Find {
    /// The seed with which it is found again, where there is one.
    pub seed: Option<u64>,
    /// The violation, on one line.
    pub violation: String,
}
