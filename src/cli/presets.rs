//! `portcullis presets`: the apps that are known, and what is known about each.

use std::fmt::{self, Write};
use std::process::ExitCode;

use clap::{Args, Subcommand};
use serde_json::{Value, json};

use crate::config::presets::Preset;

/// Which of them, and for whom.
#[derive(Debug, Args)]
pub(super) struct Arguments {
    #[command(subcommand)]
    what: What,
    /// For programs
    #[arg(long, global = true)]
    json: bool,
}

#[derive(Debug, Subcommand)]
enum What {
    /// List all apps, with the pattern that fits each
    List,
    /// Say what to write for an app, what to set at it, and why
    Show {
        /// The app, as the list names it
        #[arg(value_name = "APP")]
        app: String,
    },
}

/// Prints it. 1 when there is no such app.
pub(super) fn run(arguments: &Arguments) -> ExitCode {
    match &arguments.what {
        What::List if arguments.json => {
            let list: Vec<Value> = Preset::all().map(summary).collect();
            super::print(&format!("{:#}\n", Value::from(list)))
        }
        What::List => super::print(&List.to_string()),
        What::Show { app } => match Preset::find(app) {
            Ok(preset) if arguments.json => super::print(&format!("{:#}\n", to_json(preset))),
            Ok(preset) => super::print(&Shown(preset).to_string()),
            Err(error) => super::complain(&error.to_string()),
        },
    }
}

/// A line for each.
struct List;

impl fmt::Display for List {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let id = Preset::all().map(|preset| preset.id.len()).max();
        let id = id.unwrap_or_default();
        for preset in Preset::all() {
            let posture = preset.posture.as_str();
            writeln!(
                f,
                "{:<id$}  {posture:<14}  {}, {}",
                preset.id, preset.name, preset.what
            )?;
        }
        Ok(())
    }
}

/// Everything about one.
struct Shown<'a>(&'a Preset);

impl fmt::Display for Shown<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(preset) = self;
        writeln!(f, "{}: {}, {}", preset.id, preset.name, preset.what)?;
        if !preset.aliases.is_empty() {
            writeln!(f, "also: {}", preset.aliases.join(", "))?;
        }
        let posture = preset.posture.as_str();
        writeln!(f, "pattern: {posture}, because {}\n", preset.because)?;
        for (_, question, answer) in preset.answers.all() {
            writeln!(f, "{question:<43} {answer}")?;
        }
        writeln!(f, "\nTo write:\n")?;
        for line in preset.lines().lines() {
            writeln!(f, "    {line}")?;
        }
        writeln!(f, "\n{}", preset.remark())?;
        write_points(f, "At the app", preset.at_the_app)?;
        self.write_filled_in(f)?;
        if !preset.bypasses.is_empty() {
            writeln!(f, "\nOpen to programs once preset_bypass names it:\n")?;
        }
        for bypass in preset.bypasses {
            let paths = bypass.paths.join(", ");
            writeln!(f, "  - \"{}\", {paths}: {}.", bypass.name, bypass.meaning)?;
        }
        write_points(f, "Beware", preset.beware)?;
        write_points(f, "Taken from", preset.sources)
    }
}

impl Shown<'_> {
    /// What the preset writes by itself.
    fn write_filled_in(&self, f: &mut impl Write) -> fmt::Result {
        let Self(preset) = self;
        let mut points = Vec::new();
        if !preset.headers.is_empty() {
            let header = |(name, claim): &(&str, &str)| format!("{name} ({claim})");
            let headers: Vec<String> = preset.headers.iter().map(header).collect();
            points.push(format!("headers: {}", headers.join(", ")));
        }
        if let Some(separator) = preset.group_separator {
            points.push(format!("group_separator: {separator}"));
        }
        if !preset.reserved_users.is_empty() {
            let names = preset.reserved_users.join(", ");
            points.push(format!(
                "reserved_users: {names}, which nobody may be called"
            ));
        }
        if preset.service_worker {
            points.push("service_worker: true".to_owned());
        }
        let points: Vec<&str> = points.iter().map(String::as_str).collect();
        write_points(f, "Filled in where you write nothing else", &points)
    }
}

fn write_points(f: &mut impl Write, heading: &str, points: &[&str]) -> fmt::Result {
    if points.is_empty() {
        return Ok(());
    }
    writeln!(f, "\n{heading}:\n")?;
    for point in points {
        writeln!(f, "  - {point}")?;
    }
    Ok(())
}

fn summary(preset: &Preset) -> Value {
    json!({
        "id": preset.id,
        "aliases": preset.aliases,
        "name": preset.name,
        "what": preset.what,
        "posture": preset.posture.as_str(),
    })
}

fn to_json(preset: &Preset) -> Value {
    let answers = preset.answers.all();
    let answers = answers.map(|(name, _, answer)| (name.to_owned(), json!(answer.to_string())));
    let header = |(name, claim): &(&str, &str)| json!({ "name": name, "claim": claim });
    let bypasses = preset.bypasses.iter().map(
        |bypass| json!({ "name": bypass.name, "paths": bypass.paths, "meaning": bypass.meaning }),
    );
    let further = json!({
        "because": preset.because,
        "answers": serde_json::Map::from_iter(answers),
        "lines": preset.lines(),
        "remark": preset.remark(),
        "at_the_app": preset.at_the_app,
        "headers": preset.headers.iter().map(header).collect::<Vec<_>>(),
        "group_separator": preset.group_separator,
        "upstream_header": preset.upstream_header,
        "reserved_users": preset.reserved_users,
        "service_worker": preset.service_worker,
        "bypasses": bypasses.collect::<Vec<_>>(),
        "beware": preset.beware,
        "sources": preset.sources,
    });
    let mut object = summary(preset);
    if let (Value::Object(object), Value::Object(further)) = (&mut object, further) {
        object.extend(further);
    }
    object
}
