//! `subrosa vault-setup`: what an administrator writes into Vault once.

use std::{
    env, fs,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, Result, anyhow, bail};
use secrecy::{ExposeSecret as _, SecretString};
use subrosa_crds::TrustDomain;
use subrosa_plan::{roles::providers, world::domain};
use zeroize::Zeroizing;

use super::{
    exit::Exit,
    manifest::{self, Sources},
    output::Screen,
    words,
};
use subrosa_records::vault::{
    MountPath, RoleName, Vault, VaultAddress, VaultConfig, VaultError,
    setup::{
        KubernetesApi, PeopleParams, ProviderKeys, SetupParams, VaultSetup,
        apply::{self, StepOutcome},
    },
};

const EXAMPLES: &str = "\
Examples:
  subrosa vault-setup -f trust-domain.yaml                     # prints the requests, for somebody else to make
  VAULT_TOKEN=… subrosa vault-setup -f trust-domain.yaml --apply
  subrosa vault-setup --trust-domain oosterlinde --apply --address https://openbao.example:8200 \\
    --ca-file ca.crt --token-file admin-token

The token is read from a file or from VAULT_TOKEN or BAO_TOKEN, never from the command line. Applied twice, the
second time changes nothing.";

/// Prints, or applies, the static setup of Vault: mounts, Kubernetes auth, policies and roles
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Args {
    /// A manifest with the TrustDomain, from which the rest is taken
    #[arg(short = 'f', long = "filename", value_name = "FILE")]
    file: Option<PathBuf>,
    /// The trust domain: the value of its namespaces' label
    #[arg(long, value_name = "NAME", required_unless_present = "file")]
    trust_domain: Option<String>,
    /// Where Kubernetes auth is mounted [default: kubernetes]
    #[arg(long, value_name = "PATH")]
    auth_mount: Option<String>,
    /// Where the transit engine is mounted [default: transit]
    #[arg(long, value_name = "PATH")]
    transit_mount: Option<String>,
    /// Where the transit engine with the keys of certificate authorities is mounted [default: that of transit with -ca at its end]
    #[arg(long, value_name = "PATH")]
    authorities_mount: Option<String>,
    /// Where the KV engine of the record is mounted [default: subrosa]
    #[arg(long, value_name = "PATH")]
    kv_mount: Option<String>,
    /// The operator's role [default: subrosa]
    #[arg(long, value_name = "NAME")]
    role: Option<String>,
    /// The audience of the tokens that log in [default: vault]
    #[arg(long, value_name = "NAME")]
    audience: Option<String>,
    /// The namespace the operator runs in
    #[arg(long, value_name = "NAMESPACE", default_value = super::OPERATOR_NAMESPACE)]
    operator_namespace: String,
    /// The operator's ServiceAccount
    #[arg(long, value_name = "NAME", default_value = super::OPERATOR_ACCOUNT)]
    operator_service_account: String,
    /// The destroyer's ServiceAccount, in the same namespace
    #[arg(long, value_name = "NAME", default_value = crate::grants::DESTROYER_ACCOUNT)]
    destroyer_service_account: String,
    /// The granter's ServiceAccount, in the same namespace
    #[arg(long, value_name = "NAME", default_value = crate::grants::GRANTER_ACCOUNT)]
    granter_service_account: String,
    /// The CA of the identity provider's certificate, for Vault to read its keys; absent, the system's
    #[arg(long, value_name = "FILE", conflicts_with = "provider_keys_file")]
    provider_ca_file: Option<PathBuf>,
    /// Public keys of the identity provider, as PEM, where Vault does not reach it
    #[arg(long, value_name = "FILE")]
    provider_keys_file: Option<PathBuf>,
    /// Others keep keys on the transit mount, and that is meant: nothing is destroyed there, retention is only reported
    #[arg(long)]
    shared_transit: bool,
    /// The API server, as Vault reaches it
    #[arg(long, value_name = "URL", default_value = "https://kubernetes.default.svc")]
    kubernetes_host: String,
    /// The API server's CA; absent, that of the pod Vault runs in
    #[arg(long, value_name = "FILE")]
    kubernetes_ca_file: Option<PathBuf>,
    /// The JWT of a ServiceAccount that may create TokenReviews and get namespaces; absent, Vault's own
    #[arg(long, value_name = "FILE")]
    reviewer_token_file: Option<PathBuf>,
    /// Make the changes, with an administrator's token
    #[arg(long)]
    apply: bool,
    /// Vault's address [default: the TrustDomain's]
    #[arg(long, value_name = "URL", requires = "apply", env = "VAULT_ADDR", hide_env_values = true)]
    address: Option<String>,
    /// The CA that signed Vault's certificate; absent, the system's
    #[arg(long, value_name = "FILE", env = "VAULT_CACERT")]
    ca_file: Option<PathBuf>,
    /// A file with the administrator's token; else VAULT_TOKEN or BAO_TOKEN
    #[arg(long, value_name = "FILE", requires = "apply")]
    token_file: Option<PathBuf>,
    /// Allow http, for development only
    #[arg(long)]
    allow_insecure: bool,
}

