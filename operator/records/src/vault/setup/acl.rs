//! Parses the rules of an ACL policy: HCL or JSON.
//!
//! Only paths and capabilities are read. Vault accepted the text when it was written, so text that does not parse here uses a
//! form that this parser does not know. That is an error, never a policy without rules.

use std::iter::Peekable;
use std::str::Chars;

/// The deepest nesting of objects and lists.
const MOST_DEPTH: usize = 16;

/// What a policy allows on one path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Rule {
    /// The path as the policy names it, with `+` and `*`.
    pub path: String,
    /// The capabilities, as the policy spells them.
    pub capabilities: Vec<String>,
}

/// Parses a policy's text; the error says what was not understood.
pub(super) fn rules(text: &str) -> Result<Vec<Rule>, String> {
    let mut tokens = tokens(text)?.into_iter().peekable();
    // JSON has braces around everything.
    let closed = tokens.next_if_eq(&Token::Open).is_some();
    let fields = object(&mut tokens, closed, 0)?;
    if tokens.next().is_some() {
        return Err("there is more after its end".to_owned());
    }
    let mut found = Vec::new();
    for (keys, value) in &fields {
        if keys.first().is_some_and(|key| key == "path") {
            collect(keys, value, &mut found)?;
        }
    }
    Ok(found)
}

/// `path "a" {…}`, `path = {"a" = {…}}`, and lists of either.
fn collect(keys: &[String], value: &Value, found: &mut Vec<Rule>) -> Result<(), String> {
    match (keys, value) {
        (_, Value::List(values)) => values.iter().try_for_each(|value| collect(keys, value, found)),
        ([_], Value::Object(fields)) => fields.iter().try_for_each(|(more, value)| {
            let keys: Vec<_> = keys.iter().chain(more).cloned().collect();
            collect(&keys, value, found)
        }),
        ([_, path], Value::Object(fields)) => {
            let capabilities = fields.iter().flat_map(|(keys, value)| given(keys, value)).collect();
            found.push(Rule { path: path.trim_start_matches('/').to_owned(), capabilities });
            Ok(())
        }
        _ => Err("expected path \"…\" { … }".to_owned()),
    }
}

