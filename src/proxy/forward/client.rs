//! A client's connection: its requests one after the other.

use std::{
    future::poll_fn,
    io,
    net::SocketAddr,
    pin::Pin,
    rc::Rc,
    task::{Context, Poll, ready},
    time::Duration,
};

use http::StatusCode;
use tokio::{
    io::{AsyncRead, AsyncWrite, Interest, ReadBuf},
    net::TcpStream,
};

use super::{
    arrived::{Arrived, NoHead},
    asking::Asking,
    buffers::{Buffers, PIECE, Pending},
    deadlines::{Deadline, Moment, NEVER},
    delivery,
    flow::Cut,
    preamble::introduction,
};
use crate::{
    caller::Caller,
    proxy::{
        answer::Answer,
        framing::{
            Framing, Introduction, Refusal, Version,
            rewrite::{self, Delivery, Extra},
        },
        h2,
        routing::Target,
        thread::Core,
    },
};

/// How long a client that still sends is listened to when it was told the end.
const LINGER: Duration = Duration::from_secs(2);

/// A connection to a client.
pub(in crate::proxy) trait Downstream: AsyncRead + AsyncWrite + Unpin {
    /// Has its end be seen as a break when it is dropped.
    fn break_off(&self);

    /// Whether it broke: a mere end, after which it may still be written to, is no break. Costs no system call.
    fn is_broken(&self) -> bool;

    /// Ready if something came, be it an end, that was not read yet. If not, the task is woken when something comes or it
    /// breaks.
    fn poll_heard(&self, cx: &mut Context<'_>) -> Poll<()>;

    /// Whether it carries a call of gRPC: both sides may pause as long as they like, and failures are told its way.
    fn is_grpc(&self) -> bool {
        false
    }

    /// Goes on in HTTP/2, the preface of which is among what came.
    fn go_on_in_http2(
        self,
        core: Rc<Core>,
        came: Vec<u8>,
        caller: Caller,
        listen: SocketAddr,
    ) -> Pin<Box<dyn Future<Output = ()>>>;
}

impl Downstream for TcpStream {
    fn break_off(&self) {
        let _then_it_ends_unbroken = socket2::SockRef::from(self).set_linger(Some(Duration::ZERO));
    }

    fn is_broken(&self) -> bool {
        self.try_io(Interest::ERROR, || Ok(())).is_ok()
    }

    fn poll_heard(&self, cx: &mut Context<'_>) -> Poll<()> {
        self.poll_read_ready(cx).map(|_| ())
    }

    fn go_on_in_http2(
        self,
        core: Rc<Core>,
        came: Vec<u8>,
        caller: Caller,
        listen: SocketAddr,
    ) -> Pin<Box<dyn Future<Output = ()>>> {
        Box::pin(h2::serve(core, self, came, caller, listen))
    }
}

/// A client and what is under way with it.
pub(super) struct Client<S> {
    pub(super) stream: S,
    pub(super) arrived: Arrived,
    /// Interim responses that it has not taken yet.
    pub(super) early: Pending,
    pub(super) deadline: Deadline,
    /// Who it is and where it came in.
    pub(super) door: Door,
}

/// How a client came in.
pub(super) struct Door {
    /// Who it is.
    pub(super) introduction: Rc<Introduction>,
    /// At which listener, as it is configured.
    pub(super) listen: SocketAddr,
}

/// What becomes of a connection after an exchange.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum After {
    /// Another request.
    Next,
    /// Its end.
    End,
    /// Its end, though the client may still send.
    Linger,
    /// Its break: the client must not take what it got for whole.
    Break,
    /// Another version, which it speaks; nothing was answered.
    Version,
}

/// What a client did wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fault {
    /// It is gone.
    Gone,
    /// It sends nothing more.
    Slow,
    /// It sends nonsense.
    Refused(Refusal),
}

impl Fault {
    /// Why a request's body did not come whole.
    pub(super) fn of(cut: Cut) -> Self {
        match cut {
            Cut::Source(_) | Cut::Sink(_) => Fault::Gone,
            Cut::Broken(refusal) => Fault::Refused(refusal),
        }
    }
}

/// Serves a client's connection to this listener until it ends.
pub(in crate::proxy) async fn serve<S: Downstream>(
    core: Rc<Core>,
    stream: S,
    peer: SocketAddr,
    listen: SocketAddr,
) {
    let mut client = Client::new(&core, stream, peer.into(), listen);
    client.deadline.set(core.config.header_timeout);
    let is_introduced = core.config.proxy_protocol_from.contains(client.door.introduction.caller.address);
    if !is_introduced || client.take_preamble(&core).await {
        client.serve(core).await;
    }
}

