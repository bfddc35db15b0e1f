//! A client's connection of HTTP/2: its streams, all at once.

use std::{
    cell::Cell,
    future::poll_fn,
    io,
    net::SocketAddr,
    pin::{Pin, pin},
    rc::Rc,
    task::{Context, Poll},
    time::Duration,
};

use bytes::{Buf, Bytes};
use hyper::{server::conn::http2, service::service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::TcpStream,
};

use super::{CONNECTION_WINDOW, Local, SEND_BUFFER, STREAM_WINDOW, header_list, stream};
use crate::{
    caller::Caller,
    proxy::{
        Config,
        forward::{Moment, introduction},
        thread::Core,
    },
};

/// The least silence after which a client is asked whether it is there.
const LEAST_SILENCE: Duration = Duration::from_secs(1);

/// Serves a connection on which this has come, the preface first, until it ends.
pub(in crate::proxy) async fn serve(
    core: Rc<Core>,
    stream: TcpStream,
    came: Vec<u8>,
    caller: Caller,
    listen: SocketAddr,
) {
    let activity = Activity::new(&core);
    // written once for all of its streams
    let answering = (core.clone(), activity.clone(), introduction(&core, caller));
    let service = service_fn(move |request| {
        let (core, activity, introduction) = &answering;
        stream::answer(core.clone(), request, introduction.clone(), listen, Open::new(core, activity))
    });
    let io = TokioIo::new(Resumed { came: came.into(), stream });
    let mut connection = pin!(builder(&core.config).serve_connection(io, service));
    let deadline = core.deadlines.deadline();
    let mut is_ending = false;
    poll_fn(|cx| {
        loop {
            if connection.as_mut().poll(cx).is_ready() {
                return Poll::Ready(());
            }
            let is_over = deadline.is_over_at(activity.until(&core), cx);
            match (is_ending, is_over || core.is_closing(listen)) {
                (false, true) => {
                    is_ending = true;
                    activity.is_patient_for(&core, core.config.body_timeout);
                    connection.as_mut().graceful_shutdown();
                }
                (true, _) if is_over => return Poll::Ready(()),
                _ => return Poll::Pending,
            }
        }
    })
    .await;
}

/// hyper's server, with our bounds. (It bounds streams that are reset at once, and frames that continue a header.)
fn builder(config: &Config) -> http2::Builder<Local> {
    let mut builder = http2::Builder::new(Local);
    builder
        .timer(TokioTimer::new())
        .auto_date_header(false)
        .max_concurrent_streams(config.max_concurrent_streams)
        .max_header_list_size(header_list(&config.limits))
        .initial_stream_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW)
        .max_send_buf_size(SEND_BUFFER)
        // a client that is silent is there as long as it answers these
        .keep_alive_interval(config.body_timeout.max(LEAST_SILENCE))
        .keep_alive_timeout(config.body_timeout.max(LEAST_SILENCE));
    builder
}

/// What goes on over a connection.
struct Activity {
    /// Streams that are open.
    streams: Cell<usize>,
    /// Until when there has to be one.
    until: Cell<Moment>,
    /// How long there may be none.
    patience: Cell<Duration>,
}

impl Activity {
    /// Nothing yet: the first request has to come in time.
    fn new(core: &Core) -> Rc<Self> {
        let until = Cell::new(core.deadlines.after(core.config.header_timeout));
        Rc::new(Activity { streams: Cell::new(0), until, patience: Cell::new(core.config.idle_timeout) })
    }

    /// When to look again whether there is a stream.
    fn until(&self, core: &Core) -> Moment {
        if self.streams.get() > 0 { core.deadlines.after(self.patience.get()) } else { self.until.get() }
    }

    /// Has there be none for no longer than this, from now on.
    fn is_patient_for(&self, core: &Core, patience: Duration) {
        self.patience.set(patience);
        self.until.set(core.deadlines.after(patience));
    }
}

/// A stream's part in what goes on, as long as it is open.
pub(super) struct Open {
    core: Rc<Core>,
    activity: Rc<Activity>,
}

impl Open {
    fn new(core: &Rc<Core>, activity: &Rc<Activity>) -> Self {
        activity.streams.set(activity.streams.get() + 1);
        Open { core: core.clone(), activity: activity.clone() }
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.activity.streams.set(self.activity.streams.get() - 1);
        self.activity.until.set(self.core.deadlines.after(self.activity.patience.get()));
    }
}

/// A connection of which something was read already.
struct Resumed {
    came: Bytes,
    stream: TcpStream,
}

impl AsyncRead for Resumed {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.came.is_empty() {
            return Pin::new(&mut self.stream).poll_read(cx, buffer);
        }
        let taken = self.came.len().min(buffer.remaining());
        buffer.put_slice(&self.came[..taken]);
        self.came.advance(taken);
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Resumed {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        pieces: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(cx, pieces)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
