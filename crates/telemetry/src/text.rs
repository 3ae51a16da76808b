//! Counters and histograms, and how Prometheus reads them.

use std::{
    fmt::{Display, Write},
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};

use dashmap::DashMap;

/// A counter in as many series as its labels have values.
#[derive(Debug, Default)]
pub(crate) struct Counter(DashMap<String, AtomicU64>);

/// Names that people choose are labels too; their number is bounded so that memory is.
const SERIES_MAX: usize = 2000;

impl Counter {
    pub(crate) fn add(&self, labels: &[(&str, &str)], count: u64) {
        let key = written(labels);
        if let Some(series) = self.0.get(&key) {
            series.fetch_add(count, Ordering::Relaxed);
            return;
        }
        let key = if self.0.len() < SERIES_MAX { key } else { "overflow=\"true\"".to_owned() };
        self.0.entry(key).or_default().fetch_add(count, Ordering::Relaxed);
    }

    /// Appends every series. `shown` writes a value.
    pub(crate) fn render<D: Display>(&self, name: &str, help: &str, shown: impl Fn(u64) -> D, out: &mut String) {
        let mut series: Vec<_> =
            self.0.iter().map(|series| (series.key().clone(), series.load(Ordering::Relaxed))).collect();
        series.sort();
        head(name, "counter", help, out);
        for (labels, value) in series {
            line(name, &labels, shown(value), out);
        }
    }
}

fn written(labels: &[(&str, &str)]) -> String {
    let mut text = String::with_capacity(96);
    for (name, value) in labels {
        if !text.is_empty() {
            text.push(',');
        }
        text.push_str(name);
        text.push_str("=\"");
        for c in value.chars() {
            match c {
                '\\' => text.push_str("\\\\"),
                '"' => text.push_str("\\\""),
                '\n' => text.push_str("\\n"),
                c => text.push(c),
            }
        }
        text.push('"');
    }
    text
}

/// How long things took, in `N` steps.
#[derive(Debug)]
pub(crate) struct Histogram<const N: usize> {
    /// Upper ends of the steps, in seconds, ascending.
    ends: &'static [f64; N],
    counts: [AtomicU64; N],
    longer: AtomicU64,
    micros: AtomicU64,
}

impl<const N: usize> Histogram<N> {
    pub(crate) fn new(ends: &'static [f64; N]) -> Self {
        let counts = std::array::from_fn(|_| AtomicU64::new(0));
        Self { ends, counts, longer: AtomicU64::new(0), micros: AtomicU64::new(0) }
    }

    pub(crate) fn record(&self, took: Duration) {
        let seconds = took.as_secs_f64();
        let step = self.ends.iter().position(|end| seconds <= *end);
        step.map_or(&self.longer, |step| &self.counts[step]).fetch_add(1, Ordering::Relaxed);
        let micros = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
        self.micros.fetch_add(micros, Ordering::Relaxed);
    }

    pub(crate) fn render(&self, name: &str, help: &str, out: &mut String) {
        head(name, "histogram", help, out);
        let bucket = format!("{name}_bucket");
        let mut so_far = 0;
        for (end, count) in self.ends.iter().zip(&self.counts) {
            so_far += count.load(Ordering::Relaxed);
            line(&bucket, &format!("le=\"{end}\""), so_far, out);
        }
        so_far += self.longer.load(Ordering::Relaxed);
        line(&bucket, "le=\"+Inf\"", so_far, out);
        line(&format!("{name}_sum"), "", Duration::from_micros(self.micros.load(Ordering::Relaxed)).as_secs_f64(), out);
        line(&format!("{name}_count"), "", so_far, out);
    }
}

/// Appends a value without labels.
pub(crate) fn single(name: &str, kind: &str, help: &str, value: impl Display, out: &mut String) {
    head(name, kind, help, out);
    line(name, "", value, out);
}

fn head(name: &str, kind: &str, help: &str, out: &mut String) {
    // Writing to a string cannot fail, here and below.
    let _ = writeln!(out, "# HELP {name} {help}\n# TYPE {name} {kind}");
}

fn line(name: &str, labels: &str, value: impl Display, out: &mut String) {
    let _ = match labels {
        "" => writeln!(out, "{name} {value}"),
        labels => writeln!(out, "{name}{{{labels}}} {value}"),
    };
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_are_escaped_and_their_number_is_bounded() {
        let counter = Counter::default();
        counter.add(&[("model", "a\"b\\c\nd")], 2);
        for number in 0..2 * SERIES_MAX {
            counter.add(&[("model", &number.to_string())], 1);
        }
        let mut out = String::new();
        counter.render("x_total", "Things.", |value| value, &mut out);
        assert!(out.starts_with("# HELP x_total Things.\n# TYPE x_total counter\n"));
        assert!(out.contains("x_total{model=\"a\\\"b\\\\c\\nd\"} 2\n"), "{out}");
        assert!(out.contains("x_total{overflow=\"true\"} 2001\n"));
    }

    #[test]
    fn a_histogram_counts_up() {
        let histogram = Histogram::new(&[0.1, 1.0]);
        for millis in [50, 100, 500, 2000] {
            histogram.record(Duration::from_millis(millis));
        }
        let mut out = String::new();
        histogram.render("t_seconds", "Time.", &mut out);
        let lines: Vec<_> = out.lines().skip(2).collect();
        assert_eq!(
            lines,
            [
                "t_seconds_bucket{le=\"0.1\"} 2",
                "t_seconds_bucket{le=\"1\"} 3",
                "t_seconds_bucket{le=\"+Inf\"} 4",
                "t_seconds_sum 2.65",
                "t_seconds_count 4",
            ]
        );
    }
}