/// Runs the command.
///
/// # Errors
/// When a file cannot be read, a parameter is invalid, or Vault refuses.
pub async fn run(args: &Args, screen: &mut Screen) -> Result<Exit> {
    let domain =
        args.file.as_deref().map(|path| trust_domain(path, args.trust_domain.as_deref())).transpose()?;
    let setup = VaultSetup::new(&params(args, domain.as_ref())?).map_err(explained)?;
    let access = domain.as_ref().and_then(|domain| domain.spec.access.as_ref());
    for warning in access.map(providers::warnings).unwrap_or_default() {
        screen.say(&format!("spec.access: {warning}"))?;
    }
    if !args.apply {
        screen.print(&setup.print(None).map_err(explained)?)?;
        return Ok(Exit::Done);
    }
    let vault = connect(args, domain.as_ref())?;
    let report = match apply::apply(&vault, &setup).await {
        Ok(report) => report,
        Err(error) => {
            screen
                .say("stopped at an error; what was written stays, and applying again goes on from there")?;
            if args.kubernetes_ca_file.is_none() {
                screen.say("where Vault does not run in a pod of the cluster, --kubernetes-ca-file and --reviewer-token-file are needed")?;
            }
            return Err(explained(error));
        }
    };
    let mut changed = 0;
    for step in &report {
        let mut text = format!("{:<9} {}", step.outcome.to_string(), step.path);
        if !step.changed.is_empty() {
            text.push_str(&format!(" ({})", step.changed.join(", ")));
        }
        let paint = screen.paint();
        changed += usize::from(step.outcome != StepOutcome::Unchanged);
        let text = if step.outcome == StepOutcome::Unchanged { paint.faint(&text) } else { text };
        screen.print(&format!("{text}\n"))?;
    }
    if args.shared_transit {
        screen.say("--shared-transit: the destroyer has no right on the keys there, so retention is only reported (mode: Report)")?;
    }
    screen.say(&format!(
        "{}: {} written of {}",
        vault.address(),
        words::counted(changed, "object"),
        report.len()
    ))?;
    Ok(Exit::Done)
}

/// The TrustDomain in the file; the one with that name if there are several.
fn trust_domain(path: &Path, name: Option<&str>) -> Result<TrustDomain> {
    let sources = Sources { files: vec![path.to_owned()], recursive: false };
    let (manifests, findings) = manifest::read(&sources)?;
    if let Some(first) = findings.first() {
        bail!("{}", first.text(super::output::Paint(false)));
    }
    let mut domains = manifests
        .into_iter()
        .filter(|one| one.is_ours() && one.kind == "TrustDomain" && name.is_none_or(|name| name == one.name));
    let Some(found) = domains.next() else { bail!("{}: there is no such TrustDomain in it", path.display()) };
    if domains.next().is_some() {
        bail!("{}: several TrustDomains are in it: choose one with --trust-domain", path.display());
    }
    if let Some(violation) =
        subrosa_crds::validate::validate_kind(&found.kind, &found.value).unwrap_or_default().first()
    {
        bail!("{}: {violation}", found.place(&violation.field));
    }
    serde_json::from_value(found.value.clone())
        .with_context(|| format!("{}: {}", found.place(""), found.title()))
}

