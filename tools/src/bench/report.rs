//! What was measured: a table and drawings for people, or JSON.
//!
//! Owns: [`Measured`], [`Report`]. Calls nothing.

use std::fmt;

use hdrhistogram::Histogram;
use serde::Serialize;

use super::timing::{Timings, empty};
use super::{ROUNDS, Request, Workload};
use crate::number::grouped;

/// What one workload has come to so far.
#[derive(Debug)]
pub(super) struct Measured {
    pub(super) workload: Workload,
    /// Events a second, round by round.
    quipu: Vec<f64>,
    floor: Vec<f64>,
    each: Histogram<u64>,
    floor_each: Histogram<u64>,
}

/// All of it.
#[derive(Debug, Serialize)]
pub(super) struct Report {
    directory: String,
    payload_bytes: u32,
    rounds: u32,
    workloads: Vec<Row>,
}

/// One workload.
#[derive(Debug, Serialize)]
struct Row {
    workload: &'static str,
    events_per_second: Spread,
    floor_events_per_second: Spread,
    /// Quipu's rate to the floor's, round by round.
    to_the_floor: Spread,
    /// Of one append, in nanoseconds.
    append_nanos: Quantiles,
    floor_nanos: Quantiles,
    #[serde(skip)]
    each: Histogram<u64>,
}

/// Over all rounds.
#[derive(Debug, Clone, Copy, Serialize)]
struct Spread {
    median: f64,
    least: f64,
    most: f64,
}

#[derive(Debug, Clone, Copy, Serialize)]
struct Quantiles {
    p50: u64,
    p90: u64,
    p99: u64,
    p999: u64,
    most: u64,
}

impl Measured {
    pub(super) fn new(workload: Workload) -> Self {
        let (quipu, floor) = (Vec::new(), Vec::new());
        Self { workload, quipu, floor, each: empty(), floor_each: empty() }
    }

    pub(super) fn add(&mut self, floor: &Timings, quipu: &Timings) {
        let Workload { events, threads, .. } = self.workload;
        self.quipu.push(quipu.per_second() * f64::from(events));
        self.floor.push(floor.per_second() * f64::from(events * threads));
        // All have the same bounds.
        let _ = self.each.add(&quipu.each);
        let _ = self.floor_each.add(&floor.each);
    }
}

impl Report {
    pub(super) fn new(request: &Request, measured: &[Measured]) -> Self {
        let rows = measured.iter().map(|one| Row {
            workload: one.workload.name,
            events_per_second: Spread::of(one.quipu.clone()),
            floor_events_per_second: Spread::of(one.floor.clone()),
            to_the_floor: Spread::of(
                one.quipu.iter().zip(&one.floor).map(|(quipu, floor)| quipu / floor).collect(),
            ),
            append_nanos: Quantiles::of(&one.each),
            floor_nanos: Quantiles::of(&one.floor_each),
            each: one.each.clone(),
        });
        Self {
            directory: request.directory.display().to_string(),
            payload_bytes: request.payload_bytes,
            rounds: ROUNDS,
            workloads: rows.collect(),
        }
    }
}

impl Spread {
    fn of(mut rounds: Vec<f64>) -> Self {
        rounds.sort_by(f64::total_cmp);
        let at = |at: usize| rounds.get(at).copied().unwrap_or(0.0);
        Self {
            median: at(rounds.len() / 2),
            least: at(0),
            most: at(rounds.len().saturating_sub(1)),
        }
    }
}

impl Quantiles {
    fn of(each: &Histogram<u64>) -> Self {
        Self {
            p50: each.value_at_quantile(0.5),
            p90: each.value_at_quantile(0.9),
            p99: each.value_at_quantile(0.99),
            p999: each.value_at_quantile(0.999),
            most: each.max(),
        }
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { directory, payload_bytes, rounds, workloads } = self;
        writeln!(
            f,
            "Events of {payload_bytes} bytes in {directory}, in turns with the floor: the same bytes \
             with the same\npromise by bare system calls. Medians of {rounds} rounds (least, most)."
        )?;
        writeln!(f)?;
        writeln!(
            f,
            "{:<26}{:>12}{:>12}  {:<20}{:>9}{:>9}{:>9}",
            "", "events/s", "floor", "to the floor", "p50", "p99", "most"
        )?;
        for row in workloads {
            let Spread { median, least, most } = row.to_the_floor;
            writeln!(
                f,
                "{:<26}{:>12}{:>12}  {:<20}{:>9}{:>9}{:>9}",
                row.workload,
                grouped(row.events_per_second.median as u64),
                grouped(row.floor_events_per_second.median as u64),
                format!("{median:.2} ({least:.2}, {most:.2})"),
                time(row.append_nanos.p50),
                time(row.append_nanos.p99),
                time(row.append_nanos.most),
            )?;
        }
        for row in workloads {
            writeln!(f, "\nHow long an append took: {}", row.workload)?;
            write!(f, "{}", Drawing(&row.each))?;
        }
        Ok(())
    }
}

