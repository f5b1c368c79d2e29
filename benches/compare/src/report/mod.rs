//! What is told of a run: progress, a table a workload, JSON lines, a chart.
//!
//! Owns: [`Report`], [`Measurement`], `Row` (one engine on one workload, over all rounds). May call:
//! table, ratio, chart.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Write;
use std::path::Path;

use serde_json::{Map, Value, json};

use crate::engine::{Adapter, Failure};
use crate::engines;
use crate::measure::Measured;
use crate::run::syncs::Syncs;
use crate::workload::{Metric, Workload};

mod chart;
mod ratio;
mod table;

/// One measurement.
#[derive(Debug)]
pub struct Measurement {
    /// Of what.
    pub workload: &'static Workload,
    /// Of whom.
    pub adapter: &'static str,
    /// Which of the rounds, from 0.
    pub round: usize,
    /// Whether the processors were idle before it.
    pub idle_before: bool,
    /// What came of it.
    pub answer: Result<Measured, Failure>,
}

/// One engine on one workload.
#[derive(Debug, Clone)]
pub(crate) struct Row {
    pub(crate) adapter: &'static str,
    pub(crate) is_floor: bool,
    /// By name of the figure, one a round.
    pub(crate) figures: BTreeMap<String, Vec<f64>>,
    /// Why there are none.
    pub(crate) reason: Option<String>,
    pub(crate) failed: bool,
}

/// Median, least and most.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Spread {
    pub(crate) median: f64,
    pub(crate) least: f64,
    pub(crate) most: f64,
}

impl Row {
    /// Of one figure over the rounds.
    pub(crate) fn spread(&self, metric: &Metric) -> Option<Spread> {
        spread_of(self.figures.get(metric.key)?.clone())
    }
}

/// Of any figures; `None` if there are none.
fn spread_of(mut figures: Vec<f64>) -> Option<Spread> {
    figures.sort_by(f64::total_cmp);
    let (least, most) = (*figures.first()?, *figures.last()?);
    Some(Spread { median: *figures.get(figures.len() / 2)?, least, most })
}

/// Gathers the measurements of a run.
#[derive(Debug)]
pub struct Report {
    json: Option<File>,
    syncs: BTreeMap<&'static str, Syncs>,
    current: Vec<Row>,
    done: Vec<(&'static Workload, Vec<Row>)>,
    busy: usize,
    measurements: usize,
    failures: usize,
}

impl Report {
    /// With JSON lines into `json`, if there is one.
    ///
    /// # Errors
    /// That it cannot be written.
    pub fn new(json: Option<&Path>) -> Result<Self, Failure> {
        let json = json.map(File::create).transpose()?;
        Ok(Self {
            json,
            syncs: BTreeMap::new(),
            current: Vec::new(),
            done: Vec::new(),
            busy: 0,
            measurements: 0,
            failures: 0,
        })
    }

    /// Says on which machine and by which command the run is.
    ///
    /// # Errors
    /// That it cannot be written.
    pub fn head(&mut self, machine: &str) -> Result<(), Failure> {
        print!("{machine}");
        let lines = machine.lines().filter_map(|line| line.split_once(' '));
        let about: Map<_, _> =
            lines.map(|(key, value)| (key.to_owned(), Value::from(value.trim()))).collect();
        self.line(json!({ "kind": "machine", "about": about }))?;
        for (name, reason) in engines::left_out() {
            println!("skipped      {name}: {reason}");
            self.line(json!({ "kind": "skipped", "engine": name, "reason": reason }))?;
        }
        Ok(())
    }

    /// Notes what an engine's durable append costs in syncs, and what one costs that is refused.
    ///
    /// # Errors
    /// That it cannot be written.
    pub fn synced(
        &mut self,
        adapter: &'static str,
        syncs: Syncs,
        refused: Option<Syncs>,
    ) -> Result<(), Failure> {
        self.line(json!({
            "kind": "syncs",
            "engine": adapter,
            "per_append": syncs.per_append(),
            "appended": syncs,
            "refused": refused,
        }))?;
        self.syncs.insert(adapter, syncs);
        Ok(())
    }

    /// Notes that the syncs of an engine could not be counted.
    ///
    /// # Errors
    /// That it cannot be written.
    pub fn not_synced(&mut self, adapter: &str, reason: &str) -> Result<(), Failure> {
        println!("syncs        {adapter}: {reason}");
        self.failures += 1;
        self.line(json!({ "kind": "syncs", "engine": adapter, "failed": reason }))
    }

