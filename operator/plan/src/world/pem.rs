//! Just enough PEM to compare and normalise certificate bundles without an X.509 parser.

use data_encoding::BASE64;

const BEGIN: &str = "-----BEGIN ";
const END: &str = "-----END ";
const DASHES: &str = "-----";
const CERTIFICATE: &str = "CERTIFICATE";
/// RFC 7468: generators wrap at 64 characters.
const COLUMNS: usize = 64;

/// The DER bytes of every certificate in a PEM text; text around the blocks is skipped.
///
/// # Errors
/// A block that is not a certificate, is not closed or is not base64.
pub fn certificates(text: &str) -> Result<Vec<Vec<u8>>, &'static str> {
    let mut found = Vec::new();
    let mut open: Option<String> = None;
    for line in text.lines().map(str::trim) {
        if let Some(label) = line.strip_prefix(BEGIN).and_then(|rest| rest.strip_suffix(DASHES)) {
            if open.is_some() {
                return Err("a block begins inside another");
            }
            if label != CERTIFICATE {
                return Err("a block is not a CERTIFICATE");
            }
            open = Some(String::new());
        } else if let Some(label) = line.strip_prefix(END).and_then(|rest| rest.strip_suffix(DASHES)) {
            let body = open.take().filter(|_| label == CERTIFICATE).ok_or("a block ends that never began")?;
            let der = BASE64.decode(body.as_bytes()).map_err(|_| "a block is not base64")?;
            if der.first() != Some(&0x30) {
                return Err("a block holds no certificate");
            }
            found.push(der);
        } else if let Some(body) = open.as_mut() {
            body.push_str(line);
        }
    }
    if open.is_some() { Err("the last block is not closed") } else { Ok(found) }
}

/// One certificate as PEM: 64 columns, LF, a final newline.
#[must_use]
pub fn encode(der: &[u8]) -> String {
    let mut text = format!("{BEGIN}{CERTIFICATE}{DASHES}\n");
    let mut column = 0;
    for character in BASE64.encode(der).chars() {
        if column == COLUMNS {
            text.push('\n');
            column = 0;
        }
        text.push(character);
        column += 1;
    }
    text.push('\n');
    text.push_str(&format!("{END}{CERTIFICATE}{DASHES}\n"));
    text
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn refuses_what_is_not_a_bundle_of_certificates() {
        let good = encode(&[0x30, 0]);
        for (text, problem) in [
            (good.replace("CERTIFICATE", "PRIVATE KEY"), "not a CERTIFICATE"),
            (good.replace("-----END CERTIFICATE-----", ""), "not closed"),
            (good.replace("MAA=", "!!"), "not base64"),
            (encode(&[0x04, 0]), "no certificate"),
            (good.replace("-----BEGIN CERTIFICATE-----", ""), "never began"),
            (format!("-----BEGIN CERTIFICATE-----\n{good}"), "inside another"),
        ] {
            assert!(certificates(&text).is_err_and(|found| found.contains(problem)), "{text}");
        }
        assert_eq!(certificates("").unwrap(), Vec::<Vec<u8>>::new());
        assert_eq!(
            certificates(&format!("# a comment\r\n{}", good.replace('\n', "\r\n"))).unwrap(),
            [[0x30, 0]]
        );
    }

    proptest! {
        #[test]
        fn never_panics(text in "(-----(BEGIN|END) (CERTIFICATE|X)-----|[A-Za-z0-9=]{0,9}|\n){0,12}") {
            let _ = certificates(&text);
        }

        #[test]
        fn round_trips(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
            let der = [vec![0x30], bytes].concat();
            prop_assert_eq!(certificates(&encode(&der)).unwrap(), vec![der]);
        }
    }
}
