//! Heads of HTTP/2 as HTTP/1.1 writes them, and back (RFC 9113, sections 8.2 and 8.3). Pure.

use http::{
    HeaderMap, HeaderName, HeaderValue, Method, StatusCode, Uri, Version,
    header::{CONTENT_LENGTH, CONTENT_TYPE, COOKIE, HOST, TE, TRAILER},
    request, response,
    uri::Authority,
};

use crate::proxy::framing::{Fields, Framing, Kind, Request, Response, chunked};

/// Writes the head of a request in HTTP/1.1, and returns how its body goes on. `is_ended` where nothing follows the head.
///
/// What HTTP/1.1's parser refuses is written all the same, for it to refuse.
pub(super) fn write_request(out: &mut Vec<u8>, request: &request::Parts, is_ended: bool) -> Framing {
    let (uri, fields) = (&request.uri, &request.headers);
    let authority = uri.authority().map(Authority::as_str);
    let target = uri.path_and_query().map_or(authority.unwrap_or("/"), |target| target.as_str());
    for part in [request.method.as_str(), " ", target, " HTTP/1.1\r\n"] {
        out.extend_from_slice(part.as_bytes());
    }
    if let Some(authority) = authority {
        write_field(out, "host", authority.as_bytes());
    }
    // one that says what the authority does says nothing; two that differ are refused
    let is_said = |value: &HeaderValue| {
        authority.is_some_and(|authority| authority.as_bytes().eq_ignore_ascii_case(value.as_bytes()))
    };
    let drops_length = !is_ended && may_have_trailers(fields);
    for (name, value) in fields {
        let is_written = match name {
            name if name == HOST => !is_said(value),
            name if name == CONTENT_LENGTH => !drops_length,
            name => name != COOKIE && name != TE,
        };
        if is_written {
            write_field(out, name.as_str(), value.as_bytes());
        }
    }
    write_cookies(out, fields);
    if fields.contains_key(TE) {
        // nothing but `trailers` may stand there in HTTP/2
        out.extend_from_slice(b"te: trailers\r\nconnection: te\r\n");
    }
    let framing = match length(fields).filter(|_| !drops_length) {
        Some(length) => Framing::Length(length),
        None if is_ended => Framing::None,
        None => Framing::Chunked,
    };
    end(out, framing);
    framing
}

/// Writes the head of a response in HTTP/1.1, and returns how its body goes on. `is_ended` where nothing follows the head,
/// `to_head` where it answers HEAD.
pub(super) fn write_response(
    out: &mut Vec<u8>,
    response: &response::Parts,
    is_ended: bool,
    to_head: bool,
) -> Framing {
    let status = response.status;
    out.extend_from_slice(b"HTTP/1.1 ");
    out.extend_from_slice(status.as_str().as_bytes());
    out.push(b' ');
    out.extend_from_slice(status.canonical_reason().unwrap_or_default().as_bytes());
    out.extend_from_slice(b"\r\n");
    let has_body = !to_head && status != StatusCode::NO_CONTENT && status != StatusCode::NOT_MODIFIED;
    let fields = &response.headers;
    let drops_length = has_body && !is_ended && may_have_trailers(fields);
    for (name, value) in fields.iter().filter(|(name, _)| **name != CONTENT_LENGTH || !drops_length) {
        write_field(out, name.as_str(), value.as_bytes());
    }
    let framing = match length(fields).filter(|_| !drops_length) {
        _ if !has_body => Framing::None,
        Some(length) => Framing::Length(length),
        None if is_ended => {
            write_field(out, "content-length", b"0");
            Framing::Length(0)
        }
        None => Framing::Chunked,
    };
    end(out, framing);
    framing
}

/// The request as HTTP/2 has it; `None` if it cannot be that. What is for one connection only goes no further: there is
/// no other protocol to switch to (RFC 9110, section 7.8, lets a server ignore Upgrade).
pub(super) fn request(request: &Request<'_>) -> Option<http::Request<()>> {
    let mut target = Vec::new();
    request.target.write(&mut target);
    let uri = Uri::builder().scheme("http").authority(request.host?).path_and_query(target).build().ok()?;
    let mut built = http::Request::new(());
    *built.method_mut() = Method::from_bytes(request.method.as_bytes()).ok()?;
    *built.uri_mut() = uri;
    *built.version_mut() = Version::HTTP_2;
    copy(built.headers_mut(), &request.fields)?;
    if request.wants_trailers {
        built.headers_mut().insert(TE, HeaderValue::from_static("trailers"));
    }
    Some(built)
}