fn params(args: &Args, domain: Option<&TrustDomain>) -> Result<SetupParams> {
    let auth = domain.and_then(|domain| domain.spec.vault.auth.kubernetes.clone()).unwrap_or_default();
    let chosen = |given: &Option<String>, declared: Option<String>, default: &str| {
        given.clone().or(declared).unwrap_or_else(|| default.to_owned())
    };
    let mount = |path: String| MountPath::new(path).map_err(|error| explained(error.into()));
    let name = domain.and_then(|domain| domain.metadata.name.clone());
    let read = |path: &Option<PathBuf>| path.as_deref().map(text).transpose();
    let transit =
        chosen(&args.transit_mount, domain.map(|one| domain::transit_mount(one).to_owned()), "transit");
    // The default is derived from the mount of data keys, even if that is given here.
    let declared = domain.and_then(|domain| domain.spec.vault.mounts.as_ref()?.authorities.clone());
    let authorities = chosen(&args.authorities_mount, declared, &format!("{transit}-ca"));
    Ok(SetupParams {
        kubernetes_mount: mount(chosen(&args.auth_mount, auth.mount, "kubernetes"))?,
        transit_mount: mount(transit)?,
        authorities_mount: mount(authorities)?,
        kv_mount: mount(chosen(
            &args.kv_mount,
            domain.map(|one| domain::kv_mount(one).to_owned()),
            "subrosa",
        ))?,
        operator_role: RoleName::new(chosen(&args.role, auth.role, "subrosa"))
            .map_err(|error| explained(error.into()))?,
        operator_namespace: args.operator_namespace.clone(),
        operator_service_account: args.operator_service_account.clone(),
        destroyer_service_account: args.destroyer_service_account.clone(),
        shared_transit: args.shared_transit,
        audience: chosen(&args.audience, auth.audience, "vault"),
        trust_domain: chosen(&args.trust_domain, name, ""),
        kubernetes: KubernetesApi {
            host: args.kubernetes_host.clone(),
            ca_pem: read(&args.kubernetes_ca_file)?,
            reviewer_jwt: args.reviewer_token_file.as_deref().map(secret).transpose()?,
        },
        people: people(args, domain)?,
    })
}

/// The login of people, where the TrustDomain has one.
fn people(args: &Args, domain: Option<&TrustDomain>) -> Result<Option<PeopleParams>> {
    let Some(access) = domain.and_then(|domain| domain.spec.access.clone()) else { return Ok(None) };
    let read = |path: &Option<PathBuf>| path.as_deref().map(text).transpose();
    let keys = match read(&args.provider_keys_file)? {
        Some(pem) => {
            let blocks =
                pem::parse_many(&pem).context("--provider-keys-file: expected public keys as PEM")?;
            if blocks.is_empty() {
                bail!("--provider-keys-file: there is no PEM block in it: expected public keys");
            }
            ProviderKeys::Given(blocks.iter().map(pem::encode).collect())
        }
        None => ProviderKeys::Discovered { ca_pem: read(&args.provider_ca_file)? },
    };
    Ok(Some(PeopleParams { access, keys, granter_service_account: args.granter_service_account.clone() }))
}

fn connect(args: &Args, domain: Option<&TrustDomain>) -> Result<Vault> {
    let declared = domain.map(|domain| domain.spec.vault.address.clone());
    let Some(address) = args.address.clone().or(declared) else {
        bail!("where is Vault? Give --address, VAULT_ADDR, or a TrustDomain with -f");
    };
    let insecure = args.allow_insecure || domain.is_some_and(|domain| domain.spec.vault.allow_insecure);
    let mut config = VaultConfig::new(VaultAddress::parse(&address, insecure).map_err(explained)?);
    config.ca_bundle = args.ca_file.as_deref().map(text).transpose()?;
    let vault = Vault::new(config).map_err(explained)?;
    vault.set_token(&token(args)?).map_err(explained)?;
    Ok(vault)
}

fn token(args: &Args) -> Result<SecretString> {
    if let Some(path) = &args.token_file {
        return secret(path);
    }
    for name in ["VAULT_TOKEN", "BAO_TOKEN"] {
        if let Ok(token) = env::var(name).map(SecretString::from)
            && !token.expose_secret().is_empty()
        {
            return Ok(token);
        }
    }
    bail!("an administrator's token is needed: set VAULT_TOKEN, or give --token-file")
}

