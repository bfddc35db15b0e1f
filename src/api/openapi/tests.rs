//! That the document says what there is, no less and no more.

use std::collections::{BTreeMap, BTreeSet};

use clap::Args;
use serde_json::Value;

use super::{super::STATS, DOCUMENT};
use crate::{
    config::{PoolArgs, RouteArgs},
    policy,
};

/// Where the control API's paths are.
const ROUTER: &str = include_str!("../mod.rs");
/// Where a fleet's words for what happens are.
const EVENTS: &str = include_str!("../../event.rs");

fn document() -> Value {
    serde_json::from_str(DOCUMENT).unwrap()
}

fn names<'a>(names: impl IntoIterator<Item = &'a str>) -> BTreeSet<String> {
    names.into_iter().map(str::to_owned).collect()
}

fn keys(value: &Value) -> BTreeSet<String> {
    names(value.as_object().unwrap().keys().map(String::as_str))
}

fn strings(value: &Value) -> BTreeSet<String> {
    names(value.as_array().unwrap().iter().map(|text| text.as_str().unwrap()))
}

/// The paths that a function of the router's source adds, with their methods.
fn routes(source: &str) -> BTreeMap<String, BTreeSet<String>> {
    let mut routes = BTreeMap::new();
    for call in source.split(".route(").skip(1) {
        let call = closed(call);
        let path = call.trim_start().strip_prefix('"').map(|rest| rest.split('"').next().unwrap());
        let is_called = |method: &&str| {
            let before =
                |at: usize| call[..at].chars().next_back().is_none_or(|c| !c.is_alphanumeric() && c != '_');
            call.match_indices(&format!("{method}(")).any(|(at, _)| before(at))
        };
        let methods = names(
            ["get", "put", "post", "delete", "patch", "head", "options"]
                .iter()
                .filter(|m| is_called(m))
                .copied(),
        );
        let paths = path.map_or_else(|| STATS.to_vec(), |path| vec![path]);
        routes.extend(paths.into_iter().map(|path| (path.to_owned(), methods.clone())));
    }
    routes
}

/// A call's text up to its closing parenthesis.
fn closed(call: &str) -> &str {
    let mut depth = 0;
    let end = call.find(|c| {
        depth += i32::from(c == '(') - i32::from(c == ')');
        depth < 0
    });
    &call[..end.unwrap()]
}

#[test]
fn the_document_is_of_this_version() {
    assert_eq!(document()["info"]["version"], env!("CARGO_PKG_VERSION"));
}

#[test]
fn the_document_has_the_paths_and_methods_of_the_router() {
    let document = document();
    let documented: BTreeMap<String, BTreeSet<String>> = document["paths"]
        .as_object()
        .unwrap()
        .iter()
        .map(|(path, item)| {
            let item = item["$ref"].as_str().map_or(item, |place| document.pointer(&place[1..]).unwrap());
            let mut methods = keys(item);
            methods.remove("parameters");
            (path.clone(), methods)
        })
        .collect();
    // what clients are told is no part of it: it is where a pool's settings say
    let (admin, rest) = ROUTER.split_once("pub fn admin(").unwrap().1.split_once("fn told(").unwrap();
    assert!(rest.contains("fn finish("));
    assert_eq!(documented, routes(admin));
}

#[test]
fn every_reference_leads_somewhere_and_every_call_has_a_name_of_its_own() {
    fn walk(value: &Value, see: &mut impl FnMut(&str, &Value)) {
        match value {
            Value::Object(fields) => fields.iter().for_each(|(name, value)| {
                see(name, value);
                walk(value, see);
            }),
            Value::Array(values) => values.iter().for_each(|value| walk(value, see)),
            _ => {}
        }
    }
    let (document, mut ids) = (document(), BTreeSet::new());
    walk(&document, &mut |name, value| match (name, value.as_str()) {
        ("$ref", Some(place)) => assert!(document.pointer(&place[1..]).is_some(), "{place}"),
        ("operationId", Some(id)) => assert!(ids.insert(id.to_owned()), "{id}"),
        _ => {}
    });
    assert!(ids.len() > 15);
}

#[test]
fn the_settings_are_those_that_there_are() {
    let schemas = &document()["components"]["schemas"];
    let settings = |command: clap::Command| {
        let keys = command.get_arguments().filter_map(|arg| Some(arg.get_long()?.replace('-', "_")));
        keys.collect::<BTreeSet<_>>()
    };
    let of_pool = settings(PoolArgs::augment_args(clap::Command::new("pool")));
    assert_eq!(keys(&schemas["Settings"]["properties"]), of_pool);
    let of_route = settings(RouteArgs::augment_args(clap::Command::new("route")));
    assert_eq!(keys(&schemas["Route"]["properties"]), of_route);
    let accepted = "?".parse::<policy::Kind>().unwrap_err().to_string();
    let accepted = accepted.rsplit("accepted are ").next().unwrap();
    assert_eq!(strings(&schemas["Policy"]["enum"]), names(accepted.split(", ")));
}

#[test]
fn the_kinds_of_events_are_those_that_there_are() {
    let (_, word) = EVENTS.split_once("pub const fn word").unwrap();
    let word = word.split_once("impl ").unwrap().0;
    let kinds = names(word.split("=> \"").skip(1).map(|rest| rest.split('"').next().unwrap()));
    assert_eq!(strings(&document()["components"]["schemas"]["Event"]["properties"]["kind"]["enum"]), kinds);
}
