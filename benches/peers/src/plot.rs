//! The picture: a panel for each scenario and number of clients, with a row for each contender.

use std::path::Path;

use anyhow::{Result, anyhow};
use hdrhistogram::Histogram;
use plotters::coord::Shift;
use plotters::coord::combinators::LogCoord;
use plotters::coord::types::RangedCoordf64;
use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, Pos, VPos};

use crate::contenders::Contender;
use crate::round::Series;
use crate::statistics::rounded;

const WIDTH: u32 = 760;
const ROW_HEIGHT: u32 = 26;
/// The height of a panel in addition to its rows.
const FRAME_HEIGHT: u32 = 110;
const OURS: RGBColor = RGBColor(200, 40, 40);
const PEERS: RGBColor = RGBColor(40, 80, 140);

/// The results of one scenario with one number of clients.
pub struct Panel {
    pub title: String,
    pub rows: Vec<Row>,
}

/// The hand-overs of one contender in all rounds, in µs.
pub struct Row {
    contender: Contender,
    p50: f64,
    p99: f64,
    p999: f64,
}

impl Row {
    /// # Errors
    ///
    /// When the histograms of two rounds have different bounds.
    pub fn new(series: &Series) -> Result<Row> {
        let mut all = Histogram::<u64>::new_with_bounds(1, 60_000_000_000, 3)?;
        series.plays.iter().try_for_each(|play| all.add(&play.latency))?;
        let [p50, p99, p999] = [0.5, 0.99, 0.999].map(|at| all.value_at_quantile(at) as f64 / 1e3);
        Ok(Row { contender: series.contender, p50, p99, p999 })
    }

    fn color(&self) -> RGBColor {
        if self.contender.is_ours() { OURS } else { PEERS }
    }

    fn values(&self) -> String {
        [self.p50, self.p99, self.p999].map(rounded).join(", ")
    }
}

/// Draws all panels into one file, one below the other.
///
/// # Errors
///
/// When the file cannot be written.
pub fn draw(path: &Path, panels: &[Panel]) -> Result<()> {
    if let Some(folder) = path.parent() {
        std::fs::create_dir_all(folder)?;
    }
    let heights = panels.iter().map(|panel| Ok(FRAME_HEIGHT + ROW_HEIGHT * u32::try_from(panel.rows.len())?));
    let heights = heights.collect::<Result<Vec<u32>>>()?;
    let mut rest = SVGBackend::new(path, (WIDTH, heights.iter().sum())).into_drawing_area();
    let cannot = |error: Error<'_>| anyhow!("cannot draw {}: {error}", path.display());
    rest.fill(&WHITE).map_err(cannot)?;
    for (panel, height) in panels.iter().zip(heights) {
        let (area, below) = rest.split_vertically(height);
        draw_panel(panel, &area).map_err(cannot)?;
        rest = below;
    }
    rest.present().map_err(cannot)
}

type Error<'a> = DrawingAreaErrorKind<<SVGBackend<'a> as DrawingBackend>::ErrorType>;

fn draw_panel<'a>(panel: &Panel, area: &DrawingArea<SVGBackend<'a>, Shift>) -> Result<(), Error<'a>> {
    let low = panel.rows.iter().map(|row| row.p50).fold(f64::INFINITY, f64::min);
    let high = panel.rows.iter().map(|row| row.p999).fold(0.0, f64::max);
    // There must be room for values to the right of the slowest mark.
    let times = low * 0.8..high * (high / low).powf(0.4) * 1.5;
    let mut chart = ChartBuilder::on(area)
        .caption(&panel.title, ("sans-serif", 16))
        .margin(10)
        .margin_right(30)
        .x_label_area_size(40)
        .y_label_area_size(100)
        .build_cartesian_2d(times.clone().log_scale(), panel.rows.len() as f64 - 0.5..-0.5)?;
    chart
        .configure_mesh()
        .disable_y_mesh()
        .disable_y_axis()
        .x_desc("a hand-over, µs: p50 (dot), p99 (bar), p99.9 (end of the line)")
        .x_label_formatter(&|time| format!("{time}"))
        .draw()?;
    for (nth, row) in panel.rows.iter().enumerate() {
        draw_row(chart.plotting_area(), row, times.start, nth as f64)?;
    }
    Ok(())
}

type Rows<'a> = DrawingArea<SVGBackend<'a>, Cartesian2d<LogCoord<f64>, RangedCoordf64>>;

fn draw_row<'a>(area: &Rows<'a>, row: &Row, left: f64, at: f64) -> Result<(), Error<'a>> {
    let color = row.color();
    let text = |side| ("sans-serif", 12).into_font().color(&color).pos(Pos::new(side, VPos::Center));
    let name = Text::new(row.contender.name(), (-8, 0), text(HPos::Right));
    let values = Text::new(row.values(), (8, 0), text(HPos::Left));
    let bar = PathElement::new([(0, -5), (0, 5)], color.stroke_width(2));
    area.draw(&PathElement::new([(row.p50, at), (row.p999, at)], color))?;
    area.draw(&Circle::new((row.p50, at), 4, color.filled()))?;
    area.draw(&(EmptyElement::at((row.p99, at)) + bar))?;
    area.draw(&(EmptyElement::at((left, at)) + name))?;
    area.draw(&(EmptyElement::at((row.p999, at)) + values))
}
