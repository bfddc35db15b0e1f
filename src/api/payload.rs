//! The payloads of calls: read strictly, so that no mistake is taken for something else.

use std::{fmt, marker::PhantomData};

use serde::{
    Deserialize, Deserializer,
    de::{MapAccess, Visitor},
};
use serde_json::Value;

/// Why a body is no payload.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum PayloadError {
    #[error("The payload must be a JSON object such as {example}: {why}")]
    Json { example: &'static str, why: String },
    #[error("The payload has a field '{field}'; it is to be like {example}")]
    Unknown { field: String, example: &'static str },
    #[error("The payload has the field '{0}' twice")]
    Twice(&'static str),
    #[error("'{field}' is missing; the payload is to be like {example}")]
    Missing { field: &'static str, example: &'static str },
    #[error("'{0}' must be a whole number")]
    NotWhole(&'static str),
    #[error("'hostnames' must be a list of strings")]
    NotNames,
    #[error("'n' must be more than 0")]
    NotPositive,
}

/// The fields of a JSON object in their order, repeated ones too.
pub(super) struct Fields<V>(pub(super) Vec<(String, V)>);

impl<'de, V: Deserialize<'de>> Deserialize<'de> for Fields<V> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct OfObject<V>(PhantomData<V>);
        impl<'de, V: Deserialize<'de>> Visitor<'de> for OfObject<V> {
            type Value = Fields<V>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Fields<V>, A::Error> {
                let mut fields = Vec::new();
                while let Some(field) = map.next_entry()? {
                    fields.push(field);
                }
                Ok(Fields(fields))
            }
        }
        deserializer.deserialize_map(OfObject(PhantomData))
    }
}

const OF_A_CHANGE: &str = r#"{"n": 2, "hostnames": ["S5", "S4"]}"#;

/// The `n` and the `hostnames` of a payload; the latter may be left out.
pub(super) fn payload(body: &[u8]) -> Result<(usize, Vec<String>), PayloadError> {
    let [count, names] = fields(body, ["n", "hostnames"], OF_A_CHANGE)?;
    let number = whole(count, "n", OF_A_CHANGE)?;
    let names = match names {
        None => Vec::new(),
        Some(Value::Array(names)) => {
            let text = |name: &Value| name.as_str().map(str::to_owned).ok_or(PayloadError::NotNames);
            names.iter().map(text).collect::<Result<_, _>>()?
        }
        Some(_) => return Err(PayloadError::NotNames),
    };
    match number.as_u64() {
        Some(count) if count > 0 => Ok((usize::try_from(count).unwrap_or(usize::MAX), names)),
        _ => Err(PayloadError::NotPositive),
    }
}

/// The only field of a payload, a whole number that is not negative.
pub(super) fn number(body: &[u8], name: &'static str, example: &'static str) -> Result<u64, PayloadError> {
    let [value] = fields(body, [name], example)?;
    whole(value, name, example)?.as_u64().ok_or(PayloadError::NotWhole(name))
}

/// Whether a payload says nothing: there is none, or it is an object without fields.
pub(super) fn is_nothing(body: &[u8]) -> bool {
    let fields = || serde_json::from_slice::<Fields<Value>>(body);
    body.is_empty() || fields().is_ok_and(|Fields(fields)| fields.is_empty())
}

/// The values of these fields in an object that has no others, and none twice.
fn fields<const N: usize>(
    body: &[u8],
    names: [&'static str; N],
    example: &'static str,
) -> Result<[Option<Value>; N], PayloadError> {
    let Fields::<Value>(fields) = serde_json::from_slice(body)
        .map_err(|error| PayloadError::Json { example, why: error.to_string() })?;
    let mut values = [const { None }; N];
    for (field, value) in fields {
        let Some(place) = names.iter().position(|name| *name == field) else {
            return Err(PayloadError::Unknown { field, example });
        };
        if values[place].replace(value).is_some() {
            return Err(PayloadError::Twice(names[place]));
        }
    }
    Ok(values)
}

fn whole(
    value: Option<Value>,
    field: &'static str,
    example: &'static str,
) -> Result<serde_json::Number, PayloadError> {
    match value {
        None => Err(PayloadError::Missing { field, example }),
        Some(Value::Number(number)) if !number.is_f64() => Ok(number),
        Some(_) => Err(PayloadError::NotWhole(field)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_payload_is_a_count_and_perhaps_names() {
        assert_eq!(payload(br#"{"n":2,"hostnames":["S5","S4"]}"#), Ok((2, vec!["S5".into(), "S4".into()])));
        assert_eq!(payload(br#"{"n":1,"hostnames":[]}"#), Ok((1, vec![])));
        assert_eq!(payload(br#"{"n":1}"#), Ok((1, vec![])));
    }

    #[test]
    fn a_bad_payload_says_what_is_wrong_with_it() {
        for (body, error) in [
            (
                r#"{"n":1,"hostname":[]}"#,
                PayloadError::Unknown { field: "hostname".into(), example: OF_A_CHANGE },
            ),
            (r#"{"n":1,"n":2}"#, PayloadError::Twice("n")),
            (r#"{"n":1,"hostnames":[],"hostnames":["S1"]}"#, PayloadError::Twice("hostnames")),
            ("{}", PayloadError::Missing { field: "n", example: OF_A_CHANGE }),
            (r#"{"n":"3"}"#, PayloadError::NotWhole("n")),
            (r#"{"n":1.5}"#, PayloadError::NotWhole("n")),
            (r#"{"n":true}"#, PayloadError::NotWhole("n")),
            (r#"{"n":1e99}"#, PayloadError::NotWhole("n")),
            (r#"{"n":0}"#, PayloadError::NotPositive),
            (r#"{"n":-1}"#, PayloadError::NotPositive),
            (r#"{"n":1,"hostnames":"S1"}"#, PayloadError::NotNames),
            (r#"{"n":-1,"hostnames":[1]}"#, PayloadError::NotNames),
        ] {
            assert_eq!(payload(body.as_bytes()), Err(error), "{body}");
        }
        assert_eq!(number(br#"{"replicas":5}"#, "replicas", ""), Ok(5));
        for wrong in ["-5", "5.5", "\"5\"", "null", "99999999999999999999"] {
            let body = format!("{{\"replicas\":{wrong}}}");
            let refused = Err(PayloadError::NotWhole("replicas"));
            assert_eq!(number(body.as_bytes(), "replicas", ""), refused, "{wrong}");
        }
        for (body, nothing) in
            [("", true), ("{}", true), (" { } ", true), ("[]", false), (r#"{"n":1}"#, false)]
        {
            assert_eq!(is_nothing(body.as_bytes()), nothing, "{body}");
        }
        let deep = "[".repeat(100_000);
        for body in ["", "[]", "1", "null", "n=1", r#"{"n":1"#, r#"{"n":1} x"#, r#"{"n":NaN}"#, &deep] {
            assert!(matches!(payload(body.as_bytes()), Err(PayloadError::Json { .. })), "{body}");
        }
    }
}
