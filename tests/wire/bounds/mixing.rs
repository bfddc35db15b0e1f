//! Nobody gets what is another's, however requests are cut, delayed, aborted or sent again.

use std::{io, net::SocketAddr, ops::Range, time::Duration};

use rand::{RngExt, SeedableRng, rngs::StdRng};
use tokio::{task::JoinSet, time::sleep};

use super::{
    balance,
    origin::listener,
    turn,
    wire::{Message, Wire},
};
use crate::support::Deployment;

const CLIENTS: u64 = 2000;
/// Requests that a client sends at most, one after the other or all at once.
const REQUESTS: u64 = 4;
/// The longest body, in bytes: what is no longer is kept and sent again.
const BODY: usize = 60_000;

/// What is drawn for one request, from its id alone: the client and the origin agree.
struct Draw {
    id: u64,
    rng: StdRng,
}

impl Draw {
    fn of(seed: u64, id: u64, who: u64) -> Self {
        Draw { id, rng: StdRng::seed_from_u64(seed ^ (id << 8) ^ who) }
    }

    /// Bytes that belong to this request alone.
    fn body(&mut self) -> Vec<u8> {
        let length = if self.rng.random_bool(0.1) { BODY } else { 2000 };
        let length = self.rng.random_range(0..length);
        self.id.to_string().into_bytes().into_iter().chain(*b" ").cycle().take(length).collect()
    }

    /// The body of the answer.
    fn answer(mut self) -> Vec<u8> {
        let _how_it_ends = self.ends();
        self.body()
    }

    /// Whether the origin says that it closes after its answer, and whether it does without a word.
    fn ends(&mut self) -> (bool, bool) {
        (self.rng.random_bool(0.1), self.rng.random_bool(0.1))
    }

    /// A message with this first line and body, in a framing that is drawn, in pieces.
    fn pieces(&mut self, first: &str, body: &[u8], closes: bool) -> Vec<Vec<u8>> {
        let close = if closes { "Connection: close\r\n" } else { "" };
        let head = format!("{first}\r\nHost: a\r\nX-Id: {}\r\n{close}", self.id);
        let mut message = head.into_bytes();
        if self.rng.random() {
            message.extend(format!("Content-Length: {}\r\n\r\n", body.len()).into_bytes());
            message.extend(body);
        } else {
            message.extend(b"Transfer-Encoding: chunked\r\n\r\n");
            for chunk in self.cut(body) {
                message.extend(format!("{:x}\r\n", chunk.len()).into_bytes());
                message.extend(chunk);
                message.extend(b"\r\n");
            }
            message.extend(b"0\r\n\r\n");
        }
        self.cut(&message).map(<[u8]>::to_vec).collect()
    }

    fn cut<'a>(&mut self, bytes: &'a [u8]) -> impl Iterator<Item = &'a [u8]> + use<'a> {
        let most = 1 + bytes.len() / self.rng.random_range(1..5);
        bytes.chunks(most)
    }

    async fn rest(&mut self, millis: Range<u64>) {
        sleep(Duration::from_millis(self.rng.random_range(millis))).await;
    }
}

/// Answers each request with what belongs to its id, late and in pieces. Closes now and then after an answer, whether it said
/// so or not.
async fn answer(mut wire: Wire, seed: u64) -> io::Result<()> {
    while let Some(request) = wire.message().await? {
        let id: u64 = request.field("x-id").expect("an id").parse().expect("a number");
        assert_eq!(request.head.split(' ').nth(1), Some(&*format!("/{id}")));
        let mut asked = Draw::of(seed, id, 0);
        assert!(request.body == asked.body(), "the request {id} is not whole");
        let mut draw = Draw::of(seed, id, 1);
        let (says, closes) = draw.ends();
        let body = draw.body();
        draw.rest(0..30).await;
        for piece in draw.pieces("HTTP/1.1 200 OK", &body, says) {
            draw.rest(0..3).await;
            wire.write(&piece).await?;
        }
        if says || closes {
            return Ok(());
        }
    }
    Ok(())
}

async fn serve(seed: u64) -> SocketAddr {
    let listener = listener();
    let address = listener.local_addr().expect("bound");
    tokio::spawn(async move {
        let mut connections = JoinSet::new();
        loop {
            tokio::select! {
                accepted = listener.accept() => {
                    let (stream, _) = accepted.expect("a connection");
                    connections.spawn(answer(Wire::new(stream), seed));
                }
                Some(ended) = connections.join_next() => match ended {
                    Ok(_broken_or_not) => {}
                    Err(panicked) => panic!("{panicked}"),
                }
            }
        }
    });
    address
}

fn check(seed: u64, id: u64, answer: &Message) {
    assert!(answer.head.starts_with("HTTP/1.1 200 "), "{id}: {}", answer.head);
    assert_eq!(answer.field("x-id"), Some(&*id.to_string()), "another's answer");
    assert!(answer.body == Draw::of(seed, id, 1).answer(), "the answer to {id} is not whole, or another's");
}

/// The pieces of a client's request.
fn request(seed: u64, id: u64) -> Vec<Vec<u8>> {
    let mut draw = Draw::of(seed, id, 0);
    let body = draw.body();
    draw.pieces(&format!("PUT /{id} HTTP/1.1"), &body, false)
}

/// One client: some leave at any moment, some send all requests at once. Returns how many answers it got.
async fn client(address: SocketAddr, seed: u64, number: u64) -> u64 {
    let mut draw = Draw::of(seed, number, 2);
    let ids = number * REQUESTS..number * REQUESTS + draw.rng.random_range(1..=REQUESTS);
    draw.rest(0..100).await;
    let mut wire = Wire::connect(address).await.expect("the balancer accepts");
    if number.is_multiple_of(10) {
        leave(wire, seed, ids.start, draw).await;
        return 0;
    }
    let at_once = number % 10 == 1;
    if at_once {
        let all: Vec<u8> = ids.clone().flat_map(|id| request(seed, id)).flatten().collect();
        wire.write(&all).await.expect("sent");
    }
    for id in ids.clone() {
        if !at_once {
            for piece in request(seed, id) {
                wire.write(&piece).await.expect("sent");
                draw.rest(0..3).await;
            }
        }
        check(seed, id, &wire.response().await);
    }
    ids.end - ids.start
}

/// Leaves within the request, while it waits, or within the response; with an end or with a break.
async fn leave(mut wire: Wire, seed: u64, id: u64, mut draw: Draw) {
    let mut bytes = request(seed, id).concat();
    if draw.rng.random() {
        bytes.truncate(draw.rng.random_range(0..bytes.len()));
    }
    wire.write(&bytes).await.expect("sent");
    if draw.rng.random() {
        draw.rest(0..60).await;
    }
    if draw.rng.random() {
        wire.reset();
    }
}

#[tokio::test]
async fn nobody_gets_what_is_anothers() {
    let _turn = turn().await;
    let seed: u64 = rand::random();
    println!("seed {seed}");
    let deployment = Deployment::of_upstreams();
    let origins = [serve(seed).await, serve(seed).await, serve(seed).await];
    let balancer = balance(&deployment, &origins, &["--key", "path"]).await;
    let mut clients: JoinSet<u64> =
        (0..CLIENTS).map(|number| client(balancer.traffic, seed, number)).collect();
    let mut answered = 0;
    while let Some(count) = clients.join_next().await {
        answered += count.expect("each its own, and whole");
    }
    println!("{answered} answers");
    assert!(answered > CLIENTS);
}
