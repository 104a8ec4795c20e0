//! Records that may be read, and some of them written, and never deleted.

use serde_json::json;

use super::Root::{Permitted, Works};
use super::{Try, attempt};

/// What would take a record's memory away, or write beside it.
pub fn records(record: &str) -> Vec<Try> {
    vec![
        attempt(
            "delete the newest record version",
            "DELETE",
            format!("subrosa/data/{record}"),
            json!(null),
            Works,
        ),
        attempt(
            "delete record versions",
            "POST",
            format!("subrosa/delete/{record}"),
            json!({"versions": [1]}),
            Works,
        ),
        attempt(
            "undelete record versions",
            "POST",
            format!("subrosa/undelete/{record}"),
            json!({"versions": [1]}),
            Works,
        ),
        attempt(
            "patch a record",
            "PATCH",
            format!("subrosa/data/{record}"),
            json!({"data": {"b": 1}, "options": {"cas": 2}}),
            Permitted,
        ),
        attempt(
            "shorten the record's memory",
            "POST",
            format!("subrosa/metadata/{record}"),
            json!({"max_versions": 1}),
            Works,
        ),
        attempt(
            "let records expire",
            "POST",
            format!("subrosa/metadata/{record}"),
            json!({"delete_version_after": "1s"}),
            Works,
        ),
        attempt("read record metadata", "GET", format!("subrosa/metadata/{record}"), json!(null), Works),
        attempt("weaken the record", "POST", "subrosa/config", json!({"cas_required": false}), Works),
        attempt("write outside the record", "POST", "subrosa/data/other/a", json!({"data": {}}), Works),
        attempt(
            "write below an entry",
            "POST",
            format!("subrosa/data/{record}/b"),
            json!({"data": {}}),
            Works,
        ),
        attempt(
            "destroy record versions",
            "POST",
            format!("subrosa/destroy/{record}"),
            json!({"versions": [1]}),
            Works,
        ),
        attempt(
            "delete a record's metadata",
            "DELETE",
            format!("subrosa/metadata/{record}"),
            json!(null),
            Works,
        ),
    ]
}