/// Serves a connection of this client, of which nothing is asked any more, until it ends.
pub(in crate::proxy) async fn serve_known<S: Downstream>(
    core: Rc<Core>,
    stream: S,
    introduction: Rc<Introduction>,
    listen: SocketAddr,
) {
    let client = Client::known(&core, stream, introduction, listen);
    client.deadline.set(core.config.header_timeout);
    client.serve(core).await;
}

impl<S: Downstream> Client<S> {
    /// One of whom nothing has come yet.
    pub(super) fn new(core: &Core, stream: S, caller: Caller, listen: SocketAddr) -> Self {
        Client::known(core, stream, introduction(core, caller), listen)
    }

    /// The same, of whom is known what replicas are told.
    fn known(core: &Core, stream: S, introduction: Rc<Introduction>, listen: SocketAddr) -> Self {
        Client {
            stream,
            arrived: Arrived::default(),
            early: Pending::default(),
            deadline: core.deadlines.deadline(),
            door: Door { introduction, listen },
        }
    }

    /// Serves it until it ends.
    async fn serve(mut self, core: Rc<Core>) {
        let mut is_first = true;
        let after = loop {
            match self.next(&core).await {
                After::Next => self.deadline.set(core.config.idle_timeout),
                After::Version if is_first && self.begins_in_http2().await => break After::Version,
                After::Version => break self.fail(&core, Fault::Refused(Refusal::Version)).await,
                after => break after,
            }
            is_first = false;
        };
        match after {
            After::Break => self.stream.break_off(),
            After::Linger => self.linger(&core).await,
            After::Version => {
                let came = std::mem::take(self.arrived.rest());
                let Door { introduction, listen } = &self.door;
                self.stream.go_on_in_http2(core, came, introduction.caller, *listen).await;
            }
            After::Next | After::End => {}
        }
    }

    /// Answers the next request.
    async fn next(&mut self, core: &Rc<Core>) -> After {
        let mut asking = match poll_fn(|cx| self.poll_request(cx, core)).await {
            Ok(asking) => asking,
            Err(NoHead::Refused(Refusal::Version)) => return After::Version,
            Err(NoHead::Refused(refusal)) => return self.fail(core, Fault::Refused(refusal)).await,
            Err(NoHead::Broken(error)) if error.kind() == io::ErrorKind::TimedOut => {
                return self.fail(core, Fault::Slow).await;
            }
            Err(NoHead::Ended | NoHead::Broken(_)) => return After::End,
        };
        let after = match (asking.own.take(), asking.target) {
            (Some(answer), _) => self.tell(core, Some(&asking), &answer).await,
            (None, Target::Pool(..)) => delivery::by_pool(self, core, &mut asking).await,
            (None, _) => delivery::by_control(self, core, &mut asking).await,
        };
        core.buffers.borrow_mut().take_back(asking.upload.into_bytes());
        after
    }

    fn poll_request(&mut self, cx: &mut Context<'_>, core: &Core) -> Poll<Result<Asking, NoHead>> {
        let was_empty = self.arrived.is_empty();
        let Buffers { input, fields, spare, .. } = &mut *core.buffers.borrow_mut();
        let door = &self.door;
        let taken =
            self.arrived.poll_head(cx, &mut self.stream, &mut input[..PIECE], |_, bytes, progress| {
                Asking::read(core, door, bytes, progress, fields, spare)
            });
        if taken.is_ready() {
            return taken;
        }
        let is_empty = self.arrived.is_empty();
        if was_empty && !is_empty {
            self.deadline.set(core.config.header_timeout);
        }
        match self.deadline.is_over(cx) {
            true if is_empty => Poll::Ready(Err(NoHead::Ended)),
            true => Poll::Ready(Err(NoHead::Broken(io::ErrorKind::TimedOut.into()))),
            false if is_empty && core.is_closing(door.listen) => Poll::Ready(Err(NoHead::Ended)),
            false => Poll::Pending,
        }
    }

