//! `portcullis sessions`: who is signed in, and that somebody is so no more. Asks the running service, whatever its
//! store is.

mod client;
mod table;

use std::collections::{BTreeSet, HashSet};
use std::io::{self, Write};
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::SystemTime;

use clap::{ArgAction, Args, Subcommand};

use self::client::{Client, ClientError};
use super::{complain, print, report};
use crate::config::{self, ControlSocket, Problem, USUAL_CONTROL_SOCKET};
use crate::http::control::SessionEntry;

/// How many sessions the table shows unless it is told otherwise: it sorts them, so it holds them all.
const TABLE_LIMIT: usize = 1_000;

#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// The service's control socket [default: server.control_socket of the configuration]
    #[arg(long, global = true, value_name = "PATH")]
    socket: Option<PathBuf>,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Show who is signed in
    List(ListArguments),
    /// End one session
    ///
    /// Exits with 1 when there is no such session, when several have ids that begin like that, and when nobody can
    /// say whether it ended.
    // Ids may begin with "-h" too.
    #[command(disable_help_flag = true)]
    Revoke {
        /// Its id, or the beginning of it: 8 characters or more
        #[arg(allow_hyphen_values = true)]
        id: String,
        /// Print help
        #[arg(long, action = ArgAction::Help)]
        help: Option<bool>,
    },
    /// End all sessions of a person
    ///
    /// Exits with 0 when the person has none afterwards, also where there was none before; with 1 when it is no subject
    /// but the user name of somebody who is signed in.
    RevokeUser {
        /// The person's subject (`sub`), as `sessions list` shows it
        #[arg(value_name = "SUB")]
        subject: String,
        /// The provider that it is the subject of [default: oidc.issuer of the service]
        #[arg(long, value_name = "URL")]
        issuer: Option<String>,
    },
}

#[derive(Debug, Args)]
struct ListArguments {
    /// One person's alone: a subject or user name, or `name:ada`, or `email:ada@example.net`
    #[arg(long, value_name = "WHO")]
    user: Option<String>,
    /// How many at most [default: 1000 in the table, all of them with --json]
    #[arg(long, value_name = "N")]
    limit: Option<NonZeroUsize>,
    /// One JSON object a line, in no order
    #[arg(long)]
    json: bool,
}

/// Asks. 0 when it was told or done, 1 when it was not.
pub(super) fn run(config: Option<&Path>, arguments: &Arguments) -> ExitCode {
    let (socket, unread) = match &arguments.socket {
        Some(socket) => (socket.clone(), Vec::new()),
        None => match configured(config) {
            Ok(configured) => configured,
            Err(code) => return code,
        },
    };
    let client = Client::connect(&socket);
    if client.is_err() {
        report("warning", &unread);
    }
    let asked = client.and_then(|client| match &arguments.command {
        Command::List(arguments) => list(&client, arguments),
        Command::Revoke { id, .. } => revoke(&client, id),
        Command::RevokeUser { subject, issuer } => revoke_user(&client, subject, issuer.as_deref()),
    });
    asked.unwrap_or_else(|error| complain(&table::plain(&error.to_string())))
}

/// The socket that the configuration names, and what kept it from naming one, which only matters when nobody listens
/// at the usual place. Whatever else is wrong with it is no matter here.
fn configured(config: Option<&Path>) -> Result<(PathBuf, Vec<Problem>), ExitCode> {
    let (socket, problems) = config::control_socket(config);
    match socket {
        ControlSocket::At(path) => Ok((path, problems)),
        ControlSocket::Usual => Ok((USUAL_CONTROL_SOCKET.into(), problems)),
        ControlSocket::Off => Err(complain(
            "server.control_socket is \"off\", so the service takes no commands",
        )),
    }
}

fn list(client: &Client, arguments: &ListArguments) -> Result<ExitCode, ClientError> {
    let limit = match arguments.limit {
        Some(limit) => limit.get(),
        None if arguments.json => usize::MAX,
        None => TABLE_LIMIT,
    };
    let mut output = Output::new(limit, arguments.json);
    match arguments.user.as_deref() {
        None => output.walk(client, None)?,
        Some(who) => {
            if let Some(name) = who.strip_prefix("name:") {
                output.walk(client, Some(("username", name)))?;
            } else if let Some(address) = who.strip_prefix("email:") {
                output.walk(client, Some(("email", address)))?;
            } else {
                output.walk(client, Some(("subject", who)))?;
                if output.told.is_empty() {
                    output.unreadable = 0;
                    output.walk(client, Some(("username", who)))?;
                }
            }
        }
    }
    Ok(output.end(arguments.user.as_deref()))
}

/// What is printed: lines of JSON as they come, or rows for a table.
struct Output {
    limit: usize,
    json: bool,
    /// The ids of those that were found: a walk may come to one twice.
    told: HashSet<String>,
    rows: Vec<SessionEntry>,
    /// Whether there were more than the limit.
    is_cut: bool,
    /// Whether nobody reads any more.
    closed: bool,
    unreadable: usize,
}

