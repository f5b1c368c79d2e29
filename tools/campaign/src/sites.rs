//! Every place in the engine that calls the disk, failed in turn.
//!
//! Owns: [`SiteCampaign`], [`Outcomes`]. May call: calls, run, the simulated disk.
//!
//! Scripts are run once with an observer on the disk, which looks up from where in the engine each
//! call comes. Then each place is failed: with `EIO`, with `ENOSPC`, in the middle of a store, and by
//! killing the process there. Each such run is checked like any other, to its end and after every
//! reopening; what the caller was told is taken down. So the table of places and outcomes is made by
//! running them, and a place that no script comes to is none of the table's: a test compares it with
//! the engine's source.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fmt::Write;
use std::sync::{Arc, Mutex};

use fastrand::Rng;
use quipu::StoreMode;
use quipu::sim::{Errno, Operation};

use crate::calls::{Call, Names, Site};
use crate::coverage::{Coverage, Row};
use crate::effort::Effort;
use crate::explore::Explorer;
use crate::parallel::{Cases, FirstFailure};
use crate::run::{run, trace};
use crate::script::{Draft, End, Life, Mishap, Script, Step};
use crate::tally::Tally;
use crate::violation::Found;

/// How a place is failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Failing {
    /// The call fails with `EIO`.
    Io,
    /// The call fails with `ENOSPC`.
    NoSpace,
    /// A store stores a part, and fails.
    Short,
    /// The process is killed.
    Kill,
}

/// What callers were told, by place and failure.
#[derive(Debug, Clone, Default)]
pub struct Outcomes {
    told: BTreeMap<(Site, Failing), BTreeSet<Row>>,
    runs: BTreeMap<(Site, Failing), u64>,
}

/// All places, all failures.
#[derive(Debug, Clone, Copy)]
pub struct SiteCampaign {
    /// Scripts are drawn from it.
    pub seed: u64,
    /// So many scripts are looked at, for places that others do not come to.
    pub scripts: u64,
    /// Each place is failed at so many of its calls, in each way.
    pub calls_each: usize,
    /// On so many threads.
    pub threads: usize,
}

/// One run: a script with one more mishap.
struct Case {
    site: Site,
    failing: Failing,
    script: Script,
    /// What callers of the script without it are told.
    usual: Arc<BTreeSet<Row>>,
}

impl SiteCampaign {
    /// Fails them all.
    ///
    /// # Errors
    /// The first failure that was met.
    pub fn run(
        &self,
        progress: impl Fn(&Tally) + Sync,
    ) -> Result<(Outcomes, Tally), Box<FirstFailure>> {
        let all = self.cases();
        let outcomes = Mutex::new(Outcomes::default());
        let cases = Cases { count: all.len() as u64, states_max: u64::MAX, threads: self.threads };
        let tally = cases.run(progress, |number, tally| {
            let Some(case) = all.get(number as usize) else { return Ok(()) };
            let (told, counted) = case.run().map_err(|found| {
                let Case { site, failing, script, .. } = case;
                found.within(format!("{site:?} {failing:?}, in this script:\n\n{script}"))
            })?;
            *tally = counted;
            outcomes.lock().unwrap_or_else(|held| held.into_inner()).add(case, told);
            Ok(())
        })?;
        Ok((outcomes.into_inner().unwrap_or_else(|held| held.into_inner()), tally))
    }

    /// Scripts, each with its calls, that together come to all places that any of them comes to.
    fn traced(&self) -> Vec<(Script, Vec<Call>)> {
        let mut rng = Rng::with_seed(self.seed);
        let mut seen = Seen::default();
        for number in 0..self.scripts {
            // First those in which nothing fails: what callers are told is then the one failure's.
            seen.look_at(Script::draw(&mut rng, number >= self.scripts / 2));
        }
        // To some places one comes only behind a failure, or behind two.
        let mut generation = 0..seen.kept.len();
        for _ in 0..FAILURES_MAX {
            for place in generation.clone() {
                let Some((script, calls)) = seen.kept.get(place).cloned() else { continue };
                let mut tried = HashMap::new();
                for (call, failing) in chosen(&calls) {
                    let tries: &mut usize = tried.entry((&call.site, failing)).or_default();
                    *tries += 1;
                    if let Some(mishap) = failing.mishap(call, script.mode)
                        && *tries <= TRIES_MAX
                    {
                        seen.look_at(with_mishap(&script, call.life, mishap));
                    }
                }
            }
            generation = generation.end..seen.kept.len();
        }
        seen.kept
    }

