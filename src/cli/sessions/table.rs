//! The table of sessions for people, and what keeps a name in it from acting on the terminal.

use std::cmp::Reverse;
use std::fmt::Write;
use std::time::{Duration, SystemTime};

use crate::http::control::SessionEntry;

/// How much of an id is shown: enough to tell a million apart.
const ID_LENGTH: usize = 12;

/// The most characters of a user name that are shown.
const NAME_LENGTH: usize = 32;

const HEADINGS: [&str; 6] = ["ID", "USER", "SUBJECT", "SIGNED IN", "LAST SEEN", "ENDS"];

/// The table, with a heading: by user, those that were used last first.
pub(super) fn of(sessions: &mut [SessionEntry], now: SystemTime) -> String {
    sessions.sort_by_cached_key(|one| {
        let name = one.username.clone().unwrap_or_default();
        (
            name.to_lowercase(),
            one.subject.clone(),
            Reverse(one.seen.clone()),
        )
    });
    let rows: Vec<[String; 6]> = sessions.iter().map(|one| row(one, now)).collect();
    let mut widths = HEADINGS.map(str::len);
    for row in &rows {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = (*width).max(cell.chars().count());
        }
    }
    let mut table = String::new();
    let mut line = |cells: [&str; 6]| {
        let start = table.len();
        for (cell, width) in cells.iter().zip(widths) {
            // Writing to a text cannot fail.
            let _ = write!(table, "{cell:width$}  ");
        }
        let end = table.trim_end().len().max(start);
        table.truncate(end);
        table.push('\n');
    };
    line(HEADINGS);
    for row in &rows {
        line(row.each_ref().map(String::as_str));
    }
    table
}

fn row(session: &SessionEntry, now: SystemTime) -> [String; 6] {
    let id: String = session.id.chars().take(ID_LENGTH).collect();
    let user = match &session.username {
        Some(name) if name.chars().count() > NAME_LENGTH => {
            let start: String = name.chars().take(NAME_LENGTH - 1).collect();
            format!("{start}…")
        }
        Some(name) if !name.is_empty() => name.clone(),
        _ => "-".to_owned(),
    };
    // A subject is there to be copied, so it is whole.
    [
        plain(&id),
        plain(&user),
        plain(&session.subject),
        when(&session.created, now),
        when(&session.seen, now),
        when(&session.expires, now),
    ]
}

/// How far from now a time is. One that cannot be read is shown as it is.
fn when(time: &str, now: SystemTime) -> String {
    let Ok(time) = humantime::parse_rfc3339(time) else {
        return plain(time);
    };
    match (now.duration_since(time), time.duration_since(now)) {
        (Ok(ago), _) if ago < Duration::from_secs(60) => "just now".to_owned(),
        (Ok(ago), _) => format!("{} ago", rough(ago)),
        (_, Ok(ahead)) => format!("in {}", rough(ahead)),
        (Err(_), Err(_)) => unreachable!("one of two times is not after the other"),
    }
}

/// In the largest unit that there are two of, as people say it.
fn rough(span: Duration) -> String {
    let seconds = span.as_secs();
    let (count, unit) = match seconds {
        0..120 => (seconds, "s"),
        120..7_200 => (seconds / 60, "min"),
        7_200..172_800 => (seconds / 3_600, "h"),
        _ => (seconds / 86_400, "d"),
    };
    format!("{count} {unit}")
}

/// Text from outside, without anything that a terminal obeys: control characters, and what turns the direction of
/// writing or hides in it.
pub(super) fn plain(text: &str) -> String {
    let mut plain = String::with_capacity(text.len());
    for character in text.chars() {
        if acts(character) {
            plain.extend(character.escape_default());
        } else {
            plain.push(character);
        }
    }
    plain
}

/// The same for a line of JSON, which stays JSON: these characters stand in its texts alone.
pub(super) fn escaped_in_json(line: &str) -> String {
    let mut escaped = String::with_capacity(line.len());
    for character in line.chars() {
        if acts(character) {
            // Beyond four digits it takes two of them (RFC 8259 §7). Writing to a text cannot fail.
            for unit in character.encode_utf16(&mut [0; 2]) {
                let _ = write!(escaped, "\\u{unit:04x}");
            }
        } else {
            escaped.push(character);
        }
    }
    escaped
}

