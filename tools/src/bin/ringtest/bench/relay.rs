//! `ringtest relay`: the floor under every proxy. It takes a connection, opens one to the next of the origins, and carries
//! bytes both ways without looking at them: one thread, one buffer for all connections.

use std::{
    cell::RefCell,
    future::poll_fn,
    io,
    net::SocketAddr,
    pin::Pin,
    rc::Rc,
    task::{Context, Poll, ready},
};

use anyhow::Context as _;
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::TcpStream,
    task::LocalSet,
};

use super::listen;

/// What is read at a time.
const SCRATCH: usize = 128 << 10;

/// Carry bytes between clients and origins, each connection to the next one
#[derive(clap::Args, Clone, Debug)]
pub struct RelayArgs {
    /// Where connections lead
    #[arg(required = true, value_name = "IP:PORT")]
    origins: Vec<SocketAddr>,
}

/// Serves until it is killed.
pub async fn run(args: RelayArgs) -> anyhow::Result<bool> {
    let listener = listen::here()?;
    listen::say(&[&listener])?;
    let scratch: Rc<RefCell<Box<[u8]>>> = Rc::new(RefCell::new(vec![0; SCRATCH].into()));
    let serve = async {
        for origin in args.origins.iter().cycle() {
            let (client, _) = listener.accept().await.context("cannot accept")?;
            tokio::task::spawn_local(relay(client, *origin, scratch.clone()));
        }
        anyhow::Ok(true)
    };
    LocalSet::new().run_until(serve).await
}

/// One connection, until both sides have ended it or either has broken.
async fn relay(mut client: TcpStream, origin: SocketAddr, scratch: Rc<RefCell<Box<[u8]>>>) -> io::Result<()> {
    client.set_nodelay(true)?;
    let mut origin = TcpStream::connect(origin).await?;
    origin.set_nodelay(true)?;
    let ((mut client_says, mut to_client), (mut origin_says, mut to_origin)) =
        (client.split(), origin.split());
    let (mut there, mut back) = (Way::default(), Way::default());
    poll_fn(|context| {
        let scratch = &mut *scratch.borrow_mut();
        let there = there.carry(context, &mut client_says, &mut to_origin, scratch)?;
        let back = back.carry(context, &mut origin_says, &mut to_client, scratch)?;
        if there.is_ready() && back.is_ready() { Poll::Ready(Ok(())) } else { Poll::Pending }
    })
    .await
}

/// One direction.
#[derive(Default)]
struct Way {
    /// What was read and could not be written yet.
    rest: Vec<u8>,
    /// Nothing more will be read.
    ended: bool,
    /// The other side knows.
    told: bool,
}

impl Way {
    fn carry(
        &mut self,
        context: &mut Context<'_>,
        from: &mut (impl AsyncRead + Unpin),
        to: &mut (impl AsyncWrite + Unpin),
        scratch: &mut [u8],
    ) -> Poll<io::Result<()>> {
        while !self.told {
            while !self.rest.is_empty() {
                let written = ready!(Pin::new(&mut *to).poll_write(context, &self.rest))?;
                self.rest.drain(..written);
            }
            if self.ended {
                ready!(Pin::new(&mut *to).poll_shutdown(context))?;
                self.told = true;
                break;
            }
            let mut read = ReadBuf::new(scratch);
            ready!(Pin::new(&mut *from).poll_read(context, &mut read))?;
            self.ended = read.filled().is_empty();
            let written = match Pin::new(&mut *to).poll_write(context, read.filled()) {
                _ if self.ended => 0,
                Poll::Ready(written) => written?,
                Poll::Pending => 0,
            };
            self.rest.extend_from_slice(&read.filled()[written..]);
        }
        Poll::Ready(Ok(()))
    }
}
