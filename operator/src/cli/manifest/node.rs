//! A YAML document with the line of each field.

use std::fmt;

use serde::{
    Deserialize, Deserializer,
    de::{self, MapAccess, SeqAccess, Visitor},
};
use serde_json::{Map, Number, Value};
use serde_saphyr::Spanned;

/// A value and the line it begins on.
#[derive(Clone, Debug)]
pub struct Node {
    line: u64,
    content: Content,
}

#[derive(Clone, Debug)]
enum Content {
    Scalar(Value),
    List(Vec<Node>),
    Map(Vec<(Spanned<String>, Node)>),
}

impl Node {
    /// The line it begins on, from 1.
    pub fn line(&self) -> u64 {
        self.line
    }

    /// Whether the document is empty.
    pub fn is_null(&self) -> bool {
        matches!(self.content, Content::Scalar(Value::Null))
    }

    /// The same without lines.
    pub fn value(&self) -> Value {
        match &self.content {
            Content::Scalar(value) => value.clone(),
            Content::List(items) => Value::Array(items.iter().map(Self::value).collect()),
            Content::Map(fields) => {
                let fields = fields.iter().map(|(key, node)| (key.value.clone(), node.value()));
                Value::Object(fields.collect::<Map<_, _>>())
            }
        }
    }

    /// The items of a list; none for anything else.
    pub fn items(self) -> Vec<Self> {
        match self.content {
            Content::List(items) => items,
            Content::Scalar(_) | Content::Map(_) => Vec::new(),
        }
    }

    /// The value at `key` of a map.
    pub fn take(self, key: &str) -> Option<Self> {
        match self.content {
            Content::Map(fields) => {
                fields.into_iter().find(|(name, _)| name.value == key).map(|(_, node)| node)
            }
            Content::Scalar(_) | Content::List(_) => None,
        }
    }

    /// The line of the field at `path`, such as `spec.listeners[0].port`; of its closest existing parent if it is
    /// missing.
    pub fn line_of(&self, path: &str) -> u64 {
        self.walk(path, self.line).0
    }

    /// The value at `path`.
    pub fn find(&self, path: &str) -> Option<&Self> {
        self.walk(path, self.line).1
    }

    /// Follows `path` as far as possible: the line, and the node if it exists. `here` is the line of this node's own
    /// name, which for a map is above its first field.
    fn walk(&self, path: &str, here: u64) -> (u64, Option<&Self>) {
        let path = path.strip_prefix('.').unwrap_or(path);
        if path.is_empty() {
            return (here, Some(self));
        }
        match &self.content {
            Content::Map(fields) => {
                // Keys of labels contain dots, so take the longest key that is a prefix of the path.
                let found = fields
                    .iter()
                    .filter_map(|(key, node)| Some((key, node, after(path, &key.value)?)))
                    .max_by_key(|(key, ..)| key.value.len());
                found.map_or((here, None), |(key, node, rest)| node.walk(rest, key.referenced.line()))
            }
            Content::List(items) => {
                let index = path.strip_prefix('[').and_then(|rest| rest.split_once(']'));
                let item =
                    index.and_then(|(index, rest)| Some((items.get(index.parse::<usize>().ok()?)?, rest)));
                item.map_or((here, None), |(node, rest)| node.walk(rest, node.line))
            }
            Content::Scalar(_) => (here, None),
        }
    }
}

/// The rest of `path` after `key`, if it begins with that key.
fn after<'a>(path: &'a str, key: &str) -> Option<&'a str> {
    let rest = path.strip_prefix(key)?;
    (rest.is_empty() || rest.starts_with(['.', '['])).then_some(rest)
}

impl<'de> Deserialize<'de> for Node {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let spanned = Spanned::<Content>::deserialize(deserializer)?;
        Ok(Self { line: spanned.referenced.line(), content: spanned.value })
    }
}

impl<'de> Deserialize<'de> for Content {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(ContentVisitor)
    }
}

struct ContentVisitor;

impl<'de> Visitor<'de> for ContentVisitor {
    type Value = Content;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("what JSON can hold")
    }

    fn visit_bool<E>(self, value: bool) -> Result<Content, E> {
        Ok(Content::Scalar(value.into()))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Content, E> {
        Ok(Content::Scalar(value.into()))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Content, E> {
        Ok(Content::Scalar(value.into()))
    }

    fn visit_f64<E: de::Error>(self, value: f64) -> Result<Content, E> {
        let number =
            Number::from_f64(value).ok_or_else(|| E::custom("infinity and NaN are no numbers of JSON"))?;
        Ok(Content::Scalar(Value::Number(number)))
    }

    fn visit_str<E>(self, value: &str) -> Result<Content, E> {
        Ok(Content::Scalar(value.into()))
    }

    fn visit_unit<E>(self) -> Result<Content, E> {
        Ok(Content::Scalar(Value::Null))
    }

    fn visit_none<E>(self) -> Result<Content, E> {
        Ok(Content::Scalar(Value::Null))
    }

    fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<Content, D::Error> {
        Content::deserialize(deserializer)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Content, A::Error> {
        let mut items = Vec::new();
        while let Some(item) = list.next_element()? {
            items.push(item);
        }
        Ok(Content::List(items))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Content, A::Error> {
        let mut fields = Vec::new();
        while let Some(entry) = map.next_entry()? {
            fields.push(entry);
        }
        Ok(Content::Map(fields))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "\
kind: Channel
metadata:
  labels:
    app.kubernetes.io/name: sbc
    app: x
spec:
  # a comment
  listeners:
  - name: sips
    port: 5061
  - {name: rtp, port: 10000,
     endPort: 20000}
  tls:
    dnsNames: []
";

    #[test]
    fn a_field_is_found_on_its_line() {
        let node: Node = serde_saphyr::from_str(TEXT).unwrap();
        let line = |path: &str| node.line_of(path);
        assert_eq!(line(""), 1);
        assert_eq!(line("kind"), 1);
        assert_eq!(line("metadata.labels.app.kubernetes.io/name"), 4);
        assert_eq!(line("metadata.labels.app"), 5);
        assert_eq!(line("spec.listeners"), 8);
        assert_eq!(line("spec.listeners[0]"), 9);
        assert_eq!(line("spec.listeners[0].port"), 10);
        assert_eq!(line("spec.listeners[1].endPort"), 12);
        assert_eq!(line("spec.listeners[7].port"), 8, "what holds it, where it is not written");
        assert_eq!(line("spec.tls.duration"), 13);
        assert_eq!(line("spec.workload.selector"), 6);
        assert_eq!(node.find("spec.listeners[0].port").map(Node::value), Some(5061.into()));
        assert!(node.find("spec.listeners[7].port").is_none() && node.find("spec.tls.duration").is_none());
    }

    #[test]
    fn values_are_those_of_json() {
        let node: Node =
            serde_saphyr::from_str("a: [1, -2, 1.5, true, null, '7', text, {}]\nb: &x {c: 1}\nd: *x\n")
                .unwrap();
        let expected = serde_json::json!({
            "a": [1, -2, 1.5, true, null, "7", "text", {}], "b": {"c": 1}, "d": {"c": 1},
        });
        assert_eq!(node.value(), expected);
        assert_eq!(node.line_of("d.c"), 3, "where an alias is used");
    }
}