/// The response as HTTP/2 has it; `None` if it cannot be that.
pub(super) fn response(response: &Response<'_>) -> Option<http::Response<()>> {
    let mut built = http::Response::new(());
    *built.status_mut() = StatusCode::from_u16(response.status).ok()?;
    copy(built.headers_mut(), &response.fields)?;
    if is_grpc(built.headers()) && response.framing == Framing::Length(0) {
        built.headers_mut().remove(CONTENT_LENGTH); // its header is the whole response, which gRPC's clients count on
    }
    Some(built)
}

/// Whether these are the fields of a call of gRPC, or of its response: not those of gRPC-Web, which goes over HTTP/1.1.
pub(super) fn is_grpc(fields: &HeaderMap) -> bool {
    let rest = fields.get(CONTENT_TYPE).and_then(|value| value.as_bytes().strip_prefix(b"application/grpc"));
    rest.is_some_and(|rest| matches!(rest, [] | [b'+' | b';', ..]))
}

/// Writes what follows the last chunk, its line included.
pub(super) fn write_trailers(out: &mut Vec<u8>, trailers: &HeaderMap) {
    out.extend_from_slice(b"0\r\n");
    for (name, value) in trailers.iter().filter(|(name, _)| chunked::may_be_trailer(name.as_str())) {
        write_field(out, name.as_str(), value.as_bytes());
    }
    out.extend_from_slice(b"\r\n");
}

/// The trailers in these lines, which were checked.
pub(super) fn trailers(lines: &[u8]) -> HeaderMap {
    let mut trailers = HeaderMap::new();
    for line in lines.split(|byte| *byte == b'\n') {
        let Some(colon) = line.iter().position(|byte| *byte == b':') else { continue };
        let (name, value) = (&line[..colon], line[colon + 1..].trim_ascii());
        if let (Ok(name), Ok(value)) = (HeaderName::from_bytes(name), HeaderValue::from_bytes(value)) {
            trailers.append(name, value);
        }
    }
    trailers
}

/// Copies the fields that go from end to end, and where the body ends.
fn copy(into: &mut HeaderMap, fields: &Fields<'_>) -> Option<()> {
    into.reserve(fields.len());
    for (name, value, kind) in fields.iter() {
        let stays = match kind {
            Kind::EndToEnd | Kind::Forwarding | Kind::RequestId | Kind::MaxForwards | Kind::Own => true,
            Kind::Framing => name.eq_ignore_ascii_case(b"content-length"),
            Kind::Host | Kind::Expect | Kind::Hop | Kind::Nominated => false,
        };
        if stays {
            into.append(HeaderName::from_bytes(name).ok()?, HeaderValue::from_bytes(value).ok()?);
        }
    }
    Some(())
}

/// Cookies come in crumbs, which are one field in HTTP/1.1 (RFC 9113, section 8.2.3).
fn write_cookies(out: &mut Vec<u8>, fields: &HeaderMap) {
    let mut crumbs = fields.get_all(COOKIE).iter();
    if let Some(first) = crumbs.next() {
        out.extend_from_slice(b"cookie: ");
        out.extend_from_slice(first.as_bytes());
        for crumb in crumbs {
            out.extend_from_slice(b"; ");
            out.extend_from_slice(crumb.as_bytes());
        }
        out.extend_from_slice(b"\r\n");
    }
}

/// Whether trailers may follow the body: in HTTP/1.1 only chunks have some, so a length is dropped then.
fn may_have_trailers(fields: &HeaderMap) -> bool {
    is_grpc(fields) || fields.contains_key(TRAILER)
}

fn length(fields: &HeaderMap) -> Option<u64> {
    fields.get(CONTENT_LENGTH)?.to_str().ok()?.parse().ok()
}

