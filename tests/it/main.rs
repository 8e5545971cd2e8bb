//! Flows against the real code, beside an issuer and a clock of the test's own: one binary, a file
//! for each subject.

mod discovery;
mod hostile;
mod id_token;
mod login;
mod logout;
mod review_flows;
mod review_verify;
mod support;
mod verify;