/// A histogram in text: a line for each doubling of the time.
struct Drawing<'a>(&'a Histogram<u64>);

/// Characters of the longest bar.
const BAR_MAX: f64 = 50.0;

impl fmt::Display for Drawing<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let rows = doublings(self.0);
        let most = rows.iter().map(|(_, count)| *count).max().unwrap_or(0).max(1);
        for (from, count) in rows {
            let share = count as f64 / most as f64 * BAR_MAX;
            // What is there is seen, however little it is.
            let bar = "#".repeat((share as usize).max(usize::from(count > 0)));
            writeln!(f, "  from {:>7}  {:>9}  {bar}", time(from), grouped(count))?;
        }
        Ok(())
    }
}

/// How many values there are from each power of two to the next, from the least to the most.
fn doublings(each: &Histogram<u64>) -> Vec<(u64, u64)> {
    let mut rows: Vec<(u64, u64)> = Vec::new();
    for value in each.iter_recorded() {
        let from = 1 << value.value_iterated_to().max(1).ilog2();
        let count = value.count_since_last_iteration();
        match rows.last_mut() {
            Some((last, sum)) if *last == from => *sum += count,
            Some((last, _)) => {
                let mut between = *last * 2;
                while between < from {
                    rows.push((between, 0));
                    between *= 2;
                }
                rows.push((from, count));
            }
            None => rows.push((from, count)),
        }
    }
    rows
}

/// A time in the unit that suits it.
fn time(nanos: u64) -> String {
    match nanos {
        0..1_000 => format!("{nanos} ns"),
        1_000..10_000 => format!("{:.1} us", nanos as f64 / 1e3),
        10_000..1_000_000 => format!("{} us", nanos / 1_000),
        1_000_000..10_000_000 => format!("{:.1} ms", nanos as f64 / 1e6),
        10_000_000..1_000_000_000 => format!("{} ms", nanos / 1_000_000),
        _ => format!("{:.1} s", nanos as f64 / 1e9),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::indexing_slicing)] // a test may panic
mod tests {
    use super::*;

    #[test]
    fn a_drawing_has_a_line_for_each_doubling_and_shows_what_is_rare() {
        let mut each = empty();
        each.record_n(70_000, 1000).unwrap();
        each.record_n(65_536, 1000).unwrap();
        each.record(600_000).unwrap();
        assert_eq!(doublings(&each), [(65_536, 2000), (131_072, 0), (262_144, 0), (524_288, 1)]);
        let shown = Drawing(&each).to_string();
        let lines: Vec<_> = shown.lines().collect();
        assert_eq!(lines[0], format!("  from   65 us      2,000  {}", "#".repeat(50)));
        assert_eq!(lines[1], "  from  131 us          0  ");
        assert_eq!(lines[3], "  from  524 us          1  #");
        assert_eq!(Drawing(&empty()).to_string(), "");
    }

    #[test]
    fn times_have_the_unit_that_suits_them() {
        for (nanos, text) in [
            (999, "999 ns"),
            (1_000, "1.0 us"),
            (12_345, "12 us"),
            (1_500_000, "1.5 ms"),
            (999_999_999, "999 ms"),
            (2_500_000_000, "2.5 s"),
        ] {
            assert_eq!(time(nanos), text);
        }
    }

    #[test]
    fn medians_are_of_the_rounds() {
        let Spread { median, least, most } = Spread::of(vec![3.0, 1.0, 2.0]);
        assert_eq!((median, least, most), (2.0, 1.0, 3.0));
    }
}