fn write_field(out: &mut Vec<u8>, name: &str, value: &[u8]) {
    out.extend_from_slice(name.as_bytes());
    out.extend_from_slice(b": ");
    out.extend_from_slice(value);
    out.extend_from_slice(b"\r\n");
}

fn end(out: &mut Vec<u8>, framing: Framing) {
    if framing == Framing::Chunked {
        out.extend_from_slice(b"transfer-encoding: chunked\r\n");
    }
    out.extend_from_slice(b"\r\n");
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proxy::framing::{Asked, Limits, Progress, Scratch};

    fn written(request: http::request::Builder, is_ended: bool) -> (String, Framing) {
        let (parts, ()) = request.body(()).unwrap().into_parts();
        let mut out = Vec::new();
        let framing = write_request(&mut out, &parts, is_ended);
        (String::from_utf8(out).unwrap(), framing)
    }

    fn read(text: &str) -> http::Request<()> {
        let mut scratch = Scratch::default();
        let mut progress = Progress::default();
        let parsed = Request::parse(text.as_bytes(), &mut progress, &Limits::default(), &mut scratch);
        request(&parsed.unwrap().unwrap()).unwrap()
    }

    #[test]
    fn a_request_is_written_with_its_authority_as_host_and_its_cookies_in_one_field() {
        let request = http::Request::builder()
            .method("POST")
            .uri("http://a:80/%7Ea/../b?x=1&y")
            .header("cookie", "a=1")
            .header("x-a", "b")
            .header("host", "A:80")
            .header("cookie", "b=2")
            .header("te", "trailers");
        let text = "POST /%7Ea/../b?x=1&y HTTP/1.1\r\nhost: a:80\r\nx-a: b\r\ncookie: a=1; b=2\r\nte: trailers\r\n\
                    connection: te\r\ntransfer-encoding: chunked\r\n\r\n";
        assert_eq!(written(request, false), (text.to_owned(), Framing::Chunked));
    }

    #[test]
    fn a_host_that_contradicts_is_left_to_be_refused() {
        let (text, _) = written(http::Request::get("http://a/").header("host", "b"), true);
        assert_eq!(text, "GET / HTTP/1.1\r\nhost: a\r\nhost: b\r\n\r\n");
    }

    #[test]
    fn a_body_goes_on_by_its_length_or_in_chunks() {
        let post = || http::Request::post("http://a/");
        assert_eq!(written(post().header("content-length", "5"), false).1, Framing::Length(5));
        assert_eq!(written(post(), false).1, Framing::Chunked);
        let (text, framing) = written(post(), true);
        assert_eq!((&*text, framing), ("POST / HTTP/1.1\r\nhost: a\r\n\r\n", Framing::None));
    }

    #[test]
    fn a_tunnel_is_asked_for_as_http_1_1_does() {
        let (text, _) = written(http::Request::builder().method("CONNECT").uri("a:443"), true);
        assert_eq!(text, "CONNECT a:443 HTTP/1.1\r\nhost: a:443\r\n\r\n");
    }

    #[test]
    fn nothing_of_the_connection_goes_to_a_replica() {
        let request = read(
            "PUT /a%2F?b HTTP/1.1\r\nHost: a:1\r\nConnection: upgrade, te, x-hop\r\nX-Hop: 1\r\nUpgrade: websocket\r\n\
             TE: trailers\r\nContent-Length: 2\r\nX-Forwarded-For: 192.0.2.7\r\nX-A: b\r\n\r\n",
        );
        assert_eq!((request.method(), &*request.uri().to_string()), (&Method::PUT, "http://a:1/a%2F?b"));
        let fields: Vec<_> = request.headers().iter().map(|(name, value)| (name.as_str(), value)).collect();
        let expected =
            [("content-length", "2"), ("x-forwarded-for", "192.0.2.7"), ("x-a", "b"), ("te", "trailers")];
        assert_eq!(fields.len(), expected.len());
        assert!(expected.iter().all(|(name, value)| fields.iter().any(|(n, v)| n == name && *v == value)));
        assert_eq!(read("OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n").uri().path(), "*");
    }

    /// How a response with these fields goes on, and what was written.
    fn answered(status: u16, fields: &[(&str, &str)], is_ended: bool, to_head: bool) -> (String, Framing) {
        let mut response = http::Response::builder().status(status);
        for (name, value) in fields {
            response = response.header(*name, *value);
        }
        let (parts, ()) = response.body(()).unwrap().into_parts();
        let mut out = Vec::new();
        let framing = write_response(&mut out, &parts, is_ended, to_head);
        (String::from_utf8(out).unwrap(), framing)
    }

    #[test]
    fn a_response_goes_on_by_its_length_in_chunks_or_not_at_all() {
        let chunks = "HTTP/1.1 200 OK\r\na: b\r\ntransfer-encoding: chunked\r\n\r\n";
        assert_eq!(answered(200, &[("a", "b")], false, false), (chunks.into(), Framing::Chunked));
        let length = "HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\n";
        assert_eq!(
            answered(200, &[("content-length", "5")], false, false),
            (length.into(), Framing::Length(5))
        );
        assert_eq!(answered(200, &[("content-length", "5")], true, true), (length.into(), Framing::None));
        assert_eq!(
            answered(204, &[], true, false),
            ("HTTP/1.1 204 No Content\r\n\r\n".into(), Framing::None)
        );
        assert_eq!(answered(299, &[], true, false).0, "HTTP/1.1 299 \r\ncontent-length: 0\r\n\r\n");
    }

    #[test]
    fn where_trailers_may_follow_a_length_gives_way_to_chunks() {
        for field in [("content-type", "application/grpc"), ("trailer", "a")] {
            let fields = [("content-length", "5"), field];
            let (text, framing) = answered(200, &fields, false, false);
            assert!(framing == Framing::Chunked && !text.contains("content-length"), "{text}");
            assert_eq!(answered(200, &fields, true, true).1, Framing::None);
            let post =
                http::Request::post("http://a/").header("content-length", "5").header(field.0, field.1);
            let (text, framing) = written(post, false);
            assert!(framing == Framing::Chunked && !text.contains("content-length"), "{text}");
        }
    }

    #[test]
    fn a_response_of_grpc_that_is_all_header_has_no_length() {
        let text = "HTTP/1.1 200 OK\r\nContent-Type: application/grpc+proto\r\nGrpc-Status: 14\r\nContent-Length: 0\r\n\
                    Connection: close\r\n\r\n";
        let mut scratch = Scratch::default();
        let limits = Limits::default();
        let parsed = Response::parse(
            text.as_bytes(),
            Asked::default(),
            &mut Progress::default(),
            &limits,
            &mut scratch,
        );
        let response = response(&parsed.unwrap().unwrap()).unwrap();
        assert_eq!(response.headers().len(), 2);
        assert_eq!(response.headers()["grpc-status"], "14");
    }

    #[test]
    fn calls_of_grpc_are_told_by_their_content() {
        for (text, is) in [
            ("application/grpc", true),
            ("application/grpc+json", true),
            ("application/grpc; a=b", true),
            ("application/grpc-web", false),
            ("application/json", false),
        ] {
            let fields = HeaderMap::from_iter([(CONTENT_TYPE, HeaderValue::from_static(text))]);
            assert_eq!(is_grpc(&fields), is, "{text}");
        }
    }

    #[test]
    fn trailers_are_written_and_read_but_for_those_that_only_a_header_may_hold() {
        let fields =
            [("grpc-status", "0"), ("content-length", "5"), ("x_forwarded_for", "a"), ("x-a", "b c")];
        let all = fields.map(|(name, value)| (name.parse().unwrap(), HeaderValue::from_static(value)));
        let mut out = Vec::new();
        write_trailers(&mut out, &HeaderMap::from_iter(all));
        assert_eq!(out, b"0\r\ngrpc-status: 0\r\nx-a: b c\r\n\r\n");
        let read = trailers(b"grpc-status: 0\r\nx-a:b c \r\n\r");
        assert_eq!(
            (read.len(), &read["grpc-status"], &read["x-a"]),
            (2, &"0".parse().unwrap(), &"b c".parse().unwrap())
        );
    }
}
