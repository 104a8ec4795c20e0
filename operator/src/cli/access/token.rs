//! `subrosa access token`: why a login with a token would be refused. It reads the token, and neither verifies, shows nor sends it.

use std::{
    collections::BTreeSet,
    fs,
    io::Read as _,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, Result, bail};
use jiff::{SignedDuration, Timestamp};
use kube::ResourceExt as _;
use serde::Serialize;
use subrosa_crds::{
    AccessRole, TrustDomain,
    trust_domain::{AccessSpec, seconds_of},
};
use subrosa_plan::roles::{
    break_glass, providers,
    token::{Token, TokenRefusal},
};
use zeroize::Zeroizing;

use super::{Common, Format, is_none, seen::AccessObjects};
use crate::cli::{exit::Exit, explain::page::Page, output::Screen, table::Tone, words};

/// No token is longer: Vault takes none in a larger request.
const LONGEST: u64 = 1 << 20;

#[derive(Debug, clap::Args)]
pub struct TokenArgs {
    /// A file with the token of the identity provider, or - for standard input; never the token itself
    #[arg(value_name = "FILE|-")]
    file: PathBuf,
    /// One of the logins of the TrustDomain [default: each]
    #[arg(long, value_name = "NAME")]
    login: Option<String>,
    /// The TrustDomain [default: the one whose issuer made the token, or the only one with logins]
    #[arg(long, value_name = "NAME")]
    trust_domain: Option<String>,
    /// The time at which it is, as RFC 3339 [default: now]
    #[arg(long, value_name = "TIME")]
    now: Option<Timestamp>,
    #[command(flatten)]
    pub common: Common,
}

/// What a token says, and what the logins say to it.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct TokenReport {
    /// Always `NotChecked`.
    signature: &'static str,
    trust_domain: String,
    claims: TokenClaims,
    logins: Vec<LoginTold>,
    notes: Vec<String>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct TokenClaims {
    #[serde(skip_serializing_if = "is_none")]
    issuer: Option<String>,
    audience: Vec<String>,
    /// By the claim `userClaim`.
    #[serde(skip_serializing_if = "is_none")]
    person: Option<String>,
    amr: Vec<String>,
    /// By the claim `acrClaim`.
    acr: Vec<String>,
    /// How many groups; absent where the claim is.
    #[serde(skip_serializing_if = "is_none")]
    groups: Option<usize>,
    /// Those that AccessRoles name.
    named_groups: Vec<String>,
    #[serde(skip_serializing_if = "is_none")]
    expires: Option<String>,
    /// From `iat` to `exp`.
    #[serde(skip_serializing_if = "is_none")]
    lives: Option<String>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct LoginTold {
    login: String,
    mount: String,
    /// Whether Vault would take the token, if its signature is right.
    taken: bool,
    refusals: Vec<RefusalTold>,
    /// The AccessRoles with this login that name one of its groups.
    roles: Vec<String>,
}

#[derive(Debug, Serialize)]
struct RefusalTold {
    reason: &'static str,
    message: String,
}

/// Runs the command.
///
/// # Errors
/// When the text is no token, or there is no such TrustDomain or login.
pub fn run(args: &TokenArgs, seen: &AccessObjects, screen: &mut Screen) -> Result<Exit> {
    let text = read(&args.file, &args.common)?;
    let token = Token::read(&text).with_context(|| args.file.display().to_string())?;
    drop(text);
    let now = args.now.unwrap_or_else(Timestamp::now);
    let (domain, access) = domain(seen, &token, args.trust_domain.as_deref())?;
    let mut report = report(&token, domain, access, seen, now);
    if let Some(wanted) = &args.login {
        let known: Vec<_> = report.logins.iter().map(|login| login.login.clone()).collect();
        report.logins.retain(|login| login.login == *wanted);
        if report.logins.is_empty() {
            bail!("TrustDomain {} has no login {wanted}, only {}", domain.name_any(), known.join(", "));
        }
    }
    let taken = report.logins.iter().any(|login| login.taken);
    match args.common.output {
        Format::Table => screen.print(&drawn(&report, now, Page::new(screen.paint())))?,
        Format::Json => screen.print(&format!("{}\n", serde_json::to_string_pretty(&report)?))?,
        Format::Yaml => screen.print(&crate::cli::stream(&[serde_json::to_value(&report)?])?)?,
    }
    Ok(if taken { Exit::Done } else { Exit::Wrong })
}

fn read(file: &Path, common: &Common) -> Result<Zeroizing<String>> {
    let mut text = Zeroizing::new(String::new());
    if file.as_os_str() == "-" {
        if common.sources.files.iter().any(|file| file.as_os_str() == "-") {
            bail!(
                "the token and the manifests cannot both come from standard input: give a file for one of them"
            );
        }
        std::io::stdin()
            .take(LONGEST)
            .read_to_string(&mut text)
            .context("standard input is no text in UTF-8")?;
        return Ok(text);
    }
    // A token in place of a file's name is in the shell's history already, and is not repeated.
    if !file.exists() && file.to_string_lossy().split('.').count() >= 3 && file.to_string_lossy().len() > 100
    {
        bail!(
            "that looks like a token and not like a file: write it into a file, or give - and send it to standard input; who can read \
             this shell's history can use it until it expires"
        );
    }
    let opened = fs::File::open(file).with_context(|| format!("{} cannot be read", file.display()))?;
    opened
        .take(LONGEST)
        .read_to_string(&mut text)
        .with_context(|| format!("{} is no text in UTF-8", file.display()))?;
    Ok(text)
}

/// The TrustDomain that is meant.
fn domain<'a>(
    seen: &'a AccessObjects,
    token: &Token,
    named: Option<&str>,
) -> Result<(&'a TrustDomain, &'a AccessSpec)> {
    let with = seen.domains.iter().filter_map(|domain| Some((domain, domain.spec.access.as_ref()?)));
    let all: Vec<_> =
        with.filter(|(domain, _)| named.is_none_or(|named| domain.name_any() == named)).collect();
    let made: Vec<_> = all
        .iter()
        .filter(|(_, access)| token.text("iss") == Some(access.provider.issuer.as_str()))
        .copied()
        .collect();
    match (all.as_slice(), made.as_slice()) {
        ([], _) if named.is_some() => bail!("there is no such TrustDomain with spec.access"),
        ([], _) => {
            bail!("there is no TrustDomain with spec.access: give one with -f, or look at another cluster")
        }
        ([only], _) | (_, [only]) => Ok(*only),
        (_, []) => bail!("no TrustDomain names the issuer of this token: choose one with --trust-domain"),
        _ => bail!("several TrustDomains name the issuer of this token: choose one with --trust-domain"),
    }
}

