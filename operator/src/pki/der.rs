//! Strict checks of DER structure, and encoding of elements.
//!
//! x509-parser reads values well but overlooks some tags and lengths (classes of universal tags, the tag of an object
//! identifier, the length of the extensions). Many other parsers read what we sign, so its structure must be exactly
//! the intended one.

pub(super) const BOOLEAN: u8 = 0x01;
pub(super) const INTEGER: u8 = 0x02;
pub(super) const BIT_STRING: u8 = 0x03;
pub(super) const OCTET_STRING: u8 = 0x04;
pub(super) const OID: u8 = 0x06;
pub(super) const UTF8: u8 = 0x0c;
pub(super) const UTC_TIME: u8 = 0x17;
pub(super) const GENERALIZED_TIME: u8 = 0x18;
pub(super) const SEQUENCE: u8 = 0x30;
pub(super) const SET: u8 = 0x31;

const CONSTRUCTED: u8 = 0x20;
const TRUE: [u8; 1] = [0xff];
/// Deeper than any certificate, but far from exhausting the stack.
const MAX_DEPTH: usize = 16;

/// The tags of all elements in pre-order, including those inside an extension's octet string. Both forms of time
/// become [`UTC_TIME`]. `None` for anything but strict DER.
pub(super) fn shape(der: &[u8]) -> Option<Vec<u8>> {
    let mut tags = Vec::new();
    walk(der, false, 0, &mut tags)?;
    Some(tags)
}

fn walk(mut der: &[u8], in_octets: bool, depth: usize, tags: &mut Vec<u8>) -> Option<()> {
    if depth > MAX_DEPTH {
        return None;
    }
    while let Some((tag, rest)) = der.split_first() {
        let (content, after) = content(rest)?;
        tags.push(if *tag == GENERALIZED_TIME { UTC_TIME } else { *tag });
        match *tag {
            BOOLEAN if content != TRUE => return None,
            BIT_STRING if !bit_string(content) => return None,
            OCTET_STRING if !in_octets => walk(content, true, depth + 1, tags)?,
            tag if tag & CONSTRUCTED != 0 => walk(content, in_octets, depth + 1, tags)?,
            _ => {}
        }
        der = after;
    }
    Some(())
}

/// The content of an element whose tag was read, and the rest; accepts only shortest lengths.
fn content(der: &[u8]) -> Option<(&[u8], &[u8])> {
    let (first, rest) = der.split_first()?;
    let (length, rest) = if *first < 0x80 {
        (usize::from(*first), rest)
    } else {
        let (bytes, rest) = rest.split_at_checked(usize::from(first & 0x7f))?;
        if bytes.len() > 3 || bytes.first().is_none_or(|byte| *byte == 0) {
            return None;
        }
        let length = bytes.iter().fold(0, |length, byte| length << 8 | usize::from(*byte));
        if length < 0x80 {
            return None;
        }
        (length, rest)
    };
    rest.split_at_checked(length)
}

/// Accepts named bits (at most nine of a kind) without trailing zeros, or whole bytes of a key.
fn bit_string(content: &[u8]) -> bool {
    match content {
        [unused, last] | [unused, _, last] => last.trailing_zeros() == u32::from(*unused),
        [unused, _, ..] => *unused == 0,
        _ => false,
    }
}

/// Encodes one element.
pub(super) fn element(tag: u8, content: &[u8]) -> Vec<u8> {
    let length = content.len().to_be_bytes();
    let significant: Vec<u8> = length.into_iter().skip_while(|byte| *byte == 0).collect();
    let mut der = vec![tag];
    match significant.as_slice() {
        [] => der.push(0),
        [short] if *short < 0x80 => der.push(*short),
        long => {
            // At most eight length bytes, so the count fits.
            der.push(0x80 | u8::try_from(long.len()).unwrap_or(u8::MAX));
            der.extend_from_slice(long);
        }
    }
    der.extend_from_slice(content);
    der
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn only_strict_der_has_a_shape() {
        assert_eq!(shape(&[SEQUENCE, 3, INTEGER, 1, 5]), Some(vec![SEQUENCE, INTEGER]));
        for loose in [
            &[SEQUENCE, 0x81, 3, INTEGER, 1, 5][..],
            &[SEQUENCE, 0x80],
            &[SEQUENCE, 4, INTEGER, 1, 5],
            &[SEQUENCE, 2, INTEGER, 1, 5],
            &[BOOLEAN, 1, 1],
            &[BIT_STRING, 2, 6, 0x80],
            &[BIT_STRING, 2, 0, 0x80],
            &[BIT_STRING, 4, 1, 2, 2, 2],
            &[BIT_STRING, 1, 7],
            &[BIT_STRING, 0],
            &[SEQUENCE],
        ] {
            assert_eq!(shape(loose), None, "{loose:02x?}");
        }
        let deep = (0..20).fold(Vec::new(), |inner, _| element(SEQUENCE, &inner));
        assert_eq!(shape(&deep), None);
    }

    proptest! {
        #[test]
        fn never_panics(bytes in proptest::collection::vec(any::<u8>(), 0..64)) {
            let _ = shape(&bytes);
        }

        #[test]
        fn elements_are_strict(length in 0_usize..70_000) {
            prop_assert_eq!(shape(&element(INTEGER, &vec![1; length])), Some(vec![INTEGER]));
        }
    }
}
