//! `subrosa reseal`: moves sealed files to another cohort, or to the newest version of their key.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use jiff::{Timestamp, civil::Date};
use subrosa_crds::{names::DataKeyName, period::Period, sealing::Sealing};
use subrosa_records::vault::sealing::SealingKeys;
use subrosa_worker::{
    cohort,
    reseal::{self, Moved},
    seal, session, settings,
};

use super::{Common, length_of, summary, told};
use crate::cli::{exit::Exit, output::Screen, progress::Progress, words};

const EXAMPLES: &str = "\
Examples:
  subrosa reseal --anchor 2026-11-03 dossier.pdf.age            # the date that it waited for is known
  subrosa reseal /recordings/*.wav.age                          # to the newest version of their keys

The file is read whole and every chunk is opened before it is replaced. Copies that were made before open with the old key
until that is destroyed.";

/// Moves sealed files to the cohort of another date, or to the newest version of their key
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct ResealArgs {
    /// The sealed files
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,
    /// The date from which they are kept [default: their cohort stays]
    #[arg(long, value_name = "YYYY-MM-DD")]
    anchor: Option<Date>,
    /// Also into a cohort that is due before the one in which a file is
    #[arg(long, requires = "anchor")]
    earlier: bool,
    /// Also into a cohort whose data may be destroyed already
    #[arg(long, requires = "anchor")]
    already_due: bool,
    #[command(flatten)]
    common: Common,
}

/// Runs `subrosa reseal`.
///
/// # Errors
/// When Vault cannot be reached.
pub async fn reseal(args: &ResealArgs, screen: &mut Screen) -> Result<Exit> {
    let common = &args.common;
    common.refuse_item_of_several(&args.files)?;
    let sealing = common.login.settings()?;
    let keys = session::connect(&sealing, &settings::identity(&common.login.token_file)).await?;
    let progress = Progress::of(length_of(&args.files));
    let (mut results, mut were_there) = (Vec::new(), 0);
    for file in &args.files {
        let result = reseal_one(&sealing, &keys, file, args, &progress).await;
        were_there += usize::from(matches!(result, Ok(Moved::WasThere)));
        results.push(progress.aside(|| told(screen, file, file, result))?);
    }
    drop(progress);
    let how = match were_there {
        0 => String::new(),
        count => format!(
            "({} as they were: sealed with the newest version already)",
            words::counted(count, "file")
        ),
    };
    summary(screen, "resealed", &results, &how)
}

async fn reseal_one(
    sealing: &Sealing,
    keys: &SealingKeys,
    file: &Path,
    args: &ResealArgs,
    progress: &Progress,
) -> Result<Moved> {
    let plain = seal::opened_name(file).with_context(|| "a sealed file is called <name>.age".to_owned())?;
    let opened = seal::read_regular(file)?;
    opened.expect(&args.common.item_of(&plain)?)?;
    let key = target(sealing, &opened.sealed().key, args, Timestamp::now())?;
    Ok(reseal::reseal(keys, opened, file, &key, args.common.cores(), progress.counter()).await?)
}

/// The new key for data sealed with `old`.
fn target(sealing: &Sealing, old: &DataKeyName, args: &ResealArgs, now: Timestamp) -> Result<DataKeyName> {
    let Some(date) = args.anchor else { return Ok(old.clone()) };
    let key = cohort::choose(sealing, &old.class, Some(date), args.already_due, now)?;
    let class = sealing.class(&old.class).context("the class has gone from the settings")?;
    let keep: Period = class.keep.parse()?;
    if !args.earlier {
        reseal::not_earlier(old.cohort, key.cohort, keep)?;
    }
    Ok(key)
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;

    use super::*;

    #[derive(clap::Parser)]
    struct Line {
        #[command(flatten)]
        args: ResealArgs,
    }

    fn moved(old: &str, line: &str) -> Result<String> {
        let text = "\
channel: {namespace: cc-front, name: voice}
id: abcdefghijklmnop
vault: {address: 'https://openbao.security.svc:8200', transit: transit, auth: kubernetes, role: r, audience: vault}
timeZone: Europe/Amsterdam
classes:
- {name: chat, cohort: Month, anchor: CaseClosed, keep: 1y}
";
        let sealing: Sealing = serde_saphyr::from_str(text).unwrap();
        let line = Line::parse_from(format!("reseal {line} a.age").split_whitespace());
        let old = format!("abcdefghijklmnop.chat.{old}").parse().unwrap();
        let now = "2026-11-22T12:00:00Z".parse().unwrap();
        target(&sealing, &old, &line.args, now).map(|key| key.cohort.to_string())
    }

    #[test]
    fn a_file_moves_to_the_cohort_of_its_date_or_stays_in_its_own() {
        assert_eq!(moved("open-2026m03", "--anchor 2026-05-03").unwrap(), "2026m05");
        assert_eq!(moved("2026m05", "--anchor 2026-06-03").unwrap(), "2026m06");
        assert_eq!(moved("2019m05", "").unwrap(), "2019m05");
    }

    #[test]
    fn a_shorter_life_and_one_that_is_over_are_refused_unless_they_are_meant() {
        let refused = moved("2026m06", "--anchor 2026-05-03").unwrap_err().to_string();
        assert!(refused.contains("--earlier"), "{refused}");
        assert_eq!(moved("2026m06", "--anchor 2026-05-03 --earlier").unwrap(), "2026m05");
        let refused = moved("open-2026m03", "--anchor 2019-05-03").unwrap_err().to_string();
        assert!(refused.contains("--already-due"), "{refused}");
        assert_eq!(moved("open-2026m03", "--anchor 2019-05-03 --already-due").unwrap(), "2019m05");
    }
}
