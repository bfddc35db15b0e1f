//! A terminal with the client on it.

use std::{
    io::{Read, Write},
    sync::{Arc, Condvar, Mutex},
    thread,
    time::{Duration, Instant},
};

use portable_pty::{Child, CommandBuilder, MasterPty, PtySize, native_pty_system};
use tempfile::TempDir;

/// How long something may take to appear.
const PATIENCE: Duration = Duration::from_secs(20);

/// How long between two looks at whether the client has ended.
const LOOK: Duration = Duration::from_millis(20);

/// 24 rows of 80 columns, with a home of its own. The client is killed when this is dropped.
pub struct Terminal {
    screen: Arc<(Mutex<vt100::Parser>, Condvar)>,
    keys: Box<dyn Write + Send>,
    client: Box<dyn Child + Send + Sync>,
    _pty: Box<dyn MasterPty + Send>,
}

impl Terminal {
    /// The client with these arguments, against the balancer at these addresses.
    pub fn start(arguments: &[&str], url: &str, admin_url: &str, home: &TempDir) -> Self {
        let size = PtySize { rows: 24, cols: 80, pixel_width: 0, pixel_height: 0 };
        let pty = native_pty_system().openpty(size).expect("a terminal");
        let mut command = CommandBuilder::new(env!("CARGO_BIN_EXE_ringctl"));
        command.env_clear();
        command.args(arguments);
        command.env("TERM", "xterm-256color");
        command.env("HOME", home.path());
        command.env("RINGCTL_URL", url);
        command.env("RINGCTL_ADMIN_URL", admin_url);
        let client = pty.slave.spawn_command(command).expect("the client starts");
        let screen = Arc::new((Mutex::new(vt100::Parser::new(24, 80, 0)), Condvar::new()));
        let reader = pty.master.try_clone_reader().expect("what it writes");
        let keys = pty.master.take_writer().expect("what it reads");
        let shown = screen.clone();
        thread::spawn(move || show(reader, &shown));
        Terminal { screen, keys, client, _pty: pty.master }
    }

    /// Types these keys.
    pub fn type_keys(&mut self, keys: &str) {
        self.keys.write_all(keys.as_bytes()).expect("the terminal takes keys");
        self.keys.flush().expect("the terminal takes keys");
    }

    /// Waits until this can be read on the screen, and gives the screen's text.
    pub fn wait_for(&self, text: &str) -> String {
        self.wait_until(text, |screen| screen.contents().contains(text))
    }

    /// Waits until the screen is as `done` says.
    pub fn wait_until(&self, what: &str, done: impl Fn(&vt100::Screen) -> bool) -> String {
        let deadline = Instant::now() + PATIENCE;
        let (screen, changed) = &*self.screen;
        let mut parser = screen.lock().expect("the reader does not panic");
        while !done(parser.screen()) {
            let left = deadline.saturating_duration_since(Instant::now());
            assert!(!left.is_zero(), "no '{what}' on\n{}", parser.screen().contents());
            parser = changed.wait_timeout(parser, left).expect("the reader does not panic").0;
        }
        parser.screen().contents()
    }

    /// The exit code, once the client has ended.
    pub fn exit_code(mut self) -> u32 {
        let deadline = Instant::now() + PATIENCE;
        loop {
            if let Some(status) = self.client.try_wait().expect("a child") {
                return status.exit_code();
            }
            assert!(Instant::now() < deadline, "it goes on:\n{}", self.wait_until("", |_| true));
            let (screen, changed) = &*self.screen;
            let parser = screen.lock().expect("the reader does not panic");
            drop(changed.wait_timeout(parser, LOOK).expect("the reader does not panic"));
        }
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        let _ = self.client.kill();
        let _ = self.client.wait();
    }
}

/// Puts what the client writes on the screen, until it ends.
fn show(mut reader: impl Read, (screen, changed): &(Mutex<vt100::Parser>, Condvar)) {
    let mut piece = [0; 4096];
    while let Ok(length @ 1..) = reader.read(&mut piece) {
        screen.lock().expect("no test panics here").process(&piece[..length]);
        changed.notify_all();
    }
}
