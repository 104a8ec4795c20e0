//! What would let the operator destroy, or decide on a destruction.

use serde_json::{Value, json};

use super::Root::{Permitted, Spared, Works};
use super::{Try, attempt};
use crate::confinement::{COHORT, ID, KEY, Prey};

/// Decisions, which the operator reads.
pub fn decisions() -> Vec<Try> {
    let (decision, other) = (
        format!("decisions/{ID}/call-recording/{COHORT}"),
        format!("decisions/{ID}/call-recording/open-2026m11"),
    );
    let write = |cas: u8| json!({"data": {"state": "Destroyed"}, "options": {"cas": cas}});
    let versions = json!({"versions": [1, 2]});
    let data = |path: &str| format!("subrosa/data/{path}");
    vec![
        attempt("write a decision", "POST", data(&decision), write(2), Works),
        attempt("write a decision with PUT", "PUT", data(&decision), write(3), Works),
        attempt("write a decision unread", "POST", data(&decision), json!({"data": {}}), Permitted),
        attempt("patch a decision", "PATCH", data(&decision), write(4), Permitted),
        attempt("make a decision", "POST", data(&other), write(0), Works),
        attempt("make a decision in another place", "POST", data("decisions/a"), write(0), Works),
        attempt("delete a decision", "DELETE", data(&decision), json!(null), Works),
        attempt(
            "undelete a decision",
            "POST",
            format!("subrosa/undelete/{decision}"),
            versions.clone(),
            Works,
        ),
        attempt(
            "delete versions of one",
            "POST",
            format!("subrosa/delete/{decision}"),
            versions.clone(),
            Works,
        ),
        attempt("destroy versions of one", "PUT", format!("subrosa/destroy/{decision}"), versions, Works),
        attempt("read what one was", "GET", format!("subrosa/metadata/{decision}"), json!(null), Works),
        attempt(
            "let decisions be forgotten",
            "POST",
            format!("subrosa/metadata/{decision}"),
            json!({"max_versions": 1, "cas_required": false}),
            Works,
        ),
        attempt("forget a decision", "DELETE", format!("subrosa/metadata/{decision}"), json!(null), Works),
        attempt("read what the destroyer remembers", "GET", data("destroyer"), json!(null), Works),
        attempt("write what the destroyer remembers", "POST", data("destroyer"), write(2), Works),
        attempt("forget the destroyer", "DELETE", "subrosa/metadata/destroyer", json!(null), Works),
    ]
}

/// Keys.
pub fn destruction(prey: &Prey) -> Vec<Try> {
    let key = format!("transit/keys/{KEY}");
    let config = |name, body: Value, root| attempt(name, "POST", format!("{key}/config"), body, root);
    let at = |rest: &str| format!("{key}/{rest}");
    let allowed = json!({"deletion_allowed": true});
    vec![
        config("allow deletion", allowed.clone(), Works),
        attempt("allow deletion with PUT", "PUT", at("config"), allowed.clone(), Works),
        attempt("allow deletion with PATCH", "PATCH", at("config"), allowed.clone(), Permitted),
        config("allow deletion as text", json!({"deletion_allowed": "true"}), Works),
        config("allow deletion as a number", json!({"deletion_allowed": 1}), Works),
        config("allow deletion in a list", json!({"deletion_allowed": [true]}), Permitted),
        config("forbid deletion", json!({"deletion_allowed": false}), Works),
        config(
            "allow deletion on the side",
            json!({"auto_rotate_period": 0, "deletion_allowed": true}),
            Works,
        ),
        config("allow deletion in capitals", json!({"Deletion_Allowed": true}), Works),
        attempt("make a key that may be deleted", "POST", key.clone(), allowed, Works),
        config("raise the minimum to seal", json!({"min_encryption_version": 2}), Works),
        config("raise the minimum to open", json!({"min_decryption_version": 2}), Works),
        config("raise the available minimum", json!({"min_available_version": 1}), Works),
        attempt("trim", "POST", at("trim"), json!({"min_available_version": 2}), Works),
        attempt("trim with PUT", "PUT", at("trim"), json!({"min_available_version": 2}), Works),
        attempt("trim with DELETE", "DELETE", at("trim"), json!(null), Permitted),
        attempt("take out of use", "DELETE", at("soft-delete"), json!(null), Works),
        attempt("give back", "POST", at("soft-delete-restore"), json!({}), Works),
        attempt("give back with PUT", "PUT", at("soft-delete-restore"), json!({}), Works),
        attempt("take out of use with POST", "POST", at("soft-delete"), json!({}), Permitted),
        attempt("give back with DELETE", "DELETE", at("soft-delete-restore"), json!(null), Permitted),
        attempt(
            "make the list of keys short",
            "POST",
            "sys/mounts/transit/tune",
            json!({"listing_visibility": "hidden"}),
            Works,
        ),
        attempt(
            "log in as the destroyer",
            "POST",
            "auth/kubernetes/login",
            prey.as_destroyer.clone(),
            Spared,
        ),
        attempt(
            "restore another key over it",
            "POST",
            format!("transit/restore/{KEY}"),
            prey.forced(),
            Works,
        ),
        attempt("delete a key that may not be", "DELETE", key.clone(), json!(null), Permitted),
        attempt("delete all keys", "DELETE", "transit/keys", json!(null), Permitted),
    ]
}
