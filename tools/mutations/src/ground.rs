//! Where hunts take place.
//!
//! Owns: [`Ground`]. Runs cargo, and what it has built, in the copy of the sources. Every hunt is
//! bounded by cases and by time; a program that does not end is a find.

use std::ffi::OsStr;
use std::fs;
use std::path::PathBuf;
use std::process::{Command, ExitStatus};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use crate::answer::Answer;
use crate::hunter::{Checker, Hunter, Kind, Outcome};
use crate::tree::Tree;

/// A copy of the sources, and what is built of it.
#[derive(Debug)]
pub struct Ground {
    /// The sources.
    pub tree: Tree,
    /// What is built of them, and what is printed.
    pub work: PathBuf,
    /// After so many cases a campaign has found nothing.
    pub cases: u64,
    /// After so many schedules a model has found nothing.
    pub schedules: u64,
    /// And each after so long.
    pub bound: Duration,
}

/// A build of its own kind: what cargo is called with.
#[derive(Debug, Clone, Copy)]
struct Build {
    /// Beside others of its kind.
    target: &'static str,
    /// For the compiler.
    flags: &'static str,
    options: &'static [&'static str],
}

impl Ground {
    /// Lets a hunter loose on the sources as they are now.
    ///
    /// # Errors
    /// They do not compile, or cargo cannot be run.
    pub fn hunt(&self, hunter: &Hunter) -> Result<Outcome> {
        match hunter.kind() {
            Kind::Campaign(name) => self.campaign(name),
            Kind::Test(arguments) => self.test(&arguments),
            Kind::Models { checker, filter } => self.models(checker, filter),
        }
    }

    fn campaign(&self, name: &str) -> Result<Outcome> {
        self.build(&["build", "-p", "quipu-mutations", "--bin", "hunt"], PLAIN)?;
        let (cases, seconds) = (self.cases.to_string(), self.bound.as_secs().to_string());
        let hunt = self.work.join(PLAIN.target).join("release/hunt");
        let started = Instant::now();
        let arguments = [name, "--cases", &cases, "--seconds", &seconds];
        let (status, output) = self.run(hunt, &arguments, self.bound, PLAIN)?;
        let took = started.elapsed();
        if let Some(violation) = died(status) {
            return Ok(Outcome { violation: Some(violation), cases: None, seed: None, took });
        }
        let line = output.lines().last().unwrap_or_default();
        let Answer { cases, found } =
            serde_json::from_str(line).with_context(|| format!("hunt {name}: {output}"))?;
        let (seed, violation) = match found {
            Some(find) => (find.seed, Some(find.violation)),
            None => (None, None),
        };
        Ok(Outcome { violation, cases: Some(cases), seed, took })
    }

    fn test(&self, arguments: &[&str]) -> Result<Outcome> {
        self.cargo(arguments, PLAIN).map(|(outcome, _)| outcome)
    }

    fn models(&self, checker: Checker, filter: &str) -> Result<Outcome> {
        let build = match checker {
            Checker::Loom => LOOM,
            Checker::Shuttle => SHUTTLE,
        };
        let arguments = ["test", "-p", "quipu", "--lib", "--", filter, "--nocapture"];
        let (outcome, output) = self.cargo(&arguments, build)?;
        let Some((cases, model)) = output.lines().filter_map(failed_model).min() else {
            return Ok(outcome);
        };
        Ok(Outcome { violation: Some(model), cases: Some(cases), ..outcome })
    }

    /// Runs tests, and gives what they have printed besides.
    fn cargo(&self, arguments: &[&str], build: Build) -> Result<(Outcome, String)> {
        let (of_cargo, of_tests) = match arguments.iter().position(|word| *word == "--") {
            Some(place) => arguments.split_at(place),
            None => (arguments, &[][..]),
        };
        self.build(&[of_cargo, &["--no-run"]].concat(), build)?;
        let started = Instant::now();
        let arguments = [of_cargo, build.options, of_tests].concat();
        let (status, output) = self.run("cargo", &arguments, self.bound, build)?;
        let took = started.elapsed();
        let failed = || failed_test(&output).filter(|_| !status.success());
        let violation = died(status).or_else(failed);
        if violation.is_none() && !status.success() {
            bail!("cargo {arguments:?} failed, and no test did: {}", end_of(&output));
        }
        Ok((Outcome { violation, cases: None, seed: None, took }, output))
    }

