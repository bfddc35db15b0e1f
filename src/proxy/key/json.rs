//! A key in a JSON body.

use serde_json::Value;

use crate::proxy::framing::Request;

/// Whether the request says that its body is JSON.
pub(super) fn is_json(request: &Request<'_>) -> bool {
    let Some(media_type) = request.fields.get("content-type") else { return false };
    let essence = media_type.split(|byte| *byte == b';').next().unwrap_or_default().trim_ascii();
    let ends_with = |suffix: &[u8]| {
        let at = essence.len().saturating_sub(suffix.len());
        essence[at..].eq_ignore_ascii_case(suffix)
    };
    essence.eq_ignore_ascii_case(b"application/json") || ends_with(b"+json") // RFC 6839, section 3.1
}

/// The text of this member, of a member of a member where there are dots, be it a number or a string that is not empty.
pub(super) fn text(object: &Value, member: &str) -> Option<String> {
    match member.split('.').try_fold(object, |value, name| value.get(name))? {
        Value::Number(number) => Some(number.to_string()),
        Value::String(text) if !text.is_empty() => Some(text.clone()),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_member_is_a_number_or_a_string_at_any_depth() {
        for (body, member, expected) in [
            (r#"{"a":1}"#, "a", Some("1")),
            (r#"{"a":"1"}"#, "a", Some("1")),
            (r#"{"a":"\u0031"}"#, "a", Some("1")),
            (r#"{"a":18446744073709551615}"#, "a", Some("18446744073709551615")),
            (r#"{"a":-1.5}"#, "a", Some("-1.5")),
            (r#"{"a":{"b":{"c":"d e"}}}"#, "a.b.c", Some("d e")),
            (r#"{"a":{"b":1}}"#, "a", None),
            (r#"{"a":{"b":1}}"#, "a.b.c", None),
            (r#"{"a.b":1}"#, "a.b", None),
            (r#"{"a":[7]}"#, "a.0", None),
            (r#"{"a":""}"#, "a", None),
            (r#"{"a":null}"#, "a", None),
            (r#"{"a":true}"#, "a", None),
            (r#"{"A":1}"#, "a", None),
            ("[]", "a", None),
            ("1", "a", None),
        ] {
            let found = text(&serde_json::from_str(body).unwrap(), member);
            assert_eq!(found.as_deref(), expected, "{body} {member}");
        }
    }
}