fn report(
    token: &Token,
    domain: &TrustDomain,
    access: &AccessSpec,
    seen: &AccessObjects,
    now: Timestamp,
) -> TokenReport {
    let provider = &access.provider;
    let owned = |claim: &str| -> Vec<String> {
        token.texts(claim).unwrap_or_default().into_iter().map(str::to_owned).collect()
    };
    let sent = token.texts(provider.groups_claim());
    let groups: BTreeSet<String> = sent.iter().flatten().map(|group| group.to_lowercase()).collect();
    let is_here = |role: &&AccessRole| {
        let of = seen.domain(&role.namespace().unwrap_or_default());
        of.is_some_and(|of| of.name_any() == domain.name_any())
    };
    let roles: Vec<&AccessRole> = seen.roles.iter().filter(is_here).collect();
    let by_glass = |role: &AccessRole| break_glass::role(access, role);
    let named: BTreeSet<String> = roles
        .iter()
        .flat_map(|role| {
            role.spec.groups().into_iter().chain(by_glass(role).into_iter().flat_map(|one| one.spec.groups()))
        })
        .collect();
    let judged = token.judge(access, now).into_iter();
    let logins = judged.map(|judged| {
        let gives = |role: &AccessRole| {
            let of_login =
                if judged.login == break_glass::LOGIN { by_glass(role) } else { Some(role.clone()) };
            of_login
                .is_some_and(|one| one.spec.login == judged.login && !one.spec.groups().is_disjoint(&groups))
        };
        let name =
            |role: &&AccessRole| format!("{}/{}", role.namespace().unwrap_or_default(), role.name_any());
        let refusal =
            |one: &TokenRefusal| RefusalTold { reason: one.reason.as_str(), message: one.message.clone() };
        LoginTold {
            taken: judged.refusals.is_empty(),
            refusals: judged.refusals.iter().map(refusal).collect(),
            roles: roles.iter().filter(|role| gives(role)).map(name).collect(),
            login: judged.login.clone(),
            mount: judged.mount.clone(),
        }
    });
    TokenReport {
        signature: "NotChecked",
        trust_domain: domain.name_any(),
        logins: logins.collect(),
        claims: TokenClaims {
            issuer: token.text("iss").map(str::to_owned),
            audience: owned("aud"),
            person: token.text(provider.user_claim()).map(str::to_owned),
            amr: owned("amr"),
            acr: owned(provider.acr_claim()),
            groups: sent.as_ref().map(Vec::len),
            named_groups: groups.intersection(&named).cloned().collect(),
            expires: token
                .time("exp")
                .and_then(|at| Timestamp::from_second(at).ok())
                .map(|at| at.to_string()),
            lives: token
                .life()
                .filter(|life| *life > 0)
                .map(|life| words::duration(SignedDuration::from_secs(life))),
        },
        notes: notes(token, access, sent.map_or(0, |groups| groups.len())),
    }
}

