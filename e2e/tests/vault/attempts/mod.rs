//! What somebody might try with the operator's or the destroyer's token. Each is a request that an administrator could make.

mod destroyer;
mod destruction;
mod detours;
mod identities;
mod keys;
mod policies;
mod records;
mod server;

use serde_json::Value;

use crate::confinement::{COHORT, ID, Prey};

/// What the same request does for an administrator afterwards.
#[derive(Clone, Copy, PartialEq)]
pub enum Root {
    /// It succeeds.
    Works,
    /// It is permitted, but this server or this object cannot do it.
    Permitted,
    /// It is not tried: it would end the server, or it is refused whoever asks.
    Spared,
}

/// How it is refused.
#[derive(Clone, Copy, PartialEq)]
pub enum Refusal {
    /// With 403: this token has no right to it.
    NoRight,
    /// With any status but success: the request itself is none, before or after rights are looked at.
    Anyhow,
}

#[derive(Clone)]
pub struct Try {
    pub name: &'static str,
    pub method: &'static str,
    pub path: String,
    /// The body as it is sent.
    pub body: String,
    pub refusal: Refusal,
    pub root: Root,
}

impl Try {
    /// Refused with any status but success, whoever asks.
    fn anyhow(self) -> Self {
        Self { refusal: Refusal::Anyhow, root: Root::Spared, ..self }
    }
}

fn attempt(
    name: &'static str,
    method: &'static str,
    path: impl Into<String>,
    body: Value,
    root: Root,
) -> Try {
    let body = if body.is_null() { String::new() } else { body.to_string() };
    Try { name, method, path: path.into(), body, refusal: Refusal::NoRight, root }
}

/// What is neither the operator's nor the destroyer's.
fn of_nobody(prey: &Prey) -> Vec<Try> {
    [policies::policies_and_roles(prey), identities::identities(prey)].concat()
}

/// Everything for the operator's token, the destructive last.
pub fn of_the_operator(prey: &Prey) -> Vec<Try> {
    [
        of_nobody(prey),
        keys::data_and_keys(prey),
        keys::authorities(),
        detours::for_the_operator(),
        destruction::decisions(),
        records::records(&format!("channels/{ID}")),
        destruction::destruction(prey),
        server::the_server_itself(),
    ]
    .concat()
}

/// Of these, those that would destroy or decide on a destruction.
pub fn of_destruction(prey: &Prey) -> Vec<Try> {
    [detours::for_the_operator(), destruction::decisions(), destruction::destruction(prey)].concat()
}

/// Everything for the destroyer's token, the destructive last.
pub fn of_the_destroyer(prey: &Prey) -> Vec<Try> {
    [
        of_nobody(prey),
        destroyer::canaries(prey),
        destroyer::settings(),
        destroyer::keys(prey),
        destroyer::authorities(),
        detours::for_the_destroyer(),
        destroyer::records_of_others(),
        records::records(&format!("channels/{ID}")),
        records::records(&format!("keys/{ID}/call-recording/2026m11")),
        records::records(&format!("decisions/{ID}/call-recording/{COHORT}")),
        records::records("destroyer"),
        destroyer::restore(prey),
        server::the_server_itself(),
    ]
    .concat()
}
