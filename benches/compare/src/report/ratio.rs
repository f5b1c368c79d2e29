//! Quipu against each floor and against the best peer.
//!
//! Two rates that were taken in the same round of the same run are compared with each other, since
//! the machine was then nearly the same; what is told is the median of these ratios. Above 1, quipu is
//! ahead, whichever way the figure counts.

use super::{Row, Spread, spread_of};
use crate::workload::Metric;

/// Quipu against one other.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Ratio {
    pub(super) other: &'static str,
    pub(super) is_floor: bool,
    pub(super) spread: Spread,
}

/// Against each floor, and then against the best peer.
pub(super) fn of(rows: &[Row], metric: &Metric) -> Vec<Ratio> {
    let with_figures = || rows.iter().filter(|row| row.reason.is_none());
    let Some(quipu) = with_figures().find(|row| row.adapter == "quipu") else { return Vec::new() };
    let against = |row: &Row| {
        let spread = of_rounds(quipu, row, metric)?;
        Some(Ratio { other: row.adapter, is_floor: row.is_floor, spread })
    };
    let floors = with_figures().filter(|row| row.is_floor).filter_map(against);
    let peers = with_figures().filter(|row| !row.is_floor && row.adapter != "quipu");
    let best = peers.min_by(|left, right| {
        // The best peer is the one that quipu is the least ahead of.
        let ahead = |row: &Row| of_medians(quipu, row, metric).unwrap_or(f64::INFINITY);
        ahead(left).total_cmp(&ahead(right))
    });
    floors.chain(best.and_then(against)).collect()
}

/// By medians of all rounds.
pub(super) fn of_medians(quipu: &Row, other: &Row, metric: &Metric) -> Option<f64> {
    let (ours, theirs) = (quipu.spread(metric)?.median, other.spread(metric)?.median);
    Some(ahead(ours, theirs, metric))
}

/// Round by round.
fn of_rounds(quipu: &Row, other: &Row, metric: &Metric) -> Option<Spread> {
    let (ours, theirs) = (quipu.figures.get(metric.key)?, other.figures.get(metric.key)?);
    let ratios = ours.iter().zip(theirs).map(|(ours, theirs)| ahead(*ours, *theirs, metric));
    spread_of(ratios.collect())
}

fn ahead(ours: f64, theirs: f64, metric: &Metric) -> f64 {
    if metric.more_is_better { ours / theirs } else { theirs / ours }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::of;
    use crate::report::Row;
    use crate::workload::named;

    fn row(adapter: &'static str, is_floor: bool, key: &str, figures: &[f64]) -> Row {
        let figures = BTreeMap::from([(key.to_owned(), figures.to_vec())]);
        Row { adapter, is_floor, figures, reason: None, failed: false }
    }

    #[test]
    fn ratios_are_of_rounds_and_the_best_peer_is_the_nearest() {
        for (workload, best) in [("W1", "fast"), ("W5-clean-1M", "slow")] {
            let metric = named(workload).unwrap().metrics()[0];
            let rows = [
                row("floor", true, metric.key, &[8.0, 8.0, 8.0]),
                row("quipu", false, metric.key, &[4.0, 8.0, 2.0]),
                row("fast", false, metric.key, &[4.0, 4.0, 4.0]),
                row("slow", false, metric.key, &[1.0, 1.0, 1.0]),
            ];
            let found = of(&rows, &metric);
            let others: Vec<_> = found.iter().map(|ratio| ratio.other).collect();
            assert_eq!(others, ["floor", best]);
            let floor = found[0].spread.median;
            assert_eq!(floor, if metric.more_is_better { 0.5 } else { 2.0 });
        }
    }
}
