//! The table of all calls and what came of each fault.
//!
//! Owns: [`Table`], which is filled by the campaign alone, and its form as Markdown. Calls that fare
//! alike and follow each other share a row.

use std::collections::BTreeMap;
use std::fmt::{self, Write};

use super::site::{Fault, Site};

/// What came of each fault at each call of one piece of work.
#[derive(Debug)]
pub(super) struct Table {
    work: String,
    /// In the order in which the work first comes to them.
    sites: Vec<Site>,
    outcomes: BTreeMap<(Site, u32, Fault), String>,
}

/// What became of a call that the fault does not befall.
const NONE: &str = "-";

impl Table {
    pub(super) fn new(work: String, sites: Vec<Site>) -> Self {
        Self { work, sites, outcomes: BTreeMap::new() }
    }

    /// Takes down what came of a fault at the n-th call of a site.
    pub(super) fn note(&mut self, site: &Site, n: u32, fault: Fault, outcome: String) {
        self.outcomes.insert((site.clone(), n, fault), outcome);
    }

    /// Calls that were failed in some way.
    pub(super) fn calls(&self) -> usize {
        let mut calls: Vec<_> = self.outcomes.keys().map(|(site, n, _)| (site, n)).collect();
        calls.dedup();
        calls.len()
    }

    /// Faults that were tried.
    pub(super) fn faults(&self) -> usize {
        self.outcomes.len()
    }

    /// The outcomes of one call, in the order of [`Fault::ALL`]; `None`: it was never made.
    fn outcomes_of(&self, site: &Site, n: u32) -> Option<[&str; 5]> {
        let outcome = |fault| self.outcomes.get(&(site.clone(), n, fault)).map(String::as_str);
        let all = Fault::ALL.map(outcome);
        let made = all.iter().any(Option::is_some);
        made.then(|| all.map(|outcome| outcome.unwrap_or(NONE)))
    }
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "## {}: {} calls, {} faults\n", self.work, self.calls(), self.faults())?;
        writeln!(f, "| call | on | which | EIO | ENOSPC | EINTR | short | killed before it |")?;
        writeln!(f, "|---|---|---|---|---|---|---|---|")?;
        for site in &self.sites {
            let mut from = 1;
            while let Some(outcomes) = self.outcomes_of(site, from) {
                let alike = |n: &u32| self.outcomes_of(site, *n) == Some(outcomes);
                let to = (from..).take_while(alike).last().unwrap_or(from);
                let mut which = from.to_string();
                if to > from {
                    write!(which, " to {to}")?;
                }
                let cells = outcomes.join(" | ");
                writeln!(f, "| `{}` | {} | {which} | {cells} |", site.call, site.target)?;
                from = to + 1;
            }
        }
        Ok(())
    }
}