fn given(keys: &[String], value: &Value) -> Vec<String> {
    let words = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect();
    match (keys, value) {
        ([key], Value::List(values)) if key == "capabilities" => {
            let word = |value: &Value| match value {
                Value::Word(word) => Some(word.clone()),
                Value::List(_) | Value::Object(_) => None,
            };
            values.iter().filter_map(word).collect()
        }
        // The old form, which Vault still accepts.
        ([key], Value::Word(word)) if key == "policy" => match word.as_str() {
            "read" => words(&["read", "list"]),
            "write" | "sudo" => words(&["create", "read", "update", "delete", "list"]),
            other => words(&[other]),
        },
        _ => Vec::new(),
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Token {
    Open,
    Close,
    ListOpen,
    ListClose,
    Equals,
    Comma,
    Word(String),
}

enum Value {
    Word(String),
    List(Vec<Value>),
    Object(Fields),
}

/// Each with its keys: `path "a"` has two.
type Fields = Vec<(Vec<String>, Value)>;
type Tokens = Peekable<std::vec::IntoIter<Token>>;

fn object(tokens: &mut Tokens, closed: bool, depth: usize) -> Result<Fields, String> {
    let mut fields = Vec::new();
    let mut keys = Vec::new();
    loop {
        match tokens.next() {
            Some(Token::Word(word)) => keys.push(word),
            Some(Token::Equals) if !keys.is_empty() => {
                fields.push((std::mem::take(&mut keys), value(tokens, depth)?));
            }
            Some(Token::Open) if !keys.is_empty() => {
                let inner = object(tokens, true, deeper(depth)?)?;
                fields.push((std::mem::take(&mut keys), Value::Object(inner)));
            }
            Some(Token::Comma) if keys.is_empty() => {}
            Some(Token::Close) if keys.is_empty() && closed => return Ok(fields),
            None if keys.is_empty() && !closed => return Ok(fields),
            _ => return Err(format!("expected a field with its value after {}", last(&keys, &fields))),
        }
    }
}

fn value(tokens: &mut Tokens, depth: usize) -> Result<Value, String> {
    match tokens.next() {
        Some(Token::Word(word)) => Ok(Value::Word(word)),
        Some(Token::Open) => Ok(Value::Object(object(tokens, true, deeper(depth)?)?)),
        Some(Token::ListOpen) => {
            let depth = deeper(depth)?;
            let mut values = Vec::new();
            loop {
                if tokens.next_if_eq(&Token::ListClose).is_some() {
                    return Ok(Value::List(values));
                }
                if tokens.next_if_eq(&Token::Comma).is_none() {
                    values.push(value(tokens, depth)?);
                }
            }
        }
        _ => Err("expected a value".to_owned()),
    }
}

fn deeper(depth: usize) -> Result<usize, String> {
    if depth < MOST_DEPTH { Ok(depth + 1) } else { Err("it is nested too deep".to_owned()) }
}

fn last(keys: &[String], fields: &Fields) -> String {
    let before = || fields.last().and_then(|(keys, _)| keys.last());
    keys.last().or_else(before).map_or("its beginning".to_owned(), |key| format!("\"{key}\""))
}

fn tokens(text: &str) -> Result<Vec<Token>, String> {
    let mut tokens = Vec::new();
    let mut left = text.chars().peekable();
    while let Some(next) = left.next() {
        match next {
            '{' => tokens.push(Token::Open),
            '}' => tokens.push(Token::Close),
            '[' => tokens.push(Token::ListOpen),
            ']' => tokens.push(Token::ListClose),
            '=' | ':' => tokens.push(Token::Equals),
            ',' => tokens.push(Token::Comma),
            '"' => tokens.push(Token::Word(quoted(&mut left)?)),
            '#' => skip_line(&mut left),
            '/' if left.peek() == Some(&'/') => skip_line(&mut left),
            '/' if left.peek() == Some(&'*') => skip_comment(&mut left)?,
            space if space.is_whitespace() => {}
            letter if is_bare(letter) => {
                let mut word = String::from(letter);
                while let Some(letter) = left.next_if(|next| is_bare(*next)) {
                    word.push(letter);
                }
                tokens.push(Token::Word(word));
            }
            other => return Err(format!("{other:?} is not expected")),
        }
    }
    Ok(tokens)
}

fn is_bare(letter: char) -> bool {
    letter.is_alphanumeric() || ['_', '-', '.', '+'].contains(&letter)
}

fn quoted(left: &mut Peekable<Chars<'_>>) -> Result<String, String> {
    let mut word = String::new();
    loop {
        match left.next() {
            Some('"') => return Ok(word),
            Some('\\') => word.extend(left.next()),
            Some(letter) => word.push(letter),
            None => return Err("a text in quotes has no end".to_owned()),
        }
    }
}

fn skip_line(left: &mut Peekable<Chars<'_>>) {
    while left.next().is_some_and(|letter| letter != '\n') {}
}

fn skip_comment(left: &mut Peekable<Chars<'_>>) -> Result<(), String> {
    left.next();
    let mut before = ' ';
    for letter in left.by_ref() {
        if (before, letter) == ('*', '/') {
            return Ok(());
        }
        before = letter;
    }
    Err("a comment has no end".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Vec<(String, String)> {
        let rules = rules(text).unwrap();
        rules.into_iter().map(|rule| (rule.path, rule.capabilities.join(","))).collect()
    }

    fn rule(path: &str, capabilities: &str) -> (String, String) {
        (path.to_owned(), capabilities.to_owned())
    }

    #[test]
    fn rules_are_read_in_every_form_that_vault_takes() {
        let hcl = r#"
            # path "no/*" { capabilities = ["create"] }
            name = "of it" // path "no/*" {}
            path "transit/keys/+" { /* path "no" } */
              capabilities = ["create", "read",]
              allowed_parameters = { "type" = ["a}b", 1] "*" = [] }
              min_wrapping_ttl = "1s"
            }
            path "/kv/\"x\"" { policy = "write" }
            path "empty" {}
        "#;
        let expected = [
            rule("transit/keys/+", "create,read"),
            rule("kv/\"x\"", "create,read,update,delete,list"),
            rule("empty", ""),
        ];
        assert_eq!(read(hcl), expected);
        let json = r#"{"path": {"a/*": {"capabilities": ["sudo", "update"]}, "b": {"policy": "deny"}}}"#;
        assert_eq!(read(json), [rule("a/*", "sudo,update"), rule("b", "deny")]);
        let list = r#"{"path": [{"a": [{"capabilities": ["list"]}]}, {"b": {"capabilities": []}}]}"#;
        assert_eq!(read(list), [rule("a", "list"), rule("b", "")]);
        assert_eq!(read(r#"path = { "a" = { policy = "read" } }"#), [rule("a", "read,list")]);
        assert!(read("").is_empty() && read("# nothing").is_empty());
    }

    #[test]
    fn what_is_not_understood_is_never_a_policy_without_rules() {
        let deep = format!("a = {}", "[".repeat(100));
        let texts = [
            "path \"a\" {",
            "path \"a\" { capabilities = [\"create\" }",
            "path \"a",
            "/* path",
            "path \"a\" {} }",
            "path \"a\" \"b\" {}",
            "path = \"a\"",
            "path \"a\" { capabilities = <<EOF\ncreate\nEOF\n}",
            "path",
            deep.as_str(),
        ];
        for text in texts {
            assert!(rules(text).is_err(), "{text}");
        }
    }
}
