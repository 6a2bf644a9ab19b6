//! What a command tells: a table on the terminal, CSV, a plot.
//!
//! Owns: their form. Refuses: what they say.

use std::collections::BTreeMap;
use std::error::Error;
use std::fs;
use std::path::Path;

use plotters::prelude::*;

type Done = Result<(), Box<dyn Error>>;

/// Rows, printed as they come in the form that the pages of docs/ have.
#[derive(Debug)]
pub struct Table {
    csv: String,
}

impl Table {
    /// A table with these columns.
    pub fn new(columns: &[&str]) -> Self {
        println!("| {} |", columns.join(" | "));
        println!("|{}", "---|".repeat(columns.len()));
        Self {
            csv: columns.join(",") + "\n",
        }
    }

    /// A row.
    pub fn row(&mut self, cells: &[String]) {
        println!("| {} |", cells.join(" | "));
        self.csv += &cells.join(",");
        self.csv += "\n";
    }

    /// Writes the rows to a file, if one is named.
    pub fn finish(self, csv: Option<&Path>) -> Done {
        if let Some(path) = csv {
            fs::write(path, self.csv)?;
        }
        Ok(())
    }
}

/// Lines through points, over an axis that counts by factors.
#[derive(Debug)]
pub struct Plot {
    title: String,
    across: String,
    up: String,
    lines: BTreeMap<String, Vec<(f64, f64)>>,
    is_log: bool,
}

impl Plot {
    /// A plot without points.
    pub fn new(title: &str, across: &str, up: &str) -> Self {
        Self {
            title: title.to_owned(),
            across: across.to_owned(),
            up: up.to_owned(),
            lines: BTreeMap::new(),
            is_log: false,
        }
    }

    /// The same, with the upward axis counting by factors too.
    pub fn logarithmic(mut self) -> Self {
        self.is_log = true;
        self
    }

    /// A point of the line with this name.
    pub fn point(&mut self, line: &str, across: f64, up: f64) {
        self.lines
            .entry(line.to_owned())
            .or_default()
            .push((across, up));
    }

    /// Draws it into a file, if one is named.
    pub fn finish(self, path: Option<&Path>) -> Done {
        let points = || self.lines.values().flatten();
        let (Some(path), Some(_)) = (path, points().next()) else {
            return Ok(());
        };
        let most = points().map(|point| point.1).fold(0.0, f64::max) * 1.1;
        let least = points().map(|point| point.1).fold(f64::MAX, f64::min) / 1.5;
        let first = points().map(|point| point.0).fold(f64::MAX, f64::min) * 0.9;
        let last = points().map(|point| point.0).fold(0.0, f64::max) * 1.1;
        let root = SVGBackend::new(path, (720, 420)).into_drawing_area();
        root.fill(&WHITE)?;
        let mut builder = ChartBuilder::on(&root);
        builder
            .caption(&self.title, ("sans-serif", 20))
            .margin(12)
            .x_label_area_size(40)
            .y_label_area_size(64);
        let across = (first..last).log_scale();
        macro_rules! draw {
            ($up:expr) => {{
                let mut chart = builder.build_cartesian_2d(across, $up)?;
                chart
                    .configure_mesh()
                    .x_desc(&self.across)
                    .y_desc(&self.up)
                    .draw()?;
                for (number, (name, points)) in self.lines.iter().enumerate() {
                    let color = Palette99::pick(number).to_rgba();
                    let line = LineSeries::new(points.clone(), color.stroke_width(2)).point_size(3);
                    chart.draw_series(line)?.label(name).legend(move |(x, y)| {
                        PathElement::new(vec![(x, y), (x + 16, y)], color.stroke_width(2))
                    });
                }
                chart
                    .configure_series_labels()
                    .background_style(WHITE.mix(0.8))
                    .border_style(BLACK)
                    .draw()?;
            }};
        }
        match self.is_log {
            true => draw!((least.max(f64::MIN_POSITIVE)..most).log_scale()),
            false => draw!(0.0..most),
        }
        root.present()?;
        Ok(())
    }
}
