//! What can be checked in a RetentionPolicy with only a trust domain's jurisdictions: defaults, legal minimums, and
//! whether `max` can be kept.
//!
//! Periods of different units have no fixed order: `365d` is a year, or a day less. So they are compared by the
//! calendar, for every day of the eight years after a reference date. That covers every end of a month and every
//! distance to a leap day, also around 2100, which is no leap year.

use std::collections::BTreeMap;

use jiff::{ToSpan as _, civil::Date};

use crate::{
    cohort::{Cohort, CohortPeriod},
    period::{Period, PeriodError},
    retention_policy::{Anchor, DataClass, DestructionMode, DestructionRules, Minimum, RetentionPolicySpec},
};

/// How many years of anchor dates a comparison covers.
const HORIZON_YEARS: i16 = 8;
/// Approvals when nothing is said: destruction is the decision of two people.
const APPROVALS: i32 = 2;
/// The grace when nothing is said.
const GRACE: &str = "14d";

/// One thing that is wrong with a policy.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct PolicyProblem {
    /// Where, such as `spec.classes[0].keep`.
    pub field: String,
    /// What stands there.
    pub value: String,
    /// What is wrong and what to write instead.
    pub message: String,
}

impl DataClass {
    /// The cohort's period. Month when nothing is said: data outlives `keep` by a month at most, and
    /// a class has twelve keys a year. A longer cohort keeps longer, so it must be asked for.
    pub fn cohort(&self) -> CohortPeriod {
        self.cohort.unwrap_or_default()
    }

    /// The date from which `keep` runs. CreatedAt when nothing is said: the earliest of all dates, so
    /// the earliest destruction, and known when the datum is sealed.
    pub fn anchor(&self) -> Anchor {
        self.anchor.unwrap_or_default()
    }

    /// How long data is kept after its anchor date.
    ///
    /// # Errors
    /// When the text is no period, which the schema refuses.
    pub fn keep(&self) -> Result<Period, PeriodError> {
        self.keep.parse()
    }
}

impl DestructionRules {
    /// How many people approve. 2 when nothing is said: nobody destroys alone.
    pub fn approvals(&self) -> i32 {
        self.approvals.unwrap_or(APPROVALS)
    }

    /// How long a key is only set aside. `14d` when nothing is said: a mistake is found by someone who
    /// was on holiday, and data outlives its due date by two weeks at most.
    ///
    /// # Errors
    /// When the text is no period, which the schema refuses.
    pub fn grace(&self) -> Result<Period, PeriodError> {
        self.grace_text().parse()
    }

    /// Whether due data is destroyed. Enforce when nothing is said: a policy that only reports keeps
    /// everything.
    pub fn mode(&self) -> DestructionMode {
        self.mode.unwrap_or_default()
    }

    fn grace_text(&self) -> &str {
        self.grace.as_deref().unwrap_or(GRACE)
    }
}

impl RetentionPolicySpec {
    /// How data is destroyed, with the defaults where nothing is said.
    pub fn destruction(&self) -> DestructionRules {
        self.destruction.clone().unwrap_or_default()
    }

    /// The class called `name`.
    pub fn class(&self, name: &str) -> Option<&DataClass> {
        self.classes.iter().find(|class| class.name == name)
    }
}

/// What is wrong with `policy` in a trust domain with these jurisdictions, for data that gets its
/// anchor date in the years after `reference`. All problems at once, in the order of the fields.
pub fn check(policy: &RetentionPolicySpec, jurisdictions: &[String], reference: Date) -> Vec<PolicyProblem> {
    let mut check = Check { jurisdictions, reference, problems: Vec::new() };
    let rules = policy.destruction();
    let grace = check.period("spec.destruction.grace", rules.grace_text());
    check.once("spec.classes", "name", policy.classes.iter().map(|class| class.name.as_str()));
    for (index, class) in policy.classes.iter().enumerate() {
        check.class(&format!("spec.classes[{index}]"), class, grace);
    }
    let approvals = rules.approvals();
    if !(1..=5).contains(&approvals) {
        check.problem("spec.destruction.approvals", approvals, "write how many people approve, from 1 to 5");
    }
    check.problems
}

struct Check<'a> {
    jurisdictions: &'a [String],
    reference: Date,
    problems: Vec<PolicyProblem>,
}

