//! Who looks for a planted bug.
//!
//! Owns: [`Hunter`], [`Kind`], [`Outcome`]. Calls nothing.

use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize};

/// A campaign of `hunt`; or arguments of cargo that begin with `test`, for what only a test can see:
/// `test -p quipu --test syscalls`; or `loom` or `shuttle` and the models to run: `shuttle closing`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Hunter(String);

/// What is run for a hunter.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Kind<'a> {
    /// A campaign, by its name.
    Campaign(&'a str),
    /// Tests: the arguments of cargo.
    Test(Vec<&'a str>),
    /// Models of what threads share.
    Models {
        /// What runs them.
        checker: Checker,
        /// Which: a part of their names.
        filter: &'a str,
    },
}

/// What runs models.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Checker {
    /// Every order that the memory model allows.
    Loom,
    /// Schedules, drawn.
    Shuttle,
}

/// How a hunt ended.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Outcome {
    /// What was found, on one line; `None`: nothing.
    pub violation: Option<String>,
    /// States, orders or schedules tried, where they are counted.
    pub cases: Option<u64>,
    /// The seed to find it again with.
    pub seed: Option<u64>,
    /// Without the time to build.
    pub took: Duration,
}

impl Hunter {
    /// What is to be run.
    #[must_use]
    pub fn kind(&self) -> Kind<'_> {
        let words: Vec<&str> = self.0.split_whitespace().collect();
        match words[..] {
            ["test", ..] => Kind::Test(words),
            ["loom", filter] => Kind::Models { checker: Checker::Loom, filter },
            ["shuttle", filter] => Kind::Models { checker: Checker::Shuttle, filter },
            _ => Kind::Campaign(&self.0),
        }
    }

    /// The same with all models that its checker runs.
    #[must_use]
    pub fn with_all_models(&self) -> Self {
        match self.kind() {
            Kind::Models { checker: Checker::Loom, .. } => Self("loom model".to_owned()),
            Kind::Models { checker: Checker::Shuttle, .. } => Self("shuttle schedules".to_owned()),
            Kind::Campaign(_) | Kind::Test(_) => self.clone(),
        }
    }
}

impl fmt::Display for Hunter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(name) = self;
        match self.kind() {
            Kind::Test(_) => write!(f, "cargo {name}"),
            Kind::Campaign(_) | Kind::Models { .. } => f.write_str(name),
        }
    }
}
