//! The description of the control API: that it is served, and that what a running balancer answers is as it says.

use serde_json::{Value, json};

use crate::support::{Balancer, Client, Deployment};

/// What is wrong with a value by a schema, of the words that the document's schemas of answers use.
fn wrong(document: &Value, schema: &Value, value: &Value) -> Option<String> {
    let resolved = |schema: &Value| match schema["$ref"].as_str() {
        Some(place) => document.pointer(&place[1..]).expect("a reference leads somewhere").clone(),
        None => Value::Null,
    };
    let of = |part: &Value, value: &Value| wrong(document, part, value);
    let referred = resolved(schema);
    if let Some(why) = (!referred.is_null()).then(|| of(&referred, value)).flatten() {
        return Some(why);
    }
    if let Some(parts) = schema["anyOf"].as_array() {
        let all: Vec<_> = parts.iter().map(|part| of(part, value)).collect();
        if all.iter().all(Option::is_some) {
            return Some(format!("{all:?}"));
        }
    }
    let fits = |name: &Value| match name.as_str().expect("a type's name") {
        "integer" => value.is_u64() || value.is_i64(),
        "number" => value.is_number(),
        "string" => value.is_string(),
        "boolean" => value.is_boolean(),
        "array" => value.is_array(),
        "object" => value.is_object(),
        "null" => value.is_null(),
        other => panic!("no type {other}"),
    };
    let is_of_type = match &schema["type"] {
        Value::Null => true,
        Value::Array(names) => names.iter().any(fits),
        name => fits(name),
    };
    let is_known = schema["enum"].as_array().is_none_or(|known| known.contains(value))
        && (schema["const"].is_null() || schema["const"] == *value);
    if !is_of_type || !is_known {
        return Some(format!("{value} is not as {schema} says"));
    }
    if let (Some(items), false) = (value.as_array(), schema["items"].is_null()) {
        return items.iter().find_map(|item| of(&schema["items"], item));
    }
    let fields = value.as_object()?;
    let mut known = vec![schema["properties"].clone(), referred["properties"].clone()];
    for part in schema["allOf"].as_array().into_iter().flatten() {
        if let Some(why) = of(part, value) {
            return Some(why);
        }
        known.push(resolved(part)["properties"].clone());
    }
    let required = schema["required"].as_array().into_iter().flatten();
    if let Some(missing) =
        required.map(|name| name.as_str().expect("a name")).find(|name| !fields.contains_key(*name))
    {
        return Some(format!("{value} has no {missing}"));
    }
    let is_closed = schema["additionalProperties"] == false || schema["unevaluatedProperties"] == false;
    if let Some(unknown) =
        fields.keys().find(|name| is_closed && known.iter().all(|known| known[name.as_str()].is_null()))
    {
        return Some(format!("{unknown} is not in the document"));
    }
    fields.iter().find_map(|(name, field)| {
        let part = known.iter().map(|known| &known[name.as_str()]).find(|part| !part.is_null())?;
        of(part, field)
    })
}

/// Makes a call and compares its answer with the document; returns its body.
async fn call(
    balancer: &Balancer,
    document: &Value,
    call: (&str, &str, &str),
    status: u16,
    body: &str,
) -> Value {
    let (method, template, path) = call;
    let answer = Client::connect(balancer.admin).await.call(method, path, body).await;
    assert_eq!(answer.status, status, "{method} {path}: {}", answer.body);
    let response = &document["paths"][template][method.to_lowercase()]["responses"][status.to_string()];
    let response =
        response["$ref"].as_str().map_or(response, |place| document.pointer(&place[1..]).expect("there"));
    assert!(response.is_object(), "{method} {template} {status} is not in the document");
    let Some(media_type) = answer.header("content-type") else {
        assert!(response["content"].is_null() && answer.body.is_empty(), "{method} {path} has no body");
        return Value::Null;
    };
    let media_type = media_type.split(';').next().expect("a first");
    let schema = &response["content"][media_type]["schema"];
    assert!(!schema.is_null(), "{method} {template} {status} {media_type} is not in the document");
    if !media_type.ends_with("json") {
        return answer.body.into();
    }
    let value = answer.json();
    if let Some(why) = wrong(document, schema, &value) {
        panic!("{method} {path}: {why}");
    }
    value
}