    fn cases(&self) -> Vec<Case> {
        let mut left: HashMap<(Site, Failing), usize> = HashMap::new();
        let mut cases = Vec::new();
        for (script, calls) in self.traced() {
            let usual = Arc::new(usual(&script));
            for (call, failing) in chosen(&calls) {
                let left = left.entry((call.site.clone(), failing)).or_insert(self.calls_each);
                let mishap = failing.mishap(call, script.mode).filter(|_| *left > 0);
                let Some(mishap) = mishap else { continue };
                *left -= 1;
                let script = with_mishap(&script, call.life, mishap);
                let (site, usual) = (call.site.clone(), Arc::clone(&usual));
                cases.push(Case { site, failing, script, usual });
            }
        }
        cases
    }
}

/// Places that scripts have come to.
#[derive(Default)]
struct Seen {
    names: Arc<Mutex<Names>>,
    /// By how many of the scripts that are kept.
    sites: BTreeMap<Site, u32>,
    /// Those that were among the first to come to some place.
    kept: Vec<(Script, Vec<Call>)>,
}

impl Seen {
    fn look_at(&mut self, script: Script) {
        // One that breaks a promise is found by those who look for that.
        let Ok(calls) = trace(&script, &self.names) else { return };
        let sites: BTreeSet<&Site> = calls.iter().map(|call| &call.site).collect();
        let seen = |site: &&Site| self.sites.get(*site).copied().unwrap_or_default();
        if sites.iter().all(|site| seen(site) >= SCRIPTS_EACH) {
            return;
        }
        for site in sites {
            *self.sites.entry(site.clone()).or_default() += 1;
        }
        self.kept.push((script, calls));
    }
}

/// Scripts that are kept for one place.
const SCRIPTS_EACH: u32 = 3;

/// The most failures that it takes to come to a place.
const FAILURES_MAX: usize = 2;

/// Calls of one place that are failed to see where that leads.
const TRIES_MAX: usize = 2;

/// The calls of a script in an order in which the first few of a place are far apart.
fn chosen(calls: &[Call]) -> impl Iterator<Item = (&Call, Failing)> {
    const STRIDE: usize = 7;
    let far_apart = (0..STRIDE).flat_map(move |start| calls.iter().skip(start).step_by(STRIDE));
    let all = [Failing::Io, Failing::NoSpace, Failing::Short, Failing::Kill];
    far_apart.flat_map(move |call| all.into_iter().map(move |failing| (call, failing)))
}

fn with_mishap(script: &Script, life: usize, mishap: Mishap) -> Script {
    let mut script = script.clone();
    // What is left behind is for the next life, and not for one that is not looked at.
    script.lives.push(Life {
        segment_pages: 2,
        mishaps: Vec::new(),
        steps: vec![Step::Sync],
        end: End::Close,
    });
    if let Some(Life { mishaps, steps, .. }) = script.lives.get_mut(life) {
        mishaps.push(mishap);
        // It is tried again: these fill more than a segment.
        steps.extend(std::iter::repeat_n(Step::Append(Draft::large()), 4));
    }
    script
}

/// Every place is looked at from, but only with nothing and with all that is in flight left.
fn effort() -> Effort {
    Effort { sampled: 2, ..Effort::nothing() }
}

fn usual(script: &Script) -> BTreeSet<Row> {
    let mut explorer = Explorer::new(1, effort());
    // One that fails by itself is found by other campaigns.
    let _ = run(script, &mut explorer);
    told(&explorer.tally.coverage)
}

