//! The tables: plain text with aligned columns, which is also Markdown.

use std::fmt;

use crate::contenders::Contender;
use crate::rings::{Busy, BusySeries};
use crate::round::{Play, Series};
use crate::statistics::{Spread, rounded};

/// Rows of cells, the first of which is the header. The first column is left-aligned, the others
/// right-aligned.
pub struct Table {
    rows: Vec<Vec<String>>,
}

impl Table {
    fn new(header: &[&str]) -> Table {
        Table { rows: vec![header.iter().map(|&title| title.to_owned()).collect()] }
    }

    fn width(&self, column: usize) -> usize {
        self.rows.iter().map(|row| row[column].chars().count()).max().unwrap_or(0)
    }
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let widths: Vec<usize> = (0..self.rows[0].len()).map(|column| self.width(column)).collect();
        for (nth, row) in self.rows.iter().enumerate() {
            write!(f, "| {:<width$} |", row[0], width = widths[0])?;
            row.iter().zip(&widths).skip(1).try_for_each(|(cell, &width)| write!(f, " {cell:>width$} |"))?;
            writeln!(f)?;
            if nth == 0 {
                write!(f, "|-{:-<width$}-|", "", width = widths[0])?;
                widths.iter().skip(1).try_for_each(|&width| write!(f, "-{:->width$}:|", ""))?;
                writeln!(f)?;
            }
        }
        Ok(())
    }
}

/// Latencies and processor time of hand-overs.
pub fn hand_overs(all: &[Series]) -> Table {
    let mut table = Table::new(&[
        "contender",
        "p50",
        "p90",
        "p99",
        "p99.9",
        "p50 / blocking",
        "p99 / blocking",
        "p50 / tokio",
        "CPU a turn",
        "CPU / blocking",
    ]);
    let [blocking, tokio] = [Contender::Blocking, Contender::Tokio]
        .map(|base| all.iter().find(|series| series.contender == base));
    for series in all {
        let to = |base: Option<&Series>, figure: &dyn Fn(&Play) -> f64| {
            base.map_or_else(String::new, |base| ratio(series.ratio(base, figure)))
        };
        let mut row = vec![series.contender.name().to_owned()];
        row.extend([0.5, 0.9, 0.99, 0.999].map(|at| median(series.spread(|play| play.quantile(at)))));
        row.push(to(blocking, &|play| play.quantile(0.5)));
        row.push(to(blocking, &|play| play.quantile(0.99)));
        row.push(to(tokio, &|play| play.quantile(0.5)));
        row.push(median(series.spread(Play::cpu_per_turn)));
        row.push(to(blocking, &Play::cpu_per_turn));
        table.rows.push(row);
    }
    table
}

/// Turns per second of many rings. The others are compared with the first contender.
pub fn rings(all: &[BusySeries]) -> Table {
    let base = &all[0];
    let to = format!("turns / {}", base.contender.name());
    let cpu_to = format!("CPU / {}", base.contender.name());
    let busy_to = format!("turns a busy second / {}", base.contender.name());
    let mut table = Table::new(&["contender", "turns a second", &to, "CPU a turn", &cpu_to, &busy_to]);
    for series in all {
        table.rows.push(vec![
            series.contender.name().to_owned(),
            format!("{:.0}", series.spread(Busy::turns_per_second).median),
            ratio(series.ratio(base, Busy::turns_per_second)),
            median(series.spread(Busy::cpu_per_turn)),
            ratio(series.ratio(base, Busy::cpu_per_turn)),
            ratio(series.ratio(base, Busy::turns_per_busy_second)),
        ]);
    }
    table
}

fn median(spread: Spread) -> String {
    rounded(spread.median)
}

fn ratio(Spread { median, low, high }: Spread) -> String {
    format!("{} ({} to {})", rounded(median), rounded(low), rounded(high))
}