const POOL: &str = "/v1/pools/{pool}";

#[tokio::test(flavor = "multi_thread")]
async fn the_document_is_served_and_tells_how_calls_are_answered() {
    let deployment = Deployment::of_processes();
    let balancer = deployment.start(&["--replicas", "2", "--queue", "2", "--max-in-flight", "2"]).await;
    let served = Client::connect(balancer.admin).await.call("GET", "/v1/openapi.json", "").await;
    assert_eq!((served.status, served.header("content-type")), (200, Some("application/json")));
    let document = served.json();
    assert_eq!(document["openapi"], "3.1.0");
    assert_eq!(balancer.call("GET", "/home", "").await.status, 200);

    for (method, path, status, body) in [
        ("GET", "/rep", 200, ""),
        ("POST", "/add", 200, r#"{"n":1,"hostnames":["S9"]}"#),
        ("POST", "/add", 400, r#"{"n":0}"#),
        ("DELETE", "/rm", 200, r#"{"n":1,"hostnames":["S9"]}"#),
        ("GET", "/v1/openapi.json", 200, ""),
        ("GET", "/v1/pools", 200, ""),
        ("GET", "/v1/routes", 200, ""),
        ("PUT", "/v1/routes", 400, r#"{"routes":[],"routes":[]}"#),
        ("PUT", "/v1/routes", 400, r#"{"routes":[{"path":"/a","path":"/b"}]}"#),
        ("PUT", "/v1/routes", 200, r#"{"routes":[{"path":"/a","method":["GET"],"strip_prefix":true}]}"#),
        ("GET", "/v1/routes", 200, ""),
    ] {
        call(&balancer, &document, (method, path, path), status, body).await;
    }
    let extra = json!({ "upstream": "127.0.0.1:1", "policy": "round-robin" }).to_string();
    for (method, rest, at, status, body) in [
        ("GET", "", "/v1/pools/default", 200, ""),
        ("GET", "", "/v1/pools/none", 404, ""),
        ("PUT", "", "/v1/pools/extra", 200, &*extra),
        ("PUT", "", "/v1/pools/extra", 400, r#"{"rise":1,"rise":2}"#),
        ("PUT", "", "/v1/pools/extra", 409, r#"{"engine":"process"}"#),
        ("GET", "", "/v1/pools/extra", 200, ""),
        ("GET", "/replicas/{name}/logs", "/v1/pools/extra/replicas/127.0.0.1:1/logs", 400, ""),
        ("DELETE", "", "/v1/pools/extra", 204, "{}"),
        ("DELETE", "", "/v1/pools/extra", 404, ""),
        ("POST", "/add", "/v1/pools/default/add", 200, r#"{"n":1,"hostnames":["S8"]}"#),
        ("POST", "/rm", "/v1/pools/default/rm", 404, r#"{"n":1,"hostnames":["S7"]}"#),
        ("PUT", "/scale", "/v1/pools/default/scale", 200, r#"{"replicas":2}"#),
        ("GET", "/events", "/v1/pools/default/events", 200, ""),
        ("GET", "/events", "/v1/pools/default/events?wait=61", 400, ""),
    ] {
        call(&balancer, &document, (method, &format!("{POOL}{rest}"), at), status, body).await;
    }
    let name = balancer.names().await.remove(0);
    for (method, rest, status, body) in [
        ("PUT", "weight", 200, r#"{"weight":2}"#),
        ("PUT", "weight", 400, r#"{"weight":101}"#),
        ("POST", "drain", 200, "{}"),
        ("POST", "drain", 400, r#"{"n":1}"#),
        ("POST", "restore", 200, ""),
        ("POST", "restart", 200, ""),
        ("GET", "logs", 200, ""),
    ] {
        let (template, path) =
            (format!("{POOL}/replicas/{{name}}/{rest}"), format!("/v1/pools/default/replicas/{name}/{rest}"));
        call(&balancer, &document, (method, &template, &path), status, body).await;
    }
    balancer.all_ready().await;
    assert_eq!(balancer.call("GET", "/home", "").await.status, 200);
    let shown = call(&balancer, &document, ("GET", POOL, "/v1/pools/default"), 200, "").await;
    assert!(
        shown["queue"].is_object() && shown["totals"]["latency"].is_object(),
        "both are compared: {shown}"
    );
}

/// They were told that the balancer was stopping.
#[tokio::test(flavor = "multi_thread")]
async fn calls_to_a_pool_that_nobody_keeps_are_a_conflict_that_says_what_can_be_done() {
    let deployment = Deployment::of_processes();
    let shop = json!({ "configured": null, "given": { "upstreams_env": "NO_SUCH_HOSTS" } });
    let nowhere = json!({ "configured": [], "given": [] });
    let memory = json!({ "pools": { "shop": shop }, "routes": nowhere }).to_string();
    std::fs::create_dir_all(&deployment.state).expect("a new directory");
    std::fs::write(deployment.state.join("pools.json"), memory).expect("a new file");
    let balancer = deployment.launch(&["--replicas", "0"]).await;
    let document = Client::connect(balancer.admin).await.call("GET", "/v1/openapi.json", "").await.json();
    let at = "/v1/pools/shop";
    for (method, rest, body) in [
        ("POST", "/add", r#"{"n":1,"hostnames":["127.0.0.1:2"]}"#),
        ("POST", "/rm", r#"{"n":1}"#),
        ("PUT", "/scale", r#"{"replicas":2}"#),
        ("PUT", "/replicas/{name}/weight", r#"{"weight":2}"#),
        ("POST", "/replicas/{name}/drain", ""),
        ("POST", "/replicas/{name}/restore", ""),
        ("POST", "/replicas/{name}/restart", ""),
        ("GET", "/replicas/{name}/logs", ""),
    ] {
        let (template, path) = (format!("{POOL}{rest}"), format!("{at}{}", rest.replace("{name}", "x")));
        let refused = call(&balancer, &document, (method, &template, &path), 409, body).await;
        let detail = refused["detail"].as_str().expect("a text");
        assert!(detail.contains("NO_SUCH_HOSTS: the environment has no such variable"), "{detail}");
        for way_out in ["PUT /v1/pools/shop", "DELETE /v1/pools/shop"] {
            assert!(detail.contains(way_out), "{detail}");
        }
    }
    call(&balancer, &document, ("PUT", POOL, at), 200, r#"{"upstream":"127.0.0.1:1"}"#).await;
    let removal = format!("{at}/rm");
    call(&balancer, &document, ("POST", &format!("{POOL}/rm"), &removal), 200, r#"{"n":1}"#).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_field_that_a_call_gives_twice_is_named() {
    let deployment = Deployment::of_processes();
    let balancer = deployment.start(&["--replicas", "0"]).await;
    for (path, body, twice) in [
        ("/v1/pools/extra", r#"{"upstream":"127.0.0.1:1","upstream":"127.0.0.1:2"}"#, "upstream"),
        ("/v1/routes", r#"{"routes":[{"path":"/a"},{"path":"/a","path":"/b"}]}"#, "path"),
    ] {
        let refused = Client::connect(balancer.admin).await.call("PUT", path, body).await;
        assert_eq!(refused.status, 400, "{}", refused.body);
        assert_eq!(refused.json()["detail"], format!("The payload has the field '{twice}' twice"));
    }
    assert_eq!(Client::connect(balancer.admin).await.call("GET", "/v1/pools/extra", "").await.status, 404);
}
