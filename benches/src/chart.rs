//! Lines over sizes, as a picture.
//!
//! Owns: [`Line`], [`draw`]. May call: the plotting crate.

use std::path::Path;

use plotters::prelude::*;

use crate::measure::Failure;

/// One line of a chart.
#[derive(Debug, Clone)]
pub struct Line {
    /// What it is.
    pub name: &'static str,
    /// Its points, from left to right; above zero.
    pub points: Vec<(f64, f64)>,
}

impl Line {
    /// One without points yet.
    #[must_use]
    pub fn new(name: &'static str) -> Self {
        Self { name, points: Vec::new() }
    }
}

const COLOURS: [RGBColor; 3] =
    [RGBColor(202, 87, 37), RGBColor(70, 118, 166), RGBColor(150, 150, 150)];

/// Draws lines over logarithmic axes, as SVG.
///
/// # Errors
/// Where there is nothing to draw, or the file cannot be written.
pub fn draw(
    file: &Path,
    title: &str,
    (across, up): (&str, &str),
    lines: &[Line],
) -> Result<(), Failure> {
    let points = || lines.iter().flat_map(|line| &line.points);
    let least = |pick: fn(&(f64, f64)) -> f64| points().map(pick).fold(f64::INFINITY, f64::min);
    let most = |pick: fn(&(f64, f64)) -> f64| points().map(pick).fold(0.0, f64::max);
    if points().next().is_none() {
        return Err("there is nothing to draw".into());
    }
    let root = SVGBackend::new(file, (760, 420)).into_drawing_area();
    root.fill(&WHITE)?;
    let range = |pick: fn(&(f64, f64)) -> f64| (least(pick) / 1.5..most(pick) * 1.5).log_scale();
    let mut chart = ChartBuilder::on(&root)
        .caption(title, ("sans-serif", 18))
        .margin(12)
        .x_label_area_size(40)
        .y_label_area_size(60)
        .build_cartesian_2d(range(|point| point.0), range(|point| point.1))?;
    chart.configure_mesh().x_desc(across).y_desc(up).draw()?;
    for (line, colour) in lines.iter().zip(COLOURS) {
        let points = || line.points.iter().copied();
        chart
            .draw_series(LineSeries::new(points(), colour.stroke_width(2)))?
            .label(line.name)
            .legend(move |(x, y)| PathElement::new([(x, y), (x + 18, y)], colour.stroke_width(2)));
        chart.draw_series(points().map(|point| Circle::new(point, 4, colour.filled())))?;
        for (x, y) in points() {
            let label = Text::new(format!("{y:.0}"), (x, y * 1.12), ("sans-serif", 12));
            chart.draw_series(std::iter::once(label))?;
        }
    }
    chart.configure_series_labels().background_style(WHITE).border_style(BLACK).draw()?;
    root.present()?;
    Ok(())
}
