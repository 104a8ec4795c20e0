//! The connection to a real server: whom it trusts, and how its states are told apart.

use serde_json::json;
use subrosa_crds::Reason;
use subrosa_records::vault::auth::{Login, Session};
use subrosa_records::vault::transit::Transit;
use subrosa_records::vault::{Vault, VaultAddress, VaultConfig};

use crate::support::{Bao, mount};

fn transit(vault: &Vault) -> Transit {
    Transit::new(vault.clone(), mount("transit"))
}

#[tokio::test]
async fn health_needs_no_token_and_tells_the_clock() {
    let bao = Bao::start().await;
    let asked = std::time::Instant::now();
    let health = bao.connect().health().await.unwrap();
    // A slow answer was given at any time since the question.
    let took = jiff::SignedDuration::try_from(asked.elapsed()).unwrap();
    let precision = jiff::SignedDuration::from_secs(2) + took;
    assert_eq!(health.version, bao.admin("GET", "sys/health", json!(null)).await["version"]);
    assert!(health.initialized && !health.sealed && !health.standby);
    assert!(health.clock_skew().abs() < precision, "{}", health.clock_skew());
}

#[tokio::test]
async fn a_sealed_vault_is_told_from_an_unreachable_one() {
    let bao = Bao::start().await;
    let vault = bao.root();
    bao.server().seal().await.unwrap();
    assert_eq!(transit(&vault).list_keys().await.unwrap_err().reason(), Reason::VaultSealed);
    assert!(vault.health().await.unwrap().sealed);
    let login = Session::new(bao.connect(), Login::Token(bao.root_token().into())).login().await;
    assert_eq!(login.unwrap_err().reason(), Reason::VaultSealed);

    bao.server().kill();
    let error = transit(&vault).list_keys().await.unwrap_err();
    assert_eq!(error.reason(), Reason::VaultUnreachable, "{error}");
}

#[tokio::test]
async fn only_the_given_authority_is_trusted() {
    let bao = Bao::start().await;
    let other = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap().cert.pem();
    let address = VaultAddress::parse(bao.server().url(), false).unwrap();
    for ca_bundle in [Some(other), None] {
        let Ok(vault) = Vault::new(VaultConfig { ca_bundle, ..VaultConfig::new(address.clone()) }) else {
            continue; // a machine without any authorities of its own
        };
        let error = vault.health().await.unwrap_err();
        assert_eq!(error.reason(), Reason::VaultUnreachable);
        assert!(error.to_string().contains("certificate"), "{error}");
    }
}
