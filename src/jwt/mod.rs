//! JSON Web Tokens that are not ID tokens: the only folder that names `jsonwebtoken`.

pub mod keys;
