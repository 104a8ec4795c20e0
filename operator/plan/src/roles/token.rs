//! Why Vault would refuse a token of the identity provider: what a person can find out who has the token.
//!
//! The token is read and never verified: only Vault has the provider's keys. The rules are those of OpenBao 2.7's JWT auth with
//! the roles that `subrosa vault-setup` writes.

use std::fmt;

use data_encoding::BASE64URL_NOPAD;
use jiff::Timestamp;
use serde_json::{Map, Value};
use subrosa_crds::trust_domain::{AccessLogin, AccessSpec};

use super::break_glass;

/// How long before its beginning and after its end Vault takes a token, in seconds.
const CLOCKS: i64 = 60;
/// How long a token without `exp` lives, in seconds.
const WITHOUT_END: i64 = 150;
/// The signatures that Vault takes.
const SIGNATURES: [&str; 10] =
    ["RS256", "RS384", "RS512", "ES256", "ES384", "ES512", "PS256", "PS384", "PS512", "EdDSA"];
/// The claim by which a provider says that claims stand elsewhere (OpenID Connect Core 1.0, section 5.6.2).
const ELSEWHERE: &str = "_claim_names";
/// The claim of Entra ID that says the same where there is no room for that.
const HAS_GROUPS: &str = "hasgroups";

/// A token as its text says it.
#[derive(Clone)]
pub struct Token {
    algorithm: String,
    claims: Map<String, Value>,
}

// Claims say who somebody is.
impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Token").finish_non_exhaustive()
    }
}

/// Why a text is no token. It does not repeat the text.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NoToken {
    /// It has not three parts.
    #[error(
        "it is no signed JWT, which has three parts with dots between them: an access token of some providers is none, take the ID token"
    )]
    Parts,
    /// It has five.
    #[error("it is an encrypted JWT, which Vault does not take: have the provider sign it only")]
    Encrypted,
    /// A part is not base64url of a JSON object.
    #[error("its {0} is no base64url of a JSON object: copy all of it")]
    Malformed(&'static str),
}

/// What Vault would refuse a token for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum RefusedFor {
    /// The way in which it is signed.
    Signature,
    /// `iss`.
    Issuer,
    /// `aud`.
    Audience,
    /// No claim says when it is valid.
    NoTime,
    /// It is not valid yet.
    NotYetValid,
    /// It is not valid any more.
    Expired,
    /// The claim that names a person.
    Person,
    /// The claim of the second factor is missing or empty.
    NoSecondFactor,
    /// It says something else.
    OtherSecondFactor,
    /// The claim of the groups is missing or no list of texts.
    NoGroups,
    /// The provider sent no groups since there are too many.
    TooManyGroups,
    /// None of the groups may use break-glass.
    NotEnrolled,
    /// Break-glass needs the token's id.
    NoTokenId,
}

impl RefusedFor {
    /// As one word.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Signature => "WrongSignature",
            Self::Issuer => "WrongIssuer",
            Self::Audience => "WrongAudience",
            Self::NoTime => "NoTime",
            Self::NotYetValid => "NotYetValid",
            Self::Expired => "Expired",
            Self::Person => "NoPerson",
            Self::NoSecondFactor => "NoSecondFactor",
            Self::OtherSecondFactor => "OtherSecondFactor",
            Self::NoGroups => "NoGroups",
            Self::TooManyGroups => "TooManyGroups",
            Self::NotEnrolled => "GroupNotEnrolled",
            Self::NoTokenId => "NoTokenId",
        }
    }
}

/// One reason, and what to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TokenRefusal {
    /// The reason.
    pub reason: RefusedFor,
    /// In a sentence, with the next step.
    pub message: String,
}

/// What a login would say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LoginJudged {
    /// The login.
    pub login: String,
    /// Its auth mount in Vault.
    pub mount: String,
    /// Every reason to refuse; empty where the token would be taken, if its signature is right.
    pub refusals: Vec<TokenRefusal>,
}

