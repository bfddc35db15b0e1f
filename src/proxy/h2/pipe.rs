//! A pipe whose ends belong to one task.

use std::{
    cell::RefCell,
    io,
    pin::Pin,
    rc::Rc,
    task::{Context, Poll},
};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::PIPE;

/// One end of a pipe that holds [`PIPE`] bytes each way. The task that has both has who writes go on before who reads, so
/// who finds nothing is not woken when something comes. Who finds no room is woken when there is some.
#[derive(Debug)]
pub(super) struct End {
    pipe: Rc<RefCell<Pipe>>,
    /// Which way comes here.
    here: usize,
}

#[derive(Debug, Default)]
struct Pipe {
    ways: [Way; 2],
    is_broken: bool,
}

/// What is under way in one direction.
#[derive(Debug, Default)]
struct Way {
    bytes: Vec<u8>,
    /// How many of them were read.
    read: usize,
    is_closed: bool,
    /// Whether who writes found no room.
    is_full: bool,
}

/// Both ends of a pipe.
pub(super) fn pipe() -> (End, End) {
    let pipe = Rc::<RefCell<Pipe>>::default();
    (End { pipe: pipe.clone(), here: 0 }, End { pipe, here: 1 })
}

impl End {
    /// Tells the other end that what came is not whole.
    pub(super) fn break_off(&self) {
        self.pipe.borrow_mut().is_broken = true;
    }

    /// Whether that was told.
    pub(super) fn is_broken(&self) -> bool {
        self.pipe.borrow().is_broken
    }
}

impl AsyncRead for End {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let way = &mut self.pipe.borrow_mut().ways[self.here];
        if way.bytes.is_empty() {
            return if way.is_closed { Poll::Ready(Ok(())) } else { Poll::Pending };
        }
        let waiting = &way.bytes[way.read..];
        let taken = waiting.len().min(buffer.remaining());
        buffer.put_slice(&waiting[..taken]);
        way.read += taken;
        if way.read == way.bytes.len() {
            way.bytes.clear();
            way.read = 0;
        }
        if std::mem::take(&mut way.is_full) {
            cx.waker().wake_by_ref();
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for End {
    fn poll_write(self: Pin<&mut Self>, _: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let way = &mut self.pipe.borrow_mut().ways[1 - self.here];
        if way.is_closed {
            return Poll::Ready(Err(io::ErrorKind::BrokenPipe.into()));
        }
        let taken = bytes.len().min(PIPE - (way.bytes.len() - way.read));
        if taken == 0 && !bytes.is_empty() {
            way.is_full = true;
            return Poll::Pending;
        }
        way.bytes.drain(..way.read);
        way.read = 0;
        way.bytes.extend_from_slice(&bytes[..taken]);
        Poll::Ready(Ok(taken))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.pipe.borrow_mut().ways[1 - self.here].is_closed = true;
        Poll::Ready(Ok(()))
    }
}

impl Drop for End {
    fn drop(&mut self) {
        self.pipe.borrow_mut().ways.iter_mut().for_each(|way| way.is_closed = true);
    }
}

#[cfg(test)]
mod tests {
    use std::{
        sync::{
            Arc,
            atomic::{AtomicUsize, Ordering::Relaxed},
        },
        task::{Wake, Waker},
    };

    use super::*;

    #[derive(Default)]
    struct Count(AtomicUsize);

    impl Wake for Count {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Relaxed);
        }
    }

    /// What is read at once of so many bytes at most; `None` where nothing is there.
    fn read(end: &mut End, waker: &Waker, most: usize) -> Option<Vec<u8>> {
        let mut space = vec![0; most];
        let mut buffer = ReadBuf::new(&mut space);
        match Pin::new(end).poll_read(&mut Context::from_waker(waker), &mut buffer) {
            Poll::Ready(read) => read.map(|()| buffer.filled().to_vec()).ok(),
            Poll::Pending => None,
        }
    }

    fn write(end: &mut End, bytes: &[u8]) -> Poll<Option<usize>> {
        Pin::new(end).poll_write(&mut Context::from_waker(Waker::noop()), bytes).map(Result::ok)
    }

    #[test]
    fn what_is_written_is_read_at_the_other_end_and_then_that_it_ends() {
        let (mut near, mut far) = pipe();
        let waker = Waker::noop();
        assert_eq!(read(&mut far, waker, 9), None);
        assert_eq!(write(&mut near, b"hello"), Poll::Ready(Some(5)));
        assert_eq!(write(&mut far, b"back"), Poll::Ready(Some(4)));
        assert_eq!(read(&mut far, waker, 2).unwrap(), b"he");
        assert_eq!(write(&mut near, b", all"), Poll::Ready(Some(5)));
        near.break_off();
        drop(near);
        assert_eq!(read(&mut far, waker, 99).unwrap(), b"llo, all");
        assert_eq!(read(&mut far, waker, 99).unwrap(), b"");
        assert!(far.is_broken());
        assert_eq!(write(&mut far, b"more"), Poll::Ready(None));
    }

    #[test]
    fn who_shuts_its_way_down_still_reads() {
        let (mut near, mut far) = pipe();
        let mut cx = Context::from_waker(Waker::noop());
        assert!(Pin::new(&mut near).poll_shutdown(&mut cx).is_ready());
        assert_eq!(read(&mut far, Waker::noop(), 9).unwrap(), b"");
        assert_eq!(write(&mut near, b"more"), Poll::Ready(None));
        assert_eq!(write(&mut far, b"hello"), Poll::Ready(Some(5)));
        assert_eq!(read(&mut near, Waker::noop(), 9).unwrap(), b"hello");
    }

    #[test]
    fn it_holds_no_more_than_it_may_and_who_waits_for_room_is_woken() {
        let (mut near, mut far) = pipe();
        let woken = Arc::new(Count::default());
        let waker = Waker::from(woken.clone());
        let (half, whole) = (vec![b'x'; PIPE / 2], vec![b'y'; PIPE]);
        assert_eq!(write(&mut near, &half), Poll::Ready(Some(PIPE / 2)));
        assert_eq!(write(&mut near, &whole), Poll::Ready(Some(PIPE / 2)));
        assert!(write(&mut near, b"z").is_pending());
        assert_eq!(read(&mut far, &waker, 10).unwrap(), &half[..10]);
        assert_eq!(woken.0.load(Relaxed), 1);
        assert_eq!(write(&mut near, b"zzz"), Poll::Ready(Some(3)));
        let rest = read(&mut far, &waker, 2 * PIPE).unwrap();
        assert_eq!((rest.len(), &rest[rest.len() - 4..]), (PIPE - 7, &b"yzzz"[..]));
        assert_eq!(woken.0.load(Relaxed), 1, "nobody waited");
    }
}
