//! The table: each figure beside its limit of the same run.

use std::time::Duration;

use crate::meter::Outcome;

const HEADS: [&str; 7] = ["case", "figure", "limit", "ratio", "p50", "p99", "note"];

/// The rows so far.
#[derive(Default)]
pub struct Table(Vec<[String; 7]>);

impl Table {
    /// A row of texts.
    pub fn row(&mut self, cells: [String; 7]) {
        eprintln!("  {}: {}", cells[0], cells[1]);
        self.0.push(cells);
    }

    /// A case that costs time on a core: operations in a second of one core beside what bounds them.
    pub fn core(&mut self, case: &str, outcome: &Outcome, (what, limit): (&str, f64), note: &str) {
        let over = outcome.micros() - 1e6 / limit;
        self.row([
            case.to_owned(),
            format!("{:.0}/s of one core", outcome.per_core()),
            format!("{what} {limit:.0}/s"),
            format!("{:.2}", outcome.per_core() / limit),
            millis(outcome.percentile(50)),
            millis(outcome.percentile(99)),
            format!(
                "{:.0} us each, {over:+.0} us over the limit; {:.0}/s in time; {note}",
                outcome.micros(),
                outcome.rate()
            ),
        ]);
    }

    /// A case that waits for the disk: operations in a second beside what the disk gives.
    pub fn disk(&mut self, case: &str, outcome: &Outcome, (what, limit): (&str, f64), note: &str) {
        self.row([
            case.to_owned(),
            format!("{:.0}/s", outcome.rate()),
            format!("{what} {limit:.0}/s"),
            format!("{:.2}", outcome.rate() / limit),
            millis(outcome.percentile(50)),
            millis(outcome.percentile(99)),
            format!("{:.0} us each, {:.0}/s of one core; {note}", outcome.micros(), outcome.per_core()),
        ]);
    }

    /// A figure that stands against a target.
    pub fn plain(&mut self, case: &str, figure: String, target: &str, note: &str) {
        self.row([case, &figure, target, "", "", "", note].map(str::to_owned));
    }

    pub fn print(&self) {
        let mut widths = HEADS.map(str::len);
        for row in &self.0 {
            for (width, cell) in widths.iter_mut().zip(row) {
                *width = (*width).max(cell.len());
            }
        }
        let line = |cells: &[String; 7]| {
            let padded: Vec<String> = cells.iter().zip(widths).map(|(c, w)| format!("{c:<w$}")).collect();
            println!("| {} |", padded.join(" | "));
        };
        line(&HEADS.map(str::to_owned));
        line(&widths.map(|w| "-".repeat(w)));
        self.0.iter().for_each(line);
    }
}

pub fn millis(time: Duration) -> String {
    format!("{:.2} ms", time.as_secs_f64() * 1000.0)
}

pub fn mebibytes(bytes: u64) -> String {
    format!("{:.1} MiB", bytes as f64 / 1_048_576.0)
}