impl Check<'_> {
    fn problem(&mut self, field: impl Into<String>, value: impl ToString, message: impl Into<String>) {
        let problem =
            PolicyProblem { field: field.into(), value: value.to_string(), message: message.into() };
        self.problems.push(problem);
    }

    fn period(&mut self, field: &str, text: &str) -> Option<Period> {
        let period = text.parse::<Period>().and_then(|period| {
            // Every comparison below then stays within the calendar.
            period.after(years_after(self.reference, 2 * HORIZON_YEARS)?).map(|_| period)
        });
        period.map_err(|error| self.problem(field, text, error.to_string())).ok()
    }

    fn once<'a>(&mut self, list: &str, key: &str, names: impl Iterator<Item = &'a str>) {
        let mut seen = BTreeMap::new();
        for (index, name) in names.enumerate() {
            if let Some(first) = seen.get(name) {
                let message = format!("is also {list}[{first}].{key}: merge the two or rename one");
                self.problem(format!("{list}[{index}].{key}"), name, message);
            } else {
                seen.insert(name, index);
            }
        }
    }

    fn class(&mut self, at: &str, class: &DataClass, grace: Option<Period>) {
        let keep = self.period(&format!("{at}.keep"), &class.keep);
        let max = class.max.as_deref().and_then(|max| self.period(&format!("{at}.max"), max));
        if let Some(open_for) = &class.open_for {
            self.period(&format!("{at}.openFor"), open_for);
        }
        if let (Some(keep), Some(max), Some(grace)) = (keep, max, grace) {
            self.max(at, max, Lifetime { cohort: class.cohort(), keep, grace });
        }
        let list = format!("{at}.minimums");
        self.once(&list, "jurisdiction", class.minimums.iter().map(|minimum| minimum.jurisdiction.as_str()));
        for (index, minimum) in class.minimums.iter().enumerate() {
            self.minimum(at, &format!("{list}[{index}]"), keep, minimum);
        }
    }

    fn minimum(&mut self, class: &str, at: &str, keep: Option<Period>, minimum: &Minimum) {
        let Minimum { jurisdiction, period, basis } = minimum;
        if !self.jurisdictions.contains(jurisdiction) {
            let message = format!(
                "the trust domain's jurisdictions are {}: leave this minimum out, or add {jurisdiction} to \
                 spec.jurisdictions of the TrustDomain",
                self.jurisdictions.join(", ")
            );
            self.problem(format!("{at}.jurisdiction"), jurisdiction, message);
        }
        let least = self.period(&format!("{at}.period"), period);
        let (Some(keep), Some(least)) = (keep, least) else { return };
        match first_shorter(keep, least, self.reference) {
            Ok(None) => {}
            Ok(Some(day)) => {
                let when = if keep.same_units(least) {
                    String::new()
                } else {
                    format!(" for data of {day}, by the calendar")
                };
                let message = format!(
                    "is below the minimum of {jurisdiction}, {least} ({basis}){when}: write {least} or longer"
                );
                self.problem(format!("{class}.keep"), keep, message);
            }
            Err(error) => self.problem(format!("{class}.keep"), keep, error.to_string()),
        }
    }

    fn max(&mut self, at: &str, max: Period, lifetime: Lifetime) {
        let field = format!("{at}.max");
        match lifetime.beyond(max, self.reference) {
            Ok(None) => {}
            Ok(Some((first, gone))) => {
                let days = days_between(first, gone);
                let Lifetime { cohort, keep, grace } = lifetime;
                let message = format!(
                    "does not hold keep {keep} + one {cohort:?} of cohort + grace {grace} = {days}d: data of \
                     {first} is gone on {gone}; write max: {days}d or longer, or shorten keep, cohort or grace"
                );
                self.problem(field, max, message);
            }
            Err(error) => self.problem(field, max, error.to_string()),
        }
    }
}

/// How long data of a cohort exists.
#[derive(Clone, Copy)]
struct Lifetime {
    cohort: CohortPeriod,
    keep: Period,
    grace: Period,
}

impl Lifetime {
    /// The first day of the cohort whose data lives longest and the day by which that data is gone, if some cohort's
    /// data outlives `max`.
    fn beyond(self, max: Period, reference: Date) -> Result<Option<(Date, Date)>, PeriodError> {
        let end = years_after(reference, HORIZON_YEARS)?;
        let mut cohort = Cohort::of(reference, self.cohort);
        let mut longest = None;
        let mut beyond = false;
        while cohort.start() < end {
            let first = cohort.start();
            let gone = self.grace.after(cohort.due(self.keep)?)?;
            beyond |= gone > max.after(first)?;
            longest = longest.max(Some((days_between(first, gone), first, gone)));
            cohort = cohort.next()?;
        }
        Ok(longest.filter(|_| beyond).map(|(_, first, gone)| (first, gone)))
    }
}

fn days_between(from: Date, to: Date) -> i32 {
    from.until(to).map(|span| span.get_days()).unwrap_or_default()
}

/// The first day from which `period` leads to an earlier day than `other`.
fn first_shorter(period: Period, other: Period, reference: Date) -> Result<Option<Date>, PeriodError> {
    let end = if period.same_units(other) { reference } else { years_after(reference, HORIZON_YEARS)? };
    let mut day = reference;
    loop {
        if period.after(day)? < other.after(day)? {
            return Ok(Some(day));
        }
        match day.tomorrow() {
            Ok(next) if next <= end => day = next,
            _ => return Ok(None),
        }
    }
}

fn years_after(date: Date, years: i16) -> Result<Date, PeriodError> {
    date.checked_add(years.years()).map_err(|_| PeriodError::TooLong(format!("{years}y")))
}
