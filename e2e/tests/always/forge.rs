//! Making things old, as only root can: nobody waits half a year for a rotation.

use anyhow::{Context as _, Result, bail, ensure};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};
use subrosa::pki::{self, PublicKey, Serial};
use subrosa_crds::{
    TrustDomain,
    cohort::Cohort,
    names::{ChannelId, ChannelRef},
};
use subrosa_e2e::openbao::key_path;
use subrosa_plan::{
    certificate::specs::authority_spec,
    record::{
        channel::ChannelRecord,
        generations::{Generations, NewCertificate},
    },
};

use crate::cluster::{Cluster, DOMAIN};

const DAY: SignedDuration = SignedDuration::from_hours(24);

/// Replaces the only generation of an authority by one of the same key that was made `days` ago.
///
/// No operator may run meanwhile: it remembers what it wrote.
pub async fn older_authority(
    cluster: &Cluster,
    namespace: &str,
    name: &str,
    id: &ChannelId,
    days: i32,
) -> Result<()> {
    let domain: TrustDomain = serde_json::from_value(serde_json::to_value(
        cluster.subrosa("TrustDomain", "").await?.get(DOMAIN).await?,
    )?)?;
    let (now, then) = (Timestamp::now(), Timestamp::now().checked_sub(DAY * days)?);
    let channel = ChannelRef::new(namespace, name);
    let spec = authority_spec(&channel, id, &domain, now);
    let key = id.authority_key();
    let (_, described) = cluster.root("GET", &key_path(&key), None).await?;
    let public = described["data"]["keys"]["1"]["public_key"].as_str().context("no public key")?;
    let public = PublicKey::from_pem(public)?;
    let serial = Serial::from_random(rand::random());
    let unsigned = pki::prepare_authority(&spec, 1, &public, &serial, then)?;
    let checked = pki::check_authority(unsigned, &spec, 1, &public, &serial, then)?;
    let ask = json!({
        "input": STANDARD.encode(checked.to_be_signed()), "key_version": 1,
        "hash_algorithm": "sha2-256", "marshaling_algorithm": "asn1",
    });
    let (_, signed) = cluster.root("POST", &format!("transit-ca/sign/{key}"), Some(ask)).await?;
    let signature = signed["data"]["signature"].as_str().and_then(|text| text.strip_prefix("vault:v1:"));
    let certificate = checked.finish(&STANDARD.decode(signature.context("no signature")?)?)?;

    let mut record: ChannelRecord =
        serde_json::from_value(cluster.record(id.as_str()).await?.context("no record")?)?;
    let last_leaf = record.authority.leaves_until().context("no leaf was noted")?;
    ensure!(record.authority.iter().count() == 1, "more than one generation");
    record.authority = Generations::default()
        .with_certificate(NewCertificate {
            version: 1,
            key_version: Some(1),
            certificate_pem: certificate.pem(),
            fingerprint: certificate.fingerprint(),
            validity: spec.validity(then),
            permitted_dns: spec.permitted_dns.clone(),
            published_at: then,
        })
        .with_leaf(1, last_leaf);
    rewrite(cluster, id, &record).await
}

/// Makes a data key one that was created `days` ago; its material is another.
pub async fn older_key(cluster: &Cluster, name: &str, days: i32) -> Result<()> {
    let made = json!({"type": "aes256-gcm96", "exportable": true, "allow_plaintext_backup": true});
    let (_, found) = cluster.root("GET", &format!("transit/keys/{name}"), None).await?;
    let period = found["data"]["auto_rotate_period"].as_i64().context("no rotation")?;
    cluster.root("POST", "transit/keys/forged", Some(made)).await?;
    let (_, backup) = cluster.root("GET", "transit/backup/forged", None).await?;
    let backup = STANDARD.decode(backup["data"]["backup"].as_str().context("no backup")?)?;
    let mut backup: Value = serde_json::from_slice(&backup)?;
    let then = Timestamp::now().checked_sub(DAY * days)?;
    backup["policy"]["auto_rotate_period"] = json!(period * 1_000_000_000);
    for flag in ["exportable", "allow_plaintext_backup"] {
        backup["policy"][flag] = json!(false);
    }
    for keys in ["/policy/keys/1", "/archived_keys/keys/1"] {
        let Some(version) = backup.pointer_mut(keys) else { bail!("a backup without {keys}: {backup}") };
        version["creation_time"] = json!(then.as_second());
        version["time"] = json!(then.to_string());
    }
    let restore = json!({"backup": STANDARD.encode(backup.to_string()), "force": true});
    let (status, answer) = cluster.root("POST", &format!("transit/restore/{name}"), Some(restore)).await?;
    ensure!(status == 204 || status == 200, "restoring {name}: {status} {answer}");
    let (_, found) = cluster.root("GET", &format!("transit/keys/{name}"), None).await?;
    ensure!(found["data"]["keys"]["1"] == then.as_second(), "{name} is no older: {found}");
    ensure!(found["data"]["auto_rotate_period"] == period, "{name} rotates otherwise: {found}");
    noted_as_made(cluster, name, then).await
}

/// Has the records say when the key was made: one of another time is another key.
async fn noted_as_made(cluster: &Cluster, name: &str, then: Timestamp) -> Result<()> {
    let mut parts = name.split('.');
    let (Some(id), Some(class), Some(cohort)) = (parts.next(), parts.next(), parts.next()) else {
        bail!("{name} is no data key")
    };
    let then = json!(Timestamp::from_second(then.as_second())?.to_string());
    let month = cohort.parse::<Cohort>()?.month();
    for (path, version) in [
        (format!("subrosa/data/channels/{id}"), format!("/keys/{class}/{cohort}/versions/1")),
        (format!("subrosa/data/keys/{id}/{class}/{month}"), format!("/keys/{cohort}/versions/1")),
    ] {
        let (_, found) = cluster.root("GET", &path, None).await?;
        let mut record = found["data"]["data"].clone();
        *record.pointer_mut(&version).with_context(|| format!("{path} has no {version}"))? = then.clone();
        let body = json!({"data": record, "options": {"cas": found["data"]["metadata"]["version"]}});
        let (status, answer) = cluster.root("POST", &path, Some(body)).await?;
        ensure!(status == 200, "rewriting {path}: {status} {answer}");
    }
    Ok(())
}

/// Forgets the issuances of the last hour, of which only three are allowed.
pub async fn give_the_hour_back(cluster: &Cluster, id: &ChannelId) -> Result<()> {
    let found = cluster.record(id.as_str()).await?.context("no record")?;
    let mut record: ChannelRecord = serde_json::from_value(found)?;
    let recorded = record.issuances.recorded().iter().cloned();
    let hour = SignedDuration::from_hours(2);
    let aged = recorded.map(|one| subrosa_plan::record::issuances::IssuedLeaf { at: one.at - hour, ..one });
    record.issuances = aged
        .fold(Default::default(), |record: subrosa_plan::record::issuances::Issuances, one| {
            record.noted(one)
        });
    rewrite(cluster, id, &record).await
}

async fn rewrite(cluster: &Cluster, id: &ChannelId, record: &ChannelRecord) -> Result<()> {
    let path = format!("subrosa/data/channels/{id}");
    let (_, found) = cluster.root("GET", &path, None).await?;
    let cas = found["data"]["metadata"]["version"].clone();
    let body = json!({"data": serde_json::to_value(record)?, "options": {"cas": cas}});
    let (status, answer) = cluster.root("POST", &path, Some(body)).await?;
    ensure!(status == 200, "rewriting the record of {id}: {status} {answer}");
    Ok(())
}
