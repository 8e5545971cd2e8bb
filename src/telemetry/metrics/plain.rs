//! The older text format of Prometheus (0.0.4), for whoever does not take OpenMetrics 1.0.
//!
//! Samples are written alike. What stands above them differs: a counter goes by the name of its samples, there is no
//! type `info`, and neither units nor an end.

use std::fmt::{self, Write};

/// `openmetrics`, as 0.0.4 has it.
pub(super) fn from_openmetrics(openmetrics: &str) -> Result<String, fmt::Error> {
    let mut text = String::with_capacity(openmetrics.len() + 512);
    let mut help = None;
    for line in openmetrics.lines() {
        if let Some(rest) = line.strip_prefix("# HELP ") {
            help = rest.split_once(' ').map(|(_, help)| help);
        } else if let Some((name, kind)) = line.strip_prefix("# TYPE ").and_then(name_and_kind) {
            if let Some(help) = help.take() {
                writeln!(text, "# HELP {name} {help}")?;
            }
            writeln!(text, "# TYPE {name} {kind}")?;
        } else if !line.starts_with('#') {
            writeln!(text, "{line}")?;
        }
    }
    Ok(text)
}

fn name_and_kind(rest: &str) -> Option<(String, &str)> {
    let (name, kind) = rest.split_once(' ')?;
    Some(match kind {
        "counter" => (format!("{name}_total"), kind),
        "info" => (format!("{name}_info"), "gauge"),
        "unknown" => (name.to_owned(), "untyped"),
        _ => (name.to_owned(), kind),
    })
}

#[cfg(test)]
mod tests {
    #[test]
    fn what_stands_above_the_samples_is_put_into_the_older_words() {
        let new = "# HELP logins Logins.\n# TYPE logins counter\nlogins_total{result=\"# TYPE\"} 1\n\
                   # HELP build Build.\n# TYPE build info\nbuild_info{version=\"1\"} 1\n\
                   # HELP took_seconds Took.\n# TYPE took_seconds histogram\n# UNIT took_seconds seconds\n\
                   took_seconds_count 1\n# EOF\n";
        let old = "# HELP logins_total Logins.\n# TYPE logins_total counter\nlogins_total{result=\"# TYPE\"} 1\n\
                   # HELP build_info Build.\n# TYPE build_info gauge\nbuild_info{version=\"1\"} 1\n\
                   # HELP took_seconds Took.\n# TYPE took_seconds histogram\n\
                   took_seconds_count 1\n";
        assert_eq!(super::from_openmetrics(new).as_deref(), Ok(old));
    }
}