impl Token {
    /// Reads a token.
    ///
    /// # Errors
    /// When the text is none.
    pub fn read(text: &str) -> Result<Self, NoToken> {
        let parts: Vec<&str> = text.trim().split('.').collect();
        let (header, claims) = match parts.as_slice() {
            [header, claims, _] => (header, claims),
            [_, _, _, _, _] => return Err(NoToken::Encrypted),
            _ => return Err(NoToken::Parts),
        };
        let object = |part: &str, name| {
            let json = BASE64URL_NOPAD.decode(part.trim_end_matches('=').as_bytes()).ok();
            let object = json.and_then(|json| serde_json::from_slice::<Map<String, Value>>(&json).ok());
            object.ok_or(NoToken::Malformed(name))
        };
        let header = object(header, "header")?;
        let algorithm = header.get("alg").and_then(Value::as_str).unwrap_or_default().to_owned();
        Ok(Self { algorithm, claims: object(claims, "payload")? })
    }

    /// The texts of a claim: a text or a list of them. `None` where the claim is missing or something else.
    pub fn texts(&self, claim: &str) -> Option<Vec<&str>> {
        match self.claims.get(claim)? {
            Value::String(text) => Some(vec![text]),
            Value::Array(items) => items.iter().map(Value::as_str).collect(),
            _ => None,
        }
    }

    /// A claim that is one text.
    pub fn text(&self, claim: &str) -> Option<&str> {
        self.claims.get(claim)?.as_str()
    }

    /// A time claim, in seconds of Unix time. 0 counts as missing, as in Vault.
    pub fn time(&self, claim: &str) -> Option<i64> {
        let seconds = self.claims.get(claim)?;
        let seconds = seconds.as_i64().or_else(|| seconds.as_f64().map(|seconds| seconds as i64));
        seconds.filter(|seconds| *seconds != 0)
    }

    /// How long it lives after it was made, in seconds.
    pub fn life(&self) -> Option<i64> {
        Some(self.time("exp")?.saturating_sub(self.time("iat")?))
    }

    /// Whether the provider says that the groups stand elsewhere, since there are too many.
    pub fn has_too_many_groups(&self, claim: &str) -> bool {
        let names = self.claims.get(ELSEWHERE).and_then(Value::as_object);
        names.is_some_and(|names| names.contains_key(claim) || names.contains_key("groups"))
            || self.claims.get(HAS_GROUPS).is_some_and(|value| value == true || value == "true")
    }

    /// What each login of the trust domain would say at `now`, that of break-glass too.
    pub fn judge(&self, access: &AccessSpec, now: Timestamp) -> Vec<LoginJudged> {
        let judged = |access: &AccessSpec, login: &AccessLogin, more: Vec<TokenRefusal>| LoginJudged {
            login: login.name.clone(),
            mount: access.provider.mount().to_owned(),
            refusals: self.refusals(access, login, now).into_iter().chain(more).collect(),
        };
        let mut all: Vec<_> = access.logins.iter().map(|login| judged(access, login, Vec::new())).collect();
        if let Some(glass) = break_glass::access(access) {
            let enrolled =
                access.break_glass.as_ref().map(|glass| glass.groups.as_slice()).unwrap_or_default();
            let more = self.of_break_glass(&glass, enrolled);
            all.extend(glass.logins.iter().map(|login| judged(&glass, login, more.clone())));
        }
        all
    }

    fn refusals(&self, access: &AccessSpec, login: &AccessLogin, now: Timestamp) -> Vec<TokenRefusal> {
        let provider = &access.provider;
        let mut found = Vec::new();
        let mut refuse = |reason, message: String| found.push(TokenRefusal { reason, message });
        if !SIGNATURES.contains(&self.algorithm.as_str()) {
            let message = format!(
                "it is signed by {}, which Vault does not take; next: have the provider sign with a key pair, such as RS256 or ES256",
                if self.algorithm.is_empty() { "nothing" } else { &self.algorithm }
            );
            refuse(RefusedFor::Signature, message);
        }
        if self.text("iss") != Some(provider.issuer.as_str()) {
            let message = format!(
                "iss is {}, expected {}; next: take a token of that issuer, or copy iss into spec.access.provider.issuer and run subrosa \
                 vault-setup",
                self.text("iss").unwrap_or("missing"),
                provider.issuer
            );
            refuse(RefusedFor::Issuer, message);
        }
        let audiences = self.texts("aud").unwrap_or_default();
        if !audiences.contains(&provider.audience()) {
            let message = format!(
                "aud is {}, expected {}; next: take a token for that audience, or correct spec.access.provider.audience and run subrosa \
                 vault-setup",
                listed(&audiences),
                provider.audience()
            );
            refuse(RefusedFor::Audience, message);
        }
        found.extend(self.out_of_time(now));
        let mut refuse = |reason, message: String| found.push(TokenRefusal { reason, message });
        if self.text(provider.user_claim()).is_none_or(str::is_empty) {
            let message = format!(
                "{} is missing, which names the person; next: have the provider send it, or name another claim in \
                 spec.access.provider.userClaim",
                provider.user_claim()
            );
            refuse(RefusedFor::Person, message);
        }
        if let Some((claim, accepted)) = login.second_factor(provider) {
            let sent = self.texts(claim).unwrap_or_default();
            if sent.is_empty() {
                let message = format!(
                    "{claim} is missing or empty, so nobody can tell that there was a second factor; next: have the provider send it \
                     (docs/identity-provider.md), and log in with one of {}",
                    accepted.join(", ")
                );
                refuse(RefusedFor::NoSecondFactor, message);
            } else if !sent.iter().any(|value| accepted.iter().any(|one| one == value)) {
                let message = format!(
                    "{claim} is {}, and the login takes {}, case included; next: log in with a second factor, or correct the login's list",
                    listed(&sent),
                    accepted.join(", ")
                );
                refuse(RefusedFor::OtherSecondFactor, message);
            }
        }
        found.extend(self.without_groups(provider.groups_claim()));
        found
    }

