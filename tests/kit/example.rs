//! The `Caddyfile.example` that we ship, fitted to the names and ports of a run.

use super::gate::Ports;
use super::{Failure, Result, tools};

/// What apps are told about people.
const PEOPLE: [&str; 4] = [
    "Remote-User",
    "Remote-Name",
    "Remote-Email",
    "Remote-Groups",
];

/// What stands in the place of the example's apps and its portal.
pub struct Places<'a> {
    pub gate: Ports,
    pub portal: &'a str,
    /// Host and port of each app.
    pub apps: [(&'a str, u16); 3],
}

/// The example with other names and ports, and nothing else changed.
///
/// # Errors
///
/// When the example does not hold each of the things that are replaced once.
pub fn fitted_to(places: &Places<'_>) -> Result<String> {
    let address = |port: u16| format!("127.0.0.1:{port}");
    let site =
        |host: &str, upstream: &str| format!("{host} {{\n\timport portcullis\n\t{upstream}\n}}");
    // Where the apps are is for the operator to say.
    let open = "# reverse_proxy 127.0.0.1:PORT";
    let filled = |(host, port)| site(host, &format!("reverse_proxy {}", address(port)));
    let [first, second, third] = places.apps;
    let replacements = [
        ("127.0.0.1:9191".to_owned(), address(places.gate.verify)),
        ("127.0.0.1:9192".to_owned(), address(places.gate.portal)),
        ("auth.example.net".to_owned(), places.portal.to_owned()),
        (site("grafana.example.net", open), filled(first)),
        (site("sonarr.example.net", open), filled(second)),
        (site("paperless-ai.example.net", open), filled(third)),
    ];
    let mut text = shipped()?;
    for (from, to) in replacements {
        if text.matches(&from).count() != 1 {
            return Err(Failure(format!(
                "`{from}` does not stand once in Caddyfile.example"
            )));
        }
        text = text.replace(&from, &to);
    }
    Ok(text)
}

/// The example's snippet for a gate that listens on `verify`, which copies these names beside those about people.
///
/// # Errors
///
/// When the example is not as it was when this was written.
pub fn snippet(verify: u16, further: &[&str]) -> Result<String> {
    let text = shipped()?;
    let missing = |what: &str| Failure(format!("Caddyfile.example has no {what}"));
    let mut snippet = snippet_in(&text)
        .ok_or_else(|| missing("snippet"))?
        .replace("127.0.0.1:9191", &format!("127.0.0.1:{verify}"));
    let line = |start: &str| {
        let found = text.lines().find(|line| line.trim().starts_with(start));
        found.ok_or_else(|| missing(start))
    };
    let copied = line("copy_headers ")?
        .trim()
        .trim_start_matches("copy_headers ");
    let connection = line("request_header Connection ")?;
    let names = [&PEOPLE[..], further].concat();
    snippet = snippet.replace(copied, &names.join(" "));
    let pattern = further
        .iter()
        .map(|name| format!("|{}", name.to_lowercase()));
    let pattern = format!(
        "(?i)remote-(user|name|email|groups){}",
        pattern.collect::<String>()
    );
    let fitting = format!("\trequest_header Connection \"{pattern}\" \"x\"");
    snippet = snippet.replace(connection, &fitting);
    Ok(snippet)
}

/// The snippet `(portcullis)` of a Caddyfile, with its closing brace.
pub fn snippet_in(caddyfile: &str) -> Option<&str> {
    let start = caddyfile.find("(portcullis) {")?;
    let length = caddyfile[start..].find("\n}\n")? + "\n}\n".len();
    Some(&caddyfile[start..start + length])
}

/// The snippet `(portcullis_strip)`: what the shipped one does to our own credentials, and nothing else.
///
/// # Errors
///
/// When the example does not do so.
pub fn strip() -> Result<String> {
    let text = shipped()?;
    let lines = text.lines().map(str::trim);
    let ours = |line: &&str| {
        line.starts_with("request_header Cookie ") || *line == "request_header -Portcullis-Key"
    };
    match lines.filter(ours).collect::<Vec<_>>()[..] {
        [cookie, key] => Ok(format!("(portcullis_strip) {{\n\t{cookie}\n\t{key}\n}}\n")),
        _ => Err(Failure::new(
            "Caddyfile.example takes our credentials out once",
        )),
    }
}

/// What is in a Caddyfile beside its comments.
pub fn directives(caddyfile: &str) -> Vec<&str> {
    let lines = caddyfile.lines().map(str::trim);
    lines
        .filter(|line| !line.is_empty() && !line.starts_with('#'))
        .collect()
}

/// A site behind the snippet.
pub fn protected_site(host: &str, app: u16) -> String {
    format!("{host} {{\n\timport portcullis\n\treverse_proxy 127.0.0.1:{app}\n}}\n")
}

/// A site that is open to everybody.
pub fn open_site(host: &str, port: u16) -> String {
    format!("{host} {{\n\treverse_proxy 127.0.0.1:{port}\n}}\n")
}

/// # Errors
///
/// When it is not in the source tree.
pub fn shipped() -> Result<String> {
    let file = tools::source_root().join("Caddyfile.example");
    std::fs::read_to_string(&file).map_err(Failure::of(file.display()))
}