fn text(path: &Path) -> Result<String> {
    fs::read_to_string(path).with_context(|| format!("{} cannot be read", path.display()))
}

fn secret(path: &Path) -> Result<SecretString> {
    let text = Zeroizing::new(text(path)?);
    if text.trim().is_empty() {
        bail!("{} is empty: it should hold a token", path.display());
    }
    Ok(SecretString::from(text.trim()))
}

// The error with its next step.
fn explained(error: VaultError) -> anyhow::Error {
    anyhow!("{error}: {}", error.next_step())
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;

    use super::*;

    #[derive(clap::Parser)]
    struct Line {
        #[command(flatten)]
        args: Args,
    }

    fn printed(line: &str) -> Result<String> {
        let (mut screen, captured) = Screen::captured();
        let args = Line::try_parse_from(line.split_whitespace())?.args;
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        runtime.block_on(run(&args, &mut screen))?;
        Ok(captured.printed())
    }

    fn domain_file() -> tempfile::NamedTempFile {
        let file = tempfile::NamedTempFile::new().unwrap();
        let mut domain = crate::cli::testing::domain();
        domain.status = None;
        let mut value = serde_json::to_value(domain).unwrap();
        value["spec"]["vault"]["mounts"] = serde_json::json!({"transit": "seal", "kv": "record"});
        fs::write(file.path(), serde_saphyr::to_string(&value).unwrap()).unwrap();
        file
    }

    #[test]
    fn the_trust_domain_says_where_everything_is_and_flags_win() {
        let file = domain_file();
        let text = printed(&format!("x -f {}", file.path().display())).unwrap();
        assert!(text.contains("sys/mounts/seal") && text.contains("sys/mounts/record"), "{text}");
        assert!(text.contains("subrosa.dev/trust-domain") && text.contains("oosterlinde"), "{text}");
        let text = printed(&format!("x -f {} --transit-mount other", file.path().display())).unwrap();
        assert!(text.contains("sys/mounts/other") && !text.contains("mounts/seal"), "{text}");
        assert!(text.contains("other/keys/+") && !text.contains("seal/keys"), "{text}");
    }

    #[test]
    fn the_destroyer_has_an_account_of_its_own_and_no_rights_on_a_shared_mount() {
        let text = printed("x --trust-domain d").unwrap();
        assert!(text.contains("role/subrosa-destroyer") && text.contains("- subrosa-destroyer\n"), "{text}");
        assert!(text.contains("soft-delete") && text.contains("disable_upsert: true"), "{text}");
        let text = printed("x --trust-domain d --destroyer-service-account ends-data").unwrap();
        assert!(text.contains("- ends-data\n"), "{text}");
        let text = printed("x --trust-domain d --shared-transit").unwrap();
        assert!(!text.contains("soft-delete") && !text.contains("disable_upsert"), "{text}");
        let error = printed("x --trust-domain d --destroyer-service-account subrosa").unwrap_err();
        assert!(format!("{error:#}").contains("destroyer's ServiceAccount"), "{error:#}");
    }

    #[test]
    fn a_secret_is_read_from_a_file_and_never_shown() {
        let token = tempfile::NamedTempFile::new().unwrap();
        fs::write(token.path(), "canary-reviewer-jwt\n").unwrap();
        let text =
            printed(&format!("x --trust-domain d --reviewer-token-file {}", token.path().display())).unwrap();
        assert!(text.contains("<not shown>") && !text.contains("canary-reviewer"), "{text}");
        assert!(
            Line::try_parse_from(["x", "--trust-domain", "d", "--token", "t"]).is_err(),
            "no token in argv"
        );
    }

    #[test]
    fn what_is_wrong_is_said_before_anything_is_sent() {
        assert!(printed("x").is_err(), "which trust domain?");
        let error = printed("x --trust-domain d --operator-namespace *").unwrap_err();
        assert!(format!("{error:#}").contains("operator's namespace"), "{error:#}");
        let error = printed("x --trust-domain d --apply --address http://vault:8200 --token-file /dev/null")
            .unwrap_err();
        assert!(format!("{error:#}").contains("https"), "{error:#}");
    }
}
