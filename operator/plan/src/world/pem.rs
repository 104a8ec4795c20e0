//! Certificates as PEM (RFC 7468), read strictly and written in one form.

use ::pem::{EncodeConfig, LineEnding, Pem, PemError};

const BEGIN: &str = "-----BEGIN ";
const END: &str = "-----END ";
const DASHES: &str = "-----";
const CERTIFICATE: &str = "CERTIFICATE";
const UNCLOSED: &str = "a block is not closed, or ends without a beginning";
/// The first byte of a DER SEQUENCE, which every certificate is.
const SEQUENCE: u8 = 0x30;

/// The DER bytes of every certificate in a PEM text; text around the blocks is skipped.
///
/// # Errors
/// A block that is not a certificate, is not closed or is not base64.
pub fn certificates(text: &str) -> Result<Vec<Vec<u8>>, &'static str> {
    // The parser takes text before an empty line for headers, so empty lines within a block are removed.
    let lines: Vec<&str> = text.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
    let markers =
        |marker| lines.iter().filter(|line| line.starts_with(marker) && line.ends_with(DASHES)).count();
    if markers(BEGIN) != markers(END) {
        return Err(UNCLOSED);
    }
    let blocks = ::pem::parse_many(lines.join("\n")).map_err(|error| match error {
        PemError::InvalidData(_) => "a block is not base64",
        _ => "a block does not end as it begins",
    })?;
    // The parser skips blocks that it does not understand; other readers of the file may not.
    if blocks.len() != markers(BEGIN) {
        return Err(UNCLOSED);
    }
    blocks.into_iter().map(certificate).collect()
}

fn certificate(block: Pem) -> Result<Vec<u8>, &'static str> {
    if block.tag() != CERTIFICATE {
        return Err("a block is not a CERTIFICATE");
    }
    let der = block.into_contents();
    if der.first() == Some(&SEQUENCE) { Ok(der) } else { Err("a block holds no certificate") }
}

/// One certificate as PEM: 64 columns, LF, a final newline.
#[must_use]
pub fn encode(der: &[u8]) -> String {
    ::pem::encode_config(&Pem::new(CERTIFICATE, der), EncodeConfig::new().set_line_ending(LineEnding::LF))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn refuses_what_is_not_a_bundle_of_certificates() {
        let good = encode(&[0x30, 0]);
        let headless = good.replace("-----BEGIN CERTIFICATE-----", "");
        for (text, problem) in [
            (good.replace("CERTIFICATE", "PRIVATE KEY"), "not a CERTIFICATE"),
            (good.replace("END CERTIFICATE", "END X"), "not end as it begins"),
            (good.replace("-----END CERTIFICATE-----", ""), "not closed"),
            (good.replace("MAA=", "!!"), "not base64"),
            (encode(&[0x04, 0]), "no certificate"),
            (headless.clone(), "not closed"),
            (format!("-----BEGIN CERTIFICATE-----\n{good}"), "not closed"),
            (format!("-----BEGIN CERTIFICATE-----\n{good}-----END CERTIFICATE-----\n"), "not base64"),
            (format!("{headless}-----BEGIN CERTIFICATE-----"), "not closed"),
            (good.replace("-----BEGIN", "------BEGIN"), "not closed"),
            (format!("see -----BEGIN CERTIFICATE----- here\n{good}"), "not base64"),
        ] {
            assert!(certificates(&text).is_err_and(|found| found.contains(problem)), "{text}");
        }
        assert_eq!(certificates("").unwrap(), Vec::<Vec<u8>>::new());
        assert_eq!(
            certificates(&format!("# a comment\r\n{}", good.replace('\n', "\r\n"))).unwrap(),
            [[0x30, 0]]
        );
        let loose = good.replace("MAA=", "  MA\n\n\tA=\n ");
        assert_eq!(certificates(&loose).unwrap(), [[0x30, 0]], "empty lines and margins say nothing");
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