/// Control characters, line and paragraph separators, and the format characters of Unicode (general category Cf),
/// with the places between them that are kept for more.
fn acts(character: char) -> bool {
    character.is_control()
        || matches!(
            character,
            '\u{ad}'
                | '\u{600}'..='\u{605}'
                | '\u{61c}'
                | '\u{6dd}'
                | '\u{70f}'
                | '\u{890}'..='\u{891}'
                | '\u{8e2}'
                | '\u{180e}'
                | '\u{200b}'..='\u{200f}'
                | '\u{2028}'..='\u{202e}'
                | '\u{2060}'..='\u{206f}'
                | '\u{feff}'
                | '\u{fff0}'..='\u{fffb}'
                | '\u{110bd}'
                | '\u{110cd}'
                | '\u{13430}'..='\u{1343f}'
                | '\u{1bca0}'..='\u{1bca3}'
                | '\u{1d173}'..='\u{1d17a}'
                | '\u{e0000}'..='\u{e00ff}'
        )
}

#[cfg(test)]
mod tests {
    use std::time::UNIX_EPOCH;

    use super::*;

    const NOW: u64 = 1_800_000_000;

    fn at(seconds: u64) -> String {
        let time = UNIX_EPOCH + Duration::from_secs(seconds);
        humantime::format_rfc3339_seconds(time).to_string()
    }

    fn entry(id: &str, username: Option<&str>, subject: &str, seen: u64) -> SessionEntry {
        SessionEntry {
            id: format!("{id}{}", "x".repeat(43 - id.len())),
            issuer: "https://id.example.net".into(),
            subject: subject.into(),
            username: username.map(str::to_owned),
            name: None,
            email: None,
            groups: Vec::new(),
            created: at(NOW - 3 * 86_400),
            seen: at(NOW - seen),
            expires: at(NOW + 86_400),
            ends: at(NOW + 27 * 86_400),
            auth_time: None,
            amr: Vec::new(),
        }
    }

    fn shown(mut sessions: Vec<SessionEntry>) -> String {
        of(&mut sessions, UNIX_EPOCH + Duration::from_secs(NOW))
    }

    #[test]
    fn columns_are_aligned_and_rows_sorted() {
        let table = shown(vec![
            entry("cccc", Some("Élodie"), "3", 30),
            entry("bbbb", Some("ada"), "12345678", 4_000),
            entry("aaaa", None, "9", 200),
            entry("dddd", Some("Ada"), "12345678", 150),
        ]);
        let expected = "\
ID            USER    SUBJECT   SIGNED IN  LAST SEEN   ENDS
aaaaxxxxxxxx  -       9         3 d ago    3 min ago   in 24 h
ddddxxxxxxxx  Ada     12345678  3 d ago    2 min ago   in 24 h
bbbbxxxxxxxx  ada     12345678  3 d ago    66 min ago  in 24 h
ccccxxxxxxxx  Élodie  3         3 d ago    just now    in 24 h
";
        assert_eq!(table, expected);
    }

    #[test]
    fn no_name_acts_on_the_terminal() {
        let names = [
            "\u{1b}[2Jada",
            "ada\u{9b}31m",
            "ada\r\nroot",
            "ada\u{202e}nimda",
            "a\tb\u{7f}",
            "a\u{2066}b\u{200b}",
            "ada\u{61c}nimda",
            "a\u{ad}da\u{180e}",
            "ada\u{e0001}\u{e0041}\u{e007f}",
            "ada\u{206f}\u{fff9}\u{1d173}",
        ];
        for name in names {
            assert!(name.chars().any(acts), "{name:?}");
            let table = shown(vec![entry("aaaa", Some(name), name, 0)]);
            assert_eq!(table.lines().count(), 2, "{table:?}");
            let acting = table.chars().find(|c| *c != '\n' && acts(*c));
            assert_eq!(acting, None, "{table:?}");
            let json = serde_json::to_string(name).expect("a text");
            let escaped = escaped_in_json(&json);
            assert!(!escaped.chars().any(acts), "{escaped:?}");
            assert_eq!(
                serde_json::from_str::<String>(&escaped).expect("JSON"),
                name
            );
        }
        let long = "ä".repeat(100);
        let table = shown(vec![entry("aaaa", Some(&long), &long, 0)]);
        assert!(
            table.contains(&format!("  {}…  {long}  ", "ä".repeat(31))),
            "{table}"
        );
    }

    #[test]
    #[rustfmt::skip] // the columns are the point
    fn times_are_told_as_people_say_them() {
        let now = UNIX_EPOCH + Duration::from_secs(NOW);
        let cases = [
            (at(NOW),              "just now"),
            (at(NOW - 59),         "just now"),
            (at(NOW - 60),         "60 s ago"),
            (at(NOW - 120),        "2 min ago"),
            (at(NOW - 7_199),      "119 min ago"),
            (at(NOW - 7_200),      "2 h ago"),
            (at(NOW - 172_800),    "2 d ago"),
            (at(NOW + 1),          "in 1 s"),
            (at(NOW + 400 * 86_400), "in 400 d"),
            ("soon\u{7}".into(),   "soon\\u{7}"),
        ];
        for (time, expected) in cases {
            assert_eq!(when(&time, now), expected, "{time}");
        }
    }
}
