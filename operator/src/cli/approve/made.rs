//! Builds the Approval.

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use subrosa_crds::{
    Approval, ApprovalSpec,
    approval::{ApprovalTarget, Decision},
    period::Period,
};

/// The longest parts of its name for the target and for the user.
const TARGET_LENGTH: usize = 31;
const USER_LENGTH: usize = 14;

/// The Approval of `user` for `target` until `expires`. `nonce` makes its name unique.
pub fn approval(
    target: ApprovalTarget,
    decision: Decision,
    user: &str,
    expires: Timestamp,
    nonce: u32,
) -> Approval {
    let name = name(&target.name, decision, user, nonce);
    Approval {
        metadata: ObjectMeta { name: Some(name), ..ObjectMeta::default() },
        spec: ApprovalSpec { target, decision, approver: user.to_owned(), expires: expires.to_string() },
    }
}

/// Such as `approve-contactcenter-20270201-1a2b-anna-0badcafe`: a DNS label of at most 63 characters.
fn name(target: &str, decision: Decision, user: &str, nonce: u32) -> String {
    let verb = match decision {
        Decision::Approve => "approve",
        Decision::Deny => "deny",
    };
    // Of an e-mail address only the local part.
    let user = user.split('@').next().unwrap_or_default();
    let parts = [slug(target, TARGET_LENGTH), slug(user, USER_LENGTH)];
    let told: String =
        parts.into_iter().filter(|part| !part.is_empty()).map(|part| format!("-{part}")).collect();
    format!("{verb}{told}-{nonce:08x}")
}

fn slug(text: &str, most: usize) -> String {
    let mut slug = String::new();
    for letter in text.to_ascii_lowercase().chars() {
        if letter.is_ascii_alphanumeric() {
            slug.push(letter);
        } else if !slug.is_empty() && !slug.ends_with('-') {
            slug.push('-');
        }
    }
    slug.truncate(most);
    slug.trim_end_matches('-').to_owned()
}

/// Parses `text`: a period from `now` such as `14d`, or an instant such as `2027-02-14T17:00:00Z`.
///
/// # Errors
/// When it is neither, or not after `now`.
pub fn expiry(text: &str, now: Timestamp) -> Result<Timestamp, String> {
    let expected = || {
        format!("--expires {text}: expected a period such as 14d, or an instant such as 2027-02-14T17:00:00Z")
    };
    let at = match text.parse::<Timestamp>() {
        Ok(at) => at,
        Err(_) => {
            let now = now.to_zoned(jiff::tz::TimeZone::UTC);
            let day = text.parse::<Period>().map_err(|_| expected())?.after(now.date());
            let day = day.map_err(|error| format!("--expires {text}: {error}"))?;
            let at = day.to_datetime(now.time()).to_zoned(jiff::tz::TimeZone::UTC);
            at.map_err(|error| format!("--expires {text}: {error}"))?.timestamp()
        }
    };
    // Whole seconds, which are readable and fit the field.
    let at = at.round(jiff::Unit::Second).map_err(|error| format!("--expires {text}: {error}"))?;
    if at <= now {
        return Err(format!("--expires {text}: that is past; write an instant after {now}"));
    }
    Ok(at)
}

#[cfg(test)]
mod tests {
    use subrosa_crds::names::is_dns_label;

    use super::*;

    #[test]
    fn a_name_tells_what_and_who_and_is_a_label() {
        let target = "contactcenter.20270201.1a2b3c4d";
        let made = name(target, Decision::Approve, "anna@oosterlinde.example", 0x0bad_cafe);
        assert_eq!(made, "approve-contactcenter-20270201-1a2b3c4d-anna-0badcafe");
        for (target, user) in
            [("a", "é"), (&*"x".repeat(253), &*"y".repeat(256)), ("..", "--"), ("A.B", "oidc:Anna/B")]
        {
            for decision in [Decision::Approve, Decision::Deny] {
                let made = name(target, decision, user, u32::MAX);
                assert!(is_dns_label(&made), "{made}");
            }
        }
    }

    #[test]
    fn an_expiry_is_a_period_or_an_instant_to_come() {
        let now: Timestamp = "2027-01-31T12:00:00.5Z".parse().unwrap();
        let at = |text: &str| expiry(text, now).map(|at| at.to_string());
        assert_eq!(at("14d").as_deref(), Ok("2027-02-14T12:00:01Z"));
        assert_eq!(at("1mo").as_deref(), Ok("2027-02-28T12:00:01Z"));
        assert_eq!(at("2027-02-14T18:00:00+01:00").as_deref(), Ok("2027-02-14T17:00:00Z"));
        for wrong in ["soon", "0d", "14", "2027-02-14", "9999y", "2027-01-31T12:00:00Z"] {
            assert!(at(wrong).unwrap_err().contains("--expires"), "{wrong}");
        }
    }
}