    fn build(&self, arguments: &[&str], build: Build) -> Result<()> {
        let arguments = [arguments, build.options].concat();
        let (status, output) = self.run("cargo", &arguments, BUILD_BOUND, build)?;
        if !status.success() {
            bail!("cargo {arguments:?} failed: {}", end_of(&output));
        }
        Ok(())
    }

    /// Runs a program in the copy, and ends it and all that it has started if it takes too long.
    fn run(
        &self,
        program: impl AsRef<OsStr>,
        arguments: &[&str],
        bound: Duration,
        build: Build,
    ) -> Result<(ExitStatus, String)> {
        let printed = self.work.join("output");
        let file = fs::File::create(&printed).context("making a file for what is printed")?;
        let mut command = Command::new("timeout");
        command
            .args(["--kill-after=5", &(bound + GRACE).as_secs().to_string()])
            .arg(program)
            .args(arguments)
            .current_dir(self.tree.path())
            .env("CARGO_TARGET_DIR", self.work.join(build.target))
            .env("CARGO_PROFILE_RELEASE_INCREMENTAL", "true")
            .env("CARGO_PROFILE_RELEASE_DEBUG", "none")
            .env("CARGO_TERM_COLOR", "never")
            .env("RUST_BACKTRACE", "0")
            .env("QUIPU_SCHEDULES", self.schedules.to_string())
            .env("QUIPU_SEED", "1")
            .stdout(file.try_clone().context("sharing a file")?)
            .stderr(file);
        if !build.flags.is_empty() {
            command.env("RUSTFLAGS", build.flags);
        }
        let status = command.status().context("running a program under `timeout`")?;
        let output = fs::read(&printed).context("reading what was printed")?;
        Ok((status, String::from_utf8_lossy(&output).into_owned()))
    }
}

/// What is wrong with how a program ended, if it did not end by itself.
fn died(status: ExitStatus) -> Option<String> {
    match status.code() {
        Some(TIMED_OUT | KILLED) => Some("it does not end".to_owned()),
        Some(ABORTED) | None => Some("it dies".to_owned()),
        Some(_) => None,
    }
}

/// The name of the first test that has failed, and what it said.
fn failed_test(output: &str) -> Option<String> {
    let mut lines = output.lines();
    let stands_alone =
        |line: &str| Some(line.strip_prefix("---- ")?.strip_suffix(" stdout ----")?.to_owned());
    let Some(name) = lines.find_map(stands_alone) else {
        // With `--nocapture` there is only the list at the end.
        let mut listed = output.lines().skip_while(|line| *line != "failures:").skip(1);
        return listed.next().map(|line| line.trim().to_owned());
    };
    let said = lines.find(|line| line.contains("panicked at")).and_then(|_| lines.next());
    let said = said.unwrap_or_default().trim();
    Some(format!("{name}: {}", said.chars().take(SAID_CHARS_MAX).collect::<String>()))
}

/// How many orders or schedules a model took to fail, and its name without where it stands.
fn failed_model(line: &str) -> Option<(u64, String)> {
    let (name, rest) = line.split_once(" fails in ")?;
    let mut words = rest.split_whitespace().skip(1);
    let count = words.next()?.parse().ok()?;
    let name = name.rsplit("::").next()?.to_owned();
    Some((count, name))
}

/// The end of what was printed.
fn end_of(output: &str) -> String {
    let lines: Vec<&str> = output.lines().collect();
    lines.get(lines.len().saturating_sub(LINES_MAX)..).unwrap_or_default().join("\n")
}

/// Campaigns and tests.
const PLAIN: Build =
    Build { target: "target", flags: "", options: &["--release", "--locked", "--quiet"] };

/// As `.ci/models` does it.
const LOOM: Build = Build {
    target: "target-loom",
    flags: "--cfg quipu_loom",
    options: &["--profile", "unasserted", "--locked", "--quiet"],
};

/// The same.
const SHUTTLE: Build = Build {
    target: "target-shuttle",
    flags: "--cfg quipu_shuttle",
    options: &["--locked", "--quiet"],
};

/// Of what a test says; the rest is for whoever runs it again.
const SAID_CHARS_MAX: usize = 200;

/// Of what a failed build has printed.
const LINES_MAX: usize = 40;

/// The first build makes everything.
const BUILD_BOUND: Duration = Duration::from_secs(1200);

/// A hunter looks at the clock between cases.
const GRACE: Duration = Duration::from_secs(20);

/// How `timeout` says that it ended a program.
const TIMED_OUT: i32 = 124;

/// The same, with force.
const KILLED: i32 = 137;

/// A program that has aborted, as shells say it.
const ABORTED: i32 = 134;