fn notes(token: &Token, access: &AccessSpec, groups: usize) -> Vec<String> {
    let mut notes = vec![
        "The signature is not checked, and nothing was sent: whether the provider made this token, Vault alone can tell.".to_owned(),
    ];
    let provider = &access.provider;
    match (token.life(), &provider.token_life) {
        (Some(life), None) if life > 0 => notes.push(format!(
            "spec.access.provider.tokenLife is not written: by this token it is {}.",
            words::duration(SignedDuration::from_secs(life))
        )),
        (Some(life), Some(declared)) if life > i64::from(seconds_of(declared)) => notes.push(format!(
            "It lives longer than spec.access.provider.tokenLife says ({declared}): status.session of AccessRoles promises too much. It is {}.",
            words::duration(SignedDuration::from_secs(life))
        )),
        _ => {}
    }
    if groups >= 100 && provider.issuer.contains("okta") {
        notes.push(
            "Okta may leave out groups beyond 100 without a word: filter for those that AccessRoles name."
                .to_owned(),
        );
    }
    notes.extend(providers::warnings(access));
    notes
}

fn drawn(report: &TokenReport, now: Timestamp, mut page: Page) -> String {
    let claims = &report.claims;
    page.heading(&format!("A token for TrustDomain {}", report.trust_domain));
    page.section("What it says");
    let or_missing =
        |values: &[String]| if values.is_empty() { "missing".to_owned() } else { values.join(", ") };
    page.fact("Issuer", claims.issuer.as_deref().unwrap_or("missing"));
    page.fact("Audience", &or_missing(&claims.audience));
    page.fact("Person", claims.person.as_deref().unwrap_or("missing"));
    page.fact("Methods (amr)", &or_missing(&claims.amr));
    page.fact("Level (acr)", &or_missing(&claims.acr));
    let groups = claims.groups.map(|count| {
        let named = claims.named_groups.join(", ");
        let named = if named.is_empty() { "none".to_owned() } else { named };
        format!("{}, of which AccessRoles name {named}", words::counted(count, "group"))
    });
    page.fact("Groups", &groups.unwrap_or_else(|| "missing".to_owned()));
    let expires = claims.expires.as_ref().map(|at| format!("{at}, {}", words::when_text(at, now)));
    page.fact("Valid until", &expires.unwrap_or_else(|| "not said".to_owned()));
    page.fact("Lives", claims.lives.as_deref().unwrap_or("not said"));
    page.section("What each login would do");
    for login in &report.logins {
        let (word, tone) = if login.taken { ("take it", Tone::Good) } else { ("refuse it", Tone::Bad) };
        page.line(&format!("{} (auth/{}): {word}", login.login, login.mount), tone);
        for refusal in &login.refusals {
            page.below(&format!("{}: {}", refusal.reason, refusal.message));
        }
        if login.roles.is_empty() {
            page.below("no AccessRole with this login names one of its groups, so it opens nothing");
        } else {
            page.below(&format!(
                "AccessRoles with this login that name one of its groups: {}",
                login.roles.join(", ")
            ));
        }
    }
    page.section("What to know");
    for note in &report.notes {
        page.line(note, Tone::Plain);
    }
    page.text()
}

#[cfg(test)]
mod tests {
    use data_encoding::BASE64URL_NOPAD;
    use serde_json::{Value, json};

    use super::*;
    use crate::cli::access::tests::seen;

    const NOW: &str = "2026-11-22T12:00:00Z";

    fn jwt(patch: Value) -> String {
        let now = NOW.parse::<Timestamp>().unwrap().as_second();
        let mut claims = json!({
            "iss": "https://login.oosterlinde.example/realms/staff", "aud": "subrosa", "sub": "anna-4f1c", "iat": now - 60,
            "exp": now + 240, "amr": ["pwd", "mfa"], "groups": ["cc-quality", "all"], "jti": "canary-id",
        });
        for (name, value) in patch.as_object().unwrap() {
            claims[name] = value.clone();
        }
        let part = |value: &Value| BASE64URL_NOPAD.encode(value.to_string().as_bytes());
        format!("{}.{}.Y2FuYXJ5", part(&json!({"alg": "ES256"})), part(&claims))
    }