    /// Whether what comes is HTTP/2's preface. Reads no further than to see that.
    async fn begins_in_http2(&mut self) -> bool {
        poll_fn(|cx| {
            loop {
                let came = self.arrived.bytes();
                if came.starts_with(h2::PREFACE) || !h2::PREFACE.starts_with(came) {
                    return Poll::Ready(came.starts_with(h2::PREFACE));
                }
                let mut space = [0; h2::PREFACE.len()];
                let mut read = ReadBuf::new(&mut space);
                match Pin::new(&mut self.stream).poll_read(cx, &mut read) {
                    Poll::Ready(Ok(())) if !read.filled().is_empty() => {
                        self.arrived.rest().extend_from_slice(read.filled());
                    }
                    Poll::Pending if !self.deadline.is_over(cx) => return Poll::Pending,
                    _ => return Poll::Ready(false),
                }
            }
        })
        .await
    }

    /// Writes the interim responses that wait.
    pub(super) fn poll_early(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.early.poll_flush(&mut self.stream, cx)
    }

    /// To be called while somebody else is waited for: when to look again whether the client is still there. Mostly that is
    /// never, as its break wakes the task; but where something waits to be read, nothing says that it broke.
    pub(super) fn watch(&self, cx: &mut Context<'_>, core: &Core) -> Result<Moment, Fault> {
        let heard = self.stream.poll_heard(cx).is_ready();
        match self.stream.is_broken() {
            true => Err(Fault::Gone),
            false => Ok(if heard { core.deadlines.after(Duration::ZERO) } else { NEVER }),
        }
    }

    /// Tells the client what it did wrong.
    pub(super) async fn fail(&mut self, core: &Core, fault: Fault) -> After {
        let answer = match fault {
            Fault::Gone => return After::End,
            Fault::Slow => Answer::late_request(),
            Fault::Refused(refusal) => Answer::refusal(refusal.status(), &refusal.to_string()),
        };
        self.tell(core, None, &answer).await
    }

    /// An answer of our own, to this request if it could be read.
    pub(super) async fn tell(&mut self, core: &Core, asking: Option<&Asking>, answer: &Answer) -> After {
        let keep_alive =
            asking.is_some_and(|asking| asking.keep_alive && asking.upload.is_read()) && !core.is_stopping();
        let version = asking.map_or(Version::Http11, |asking| asking.version);
        let delivery = Delivery { version, keep_alive, framing: Framing::None };
        let told = if self.stream.is_grpc() { answer.in_grpc() } else { answer.in_http() };
        let reason = StatusCode::canonical_reason(&told.status).unwrap_or_default();
        let debug = asking.map(|asking| asking.told(None)).unwrap_or_default();
        let fields = debug.iter().chain(&told.fields);
        let fields: Vec<Extra<'_>> = fields.map(|(name, value)| (*name, value.as_bytes())).collect();
        let is_head = asking.is_some_and(|asking| asking.asked.is_head);
        let mut out = Vec::new();
        self.early.give_to(&mut out);
        rewrite::own(&mut out, told.status.as_u16(), reason, &delivery, &fields, &told.body, is_head);
        self.early.keep(&out);
        self.deadline.set(core.config.body_timeout);
        let written = poll_fn(|cx| match self.poll_early(cx) {
            Poll::Pending if self.deadline.is_over(cx) => Poll::Ready(Err(io::ErrorKind::TimedOut.into())),
            written => written,
        });
        match written.await {
            Ok(()) if keep_alive => After::Next,
            Ok(()) => After::Linger,
            Err(_) => After::End,
        }
    }

    /// Ends the connection, and reads what still comes for a while: a client that is sending would see a break in place of
    /// its answer (RFC 9112, section 9.6).
    async fn linger(&mut self, core: &Core) {
        self.deadline.set(LINGER);
        let mut ended = false;
        poll_fn(|cx| {
            if !ended {
                ended = Pin::new(&mut self.stream).poll_shutdown(cx).is_ready();
            }
            match self.poll_discard(cx, &mut core.buffers.borrow_mut().input) {
                Poll::Pending if self.deadline.is_over(cx) => Poll::Ready(()),
                discarded => discarded,
            }
        })
        .await;
    }

    fn poll_discard(&mut self, cx: &mut Context<'_>, input: &mut [u8]) -> Poll<()> {
        loop {
            let mut read = ReadBuf::new(input);
            let result = ready!(Pin::new(&mut self.stream).poll_read(cx, &mut read));
            if result.is_err() || read.filled().is_empty() || self.deadline.is_over(cx) {
                return Poll::Ready(());
            }
        }
    }
}
