//! The table that a benchmark prints.

use std::{
    fmt::{self, Write},
    time::Duration,
};

use crate::{preloop::Commits, scenario::Measured};

/// Lines of text, in the order they were measured.
#[derive(Default)]
pub(crate) struct Report {
    facts: String,
    tables: String,
}

impl Report {
    /// A size in bytes.
    pub(crate) fn size(&mut self, what: &str, bytes: u64) {
        let tenths = bytes * 10 / (1024 * 1024);
        let _ = writeln!(self.facts, "{what:<40} {:>7}.{} MiB", tenths / 10, tenths % 10);
    }

    /// A duration.
    pub(crate) fn duration(&mut self, what: &str, duration: Duration) {
        let _ = writeln!(self.facts, "{what:<40} {:>9.1} ms", duration.as_secs_f64() * 1e3);
    }

    /// Starts a table.
    pub(crate) fn heading(&mut self, title: &str) {
        let columns = ["calls/s", "CPU µs", "p50 ms", "p99 ms", "p99.9 ms", "× base", "+p50 ms"];
        let _ = write!(self.tables, "\n{title:<40}");
        for column in columns {
            let _ = write!(self.tables, " {column:>9}");
        }
        self.tables.push('\n');
    }

    /// One line of the table, beside the `base` it is compared with.
    pub(crate) fn calls(&mut self, measured: &Measured, base: Option<&Measured>, commits: Option<Commits>) {
        let ms = |q| measured.outcome.quantile(q).as_secs_f64() * 1e3;
        let cpu = measured.cpu.map_or_else(|| "-".to_owned(), |cpu| format!("{:.1}", cpu.as_secs_f64() * 1e6));
        let _ = write!(
            self.tables,
            "{:<40} {:>9.0} {cpu:>9} {:>9.3} {:>9.3} {:>9.3}",
            measured.name,
            measured.outcome.per_second,
            ms(0.5),
            ms(0.99),
            ms(0.999),
        );
        if let Some(base) = base {
            let ratio = measured.outcome.per_second / base.outcome.per_second;
            let added = ms(0.5) - base.outcome.quantile(0.5).as_secs_f64() * 1e3;
            let _ = write!(self.tables, " {ratio:>9.2} {added:>9.3}");
        }
        let first = measured.outcome.first_byte(0.5).as_secs_f64() * 1e3;
        // An answer in one piece begins when it ends.
        if first > 0.0 && first < 0.9 * ms(0.5) {
            let _ = write!(self.tables, "   first byte after {first:.3} ms");
        }
        if let Some(commits) = commits {
            let _ =
                write!(self.tables, "   {:.0} commits/s, {:.1} records each", commits.per_second, commits.records_each);
        }
        self.tables.push('\n');
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}", self.facts, self.tables)
    }
}