    fn out_of_time(&self, now: Timestamp) -> Option<TokenRefusal> {
        let now = now.as_second();
        let (made, begins, ends) = (self.time("iat"), self.time("nbf"), self.time("exp"));
        let refuse = |reason, message: String| Some(TokenRefusal { reason, message });
        if made.is_none() && begins.is_none() && ends.is_none() {
            let message = "iat, nbf and exp are missing; next: have the provider send them";
            return refuse(RefusedFor::NoTime, message.to_owned());
        }
        let end = ends.unwrap_or_else(|| made.max(begins).unwrap_or_default().saturating_add(WITHOUT_END));
        let begin = begins.or(made).unwrap_or_else(|| end.saturating_sub(WITHOUT_END));
        if end.saturating_add(CLOCKS) < now {
            let message = format!("it was valid until {}; next: get a new one", told(end));
            return refuse(RefusedFor::Expired, message);
        }
        let latest = begin.max(made.unwrap_or(begin));
        if now.saturating_add(CLOCKS) < latest {
            let message = format!(
                "it is valid from {} on; next: wait, or set the clocks of the provider and of Vault by NTP",
                told(latest)
            );
            return refuse(RefusedFor::NotYetValid, message);
        }
        None
    }

    fn without_groups(&self, claim: &str) -> Option<TokenRefusal> {
        let is_there = self.texts(claim).is_some();
        if is_there {
            return None;
        }
        let (reason, message) = if self.has_too_many_groups(claim) {
            let message = format!(
                "{claim} is replaced by {ELSEWHERE} or {HAS_GROUPS}: the person is in more groups than the provider puts into a token; next: \
                 have it send only the groups that AccessRoles name (docs/identity-provider.md)"
            );
            (RefusedFor::TooManyGroups, message)
        } else {
            let message = format!(
                "{claim} is missing or no list of texts; next: have the provider send the groups, and see whether the person is in one"
            );
            (RefusedFor::NoGroups, message)
        };
        Some(TokenRefusal { reason, message })
    }

    fn of_break_glass(&self, glass: &AccessSpec, enrolled: &[String]) -> Vec<TokenRefusal> {
        let mut found = Vec::new();
        let groups = self.texts(glass.provider.groups_claim()).unwrap_or_default();
        if !groups.iter().any(|group| enrolled.iter().any(|one| one == group)) {
            let message = format!(
                "none of its groups may use break-glass ({}), case included; next: use another login",
                enrolled.join(", ")
            );
            found.push(TokenRefusal { reason: RefusedFor::NotEnrolled, message });
        }
        if self.texts("jti").is_none_or(|ids| ids.is_empty()) {
            let message =
                "jti is missing, by which each use is told apart; next: have the provider send it".to_owned();
            found.push(TokenRefusal { reason: RefusedFor::NoTokenId, message });
        }
        found
    }
}

fn listed(values: &[&str]) -> String {
    if values.is_empty() { "missing".to_owned() } else { values.join(", ") }
}

fn told(seconds: i64) -> String {
    Timestamp::from_second(seconds).map_or_else(|_| seconds.to_string(), |time| time.to_string())
}

#[cfg(test)]
mod tests;
