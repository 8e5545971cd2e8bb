//! Names of headers that many apps take for ours: those that see headers as CGI variables read `Remote_User` as
//! `Remote-User`, and some `Remote.User` too.

/// What is read as one and the same.
const MARKS: [char; 3] = ['-', '_', '.'];

/// Beyond so many marks a name has more spellings than anybody wants to list: then all marks are of one kind.
const MAX_MARKS: usize = 4;

/// The other spellings of `names` with these `marks`, none of which is one of the names.
pub(super) fn lookalikes(names: &[String], marks: &[char]) -> Vec<String> {
    let mut found: Vec<String> = Vec::new();
    for name in names {
        for spelling in spellings(name, marks) {
            let mut known = names.iter().chain(&found);
            if !known.any(|known| known.eq_ignore_ascii_case(&spelling)) {
                found.push(spelling);
            }
        }
    }
    found
}

fn spellings(name: &str, marks: &[char]) -> Vec<String> {
    if name.matches(MARKS).count() > MAX_MARKS {
        let uniform = |mark: &char| name.replace(MARKS, &mark.to_string());
        return marks.iter().map(uniform).collect();
    }
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
        lookalikes(&names, marks)
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
        assert_eq!(of(&["A-B-C-D-E-F"], &MARKS), ["A_B_C_D_E_F", "A.B.C.D.E.F"]);
    }

    #[test]
    fn no_name_of_our_own_is_among_them() {
        assert_eq!(of(&["X_User"], &MARKS), ["X-User", "X.User"]);
        assert_eq!(of(&["X_User", "x-user"], &MARKS), ["X.User"]);
    }
}
