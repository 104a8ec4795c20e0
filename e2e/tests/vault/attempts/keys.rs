//! What the operator might try with data and keys, destroying them apart.

use serde_json::{Value, json};

use super::Root::{Permitted, Works};
use super::{Try, attempt};
use crate::confinement::{ID, KEY, Prey};

/// What would open or seal data, or let a key out.
pub fn data_and_keys(prey: &Prey) -> Vec<Try> {
    let ciphertext = &prey.ciphertext;
    let config =
        |body: Value, name, root| attempt(name, "POST", format!("transit/keys/{KEY}/config"), body, root);
    let create =
        |body: Value, name| attempt(name, "POST", "transit/keys/aaaaaaaaaaaaaaaa.evil.2026", body, Works);
    let at = |operation: &str| format!("transit/{operation}/{KEY}");
    vec![
        attempt("open data", "POST", at("decrypt"), json!({"ciphertext": ciphertext}), Works),
        attempt(
            "open data in bulk",
            "POST",
            at("decrypt"),
            json!({"batch_input": [{"ciphertext": ciphertext}]}),
            Works,
        ),
        attempt("get a data key", "POST", at("datakey/plaintext"), json!({}), Works),
        attempt("get a wrapped data key", "POST", at("datakey/wrapped"), json!({}), Works),
        attempt("seal data", "POST", at("encrypt"), json!({"plaintext": "YQ=="}), Works),
        attempt("rewrap", "POST", at("rewrap"), json!({"ciphertext": ciphertext}), Works),
        attempt("authenticate", "POST", at("hmac"), json!({"input": "YQ=="}), Works),
        attempt(
            "sign in another format",
            "POST",
            at("sign"),
            json!({"input": "YQ==", "marshaling_algorithm": "jws"}),
            Permitted,
        ),
        attempt("sign a digest", "POST", at("sign"), json!({"input": "YQ==", "prehashed": true}), Permitted),
        attempt("export", "GET", at("export/encryption-key"), json!(null), Permitted),
        attempt(
            "export one version",
            "GET",
            format!("transit/export/encryption-key/{KEY}/1"),
            json!(null),
            Permitted,
        ),
        attempt(
            "export for import elsewhere",
            "GET",
            format!("transit/byok-export/{KEY}/{KEY}"),
            json!(null),
            Permitted,
        ),
        attempt("back up in plaintext", "GET", at("backup"), json!(null), Permitted),
        attempt(
            "restore",
            "POST",
            "transit/restore/aaaaaaaaaaaaaaaa.old.2026",
            json!({"backup": "YQ=="}),
            Permitted,
        ),
        attempt(
            "restore over a key",
            "POST",
            at("restore"),
            json!({"backup": "YQ==", "force": true}),
            Permitted,
        ),
        attempt(
            "import",
            "POST",
            "transit/keys/aaaaaaaaaaaaaaaa.imported.2026/import",
            json!({"ciphertext": "YQ=="}),
            Permitted,
        ),
        attempt(
            "import a version",
            "POST",
            format!("transit/keys/{KEY}/import_version"),
            json!({"ciphertext": "YQ=="}),
            Permitted,
        ),
        attempt("get the import wrapping key", "GET", "transit/wrapping_key", json!(null), Works),
        create(json!({"type": "aes256-gcm96", "exportable": true}), "make an exportable key"),
        create(
            json!({"type": "aes256-gcm96", "allow_plaintext_backup": true}),
            "make a key with plaintext backup",
        ),
        create(
            json!({"type": "aes256-gcm96", "derived": true, "convergent_encryption": true}),
            "make a convergent key",
        ),
        create(json!({"type": "rsa-2048"}), "make a key of another type"),
        config(json!({"exportable": true}), "make a key exportable", Works),
        config(
            json!({"auto_rotate_period": 0, "exportable": true}),
            "make a key exportable on the side",
            Works,
        ),
        config(json!({"allow_plaintext_backup": true}), "allow plaintext backup", Works),
        config(json!({"min_decryption_version": 1}), "raise the minimum to open", Works),
        config(json!({"min_encryption_version": 1}), "raise the minimum to seal", Works),
        attempt(
            "trim",
            "POST",
            format!("transit/keys/{KEY}/trim"),
            json!({"min_available_version": 1}),
            Works,
        ),
        attempt(
            "change key defaults",
            "POST",
            "transit/config/keys",
            json!({"disable_upsert": false}),
            Works,
        ),
        attempt(
            "seal under a key that is not there",
            "POST",
            "transit/encrypt/aaaaaaaaaaaaaaaa.upsert.2026",
            json!({"plaintext": "YQ=="}),
            Works,
        ),
        attempt("change the cache", "POST", "transit/cache-config", json!({"size": 100}), Works),
    ]
}

/// More of the keys of authorities than making, rotating and signing.
pub fn authorities() -> Vec<Try> {
    let key = format!("transit-ca/keys/{ID}");
    let new = || "transit-ca/keys/bbbbbbbbbbbbbbbb".to_owned();
    let below = |operation: &str| format!("{key}/{operation}");
    let of = |operation: &str| format!("transit-ca/{operation}/{ID}");
    let make = |name, settings: Value| attempt(name, "POST", new(), settings, Works);
    vec![
        make("make an authority's key of another type", json!({"type": "rsa-2048"})),
        make("make one that may be exported", json!({"type": "ecdsa-p256", "exportable": true})),
        make("make one that may be backed up", json!({"type": "ecdsa-p256", "allow_plaintext_backup": true})),
        make("make one that rotates by itself", json!({"type": "ecdsa-p256", "auto_rotate_period": "1h"})),
        attempt(
            "let it rotate by itself",
            "POST",
            below("config"),
            json!({"auto_rotate_period": "1h"}),
            Works,
        ),
        attempt("trim it", "POST", below("trim"), json!({"min_available_version": 1}), Permitted),
        attempt("have Vault sign a request for it", "POST", below("csr"), json!({}), Works),
        attempt(
            "sign a digest with it",
            "POST",
            of("sign"),
            json!({"input": "YQ==", "prehashed": true}),
            Permitted,
        ),
        attempt("export its public half", "GET", of("export/public-key"), json!(null), Works),
        attempt("export it", "GET", of("export/signing-key"), json!(null), Permitted),
        attempt("back it up", "GET", of("backup"), json!(null), Permitted),
        attempt(
            "restore over it",
            "POST",
            of("restore"),
            json!({"backup": "YQ==", "force": true}),
            Permitted,
        ),
        attempt(
            "change key defaults",
            "POST",
            "transit-ca/config/keys",
            json!({"disable_upsert": false}),
            Works,
        ),
        // The administrator who shows that each works ends the key with these.
        attempt("allow its deletion", "POST", below("config"), json!({"deletion_allowed": true}), Works),
        attempt("take it out of use", "DELETE", below("soft-delete"), json!(null), Works),
        attempt("give it back", "POST", below("soft-delete-restore"), json!({}), Works),
        attempt("delete it", "DELETE", key.clone(), json!(null), Works),
    ]
}
