//! Metrics as text, read strictly: whatever a parser somewhere might trip over is an assertion here.

use std::collections::{BTreeMap, BTreeSet};

/// The labels of a sample.
pub type Labels = BTreeMap<String, String>;

/// Which of the two formats.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// <https://prometheus.io/docs/specs/om/open_metrics_spec/>
    OpenMetrics,
    /// <https://prometheus.io/docs/instrumenting/exposition_formats/>
    PlainText,
}

/// A metric with its samples.
#[derive(Debug)]
pub struct Family {
    pub name: String,
    pub kind: String,
    pub samples: Vec<Sample>,
}

#[derive(Debug)]
pub struct Sample {
    pub name: String,
    pub labels: Labels,
    pub value: f64,
}

/// All metrics of one answer.
#[derive(Debug)]
pub struct Scrape(pub Vec<Family>);

impl Scrape {
    pub fn parse(text: &str, format: Format) -> Self {
        let body = match format {
            Format::OpenMetrics => text.strip_suffix("# EOF\n").expect("an end"),
            Format::PlainText => text,
        };
        assert!(body.ends_with('\n') && !body.contains("# EOF"), "{text}");
        let mut families: Vec<Family> = Vec::new();
        let mut help = None;
        for line in body.trim_end_matches('\n').split('\n') {
            let (word, rest) = line.split_once(' ').expect(line);
            if word != "#" {
                assert_eq!(help, None, "{line}: help without a type");
                let family = families.last_mut().expect(line);
                family.samples.push(sample(line));
                continue;
            }
            let (keyword, rest) = rest.split_once(' ').expect(line);
            let (name, rest) = rest.split_once(' ').expect(line);
            assert!(is_name(name), "{line}");
            match keyword {
                "HELP" => {
                    assert!(!rest.is_empty() && !rest.contains('\\'), "{line}");
                    help = Some(name.to_owned());
                }
                "TYPE" => {
                    assert_eq!(help.take().as_deref(), Some(name), "{line}");
                    families.push(Family {
                        name: name.to_owned(),
                        kind: rest.to_owned(),
                        samples: Vec::new(),
                    });
                }
                "UNIT" => {
                    assert_eq!(format, Format::OpenMetrics, "{line}");
                    assert!(name.ends_with(&format!("_{rest}")), "{line}");
                    let family = families.last().expect(line);
                    assert!(family.name == name && family.samples.is_empty(), "{line}");
                }
                _ => unreachable!("{line}"),
            }
        }
        let names: BTreeSet<&str> = families.iter().map(|family| &*family.name).collect();
        assert_eq!(names.len(), families.len(), "a metric stands twice");
        for family in &families {
            family.check(format);
        }
        Self(families)
    }

    /// Each sample, by its name and labels.
    pub fn samples(&self) -> BTreeMap<(String, Labels), f64> {
        let all = self.0.iter().flat_map(|family| &family.samples);
        all.map(|sample| ((sample.name.clone(), sample.labels.clone()), sample.value))
            .collect()
    }

    /// The value of one sample; `None` where there is none.
    pub fn value(&self, name: &str, wanted: &[(&str, &str)]) -> Option<f64> {
        self.samples()
            .get(&(name.to_owned(), labels(wanted)))
            .copied()
    }
}

pub fn labels(pairs: &[(&str, &str)]) -> Labels {
    let owned = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
    pairs.iter().map(owned).collect()
}

