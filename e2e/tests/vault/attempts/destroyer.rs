//! What the destroyer might try beyond its work.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use subrosa_records::vault::canary;

use super::Root::{Permitted, Spared, Works};
use super::{Try, attempt};
use crate::confinement::{COHORT, ID, KEY, Prey};

/// To seal something else than a canary, and to open it.
pub fn canaries(prey: &Prey) -> Vec<Try> {
    let (text, bound) = (STANDARD.encode(canary::PLAINTEXT), STANDARD.encode(canary::ASSOCIATED_DATA));
    let item = STANDARD.encode(&prey.item_associated_data);
    let with = |body: &Value, more: Value| {
        let mut body = body.clone();
        body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        body
    };
    let seal = |name, body: Value, root| attempt(name, "POST", format!("transit/encrypt/{KEY}"), body, root);
    let open = |name, body: Value, root| attempt(name, "POST", format!("transit/decrypt/{KEY}"), body, root);
    let sealing = json!({"plaintext": text, "associated_data": bound});
    let opening = json!({"ciphertext": prey.canary, "associated_data": bound});
    let sealed = |associated_data: &str| json!({"ciphertext": prey.item, "associated_data": associated_data});
    let twice = |first: &str, then: &str| Try {
        body: format!(
            r#"{{"ciphertext":{},"associated_data":"{first}","associated_data":"{then}"}}"#,
            prey.item
        ),
        ..open("open an item by naming two", json!(null), Works)
    };
    vec![
        seal("seal another text", json!({"plaintext": "YQ==", "associated_data": bound}), Works),
        seal("seal without associated data", json!({"plaintext": text}), Works),
        seal("seal for an item", json!({"plaintext": text, "associated_data": item}), Works),
        seal("seal for nothing", json!({"plaintext": text, "associated_data": ""}), Works),
        seal("seal with null", json!({"plaintext": text, "associated_data": null}), Works),
        seal("seal with a list", json!({"plaintext": text, "associated_data": [bound]}), Spared).anyhow(),
        seal("seal nothing", json!({"associated_data": bound}), Permitted),
        seal("seal nothing at all", json!({}), Permitted),
        seal("seal in capitals", json!({"Plaintext": text, "Associated_Data": bound}), Permitted),
        seal("seal in bulk", json!({"batch_input": [sealing]}), Works),
        seal("seal in bulk on the side", with(&sealing, json!({"batch_input": [sealing]})), Works),
        seal("seal with a context", with(&sealing, json!({"context": "YQ=="})), Works),
        seal("seal with a nonce", with(&sealing, json!({"nonce": "AAAAAAAAAAAAAAAA"})), Permitted),
        seal("seal with a version", with(&sealing, json!({"key_version": 1})), Works),
        seal("seal by making a key", with(&sealing, json!({"type": "aes256-gcm96"})), Works),
        seal("seal with the name of another", with(&sealing, json!({"name": "another"})), Works),
        attempt("seal under no key", "POST", format!("transit/encrypt/{ID}.new.2026"), sealing, Permitted),
        open("open an item", sealed(&item), Works),
        open("open an item as a canary", sealed(&bound), Spared).anyhow(),
        open("open an item as nothing", sealed(""), Permitted),
        open("open an item without", json!({"ciphertext": prey.item}), Permitted),
        open("open an item with null", json!({"ciphertext": prey.item, "associated_data": null}), Permitted),
        open(
            "open an item with a list",
            json!({"ciphertext": prey.item, "associated_data": [item]}),
            Permitted,
        ),
        open(
            "open an item with both",
            json!({"ciphertext": prey.item, "associated_data": [bound, item]}),
            Permitted,
        ),
        twice(&bound, &item),
        twice(&item, &bound).anyhow(),
        open(
            "open an item in capitals",
            with(&sealed(&bound), json!({"Associated_Data": item, "ASSOCIATED_DATA": item})),
            Permitted,
        ),
        open("open what was sealed for nothing", json!({"ciphertext": prey.ciphertext}), Works),
        open(
            "open that as a canary",
            json!({"ciphertext": prey.ciphertext, "associated_data": bound}),
            Spared,
        )
        .anyhow(),
        open("open in bulk", json!({"batch_input": [sealed(&item)]}), Works),
        open("open in bulk on the side", with(&opening, json!({"batch_input": [sealed(&item)]})), Works),
        open("open with a context", with(&opening, json!({"context": "YQ=="})), Works),
        open(
            "open with a status of one's own",
            with(&opening, json!({"partial_failure_response_code": 200})),
            Works,
        ),
        attempt(
            "open an item by a query",
            "POST",
            format!("transit/decrypt/{KEY}?associated_data={item}"),
            sealed(&bound),
            Spared,
        )
        .anyhow(),
        attempt("open by reading", "GET", format!("transit/decrypt/{KEY}"), json!(null), Permitted),
        attempt(
            "move to the newest version",
            "POST",
            format!("transit/rewrap/{KEY}"),
            sealed(&item),
            Permitted,
        ),
    ]
}

