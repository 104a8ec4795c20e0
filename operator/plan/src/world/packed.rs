//! Values that are kept by the thousand and seldom read: JSON compressed with LZ4.
//!
//! A parsed status takes several times the memory: a string for each field, a map node for each label. Most of its
//! JSON is the same in every object, so an example serves as compression dictionary.

use lz4_flex::block;
use serde::{Serialize, de::DeserializeOwned};

/// The example of a Channel's status.
pub const STATUS: &str = include_str!("packed/status.json");

/// The example of a Channel's network policy.
pub const POLICY: &str = include_str!("packed/policy.json");

/// The example of a Channel's record in Vault.
pub const RECORD: &str = include_str!("packed/record.json");

/// A value as compressed JSON. Equal values with the same example have equal bytes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Packed {
    bytes: Box<[u8]>,
    example: &'static str,
}

impl Packed {
    /// Packs a value. Its maps must have string keys, so that serialization cannot fail.
    pub fn of(value: &impl Serialize) -> Self {
        Self::like("", value)
    }

    /// Packs a value with `example`, similar JSON, as the dictionary.
    pub fn like(example: &'static str, value: &impl Serialize) -> Self {
        let json = serde_json::to_vec(value).unwrap_or_default();
        let packed = block::compress_prepend_size_with_dict(&json, example.as_bytes());
        // Copied to its exact length: the compressor allocates for the worst case.
        Self { bytes: packed.as_slice().into(), example }
    }

    /// The value, or the part of it that a narrower type reads; `None` where the type does not match.
    pub fn read<T: DeserializeOwned>(&self) -> Option<T> {
        let json = block::decompress_size_prepended_with_dict(&self.bytes, self.example.as_bytes()).ok()?;
        serde_json::from_slice(&json).ok()
    }

    /// Its size in bytes, without the struct itself.
    pub fn bytes(&self) -> usize {
        self.bytes.len()
    }
}

#[cfg(test)]
mod tests {
    use k8s_openapi::api::networking::v1::NetworkPolicy;
    use serde_json::{Value, json};
    use subrosa_crds::ChannelStatus;

    use super::*;
    use crate::record::channel::ChannelRecord;

    #[test]
    fn what_is_read_is_what_was_packed() {
        let value = json!({"a": [1, 2, 3], "b": {"c": "text ".repeat(100)}, "d": null});
        let packed = Packed::of(&value);
        assert_eq!(packed.read::<Value>(), Some(value.clone()));
        assert!(packed.bytes() < 80, "{}", packed.bytes());
        assert_eq!((packed.read::<Vec<u8>>(), Packed::default().read::<Value>()), (None, None));
        assert_eq!(packed, Packed::of(&value));
        assert_ne!(packed, Packed::of(&json!({"a": [1, 2, 4]})));
    }

    #[test]
    fn what_an_example_has_takes_no_room() {
        let example = r#"{"message":"policies are written and computed","name":"voice"}"#;
        let value = json!({"message": "policies are written and computed", "name": "ivr"});
        let packed = Packed::like(example, &value);
        assert_eq!(packed.read::<Value>(), Some(value.clone()));
        assert!(packed.bytes() < 25 && Packed::of(&value).bytes() > 50, "{}", packed.bytes());
        // It is like nothing.
        let other = json!([1, true, "x"]);
        assert_eq!(Packed::like(example, &other).read::<Value>(), Some(other));
    }

    /// An example that does not look like what it stands for any more would do nothing, and nobody would see it.
    #[test]
    fn the_examples_are_written_as_they_are_packed() {
        let status: ChannelStatus = serde_json::from_str(STATUS).unwrap();
        assert_eq!(serde_json::to_string(&status).unwrap(), STATUS.trim());
        let policy: NetworkPolicy = serde_json::from_str(POLICY).unwrap();
        let text = json!({"metadata": policy.metadata, "spec": policy.spec}).to_string();
        assert_eq!(text, POLICY.trim());
        let (kept, record): (Value, ChannelRecord) =
            (serde_json::from_str(RECORD).unwrap(), serde_json::from_str(RECORD).unwrap());
        assert_eq!(kept.to_string(), RECORD.trim());
        let mut written = serde_json::to_value(&record).unwrap();
        written["schema"] = kept["schema"].clone();
        assert_eq!(written, kept);
        for (packed, most) in [
            (Packed::like(STATUS, &status), 40),
            (Packed::like(POLICY, &policy), 120),
            (Packed::like(RECORD, &kept), 40),
        ] {
            assert!(packed.bytes() < most, "{}", packed.bytes());
        }
    }
}