impl Family {
    fn check(&self, format: Format) {
        let mut seen = BTreeSet::new();
        for sample in &self.samples {
            let series = (&sample.name, &sample.labels);
            assert!(seen.insert(series), "{series:?} stands twice");
            let suffix = sample.name.strip_prefix(&self.name).expect(&sample.name);
            let allowed: &[&str] = match (&*self.kind, format) {
                ("counter", Format::OpenMetrics) => &["_total"],
                ("info", Format::OpenMetrics) => &["_info"],
                ("histogram", _) => &["_bucket", "_count", "_sum"],
                ("gauge", _) | ("counter", Format::PlainText) => &[""],
                _ => unreachable!("{self:?}"),
            };
            assert!(allowed.contains(&suffix), "{sample:?} of {}", self.kind);
            assert!(
                sample.value.is_finite() && sample.value >= 0.0,
                "{sample:?}"
            );
        }
        if self.kind == "counter" && format == Format::PlainText {
            assert!(self.name.ends_with("_total"), "{}", self.name);
        }
        if self.kind == "histogram" {
            self.check_histograms();
        }
    }

    /// Each has buckets that rise, and as many in the last as in all.
    fn check_histograms(&self) {
        let mut series: BTreeMap<Labels, Vec<(f64, f64)>> = BTreeMap::new();
        let (mut counts, mut sums) = (BTreeMap::new(), BTreeMap::new());
        for sample in &self.samples {
            let mut labels = sample.labels.clone();
            let bound = labels.remove("le");
            match sample.name.rsplit_once('_').expect("a suffix").1 {
                "bucket" => {
                    let bound = bound.expect("le");
                    let bound = if bound == "+Inf" {
                        f64::INFINITY
                    } else {
                        bound.parse().expect("a number")
                    };
                    series
                        .entry(labels)
                        .or_default()
                        .push((bound, sample.value));
                }
                "count" => drop(counts.insert(labels, sample.value)),
                _ => drop(sums.insert(labels, sample.value)),
            }
        }
        assert_eq!(series.len(), counts.len(), "{}", self.name);
        assert_eq!(series.len(), sums.len(), "{}", self.name);
        for (labels, buckets) in series {
            assert!(
                buckets.is_sorted_by(|a, b| a.0 < b.0 && a.1 <= b.1),
                "{buckets:?}"
            );
            let last = buckets.last().copied();
            assert_eq!(last, Some((f64::INFINITY, counts[&labels])), "{buckets:?}");
        }
    }
}

fn is_name(name: &str) -> bool {
    let legal = |c: char| c.is_ascii_alphanumeric() || c == '_';
    name.starts_with(|c: char| c.is_ascii_lowercase()) && name.chars().all(legal)
}

/// `name{label="value",…} 1.5`, without a time.
fn sample(line: &str) -> Sample {
    let end = line.find(['{', ' ']).expect(line);
    let (name, mut rest) = line.split_at(end);
    assert!(is_name(name), "{line}");
    let mut labels = Labels::new();
    if let Some(inner) = rest.strip_prefix('{') {
        rest = inner;
        while !rest.starts_with('}') {
            let (label, after) = rest.split_once("=\"").expect(line);
            assert!(is_name(label), "{line}");
            let (value, after) = quoted(after, line);
            assert!(labels.insert(label.to_owned(), value).is_none(), "{line}");
            rest = match after.strip_prefix(',') {
                Some(next) if !next.starts_with('}') => next,
                Some(_) => unreachable!("{line}"),
                None => after,
            };
            assert!(after.starts_with([',', '}']), "{line}");
        }
        rest = &rest[1..];
    }
    let value = rest.strip_prefix(' ').expect(line);
    Sample {
        name: name.to_owned(),
        labels,
        value: value.parse().expect(line),
    }
}

/// What stands before the next quote that is not escaped, and what comes after it.
fn quoted<'a>(text: &'a str, line: &str) -> (String, &'a str) {
    let mut value = String::new();
    let mut chars = text.char_indices();
    while let Some((at, c)) = chars.next() {
        match c {
            '"' => return (value, &text[at + 1..]),
            '\\' => match chars.next() {
                Some((_, 'n')) => value.push('\n'),
                Some((_, c @ ('\\' | '"'))) => value.push(c),
                _ => unreachable!("{line}"),
            },
            c => value.push(c),
        }
    }
    unreachable!("{line}: no end")
}