    /// Notes that an engine cannot run a workload.
    ///
    /// # Errors
    /// That it cannot be written.
    pub fn skip(
        &mut self,
        workload: &Workload,
        adapter: &Adapter,
        reason: &str,
    ) -> Result<(), Failure> {
        let row = self.row(adapter.name);
        row.reason = Some(reason.to_owned());
        self.line(json!({
            "kind": "skipped",
            "workload": workload.id,
            "engine": adapter.name,
            "reason": reason,
        }))
    }

    /// Notes a measurement.
    ///
    /// # Errors
    /// That it cannot be written.
    pub fn add(&mut self, measurement: Measurement) -> Result<(), Failure> {
        let Measurement { workload, adapter, round, idle_before, answer } = measurement;
        self.measurements += 1;
        self.busy += usize::from(!idle_before);
        let row = self.row(adapter);
        let outcome = match answer {
            Ok(measured) => {
                for (key, value) in &measured.metrics {
                    row.figures.entry(key.clone()).or_default().push(*value);
                }
                json!(measured)
            }
            Err(error) => {
                let reason = error.to_string();
                row.failed = true;
                row.reason = Some(reason.clone());
                self.failures += 1;
                json!({ "failed": reason })
            }
        };
        self.line(json!({
            "kind": "measurement",
            "workload": workload.id,
            "engine": adapter,
            "round": round,
            "idle_before": idle_before,
            "outcome": outcome,
        }))
    }

    /// Prints the table of a workload of which nothing more comes.
    ///
    /// # Errors
    /// That it cannot be written.
    pub fn finish(&mut self, workload: &'static Workload) -> Result<(), Failure> {
        let rows = std::mem::take(&mut self.current);
        println!("\n{}\n{}", table::title(workload), table::of(workload, &rows, &self.syncs));
        print!("{}", table::left_out(&rows));
        let main = workload.metrics().into_iter().next();
        for found in main.map_or_else(Vec::new, |metric| ratio::of(&rows, &metric)) {
            let Spread { median, least, most } = found.spread;
            let what = if found.is_floor { "the floor" } else { "the best peer" };
            println!("  quipu    {median:.2} ({least:.2}, {most:.2}) of {what}, {}", found.other);
            self.line(json!({
                "kind": "ratio",
                "workload": workload.id,
                "other": found.other,
                "is_floor": found.is_floor,
                "median": median,
                "min": least,
                "max": most,
            }))?;
        }
        for row in &rows {
            for metric in workload.metrics() {
                let Some(spread) = row.spread(&metric) else { continue };
                self.line(json!({
                    "kind": "summary",
                    "workload": workload.id,
                    "engine": row.adapter,
                    "metric": metric.key,
                    "median": spread.median,
                    "min": spread.least,
                    "max": spread.most,
                }))?;
            }
        }
        self.done.push((workload, rows));
        Ok(())
    }

    /// Draws all of it.
    ///
    /// # Errors
    /// That it cannot be drawn or written.
    pub fn draw(&self, path: &Path) -> Result<(), Failure> {
        chart::draw(path, &self.done)
    }

    /// Says how it went as a whole; the answer is how many measurements failed.
    pub fn end(&self) -> usize {
        println!(
            "\n{} measurements, {} failed, {} begun while the processors were busy",
            self.measurements, self.failures, self.busy
        );
        self.failures
    }

    /// How many measurements have failed.
    #[must_use]
    pub fn failures(&self) -> usize {
        self.failures
    }

    fn row(&mut self, adapter: &'static str) -> &mut Row {
        let at = self.current.iter().position(|row| row.adapter == adapter);
        let at = at.unwrap_or_else(|| {
            self.current.push(Row {
                adapter,
                is_floor: engines::named(adapter).is_some_and(|found| found.is_floor),
                figures: BTreeMap::new(),
                reason: None,
                failed: false,
            });
            self.current.len() - 1
        });
        // The place was found or made just above.
        #[expect(clippy::indexing_slicing, reason = "the line above gives a place that is there")]
        &mut self.current[at]
    }

    fn line(&mut self, value: Value) -> Result<(), Failure> {
        if let Some(file) = &mut self.json {
            writeln!(file, "{value}")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::{BTreeMap, Row, Spread};
    use crate::workload::ALL;

    #[test]
    fn a_spread_is_the_middle_and_both_ends() {
        let metric = ALL[0].metrics()[0];
        let figures = BTreeMap::from([(metric.key.to_owned(), vec![5.0, 1.0, 3.0])]);
        let row = Row { adapter: "x", is_floor: false, figures, reason: None, failed: false };
        assert_eq!(row.spread(&metric), Some(Spread { median: 3.0, least: 1.0, most: 5.0 }));
    }
}
