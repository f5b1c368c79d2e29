//! A table a workload, on the terminal.

use std::collections::BTreeMap;

use comfy_table::{CellAlignment, Table};

use super::{Row, Spread, ratio};
use crate::engine::Durability;
use crate::run::syncs::Syncs;
use crate::workload::{Kind, Metric, Workload};

/// The line above it.
pub(super) fn title(workload: &Workload) -> String {
    format!("{}: {}, {} B", workload.id, workload.about, workload.payload_bytes)
}

/// Best first. Beside each median stand the least and the most.
pub(super) fn of(
    workload: &Workload,
    rows: &[Row],
    syncs: &BTreeMap<&'static str, Syncs>,
) -> Table {
    let metrics = workload.metrics();
    let durable = matches!(
        workload.kind,
        Kind::Append { durability: Durability::Durable, threads: 1, batch: 1 }
    );
    let mut table = Table::new();
    table.load_style(comfy_table::presets::UTF8_BORDERS_ONLY);
    let mut head = vec!["engine".to_owned()];
    head.extend(metrics.iter().map(metric_head));
    head.push("quipu ahead".to_owned());
    head.extend(durable.then(|| "syncs an append".to_owned()));
    table.set_header(head);
    let main = metrics.first();
    for row in ordered(rows, main) {
        let mut cells = vec![row.adapter.to_owned()];
        for metric in &metrics {
            cells.push(row.spread(metric).map_or(String::new(), with_ends));
        }
        cells.push(quipu_ahead(row, rows, main).unwrap_or_default());
        if durable {
            let described = syncs.get(row.adapter).map(Syncs::describe);
            cells.push(described.unwrap_or_else(|| "not counted".to_owned()));
        }
        table.add_row(cells);
    }
    for (at, column) in table.column_iter_mut().enumerate() {
        if (1..=metrics.len() + 1).contains(&at) {
            column.set_cell_alignment(CellAlignment::Right);
        }
    }
    table
}

/// Below the table: who is not in it, and why.
pub(super) fn left_out(rows: &[Row]) -> String {
    let without = rows.iter().filter_map(|row| row.reason.as_ref().map(|reason| (row, reason)));
    let lines = without.map(|(row, reason)| {
        let what = if row.failed { "FAILED" } else { "skipped" };
        format!("  {what:8} {:12} {reason}\n", row.adapter)
    });
    lines.collect()
}

fn metric_head(metric: &Metric) -> String {
    let name = metric.key.trim_end_matches("_us").trim_end_matches("_per_second");
    match metric.unit {
        "us" => format!("{name} us"),
        unit => unit.to_owned(),
    }
}

/// Rows in the order of their main figure.
fn ordered<'a>(rows: &'a [Row], main: Option<&Metric>) -> Vec<&'a Row> {
    let figure = |row: &Row| {
        let spread = main.and_then(|metric| row.spread(metric).map(|spread| (metric, spread)));
        spread.map_or(f64::INFINITY, |(metric, spread)| match metric.more_is_better {
            true => -spread.median,
            false => spread.median,
        })
    };
    let mut ordered: Vec<&Row> = rows.iter().filter(|row| row.reason.is_none()).collect();
    ordered.sort_by(|left, right| figure(left).total_cmp(&figure(right)));
    ordered
}

/// How many times as good as this row quipu is, by their medians.
fn quipu_ahead(row: &Row, rows: &[Row], main: Option<&Metric>) -> Option<String> {
    let quipu = rows.iter().find(|row| row.adapter == "quipu")?;
    if quipu.reason.is_some() || row.adapter == "quipu" {
        return None;
    }
    Some(format!("{:.2}x", ratio::of_medians(quipu, row, main?)?))
}

fn with_ends(spread: Spread) -> String {
    let Spread { median, least, most } = spread;
    match least == most {
        true => number(median),
        false => format!("{} ({}, {})", number(median), number(least), number(most)),
    }
}

/// Three digits that say something, and thousands apart.
fn number(value: f64) -> String {
    let size = value.abs();
    if size < 10.0 {
        return format!("{value:.2}");
    }
    if size < 100.0 {
        return format!("{value:.1}");
    }
    let digits = format!("{:.0}", size);
    let mut grouped = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    if value < 0.0 { format!("-{grouped}") } else { grouped }
}

#[cfg(test)]
mod tests {
    use super::number;

    #[test]
    fn numbers_keep_three_digits_and_group_thousands() {
        let shown = [0.5, 12.34, 123.4, 1_234_567.0, -1_234.0].map(number);
        assert_eq!(shown, ["0.50", "12.3", "123", "1,234,567", "-1,234"]);
    }
}
