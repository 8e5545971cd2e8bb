//! Configurations that the documents show, so that what people copy is what runs.

use super::{Failure, Result, tools};

/// The fenced block of the document `name` whose info string is `info`.
///
/// # Errors
///
/// When there is none.
pub fn block(name: &str, info: &str) -> Result<String> {
    let path = tools::source_root().join(name);
    let text = std::fs::read_to_string(&path).map_err(Failure::of(path.display()))?;
    let opening = format!("```{info}\n");
    let block = text
        .split_once(&opening)
        .and_then(|(_, rest)| rest.split_once("```"));
    let (block, _) = block.ok_or_else(|| Failure(format!("{name} shows no block `{info}`")))?;
    Ok(block.to_owned())
}

/// Replaces what has to be in `text`.
///
/// # Errors
///
/// When it is not.
pub fn replaced(text: &str, from: &str, to: &str) -> Result<String> {
    if text.contains(from) {
        Ok(text.replace(from, to))
    } else {
        Err(Failure(format!("there is no `{from}` to be replaced")))
    }
}
