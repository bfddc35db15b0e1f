//! Settings as they are typed: `SETTING=VALUE`, of which several with one name are a list. Pure.

use ringkeeper_tools::client::Settings;
use serde_json::Value;

/// The settings that these words say. What they may be called and be is the balancer's to say.
pub fn of(words: &[String]) -> Result<Settings, String> {
    let mut settings = Settings::new();
    for word in words {
        let Some((name, value)) = word.split_once('=').filter(|(name, _)| !name.is_empty()) else {
            return Err(format!("'{word}' is no SETTING=VALUE"));
        };
        let value = Value::from(value);
        let name = name.replace('-', "_"); // as flags are written, too
        match settings.get_mut(&name) {
            None => drop(settings.insert(name, value)),
            Some(Value::Array(values)) => values.push(value),
            Some(first) => *first = Value::Array(vec![first.take(), value]),
        }
    }
    Ok(settings)
}

/// A setting's value as it would be typed.
pub fn typed(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Array(values) => values.iter().map(typed).collect::<Vec<_>>().join(","),
        value => value.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn settings(line: &str) -> Result<Value, String> {
        of(&line.split(' ').map(ToOwned::to_owned).collect::<Vec<_>>()).map(Value::Object)
    }

    #[test]
    fn names_that_come_again_make_a_list() {
        assert_eq!(
            settings("image=web env=A=1 env=B= max-in-flight=4 env=C"),
            Ok(json!({"image": "web", "env": ["A=1", "B=", "C"], "max_in_flight": "4"}))
        );
        for bad in ["image", "=web", ""] {
            assert!(settings(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_value_is_shown_as_it_is_typed() {
        assert_eq!(typed(&json!(["GET", "POST"])), "GET,POST");
        assert_eq!((typed(&json!(true)), typed(&json!("a b"))), ("true".into(), "a b".into()));
    }
}
