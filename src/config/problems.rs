//! What is wrong with a configuration: everything at once, each under the path that the operator
//! wrote.

use std::fmt::{self, Write as _};

/// One thing that is wrong, or questionable.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// Where: `services.films.rules[0].policy`, or the path of a file.
    pub path: String,
    /// What. Never holds a secret.
    pub message: String,
}

impl Problem {
    /// Says that `message` holds at `path`.
    #[must_use]
    pub fn new(path: impl Into<String>, message: impl Into<String>) -> Self {
        Self {
            path: path.into(),
            message: message.into(),
        }
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // One line, whatever was quoted, and nothing that a terminal would obey.
        for c in self
            .path
            .chars()
            .chain(": ".chars())
            .chain(self.message.chars())
        {
            if c.is_control() {
                write!(f, "{}", c.escape_default())?;
            } else {
                f.write_char(c)?;
            }
        }
        Ok(())
    }
}

/// Collects what is wrong, and what is merely questionable.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Problems {
    errors: Vec<Problem>,
    warnings: Vec<Problem>,
}

impl Problems {
    /// Adds what keeps the configuration from being used.
    pub fn at(&mut self, path: impl Into<String>, message: impl Into<String>) {
        self.errors.push(Problem::new(path, message));
    }

    /// Adds what the operator should look at, although it can be used.
    pub fn warn(&mut self, path: impl Into<String>, message: impl Into<String>) {
        self.warnings.push(Problem::new(path, message));
    }

    /// Adds that something must be given at `path`, unless what is given there was refused already.
    pub fn missing(&mut self, path: impl Into<String>, message: impl Into<String>) {
        let path = path.into();
        if !self.any_at_or_below(&path) {
            self.at(path, message);
        }
    }

    /// Whether an error was found at exactly `path`.
    #[must_use]
    pub fn any_at(&self, path: &str) -> bool {
        self.errors.iter().any(|problem| problem.path == path)
    }

    /// Whether an error was found at `path` or in what lies below it.
    #[must_use]
    pub fn any_at_or_below(&self, path: &str) -> bool {
        let lies_below = |problem: &Problem| {
            let rest = problem.path.strip_prefix(path);
            rest.is_some_and(|rest| rest.is_empty() || rest.starts_with(['.', '[']))
        };
        self.errors.iter().any(lies_below)
    }

    /// What keeps the configuration from being used.
    #[must_use]
    pub fn errors(&self) -> &[Problem] {
        &self.errors
    }

    /// What is only questionable.
    #[must_use]
    pub fn warnings(&self) -> &[Problem] {
        &self.warnings
    }

    /// The warnings, where that is all there is.
    ///
    /// # Errors
    ///
    /// Everything, where there are errors.
    pub fn into_warnings(self) -> Result<Vec<Problem>, Self> {
        if self.errors.is_empty() {
            Ok(self.warnings)
        } else {
            Err(self)
        }
    }
}

impl fmt::Display for Problems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, problem) in self.errors.iter().enumerate() {
            if index > 0 {
                f.write_str("\n")?;
            }
            problem.fmt(f)?;
        }
        Ok(())
    }
}

impl std::error::Error for Problems {}

/// ` (did you mean "…"?)` where one of `known` is close to `written`, else nothing: to be put behind
/// a message.
pub(super) fn did_you_mean<'a>(written: &str, known: impl IntoIterator<Item = &'a str>) -> String {
    let fold = |name: &str| name.to_lowercase().replace('-', "_");
    let written = fold(written);
    // Two slips in a long name, one in a short one: more would guess.
    let most = if written.chars().count() > 4 { 2 } else { 1 };
    let closest = known
        .into_iter()
        .map(|name| (strsim::damerau_levenshtein(&fold(name), &written), name))
        .filter(|(distance, _)| *distance <= most)
        .min();
    match closest {
        Some((_, name)) => format!(" (did you mean \"{name}\"?)"),
        None => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn suggests_what_is_close() {
        let known = ["allowed_groups", "required_groups", "denied_groups"];
        let cases = [
            ("alowed_groups", " (did you mean \"allowed_groups\"?)"),
            ("allowed-groups", " (did you mean \"allowed_groups\"?)"),
            ("Denied_Groups", " (did you mean \"denied_groups\"?)"),
            ("groups", ""),
            ("", ""),
        ];
        for (written, expected) in cases {
            assert_eq!(did_you_mean(written, known), expected, "{written}");
        }
    }

    #[test]
    fn a_path_lies_below_its_own_parts_only() {
        let mut problems = Problems::default();
        problems.at("services.films.rules[0].policy", "no");
        assert!(problems.any_at_or_below("services.films.rules[0].policy"));
        assert!(problems.any_at_or_below("services.films.rules"));
        assert!(!problems.any_at_or_below("services.film"));
    }
}