    #[derive(clap::Parser)]
    struct Line {
        #[command(flatten)]
        args: TokenArgs,
    }

    fn asked(token: &str, more: &str) -> (Result<Exit>, String) {
        let file = tempfile::NamedTempFile::new().unwrap();
        fs::write(file.path(), token).unwrap();
        let line = format!("x {} --now {NOW}{more}", file.path().display());
        let args = <Line as clap::Parser>::try_parse_from(line.split_whitespace()).unwrap().args;
        let (mut screen, captured) = Screen::captured();
        let exit = run(&args, &seen(), &mut screen);
        let said = format!("{}{}", captured.printed(), captured.said());
        for part in token.trim().split('.').filter(|part| part.len() > 6) {
            assert!(!said.contains(part), "the token is shown: {said}");
        }
        (exit, said)
    }

    #[test]
    fn a_token_that_would_be_taken_is_told_with_what_it_opens() {
        let (exit, said) = asked(&jwt(json!({})), "");
        assert_eq!(exit.unwrap(), Exit::Done);
        insta::assert_snapshot!("token", said);
    }

    #[test]
    fn each_reason_of_a_refusal_is_told_with_the_next_step() {
        let overage = json!({"groups": null, "_claim_names": {"groups": "src1"}, "amr": ["pwd"]});
        let (exit, said) = asked(&jwt(overage), " --login strong");
        assert_eq!(exit.unwrap(), Exit::Wrong);
        for expected in ["OtherSecondFactor: amr is pwd", "TooManyGroups: groups is replaced", "; next: "] {
            assert!(said.contains(expected), "{said}");
        }
        let (_, said) = asked(&jwt(json!({"groups": ["nobody"]})), "");
        assert!(said.contains("strong (auth/subrosa-people): take it"), "{said}");
        assert!(said.contains("so it opens nothing"), "{said}");
        let (exit, said) = asked(&jwt(json!({"aud": "other"})), " -o json");
        assert_eq!(exit.unwrap(), Exit::Wrong);
        let value: Value = serde_json::from_str(&said).unwrap();
        assert_eq!(value["logins"][0]["refusals"][0]["reason"], "WrongAudience");
        assert_eq!(
            (&value["signature"], &value["logins"][0]["taken"]),
            (&json!("NotChecked"), &json!(false))
        );
    }

    #[test]
    fn what_is_no_token_and_what_is_not_there_is_an_error_that_repeats_nothing() {
        for wrong in ["opaque-canary-token", "a.b.c.d.e", "canary1.canary2.canary3"] {
            let (exit, _) = asked(wrong, "");
            let error = format!("{:#}", exit.unwrap_err());
            assert!(!error.contains("canary"), "{error}");
        }
        let (exit, _) = asked(&jwt(json!({})), " --login weak");
        assert!(exit.unwrap_err().to_string().contains("no login weak, only strong"));
        let (exit, _) = asked(&jwt(json!({})), " --trust-domain other");
        assert!(exit.unwrap_err().to_string().contains("no such TrustDomain"));
        // In place of the file's name.
        let token = jwt(json!({}));
        let args = <Line as clap::Parser>::try_parse_from(["x", &token]).unwrap().args;
        let (mut screen, _) = Screen::captured();
        let error = format!("{:#}", run(&args, &seen(), &mut screen).unwrap_err());
        assert!(error.contains("looks like a token") && !error.contains(&token[..40]), "{error}");
    }

    #[test]
    fn a_token_that_lives_longer_than_declared_is_told() {
        let mut objects = seen();
        let told = |objects: &AccessObjects| {
            let token = Token::read(&jwt(json!({}))).unwrap();
            let (domain, access) = domain(objects, &token, None).unwrap();
            report(&token, domain, access, objects, NOW.parse().unwrap()).notes.join("\n")
        };
        assert!(told(&objects).contains("by this token it is 5m"));
        let mut declare = |life: &str| {
            objects.domains[0].spec.access.as_mut().unwrap().provider.token_life = Some(life.to_owned());
            told(&objects)
        };
        assert!(declare("4m").contains("promises too much"));
        assert!(!declare("5m").contains("tokenLife"));
    }
}