impl Output {
    fn new(limit: usize, json: bool) -> Self {
        Self {
            limit,
            json,
            told: HashSet::new(),
            rows: Vec::new(),
            is_cut: false,
            closed: false,
            unreadable: 0,
        }
    }

    /// Goes through the sessions, those of one person where `whose` says so. Once it begins again: the server of a
    /// cluster at which the walk was may have lost its place to another.
    fn walk(&mut self, client: &Client, whose: Option<(&str, &str)>) -> Result<(), ClientError> {
        let mut after: Option<String> = None;
        let mut has_begun_again = false;
        loop {
            let list = match client.list(whose, after.as_deref()) {
                Err(ClientError::Lost(_)) if after.is_some() && !has_begun_again => {
                    has_begun_again = true;
                    after = None;
                    // They are met again.
                    self.unreadable = 0;
                    continue;
                }
                list => list?,
            };
            self.unreadable += list.unreadable;
            for session in list.sessions {
                if self.told.contains(&session.id) {
                    continue;
                }
                if self.told.len() >= self.limit {
                    self.is_cut = true;
                    return Ok(());
                }
                self.told.insert(session.id.clone());
                self.take(session);
                if self.closed {
                    return Ok(());
                }
            }
            after = list.next;
            if after.is_none() {
                return Ok(());
            }
        }
    }

    fn take(&mut self, session: SessionEntry) {
        if !self.json {
            self.rows.push(session);
            return;
        }
        let line = serde_json::to_string(&session).expect("texts only");
        // In JSON, control characters beyond ASCII may stand as they are; a terminal obeys them.
        let line = table::escaped_in_json(&line);
        self.closed = writeln!(io::stdout(), "{line}").is_err();
    }

    fn end(mut self, who: Option<&str>) -> ExitCode {
        let mut notes = Vec::new();
        if self.is_cut {
            notes.push(format!(
                "there are more than these {}; --limit shows more of them, --json all",
                self.told.len()
            ));
        }
        if self.unreadable > 0 {
            notes.push(format!(
                "{} could not be opened: sealed with a key that is not in session.secret_file, or written by another \
                 version. Nobody is let in by them",
                match self.unreadable {
                    1 => "one session".to_owned(),
                    many => format!("{many} sessions"),
                }
            ));
        }
        for note in notes {
            // There is nowhere left to complain to.
            let _ = writeln!(io::stderr(), "note: {note}");
        }
        if self.json {
            return ExitCode::SUCCESS;
        }
        if self.rows.is_empty() {
            return print(&match who {
                None => "Nobody is signed in.\n".to_owned(),
                Some(who) => format!("Nobody is signed in as {}.\n", table::plain(who)),
            });
        }
        print(&table::of(&mut self.rows, SystemTime::now()))
    }
}

fn revoke(client: &Client, id: &str) -> Result<ExitCode, ClientError> {
    let revoked = client.revoke(id)?;
    let whose = match (revoked.username, revoked.subject) {
        (Some(name), Some(subject)) => {
            format!(" of {} ({})", table::plain(&name), table::plain(&subject))
        }
        (_, Some(subject)) => format!(" of {}", table::plain(&subject)),
        _ => String::new(),
    };
    Ok(print(&format!(
        "Session {}{whose} has ended.\n",
        table::plain(&revoked.id)
    )))
}

fn revoke_user(
    client: &Client,
    subject: &str,
    issuer: Option<&str>,
) -> Result<ExitCode, ClientError> {
    let ended = client.revoke_user(subject, issuer)?;
    let who = table::plain(subject);
    if ended == 0 {
        match called(client, subject, issuer) {
            Ok(people) if !people.is_empty() => {
                let people: Vec<String> = people.into_iter().collect();
                return Ok(complain(&format!(
                    "no session has ended. {who} is a user name; what is asked for is the subject: {}",
                    people.join(", ")
                )));
            }
            Ok(_) => {}
            Err(error) => {
                let told = table::plain(&error.to_string());
                let told =
                    format!("note: whether {who} is somebody's user name is not known: {told}");
                // There is nowhere left to complain to.
                let _ = writeln!(io::stderr(), "{told}");
            }
        }
    }
    Ok(print(&match ended {
        0 => format!(
            "{who} had no session. It is the subject that is asked for: `portcullis sessions list` shows it.\n"
        ),
        1 => format!("One session of {who} has ended.\n"),
        many => format!("{many} sessions of {who} have ended.\n"),
    }))
}

/// The subjects of those who are signed in under a user name, as they can be printed: at one provider, if it is named.
fn called(
    client: &Client,
    username: &str,
    issuer: Option<&str>,
) -> Result<BTreeSet<String>, ClientError> {
    let mut found = Output::new(TABLE_LIMIT, false);
    found.walk(client, Some(("username", username)))?;
    let at = |one: &&SessionEntry| issuer.is_none_or(|issuer| issuer == one.issuer);
    let subjects = found.rows.iter().filter(at);
    Ok(subjects.map(|one| table::plain(&one.subject)).collect())
}
