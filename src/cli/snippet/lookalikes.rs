//! Names of headers that many apps take for ours: those that see headers as CGI variables read `Remote_User` as
//! `Remote-User`, and some `Remote.User` too.

/// What is read as one and the same.
const MARKS: [char; 3] = ['-', '_', '.'];

/// Some apps take their path from these, whatever was asked for. No app gets them.
const PATH_OVERRIDES: [&str; 2] = ["X-Original-URL", "X-Rewrite-URL"];

/// Beyond so many marks a name has more spellings than anybody wants to list.
const MAX_MARKS: usize = 4;

/// The other spellings of `names`, and of [`PATH_OVERRIDES`], with these `marks`; none of them is one of the names.
///
/// # Errors
///
/// Where a name has more marks than can be listed in every mixture: any spelling that is left out would reach an app.
pub(super) fn lookalikes(names: &[String], marks: &[char]) -> Result<Vec<String>, String> {
    let overrides = PATH_OVERRIDES.iter().map(ToString::to_string);
    let names: Vec<String> = names.iter().cloned().chain(overrides).collect();
    spellings_of(&names, marks)
}

fn spellings_of(names: &[String], marks: &[char]) -> Result<Vec<String>, String> {
    let mut found: Vec<String> = Vec::new();
    let has_too_many = |name: &&String| name.matches(MARKS).count() > MAX_MARKS;
    if let Some(name) = names.iter().find(has_too_many) {
        return Err(format!(
            "the header \"{name}\" has too many spellings for this proxy to take each away from clients, and many apps \
             read all of them as one: its name may have at most {MAX_MARKS} of \"-\", \"_\" and \".\""
        ));
    }
    for name in names {
        for spelling in spellings(name, marks) {
            let mut known = names.iter().chain(&found);
            if !known.any(|known| known.eq_ignore_ascii_case(&spelling)) {
                found.push(spelling);
            }
        }
    }
    Ok(found)
}

fn spellings(name: &str, marks: &[char]) -> Vec<String> {
    let mut spellings = vec![String::new()];
    for c in name.chars() {
        let choices = if MARKS.contains(&c) { marks } else { &[c] };
        let longer = |begun: &String| {
            let begun = begun.clone();
            choices
                .iter()
                .map(move |choice| format!("{begun}{choice}"))
                .collect::<Vec<_>>()
        };
        spellings = spellings.iter().flat_map(longer).collect();
    }
    spellings
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(names: &[&str], marks: &[char]) -> Vec<String> {
        let names: Vec<String> = names.iter().map(ToString::to_string).collect();
        spellings_of(&names, marks).expect("names that can be listed")
    }

    #[test]
    fn every_mixture_is_named() {
        assert_eq!(of(&["Remote-User"], &MARKS), ["Remote_User", "Remote.User"]);
        assert_eq!(of(&["Authorization"], &MARKS), [""; 0]);
        let mixed = of(&["X-Api-Key"], &MARKS);
        assert_eq!(mixed.len(), 8, "{mixed:?}");
        for spelling in ["X_Api_Key", "X-Api_Key", "X_Api.Key"] {
            assert!(mixed.iter().any(|have| have == spelling), "{mixed:?}");
        }
        assert_eq!(of(&["X-Api-Key"], &['-', '.']).len(), 3);
        assert_eq!(of(&["A-B-C-D-E"], &MARKS).len(), 80);
    }

    #[test]
    fn a_path_of_the_clients_own_has_no_spelling_left() {
        let found = lookalikes(&[], &['-', '.']).expect("names that can be listed");
        let expected = [
            "X-Original.URL",
            "X.Original-URL",
            "X.Original.URL",
            "X-Rewrite.URL",
            "X.Rewrite-URL",
            "X.Rewrite.URL",
        ];
        assert_eq!(found, expected);
    }

    #[test]
    fn a_name_with_more_spellings_than_can_be_listed_is_refused() {
        let names = ["Remote-User".to_owned(), "A-B_C-D.E-F".to_owned()];
        for marks in [&MARKS[..], &['-', '.']] {
            let refused = lookalikes(&names, marks).expect_err("six parts");
            assert!(refused.contains("\"A-B_C-D.E-F\""), "{refused}");
        }
    }

    #[test]
    fn no_name_of_our_own_is_among_them() {
        assert_eq!(of(&["X_User"], &MARKS), ["X-User", "X.User"]);
        assert_eq!(of(&["X_User", "x-user"], &MARKS), ["X.User"]);
    }
}
