//! A report as `JUnit` XML.

use std::fmt::Write as _;

use super::TestReport;

pub(super) fn write(report: &TestReport, suite: &str) -> String {
    let TestReport { cases, failed, .. } = report;
    let mut xml = String::from("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n");
    let suite = escape(suite);
    let _ = writeln!(xml, "<testsuite name=\"{suite}\" tests=\"{}\" failures=\"{failed}\">", cases.len());
    for case in cases {
        let name = escape(&case.name);
        let _ = write!(xml, "  <testcase classname=\"{suite}\" name=\"{name}\"");
        if case.passed {
            xml.push_str("/>\n");
        } else {
            let _ = writeln!(xml, ">\n    <failure message=\"{}\"/>\n  </testcase>", escape(&case.failures.join("; ")));
        }
    }
    xml.push_str("</testsuite>\n");
    xml
}

/// Text inside a quoted attribute. Characters XML cannot hold become question marks.
fn escape(text: &str) -> String {
    text.chars().fold(String::with_capacity(text.len()), |mut out, c| {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\n' | '\t' => out.push(' '),
            c if c.is_control() => out.push('?'),
            c => out.push(c),
        }
        out
    })
}
