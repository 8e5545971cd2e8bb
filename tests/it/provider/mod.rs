//! A hostile provider. Whatever it says, or does not say: a page in plain words, a line in the log, nobody signed in, within
//! ten seconds; and the next login works once it has come to its senses.

mod answers;
mod certificates;
mod clocks;
mod id_token;
pub mod lies;
mod outages;
mod patience;
mod rotation;
mod trial;
