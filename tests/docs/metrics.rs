//! docs/metrics.md and docs/audit.md: what the program counts and tells, all of it, and nothing else.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use portcullis::domain::host::{Authority, Scheme};
use portcullis::domain::service_table::ServiceTable;
use portcullis::telemetry::metrics::{Exposition, Fault, Metrics, Op, Verdict};
use portcullis::telemetry::subscriber::{self, Format};

use crate::markdown::{Document, code_spans, documents, source};

fn document(name: &str) -> Document {
    let mut all = documents().into_iter();
    all.find(|document| document.name == name).expect(name)
}

/// Every metric, with its type and its labels.
type Told = BTreeMap<String, (String, BTreeSet<String>)>;

/// All of them, once each has something to say.
fn told() -> Told {
    let metrics = Metrics::default();
    let log = subscriber::start(tracing::Level::ERROR, Format::Json).expect("the only log");
    metrics.watch_log(log.dropped());
    let portal = Authority::parse("auth.example.net", Scheme::Https).expect("an authority");
    let services = ServiceTable::new(Vec::new(), portal, None);
    let counters = metrics.decision_counters(&services);
    counters.count(None, Verdict::MALFORMED, Duration::ZERO);
    let unreachable = Some(Fault::Unreachable);
    metrics.store().count(Op::Get, Duration::ZERO, unreachable);
    metrics.login("success");
    metrics.refreshed("renewed");
    metrics.logged_out("rp", 1);
    metrics.rate_limited("login");
    let text = metrics.text(Exposition::PlainText, true, true);
    let text = text.expect("a string takes all");
    let mut told = Told::new();
    for line in text.lines() {
        if let Some(rest) = line.strip_prefix("# TYPE ") {
            let (name, kind) = rest.split_once(' ').expect("a type");
            told.insert(name.to_owned(), (kind.to_owned(), BTreeSet::new()));
        } else if !line.starts_with('#') {
            let (name, labels) = line.split_once('{').unwrap_or((line, ""));
            let (_, (kind, found)) = told
                .iter_mut()
                .find(|(family, _)| name.starts_with(family.as_str()))
                .expect(line);
            let labels = labels
                .split("=\"")
                .map(|part| part.rsplit([',', '"']).next());
            let labels = labels.flatten().filter(|label| !label.contains('}'));
            let own = labels.filter(|label| !(kind == "histogram" && *label == "le"));
            found.extend(own.filter(|label| !label.is_empty()).map(str::to_owned));
        }
    }
    told
}

fn documented() -> Told {
    let document = document("docs/metrics.md");
    let prose = document.prose();
    let rows = prose
        .iter()
        .skip_while(|line| !line.starts_with("| name |"))
        .skip(2)
        .take_while(|line| line.starts_with('|'));
    let parse = |row: &&str| {
        let mut cells = row.split(" |").map(|cell| cell.trim_start_matches("| "));
        let name = code_spans(cells.next()?).next()?.to_owned();
        let kind = cells.next()?.trim().to_owned();
        let labels = code_spans(cells.next()?).map(str::to_owned).collect();
        Some((name, (kind, labels)))
    };
    rows.filter_map(parse).collect()
}

#[test]
fn every_metric_is_documented_and_no_other() {
    let told = told();
    assert!(told.len() > 15, "{told:?}");
    assert_eq!(documented(), told);
}

/// Each event has a heading; its fields are held against real lines by the tests of the flows.
#[test]
fn every_audit_event_is_documented_and_no_other() {
    let code = source("src/telemetry/audit.rs");
    let events = code.split("event = \"").skip(1);
    let events: BTreeSet<&str> = events.filter_map(|rest| rest.split('"').next()).collect();
    assert!(events.len() > 3, "{events:?}");
    let document = document("docs/audit.md");
    let prose = document.prose();
    let headings = prose.iter().filter_map(|line| line.strip_prefix("### `"));
    let headings: BTreeSet<&str> = headings.map(|line| line.trim_end_matches('`')).collect();
    assert_eq!(headings, events);
}
