//! The engine's calls on the disk, and the places in its source that they come from.
//!
//! Owns: [`Call`], [`Site`], [`Names`], and the watcher that takes calls down. May call: the `backtrace`
//! crate, which reads this program's own debug information.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use backtrace::Backtrace;
use quipu::sim::Operation;

/// A call on the disk.
#[derive(Debug, Clone)]
pub struct Call {
    /// In which life.
    pub life: usize,
    /// The how manieth call of that life, from 0.
    pub number: u64,
    /// What it was.
    pub operation: Operation,
    /// The how manieth of its kind in that life, from 1.
    pub nth: u64,
    /// From where in the engine.
    pub site: Site,
}

/// A place in the engine's source that calls the disk.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Site {
    /// The file, below the engine's `src`.
    pub file: String,
    /// The line.
    pub line: u32,
    /// The function around it.
    pub function: String,
    /// What is called, by its name in the simulated disk.
    pub operation: String,
}

/// Takes down every call.
#[derive(Debug, Clone)]
pub(crate) struct Watcher {
    names: Arc<Mutex<Names>>,
    calls: Arc<Mutex<Vec<Call>>>,
}

impl Watcher {
    /// Nothing has been called yet. Places are looked up in `names`.
    pub(crate) fn new(names: &Arc<Mutex<Names>>) -> Self {
        Self { names: Arc::clone(names), calls: Arc::default() }
    }

    /// All calls so far.
    pub(crate) fn take(&self) -> Vec<Call> {
        std::mem::take(&mut *self.calls.lock().unwrap_or_else(|held| held.into_inner()))
    }

    /// A call, made by the running function.
    pub(crate) fn see(&self, life: usize, operation: Operation) {
        let mut names = self.names.lock().unwrap_or_else(|held| held.into_inner());
        let mut calls = self.calls.lock().unwrap_or_else(|held| held.into_inner());
        let of_life = calls.iter().rev().take_while(|call| call.life == life);
        let number = of_life.clone().count() as u64;
        let nth = of_life.filter(|call| call.operation == operation).count() as u64 + 1;
        let site = names.here(operation);
        calls.push(Call { life, number, operation, nth, site });
    }
}

/// Looks up places, each once.
#[derive(Debug, Default)]
pub struct Names {
    known: HashMap<Vec<usize>, Site>,
}

impl Names {
    /// From where in the engine the running call comes.
    pub fn here(&mut self, operation: Operation) -> Site {
        let mut trace = Backtrace::new_unresolved();
        let addresses: Vec<usize> =
            trace.frames().iter().take(FRAMES).map(|frame| frame.ip() as usize).collect();
        let look_up = || {
            trace.resolve();
            resolved(&trace, operation)
        };
        self.known.entry(addresses).or_insert_with(look_up).clone()
    }
}

/// How many callers tell one place from another.
const FRAMES: usize = 24;

/// The innermost line of the engine that is none of its storage, and the function around it.
fn resolved(trace: &Backtrace, operation: Operation) -> Site {
    let mut found: Option<Site> = None;
    for symbol in trace.frames().iter().flat_map(|frame| frame.symbols()) {
        let file = symbol.filename().and_then(|file| file.to_str()).unwrap_or_default();
        let Some((_, file)) = file.rsplit_once("engine/src/") else { continue };
        if file.starts_with("storage") || found.as_ref().is_some_and(|found| found.file != file) {
            continue;
        }
        let site = found.get_or_insert_with(|| Site {
            file: file.to_owned(),
            line: symbol.lineno().unwrap_or_default(),
            function: String::new(),
            operation: format!("{operation:?}"),
        });
        // A closure has the name of the function around it.
        let name = symbol.name().map(|name| format!("{name:#}")).unwrap_or_default();
        if let Some(function) = function_name(&name) {
            function.clone_into(&mut site.function);
            break;
        }
    }
    let operation = format!("{operation:?}");
    let nowhere = || Site { file: "?".to_owned(), line: 0, function: "?".to_owned(), operation };
    found.unwrap_or_else(nowhere)
}

/// The function's own name; `None` for a closure without one.
fn function_name(name: &str) -> Option<&str> {
    name.split("::").filter(|part| !part.contains(['{', '<', '>'])).last()
}
