//! Another protocol through the balancer: thousands of messages in both directions, by a client and a server of others'.

use futures_util::{SinkExt, StreamExt};
use rand::{RngExt, SeedableRng, rngs::StdRng};
use tokio::net::TcpStream;
use tokio_tungstenite::{
    WebSocketStream, accept_async, client_async,
    tungstenite::{
        Message,
        protocol::{CloseFrame, frame::coding::CloseCode},
    },
};

use super::{balance, origin::listener};
use crate::support::Deployment;

const MESSAGES: usize = 10_000;

/// The messages of one side: mostly short, some long, a ping now and then.
fn messages(seed: u64) -> impl Iterator<Item = Message> {
    let mut rng = StdRng::seed_from_u64(seed);
    (0..MESSAGES).map(move |number| {
        let most = [10, 1000, 1000, 1000, 1000, 70_000][rng.random_range(0..6)];
        let length = if number % 1000 == 999 { 400_000 } else { rng.random_range(0..most) };
        match number % 10 {
            0 => Message::Ping(number.to_string().into()),
            1..5 => Message::text("x".repeat(length)),
            _ => Message::binary(vec![number as u8; length]),
        }
    })
}

fn bye() -> CloseFrame {
    CloseFrame { code: CloseCode::Away, reason: "bye".into() }
}

/// Sends one side's messages while the other's come, and returns how many pongs came among them.
async fn exchange(socket: &mut WebSocketStream<TcpStream>, own: u64, other: u64) -> usize {
    let (mut sink, mut stream) = socket.split();
    let send = async {
        for message in messages(own) {
            sink.feed(message).await.expect("sent");
        }
        sink.flush().await.expect("sent");
    };
    let receive = async {
        let mut pongs = 0;
        for expected in messages(other) {
            let came = loop {
                match stream.next().await.expect("it goes on").expect("a message") {
                    Message::Pong(_) => pongs += 1,
                    message => break message,
                }
            };
            assert!(came == expected, "{} bytes are not {} bytes", came.len(), expected.len());
        }
        pongs
    };
    tokio::join!(send, receive).1
}

/// The same, until one side closes; returns what it was closed with.
async fn converse(mut socket: WebSocketStream<TcpStream>, own: u64, other: u64, closes: bool) -> CloseFrame {
    let mut pongs = exchange(&mut socket, own, other).await;
    if closes {
        socket.send(Message::Close(Some(bye()))).await.expect("sent");
    }
    let closed = loop {
        match socket.next().await {
            Some(Ok(Message::Pong(_))) => pongs += 1, // several pings may have one
            Some(Ok(Message::Close(Some(frame)))) => break frame,
            other => panic!("no close: {other:?}"),
        }
    };
    assert!(socket.next().await.is_none(), "a clean end");
    assert!(pongs > 0);
    closed
}

#[tokio::test]
async fn websockets_carry_everything_both_ways_and_close_cleanly() {
    let deployment = Deployment::of_upstreams();
    let listener = listener();
    let address = listener.local_addr().expect("bound");
    let server = tokio::spawn(async move {
        loop {
            let (stream, _) = listener.accept().await.expect("a connection");
            // the first ones are probes
            if let Ok(socket) = accept_async(stream).await {
                return converse(socket, 2, 1, false).await;
            }
        }
    });
    let balancer = balance(&deployment, &[address], &[]).await;
    let stream = TcpStream::connect(balancer.traffic).await.expect("the balancer accepts");
    let (socket, response) = client_async("ws://shop.example/chat", stream).await.expect("it switches");
    assert_eq!(response.status(), 101);
    let client = converse(socket, 1, 2, true).await;
    assert_eq!((client, server.await.unwrap()), (bye(), bye()));
}