/// Settings of a key other than that it may be deleted.
pub fn settings() -> Vec<Try> {
    let config =
        |name, body: Value, root| attempt(name, "POST", format!("transit/keys/{KEY}/config"), body, root);
    let beside = |name, field: &str, value: Value| {
        let mut body = json!({"deletion_allowed": true});
        body[field] = value;
        config(name, body, Works)
    };
    vec![
        config("forbid deletion", json!({"deletion_allowed": false}), Works),
        config("allow deletion as text", json!({"deletion_allowed": "true"}), Works),
        config("allow deletion as a number", json!({"deletion_allowed": 1}), Works),
        config("allow deletion in a list", json!({"deletion_allowed": [true]}), Permitted),
        config("allow deletion with null", json!({"deletion_allowed": null}), Works),
        config("allow deletion in capitals", json!({"Deletion_Allowed": true}), Works),
        config("set nothing", json!({}), Works),
        config("make a key exportable", json!({"exportable": true}), Works),
        config("allow plaintext backup", json!({"allow_plaintext_backup": true}), Works),
        config("rotate by itself", json!({"auto_rotate_period": "1h"}), Works),
        config("raise the minimum to open", json!({"min_decryption_version": 1}), Works),
        config("raise the minimum to seal", json!({"min_encryption_version": 1}), Works),
        beside("make a key exportable on the side", "exportable", json!(true)),
        beside("make a key exportable on the side in capitals", "Exportable", json!(true)),
        beside("allow plaintext backup on the side", "allow_plaintext_backup", json!(true)),
        beside("rotate by itself on the side", "auto_rotate_period", json!("1h")),
        beside("raise the minimum to open on the side", "min_decryption_version", json!(1)),
        beside("raise the minimum to seal on the side", "min_encryption_version", json!(1)),
        beside("another key's settings on the side", "name", json!("another")),
        attempt(
            "change key defaults",
            "POST",
            "transit/config/keys",
            json!({"disable_upsert": false}),
            Works,
        ),
        attempt("read key defaults", "GET", "transit/config/keys", json!(null), Works),
        attempt("change the cache", "POST", "transit/cache-config", json!({"size": 100}), Works),
    ]
}

/// To make a key, change it, use it or get it out.
pub fn keys(prey: &Prey) -> Vec<Try> {
    let at = |operation: &str| format!("transit/{operation}/{KEY}");
    let key = |rest: &str| format!("transit/keys/{KEY}/{rest}");
    let new = format!("transit/keys/{ID}.new.2026");
    vec![
        attempt("make a key", "POST", new.clone(), json!({"type": "aes256-gcm96"}), Works),
        attempt("make a key with PUT", "PUT", format!("{new}11"), json!({}), Works),
        attempt("make a key over one that is there", "POST", format!("transit/keys/{KEY}"), json!({}), Works),
        attempt("rotate", "POST", key("rotate"), json!({}), Works),
        attempt("trim", "POST", key("trim"), json!({"min_available_version": 1}), Works),
        attempt("get a data key", "POST", at("datakey/plaintext"), json!({}), Works),
        attempt("get a wrapped data key", "POST", at("datakey/wrapped"), json!({}), Works),
        attempt("authenticate", "POST", at("hmac"), json!({"input": "YQ=="}), Works),
        attempt("verify", "POST", at("verify"), json!({"input": "YQ==", "hmac": "vault:v1:YQ=="}), Permitted),
        attempt(
            "sign as an authority",
            "POST",
            format!("transit/sign/{ID}.ca"),
            json!({"input": "YQ=="}),
            Works,
        ),
        attempt(
            "sign with an algorithm in the path",
            "POST",
            format!("transit/sign/{ID}.ca/sha2-256"),
            json!({"input": "YQ=="}),
            Works,
        ),
        attempt("ask for a certificate", "POST", format!("transit/keys/{ID}.ca/csr"), json!({}), Works),
        attempt(
            "set a certificate",
            "POST",
            format!("transit/keys/{ID}.ca/set-certificate"),
            json!({"certificate_chain": "a"}),
            Permitted,
        ),
        attempt("export", "GET", at("export/encryption-key"), json!(null), Permitted),
        attempt(
            "export one version",
            "GET",
            format!("{}/1", at("export/encryption-key")),
            json!(null),
            Permitted,
        ),
        attempt(
            "export the public half",
            "GET",
            format!("transit/export/public-key/{ID}.ca"),
            json!(null),
            Works,
        ),
        attempt(
            "export for import elsewhere",
            "GET",
            format!("transit/byok-export/{KEY}/{KEY}"),
            json!(null),
            Permitted,
        ),
        attempt(
            "back up in plaintext",
            "GET",
            format!("transit/backup/{}", prey.backed_up),
            json!(null),
            Works,
        ),
        attempt("back up what cannot be", "GET", at("backup"), json!(null), Permitted),
        attempt("import", "POST", key("import"), json!({"ciphertext": "YQ=="}), Permitted),
        attempt("import a version", "POST", key("import_version"), json!({"ciphertext": "YQ=="}), Permitted),
        attempt("get the import wrapping key", "GET", "transit/wrapping_key", json!(null), Works),
        attempt("hash", "POST", "transit/hash", json!({"input": "YQ=="}), Works),
        attempt("get random bytes", "POST", "transit/random/16", json!({}), Works),
        attempt("take out of use with POST", "POST", key("soft-delete"), json!({}), Permitted),
        attempt("give back with DELETE", "DELETE", key("soft-delete-restore"), json!(null), Permitted),
        // A glob below `keys/` would let these through to the server.
        attempt("trim with DELETE", "DELETE", key("trim"), json!(null), Permitted),
        attempt("read below a key", "GET", key("a"), json!(null), Permitted),
        attempt("delete below a key", "DELETE", key("a/b"), json!(null), Permitted),
        attempt("delete all keys", "DELETE", "transit/keys", json!(null), Permitted),
        attempt("log in as the operator", "POST", "auth/kubernetes/login", prey.as_operator.clone(), Spared),
    ]
}

