//! Medians of interleaved rounds, as a table.

use std::io;
use std::time::Duration;

use crate::contender::Cost;

/// One thing that is timed: what it is called and how one run goes.
pub struct Contender<'a> {
    /// Shown in the table.
    pub name: String,
    /// Prepares (untimed), runs (timed) and gives the cost.
    pub run: Box<dyn FnMut() -> io::Result<Cost> + 'a>,
}

/// What the rounds of one contender gave.
pub struct Row {
    /// The contender.
    pub name: String,
    /// Every run, in order.
    pub costs: Vec<Cost>,
}

impl Row {
    /// Median wall time.
    pub fn median(&self) -> Duration {
        let mut walls: Vec<_> = self.costs.iter().map(|cost| cost.wall).collect();
        walls.sort();
        walls[walls.len() / 2]
    }

    fn spread(&self) -> (Duration, Duration) {
        let walls = self.costs.iter().map(|cost| cost.wall);
        (
            walls.clone().min().unwrap_or_default(),
            walls.max().unwrap_or_default(),
        )
    }

    fn peak(&self) -> u64 {
        self.costs
            .iter()
            .map(|cost| cost.peak_bytes)
            .max()
            .unwrap_or(0)
    }
}

/// Runs every contender once a round, after one round that is not counted.
pub fn interleave(contenders: &mut [Contender<'_>], rounds: usize) -> io::Result<Vec<Row>> {
    let mut rows: Vec<Row> = contenders
        .iter()
        .map(|contender| Row {
            name: contender.name.clone(),
            costs: Vec::new(),
        })
        .collect();
    for round in 0..=rounds {
        for (contender, row) in contenders.iter_mut().zip(&mut rows) {
            let cost = (contender.run)()?;
            eprintln!(
                "  {:<40} {:>7.2} s",
                contender.name,
                cost.wall.as_secs_f64()
            );
            if round > 0 {
                row.costs.push(cost);
            }
        }
    }
    Ok(rows)
}

/// Prints a table; each row also as a ratio to every row whose name is in `against`.
pub fn print(title: &str, rows: &[Row], against: &[&str]) {
    println!("\n### {title}\n");
    let bases: Vec<&Row> = against
        .iter()
        .filter_map(|name| rows.iter().find(|row| row.name == *name))
        .collect();
    print!("| what | median s | min–max s | peak MiB |");
    for base in &bases {
        print!(" × {} |", base.name);
    }
    println!("\n|---|---|---|---|{}", "---|".repeat(bases.len()));
    for row in rows {
        let (low, high) = row.spread();
        print!(
            "| {} | {:.2} | {:.2}–{:.2} | {:.0} |",
            row.name,
            row.median().as_secs_f64(),
            low.as_secs_f64(),
            high.as_secs_f64(),
            row.peak() as f64 / (1 << 20) as f64
        );
        for base in &bases {
            print!(
                " {:.2} |",
                row.median().as_secs_f64() / base.median().as_secs_f64()
            );
        }
        println!();
    }
}
