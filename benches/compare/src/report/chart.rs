//! The run as one picture: a panel a workload, a bar an engine, whiskers from least to most.
//!
//! The scale of each panel is logarithmic, since engines lie orders of magnitude apart. Quipu has a
//! colour of its own, the floors another.

use std::path::Path;

use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, Pos, VPos};

use super::{Row, Spread};
use crate::engine::Failure;
use crate::workload::{Metric, Workload};

type Area<'a> = DrawingArea<SVGBackend<'a>, plotters::coord::Shift>;

const COLUMNS: usize = 2;
const PANEL_WIDTH: u32 = 620;
const HEAD_HEIGHT: u32 = 44;
const BAR_HEIGHT: u32 = 22;
/// Room for the names of the engines.
const NAMES_WIDTH: i32 = 110;
/// Room for the figures.
const FIGURES_WIDTH: i32 = 100;

const QUIPU: RGBColor = RGBColor(202, 87, 37);
const FLOOR: RGBColor = RGBColor(150, 150, 150);
const PEER: RGBColor = RGBColor(70, 118, 166);
const TEXT: RGBColor = RGBColor(40, 40, 40);

/// One bar.
struct Bar {
    name: &'static str,
    color: RGBColor,
    spread: Spread,
}

/// Draws every workload that has figures.
pub(super) fn draw(path: &Path, done: &[(&'static Workload, Vec<Row>)]) -> Result<(), Failure> {
    let panels: Vec<_> = done.iter().filter_map(|(workload, rows)| panel(workload, rows)).collect();
    if panels.is_empty() {
        return Err("there is nothing to draw".into());
    }
    let bars_max = panels.iter().map(|(_, _, bars)| bars.len()).max().unwrap_or(1) as u32;
    let height = HEAD_HEIGHT + bars_max * BAR_HEIGHT + BAR_HEIGHT / 2;
    let lines = panels.len().div_ceil(COLUMNS);
    let columns = COLUMNS.min(panels.len());
    let size = (PANEL_WIDTH * columns as u32, height * lines as u32);
    let root = SVGBackend::new(path, size).into_drawing_area();
    root.fill(&WHITE)?;
    for (area, (workload, metric, bars)) in root.split_evenly((lines, columns)).iter().zip(&panels)
    {
        draw_panel(area, workload, metric, bars)?;
    }
    root.present()?;
    Ok(())
}

/// Best first.
fn panel(
    workload: &'static Workload,
    rows: &[Row],
) -> Option<(&'static Workload, Metric, Vec<Bar>)> {
    let metric = workload.metrics().into_iter().next()?;
    let mut bars: Vec<Bar> = Vec::new();
    for row in rows.iter().filter(|row| row.reason.is_none()) {
        let Some(spread) = row.spread(&metric).filter(|spread| spread.median > 0.0) else {
            continue;
        };
        let color = match (row.adapter, row.is_floor) {
            ("quipu", _) => QUIPU,
            (_, true) => FLOOR,
            (_, false) => PEER,
        };
        bars.push(Bar { name: row.adapter, color, spread });
    }
    bars.sort_by(|left, right| left.spread.median.total_cmp(&right.spread.median));
    if metric.more_is_better {
        bars.reverse();
    }
    (!bars.is_empty()).then_some((workload, metric, bars))
}

fn draw_panel(
    area: &Area<'_>,
    workload: &Workload,
    metric: &Metric,
    bars: &[Bar],
) -> Result<(), Failure> {
    let better = if metric.more_is_better { "more is better" } else { "less is better" };
    let title = format!("{}: {}", workload.id, workload.about);
    let font = |size: i32| ("sans-serif", size).into_font().color(&TEXT);
    area.draw(&Text::new(title, (8, 8), font(18)))?;
    area.draw(&Text::new(format!("{}, {better}, log scale", metric.unit), (8, 26), font(14)))?;
    let scale = Scale::over(bars);
    for (at, bar) in bars.iter().enumerate() {
        let top = HEAD_HEIGHT as i32 + at as i32 * BAR_HEIGHT as i32;
        let (middle, bottom) = (top + BAR_HEIGHT as i32 / 2, top + BAR_HEIGHT as i32 - 6);
        let right = scale.place(bar.spread.median);
        let name = font(15).pos(Pos::new(HPos::Right, VPos::Center));
        area.draw(&Text::new(bar.name, (NAMES_WIDTH - 6, middle - 2), name))?;
        let corners = [(NAMES_WIDTH, top + 2), (right, bottom)];
        area.draw(&Rectangle::new(corners, bar.color.filled()))?;
        let (least, most) = (scale.place(bar.spread.least), scale.place(bar.spread.most));
        area.draw(&PathElement::new([(least, middle - 2), (most, middle - 2)], BLACK))?;
        for end in [least, most] {
            area.draw(&PathElement::new([(end, middle - 5), (end, middle + 1)], BLACK))?;
        }
        let figure = font(14).pos(Pos::new(HPos::Left, VPos::Center));
        area.draw(&Text::new(short(bar.spread.median), (most.max(right) + 6, middle - 2), figure))?;
    }
    Ok(())
}

/// Logarithmic, from a little below the least to the most.
struct Scale {
    from: f64,
    to: f64,
}

impl Scale {
    fn over(bars: &[Bar]) -> Self {
        let least = bars.iter().map(|bar| bar.spread.least).fold(f64::INFINITY, f64::min);
        let most = bars.iter().map(|bar| bar.spread.most).fold(0.0, f64::max);
        Self { from: (least.max(f64::MIN_POSITIVE) / 3.0).ln(), to: most.ln() }
    }

    fn place(&self, value: f64) -> i32 {
        let width = f64::from(PANEL_WIDTH as i32 - NAMES_WIDTH - FIGURES_WIDTH);
        let share = (value.max(f64::MIN_POSITIVE).ln() - self.from) / (self.to - self.from);
        NAMES_WIDTH + (share.clamp(0.0, 1.0) * width) as i32
    }
}

/// `1.25 M`, `12.5 k`, `0.31`.
fn short(value: f64) -> String {
    let (value, unit) = match value.abs() {
        size if size >= 1e9 => (value / 1e9, " G"),
        size if size >= 1e6 => (value / 1e6, " M"),
        size if size >= 1e3 => (value / 1e3, " k"),
        _ => (value, ""),
    };
    match value.abs() {
        size if size < 10.0 => format!("{value:.2}{unit}"),
        size if size < 100.0 => format!("{value:.1}{unit}"),
        _ => format!("{value:.0}{unit}"),
    }
}
