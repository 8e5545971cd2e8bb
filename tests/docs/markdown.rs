//! The documents, and as much of Markdown as they use: fenced blocks, tables, headings and links.

use std::fs;
use std::path::{Path, PathBuf};

/// One document.
pub struct Document {
    /// Below the root of the source tree: `docs/configuration.md`.
    pub name: String,
    pub text: String,
}

/// A fenced block.
pub struct Block<'a> {
    /// What stands behind the opening fence: `toml check`.
    pub info: &'a str,
    pub text: String,
    /// Where it begins, counted from one.
    pub line: usize,
}

pub fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// A file of the source tree.
pub fn source(name: &str) -> String {
    let path = root().join(name);
    let text = fs::read_to_string(&path);
    assert!(text.is_ok(), "{}: {text:?}", path.display());
    text.unwrap_or_default()
}

/// All documents: those at the root, those in `docs/` and its folders, and those beside what is deployed.
pub fn documents() -> Vec<Document> {
    let folders = [
        "",
        "deploy/compose",
        "deploy/nixos",
        "deploy/prometheus",
        "deploy/traefik",
        "docs",
        "docs/patterns",
        "docs/troubleshooting",
    ];
    let mut names: Vec<PathBuf> = folders
        .iter()
        .flat_map(|folder| fs::read_dir(root().join(folder)).expect("a folder"))
        .map(|entry| entry.expect("an entry").path())
        .filter(|path| path.extension().is_some_and(|ending| ending == "md"))
        .collect();
    names.sort();
    let read = |path: PathBuf| {
        let name = path.strip_prefix(root()).expect("below the root");
        let name = name.to_str().expect("UTF-8").to_owned();
        Document {
            text: source(&name),
            name,
        }
    };
    names.into_iter().map(read).collect()
}

impl Document {
    pub fn blocks(&self) -> Vec<Block<'_>> {
        let mut blocks: Vec<Block<'_>> = Vec::new();
        let mut open = false;
        for (index, line) in self.text.lines().enumerate() {
            match (line.strip_prefix("```"), open) {
                (Some(info), false) => {
                    blocks.push(Block {
                        info,
                        text: String::new(),
                        line: index + 1,
                    });
                    open = true;
                }
                (Some(_), true) => open = false,
                (None, true) => {
                    let block = blocks.last_mut().expect("an open block");
                    block.text.push_str(line);
                    block.text.push('\n');
                }
                (None, false) => {}
            }
        }
        assert!(!open, "{}: a block is not closed", self.name);
        blocks
    }

    /// The blocks of one language, whatever else their info string says.
    pub fn blocks_of(&self, language: &str) -> Vec<Block<'_>> {
        let is_it = |block: &Block<'_>| block.info.split(' ').next() == Some(language);
        self.blocks().into_iter().filter(is_it).collect()
    }

    /// The lines outside of fenced blocks.
    pub fn prose(&self) -> Vec<&str> {
        let mut open = false;
        let outside = |line: &&str| {
            let fence = line.starts_with("```");
            open ^= fence;
            !open && !fence
        };
        self.text.lines().filter(outside).collect()
    }

    /// Headings with the rows of the tables below them: the code spans of each row's first cell.
    pub fn sections(&self) -> Vec<(&str, Vec<&str>)> {
        let mut sections = vec![("", Vec::new())];
        for line in self.prose() {
            if line.starts_with('#') {
                sections.push((line.trim_start_matches('#').trim(), Vec::new()));
            } else if let Some(row) = line.strip_prefix("| ") {
                let first = row.split(" |").next().unwrap_or_default();
                let section = sections.last_mut().expect("there is one at least");
                section.1.extend(code_spans(first));
            }
        }
        sections
    }

    /// What the links in the prose lead to.
    pub fn links(&self) -> Vec<&str> {
        let lines = self.prose().into_iter();
        let targets = lines.flat_map(|line| line.split("](").skip(1));
        targets.filter_map(|part| part.split(')').next()).collect()
    }

    /// The anchors that links to this document may name, as code hosts make them.
    pub fn anchors(&self) -> Vec<String> {
        let headings = self.prose().into_iter();
        let headings = headings.filter(|line| line.starts_with('#'));
        let anchor = |heading: &str| {
            let heading = heading.trim_start_matches('#').trim().to_lowercase();
            let kept = heading
                .chars()
                .filter(|c| c.is_alphanumeric() || matches!(c, ' ' | '-' | '_'));
            kept.map(|c| if c == ' ' { '-' } else { c }).collect()
        };
        headings.map(anchor).collect()
    }
}

/// What stands between single backquotes.
pub fn code_spans(text: &str) -> impl Iterator<Item = &str> {
    text.split('`').skip(1).step_by(2)
}
