//! Plants one bug after the other and sees who finds it.

#![forbid(unsafe_code)]

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Mutex;
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use clap::Parser;
use quipu_mutations::ground::Ground;
use quipu_mutations::hunter::{Hunter, Outcome};
use quipu_mutations::kept::Kept;
use quipu_mutations::report::{Row, table};
use quipu_mutations::table::{Mutation, Table};
use quipu_mutations::tree::{Tree, root};

/// Plants one bug after the other and sees who finds it. Writes MUTATIONS.md after a whole run.
#[derive(Debug, Parser)]
struct Arguments {
    /// Only see that every bug can be planted.
    #[arg(long)]
    check: bool,
    /// Only bugs with this in their name or part.
    #[arg(long, value_name = "TEXT")]
    only: Vec<String>,
    /// Do not repeat what earlier runs have found out about bugs that are listed as they were.
    #[arg(long)]
    resume: bool,
    /// So many bugs at a time, each in a copy of its own.
    #[arg(long, default_value_t = 1)]
    threads: usize,
    /// After so many cases a campaign has found nothing.
    #[arg(long, default_value_t = 250_000)]
    cases: u64,
    /// After so many schedules a model has found nothing.
    #[arg(long, default_value_t = 6_000)]
    schedules: u64,
    /// And each after so long; a test that takes longer does not end.
    #[arg(long, default_value_t = 300)]
    seconds: u64,
}

fn main() -> Result<ExitCode> {
    let arguments = Arguments::parse();
    let mut list = Table::read()?;
    list.check(&root())?;
    if arguments.check {
        println!("{} bugs can be planted", list.mutations.len());
        return Ok(ExitCode::SUCCESS);
    }
    let is_whole = arguments.only.is_empty();
    if !is_whole {
        let wanted = |text: &String, mutation: &Mutation| {
            mutation.name.contains(text) || mutation.group.contains(text)
        };
        list.mutations.retain(|one| arguments.only.iter().any(|text| wanted(text, one)));
    }
    let work = work_directory();
    let kept = Mutex::new(Kept::read(&work.join("kept"), arguments.resume)?);
    let grounds: Vec<Ground> = (0..arguments.threads)
        .map(|number| ground(&work, number, &arguments))
        .collect::<Result<_>>()?;
    let hunters: BTreeSet<Hunter> = match is_whole {
        true => {
            let all = list.mutations.iter().flat_map(|one| &one.hunters);
            all.map(Hunter::with_all_models).collect()
        }
        false => BTreeSet::new(),
    };
    let clean = each(&grounds, hunters.into_iter().collect(), |ground, hunter| {
        clean(ground, hunter, &kept)
    })?;
    let count = list.mutations.len();
    let rows = each(&grounds, list.mutations, |ground, mutation| {
        // One that does not compile keeps nobody from the others.
        let row = hunt(ground, mutation, &kept);
        Ok(row.inspect_err(|error| println!("{error:#}")).ok())
    })?;
    let rows: Vec<Row> = rows.into_iter().flatten().collect();
    if is_whole {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("MUTATIONS.md");
        std::fs::write(path, table(&rows, &clean)).context("writing MUTATIONS.md")?;
    }
    let wrong: Vec<&Row> = rows.iter().filter(|row| !row.is_right()).collect();
    for Row { mutation, .. } in &wrong {
        println!("not as it should be: {}: {}", mutation.group, mutation.name);
    }
    let right = rows.len() - wrong.len();
    println!("{right} of {count} as they should be");
    Ok(if right == count { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Does it to each of them, on as many grounds as there are. In the order in which they were given.
fn each<T: Send, R: Send>(
    grounds: &[Ground],
    all: Vec<T>,
    act: impl Fn(&Ground, T) -> Result<R> + Sync,
) -> Result<Vec<R>> {
    let next = Mutex::new(all.into_iter().enumerate());
    let done = Mutex::new(Vec::new());
    let take = || next.lock().unwrap_or_else(|held| held.into_inner()).next();
    let work = |ground| -> Result<()> {
        while let Some((place, one)) = take() {
            let result = act(ground, one)?;
            done.lock().unwrap_or_else(|held| held.into_inner()).push((place, result));
        }
        Ok(())
    };
    thread::scope(|scope| {
        let all: Vec<_> = grounds.iter().map(|ground| scope.spawn(|| work(ground))).collect();
        let mut ended = all.into_iter().map(|one| one.join());
        ended.try_for_each(|one| one.unwrap_or_else(|panic| std::panic::resume_unwind(panic)))
    })?;
    let mut done = done.into_inner().unwrap_or_else(|held| held.into_inner());
    done.sort_by_key(|(place, _)| *place);
    Ok(done.into_iter().map(|(_, result)| result).collect())
}

fn ground(work: &Path, number: usize, arguments: &Arguments) -> Result<Ground> {
    let work = work.join(number.to_string());
    let bound = Duration::from_secs(arguments.seconds);
    let Arguments { cases, schedules, .. } = *arguments;
    Ok(Ground { tree: Tree::copy(&work)?, work, cases, schedules, bound })
}

/// Whoever finds something where there is nothing to be found, is of no use.
fn clean(ground: &Ground, hunter: Hunter, kept: &Mutex<Kept>) -> Result<(Hunter, Outcome)> {
    if let Some(outcome) = known(kept).clean(&hunter) {
        return Ok((hunter, outcome));
    }
    let outcome = ground.hunt(&hunter)?;
    let found = &outcome.violation;
    ensure!(found.is_none(), "without any bug {hunter} finds: {found:?}");
    println!("without any bug {hunter} finds nothing, {:.0} s", outcome.took.as_secs_f32());
    known(kept).keep_clean(&hunter, &outcome)?;
    Ok((hunter, outcome))
}

fn hunt(ground: &Ground, mutation: Mutation, kept: &Mutex<Kept>) -> Result<Row> {
    if let Some(row) = known(kept).row(&mutation) {
        return Ok(row);
    }
    let _planted = ground.tree.plant(&mutation)?;
    let mut last = None;
    // Of a change that nobody finds, all that was tried.
    let (mut cases, mut took) = (0, Duration::ZERO);
    for hunter in &mutation.hunters {
        let mut outcome = ground.hunt(hunter).with_context(|| mutation.name.clone())?;
        let found = outcome.violation.is_some();
        if !found {
            cases += outcome.cases.unwrap_or_default();
            took += outcome.took;
            outcome = Outcome { cases: (cases > 0).then_some(cases), took, ..outcome };
        }
        last = Some((hunter.clone(), outcome));
        if found {
            break;
        }
    }
    let last = last.context("a bug without a hunter")?;
    let row = Row { mutation, last };
    println!("{}: {}\n    {}", row.mutation.group, row.mutation.name, row.line());
    known(kept).keep(&row)?;
    Ok(row)
}

fn known(kept: &Mutex<Kept>) -> std::sync::MutexGuard<'_, Kept> {
    kept.lock().unwrap_or_else(|held| held.into_inner())
}

/// Where the copies are, and what is built of them.
fn work_directory() -> PathBuf {
    let target = std::env::var_os("CARGO_TARGET_DIR").map(PathBuf::from);
    target.unwrap_or_else(|| root().join("target")).join("mutations")
}
