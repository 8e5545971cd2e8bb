//! `docs/presets.md`: from the heading *The apps* on it is what the catalogue says, letter by letter.

use std::fmt::Write;
use std::fs;

use portcullis::config::presets::{Answer, Preset};
use portcullis::domain::service::Posture;

use crate::markdown::{root, source};

const NAME: &str = "docs/presets.md";

/// Where the written part ends.
const BEGINS: &str = "## The apps\n";

#[test]
fn the_page_says_what_the_catalogue_says() {
    let page = source(NAME);
    let (written, _) = page.split_once(BEGINS).expect("the heading");
    let expected = format!("{written}{BEGINS}{}", catalogue());
    if std::env::var_os("PORTCULLIS_WRITE_DOCS").is_some_and(|value| value == "1") {
        fs::write(root().join(NAME), &expected).expect("a written file");
        return;
    }
    assert!(
        page == expected,
        "{NAME} is another one: `PORTCULLIS_WRITE_DOCS=1 cargo test --test docs` writes it anew"
    );
}

/// The page of a pattern.
fn pattern(posture: Posture) -> String {
    let posture = posture.as_str();
    format!("[{posture}](patterns/{}.md)", posture.replace('_', "-"))
}

fn in_short(answer: Answer) -> &'static str {
    match answer {
        Answer::Yes(_) => "yes",
        Answer::No(_) => "no",
        Answer::Unconfirmed => "?",
    }
}

/// The generated part: a table of all, and a section for each.
fn catalogue() -> String {
    let mut page = "\n".to_owned();
    let mut add = |line: String| {
        page.push_str(&line);
        page.push('\n');
    };
    add("| app | | pattern | OIDC | header | login off | API key | users |".to_owned());
    add("| --- | --- | --- | --- | --- | --- | --- | --- |".to_owned());
    for preset in Preset::all() {
        let answers = preset.answers.all();
        let answers = answers.map(|(_, _, answer)| in_short(answer)).join(" | ");
        let Preset { id, name, what, .. } = preset;
        let pattern = pattern(preset.posture);
        add(format!(
            "| [{id}](#{id}) | {name}, {what} | {pattern} | {answers} |"
        ));
    }
    for preset in Preset::all() {
        add(section(preset).trim_end().to_owned());
    }
    page
}

fn section(preset: &Preset) -> String {
    let Preset {
        id,
        name,
        what,
        because,
        ..
    } = preset;
    let pattern = pattern(preset.posture);
    let mut text = format!("\n### {id}\n\n{name}, {what}: {pattern}, because {because}.");
    if !preset.aliases.is_empty() {
        let aliases: Vec<String> = preset
            .aliases
            .iter()
            .map(|name| format!("`{name}`"))
            .collect();
        let _ = write!(text, " Also {}.", aliases.join(", "));
    }
    let _ = write!(text, "\n\n```toml\n{}```\n", preset.lines());
    let _ = write!(
        text,
        "\nAt the app:\n\n```text\n{}\n```\n",
        preset.at_the_app.join("\n")
    );
    add_list(&mut text, "Filled in", &filled_in(preset));
    let bypasses = preset.bypasses.iter().map(|bypass| {
        let paths: Vec<String> = bypass
            .paths
            .iter()
            .map(|path| format!("`{path}`"))
            .collect();
        format!(
            "`{}`, {}: {}.",
            bypass.name,
            paths.join(", "),
            bypass.meaning
        )
    });
    add_list(
        &mut text,
        "`preset_bypass` may name",
        &bypasses.collect::<Vec<_>>(),
    );
    let answers = preset.answers.all().into_iter();
    let answers = answers.map(|(_, question, answer)| format!("{question} {answer}"));
    add_list(&mut text, "Answers", &answers.collect::<Vec<_>>());
    let beware: Vec<String> = preset.beware.iter().map(ToString::to_string).collect();
    add_list(&mut text, "Beware", &beware);
    let sources: Vec<String> = preset
        .sources
        .iter()
        .map(|url| format!("<{url}>"))
        .collect();
    add_list(&mut text, "Taken from", &sources);
    text
}

fn filled_in(preset: &Preset) -> Vec<String> {
    let mut filled = Vec::new();
    if !preset.headers.is_empty() {
        let header = |(name, claim): &(&str, &str)| format!("`{name}` ({claim})");
        let headers: Vec<String> = preset.headers.iter().map(header).collect();
        filled.push(format!("headers: {}", headers.join(", ")));
    }
    if let Some(separator) = preset.group_separator {
        filled.push(format!("group separator: `{separator}`"));
    }
    if !preset.reserved_users.is_empty() {
        let names: Vec<String> = preset
            .reserved_users
            .iter()
            .map(|name| format!("`{name}`"))
            .collect();
        filled.push(format!("reserved users: {}", names.join(", ")));
    }
    if preset.service_worker {
        filled.push("a service worker".to_owned());
    }
    filled
}

fn add_list(text: &mut String, heading: &str, items: &[String]) {
    if !items.is_empty() {
        let _ = write!(text, "\n{heading}:\n\n- {}\n", items.join("\n- "));
    }
}