/// The keys of authorities: nothing at all is to be had of them.
pub fn authorities() -> Vec<Try> {
    let key = format!("transit-ca/keys/{ID}");
    let below = |operation: &str| format!("{key}/{operation}");
    let sign = json!({"input": "YQ=="});
    vec![
        attempt("read an authority's key", "GET", key.clone(), json!(null), Works),
        attempt("list authorities' keys", "LIST", "transit-ca/keys", json!(null), Works),
        attempt("sign with it", "POST", format!("transit-ca/sign/{ID}"), sign, Works),
        attempt("rotate it", "POST", below("rotate"), json!({}), Works),
        attempt("allow its deletion", "POST", below("config"), json!({"deletion_allowed": true}), Works),
        attempt("take it out of use", "DELETE", below("soft-delete"), json!(null), Works),
        attempt("give it back", "POST", below("soft-delete-restore"), json!({}), Works),
        attempt("delete it", "DELETE", key.clone(), json!(null), Works),
        attempt("make one", "POST", "transit-ca/keys/bbbbbbbbbbbbbbbb", json!({"type": "ecdsa-p256"}), Works),
    ]
}

/// To put another key in the place of one.
pub fn restore(prey: &Prey) -> Vec<Try> {
    let to = |name: &str| format!("transit/restore/{name}");
    let backup = json!({"backup": prey.backup});
    vec![
        attempt("restore a key", "POST", to(&format!("{ID}.old.2026")), backup, Works),
        attempt("restore over a key", "POST", to(KEY), prey.forced(), Works),
        attempt("restore over a key by its own name", "POST", "transit/restore", prey.forced(), Works),
    ]
}

/// Records that it only reads, and places that are nobody's.
pub fn records_of_others() -> Vec<Try> {
    let write = |name, path: &str, cas: u8, root| {
        let body = json!({"data": {"a": 9}, "options": {"cas": cas}});
        attempt(name, "POST", format!("subrosa/data/{path}"), body, root)
    };
    vec![
        write("write a Channel's record", &format!("channels/{ID}"), 2, Works),
        write("make a Channel's record", "channels/bbbbbbbbbbbbbbbb", 0, Works),
        write("write a record of keys", &format!("keys/{ID}/call-recording/2026m11"), 2, Works),
        write("make a record of keys", &format!("keys/{ID}/call-recording/2026m12"), 0, Works),
        write("write whose store it is", "domain", 2, Works),
        write("write what was found of keys", "key-findings", 0, Works),
        write("make a decision above", &format!("decisions/{ID}"), 0, Works),
        write("make a decision beside", &format!("decisions/{ID}/call-recording"), 0, Works),
        write("make a decision below", &format!("decisions/{ID}/call-recording/{COHORT}/a"), 0, Works),
        write("write below what it remembers", "destroyer/a", 0, Works),
        write("write a role", "roles/a", 0, Works),
        write("write evidence", "evidence/a", 0, Works),
        attempt("read what was found of keys", "GET", "subrosa/data/key-findings", json!(null), Works),
        attempt("list everything", "LIST", "subrosa/metadata", json!(null), Works),
        attempt("read the engine's settings", "GET", "subrosa/config", json!(null), Works),
        attempt("grant to itself", "POST", "identity/entity-alias", json!({"name": "a"}), Permitted),
    ]
}
