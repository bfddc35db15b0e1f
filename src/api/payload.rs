//! The payload of `/add` and `/rm`: read strictly, so that no mistake is taken for something else.

use std::fmt;

use serde::{
    Deserialize, Deserializer,
    de::{MapAccess, Visitor},
};
use serde_json::Value;

/// Why a body is no payload.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum PayloadError {
    #[error("The payload must be a JSON object such as {{\"n\": 2, \"hostnames\": [\"S5\", \"S4\"]}}: {0}")]
    Json(String),
    #[error("The payload has a field '{0}'; it may have 'n' and 'hostnames'")]
    Unknown(String),
    #[error("The payload has the field '{0}' twice")]
    Twice(&'static str),
    #[error("'n' is missing: the number of instances")]
    Missing,
    #[error("'n' must be a whole number")]
    NotWhole,
    #[error("'hostnames' must be a list of strings")]
    NotNames,
    #[error("'n' must be more than 0")]
    NotPositive,
}

/// The fields of a JSON object in their order, repeated ones too.
struct Fields(Vec<(String, Value)>);

impl<'de> Deserialize<'de> for Fields {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct OfObject;
        impl<'de> Visitor<'de> for OfObject {
            type Value = Fields;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Fields, A::Error> {
                let mut fields = Vec::new();
                while let Some(field) = map.next_entry()? {
                    fields.push(field);
                }
                Ok(Fields(fields))
            }
        }
        deserializer.deserialize_map(OfObject)
    }
}

/// The `n` and the `hostnames` of a payload; the latter may be left out.
pub(super) fn payload(body: &[u8]) -> Result<(usize, Vec<String>), PayloadError> {
    let Fields(fields) =
        serde_json::from_slice(body).map_err(|error| PayloadError::Json(error.to_string()))?;
    let (mut count, mut names) = (None, None);
    for (field, value) in fields {
        let (place, name) = match field.as_str() {
            "n" => (&mut count, "n"),
            "hostnames" => (&mut names, "hostnames"),
            _ => return Err(PayloadError::Unknown(field)),
        };
        if place.replace(value).is_some() {
            return Err(PayloadError::Twice(name));
        }
    }
    let number = match count {
        None => return Err(PayloadError::Missing),
        Some(Value::Number(number)) if !number.is_f64() => number,
        Some(_) => return Err(PayloadError::NotWhole),
    };
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
            (r#"{"n":1,"hostname":[]}"#, PayloadError::Unknown("hostname".into())),
            (r#"{"n":1,"n":2}"#, PayloadError::Twice("n")),
            (r#"{"n":1,"hostnames":[],"hostnames":["S1"]}"#, PayloadError::Twice("hostnames")),
            ("{}", PayloadError::Missing),
            (r#"{"n":"3"}"#, PayloadError::NotWhole),
            (r#"{"n":1.5}"#, PayloadError::NotWhole),
            (r#"{"n":true}"#, PayloadError::NotWhole),
            (r#"{"n":1e99}"#, PayloadError::NotWhole),
            (r#"{"n":0}"#, PayloadError::NotPositive),
            (r#"{"n":-1}"#, PayloadError::NotPositive),
            (r#"{"n":1,"hostnames":"S1"}"#, PayloadError::NotNames),
            (r#"{"n":-1,"hostnames":[1]}"#, PayloadError::NotNames),
        ] {
            assert_eq!(payload(body.as_bytes()), Err(error), "{body}");
        }
        let deep = "[".repeat(100_000);
        for body in ["", "[]", "1", "null", "n=1", r#"{"n":1"#, r#"{"n":1} x"#, r#"{"n":NaN}"#, &deep] {
            assert!(matches!(payload(body.as_bytes()), Err(PayloadError::Json(_))), "{body}");
        }
    }
}