/// What callers have been told, but for what follows from it.
fn told(coverage: &Coverage) -> BTreeSet<Row> {
    let rows = coverage.rows().map(|(row, _)| row);
    let is_told = |row: &Row| ["append", "backup", "open", "truncate"].contains(&row.table);
    // Others say what was done, and how.
    let is_answer = |row: &Row| row.name.starts_with(char::is_uppercase);
    rows.filter(|row| is_told(row) && is_answer(row) && row.name != "Poisoned").collect()
}

impl Case {
    fn run(&self) -> Result<(BTreeSet<Row>, Tally), Found> {
        let mut explorer = Explorer::new(1, effort());
        run(&self.script, &mut explorer)?;
        let told = told(&explorer.tally.coverage);
        Ok((told.difference(&self.usual).copied().collect(), explorer.tally))
    }
}

impl Failing {
    /// The mishap that brings it about.
    fn mishap(self, call: &Call, mode: StoreMode) -> Option<Mishap> {
        let is_store = matches!(call.operation, Operation::Append | Operation::Write);
        let error = if self == Self::NoSpace { Errno::NoSpace } else { Errno::Io };
        // A store into a mapping cannot fail, and which ones are none is not looked up here.
        let cannot_fail = call.operation == Operation::Append && mode != StoreMode::Positioned;
        match self {
            Self::Kill => Some(Mishap::Kill { call: call.number }),
            _ if cannot_fail => None,
            Self::Short if !is_store => None,
            _ => Some(Mishap::Failure {
                operation: call.operation,
                error,
                nth: call.nth,
                for_good: false,
                stored: (self == Self::Short).then_some(9),
            }),
        }
    }
}

impl Outcomes {
    fn add(&mut self, case: &Case, told: BTreeSet<Row>) {
        let key = (case.site.clone(), case.failing);
        *self.runs.entry(key.clone()).or_default() += 1;
        self.told.entry(key).or_default().extend(told);
    }

    /// The places.
    #[must_use]
    pub fn sites(&self) -> BTreeSet<&Site> {
        self.runs.keys().map(|(site, _)| site).collect()
    }

    /// How many runs.
    #[must_use]
    pub fn runs(&self) -> u64 {
        self.runs.values().sum()
    }

    /// The table, in Markdown.
    #[must_use]
    pub fn table(&self) -> String {
        let mut text = HEADING.to_owned();
        for site in self.sites() {
            let Site { file, function, operation, .. } = site;
            let cell = |failing| self.cell(site, failing);
            let cells = [Failing::Io, Failing::NoSpace, Failing::Short, Failing::Kill].map(cell);
            let cells = cells.join(" | ");
            let _ = writeln!(text, "| {file} `{function}` | {operation} | {cells} |");
        }
        text
    }

    fn cell(&self, site: &Site, failing: Failing) -> String {
        let key = (site.clone(), failing);
        let Some(told) = self.told.get(&key) else { return "-".to_owned() };
        let row = |Row { table, name, branch }: &Row| match branch.is_empty() {
            true => format!("{table}: {name}"),
            false => format!("{table}: {name} ({branch})"),
        };
        match (told.is_empty(), failing) {
            (true, Failing::Kill) => "nothing lost".to_owned(),
            (true, _) => "goes on".to_owned(),
            (false, _) => told.iter().map(row).collect::<Vec<_>>().join("; "),
        }
    }
}

const HEADING: &str = "\
# Every call on the disk, failed

Each place in the engine that calls its storage was failed at several of its calls in each of four
ways; the cells say what callers were told, everywhere in those runs but for `Poisoned`, which
follows. After each the log was opened again and compared with the model: nothing acknowledged was
lost. Written by `quipu crash sites --table tools/campaign/SITES.md`; a test compares the places with
the engine's source.

| place | call | EIO | ENOSPC | part stored | process killed |
|---|---|---|---|---|---|
";
